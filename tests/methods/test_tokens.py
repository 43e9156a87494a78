"""Reports as tokens: words, sentences, batches and vocabularies."""

import numpy as np
import pytest
import torch

from vlpbench.errors import VlpbenchError
from vlpbench.tokens import Tokeniser, wordpiece_tokenizer

TEXTS = (
    "Small left-sided pleural effusion.",
    "No pneumothorax, no consolidation; heart size is normal.",
    "Unremarkable.",
    "...",
)


@pytest.fixture(scope="module")
def tokeniser():
    return Tokeniser(wordpiece_tokenizer(TEXTS, vocabulary=60), 40)


def test_words_are_numbered_without_gaps_and_without_punctuation(tokeniser):
    batch = tokeniser.tokenise(TEXTS)
    spoken = (("small", "left", "sided", "pleural", "effusion"), None, ("unremarkable",), ())
    for row, words in enumerate(spoken):
        tokens = tokeniser.tokenizer.convert_ids_to_tokens(batch.ids[row].tolist())
        numbers = batch.word[row].tolist()
        assert sorted(set(numbers) - {-1}) == list(range(max(numbers) + 1))
        if words is not None:
            joined = ["" for _ in range(max(numbers) + 1)]
            for token, number in zip(tokens, numbers, strict=True):
                if number >= 0:
                    joined[number] += token.removeprefix("##")
            assert tuple(joined) == words
        assert tokens[0] == "[CLS]"
        assert tokens[int(batch.mask[row].sum()) - 1] == "[SEP]"
        assert set(tokens[int(batch.mask[row].sum()) :]) <= {"[PAD]"}


def test_batches_of_rows_are_the_reports_themselves(tokeniser):
    rows = tokeniser.rows(TEXTS)
    chosen = rows.batch(np.array([2, 0]))
    direct = tokeniser.tokenise([TEXTS[2], TEXTS[0]])
    for name in ("ids", "mask", "word", "sentence"):
        assert torch.equal(getattr(chosen, name), getattr(direct, name))


def test_reports_are_cut_at_the_longest_length(tokeniser):
    short = Tokeniser(tokeniser.tokenizer, 6).tokenise(TEXTS)
    assert short.ids.shape == (4, 6)
    assert short.ids[1, -1] == tokeniser.tokenizer.sep_token_id


def sentences_of(tokeniser, text):
    """Texts of the sentences, by the characters that their tokens stand for, and the numbers of all tokens."""
    numbers = tokeniser.tokenise([text]).sentence[0].tolist()
    (encoding,) = tokeniser._encode([text])
    found = {}
    for number, (start, end) in zip(numbers, encoding.offsets, strict=True):
        if number >= 0:
            first, last = found.get(number, (start, end))
            found[number] = (min(first, start), max(last, end))
    return [text[start:end] for _, (start, end) in sorted(found.items())], numbers


@pytest.fixture(scope="module")
def sentence_tokeniser():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.;!?,():"
    return Tokeniser(wordpiece_tokenizer([" ".join(letters), letters], vocabulary=120), 60)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Heart normal. No effusion.", ["Heart normal.", "No effusion."]),
        ("1. Heart normal. 2. No effusion.", ["1. Heart normal.", "2. No effusion."]),
        ("Nodule of 1.5 cm. No effusion", ["Nodule of 1.5 cm.", "No effusion"]),
        ("Clear lungs; normal heart! Edema? None", ["Clear lungs;", "normal heart!", "Edema?", "None"]),
        ("Clear.\n\nNormal.", ["Clear.", "Normal."]),
        ("No end", ["No end"]),
        ("Clear... Normal.", ["Clear...", "Normal."]),
        ("Clear. 2.", ["Clear.", "2."]),
        ("1. 2. Clear.", ["1. 2. Clear."]),
        ("...", ["..."]),
        ("", []),
    ],
)
def test_sentences_end_at_marks_before_white_space(sentence_tokeniser, text, sentences):
    found, numbers = sentences_of(sentence_tokeniser, text)
    assert found == sentences
    assert sorted(set(numbers) - {-1}) == list(range(len(sentences))), "numbered without gaps"
    assert numbers[0] == numbers[-1] == -1, "special tokens belong to no sentence"
    spoken = numbers[1:-1]
    assert spoken == sorted(spoken), "every token between the special ones has a sentence, in order"
    assert -1 not in spoken


def test_a_cut_report_has_the_sentences_that_are_left(sentence_tokeniser):
    text = "Clear lungs. Normal heart. No effusion."
    whole = sentence_tokeniser.tokenise([text])
    assert whole.sentences == 3
    second = int((whole.sentence[0] == 1).nonzero()[0])
    short = Tokeniser(sentence_tokeniser.tokenizer, second + 2).tokenise([text])
    assert short.sentence[0].tolist() == [*whole.sentence[0, : second + 1].tolist(), -1]
    assert short.sentences == 2
    assert Tokeniser(sentence_tokeniser.tokenizer, second + 1).tokenise([text]).sentences == 1


def test_a_tokenizer_that_cannot_tell_words_apart_is_refused():
    class Slow:
        is_fast = False
        name_or_path = "slow one"

    with pytest.raises(VlpbenchError, match="slow one has no fast version"):
        Tokeniser(Slow(), 10)


def test_the_vocabulary_is_the_same_every_time():
    """Maps in the trainer are seeded anew each time; unmended, twelve trainings on these texts disagree."""
    texts = ["abc abd acd bcd", "dcb dca dba cba abcd dcba"] * 3 + ["zyx zyw zxw yxw wxyz"]
    found = {str(sorted(wordpiece_tokenizer(texts, vocabulary=60).get_vocab().items())) for _ in range(12)}
    assert len(found) == 1


def test_inner_characters_are_ordinary_tokens():
    tokenizer = wordpiece_tokenizer(["ab ba"], vocabulary=20)
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert set(tokenizer.get_added_vocab()) == {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}
