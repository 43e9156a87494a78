"""Tokens, words and the text tower."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig

from vlpbench.encoders import hugging_face_encoder, save_encoder, scratch_encoder
from vlpbench.errors import VlpbenchError
from vlpbench.text import span_means, span_sums
from vlpbench.tokens import Tokeniser, wordpiece_tokenizer

TEXTS = (
    "Small left-sided pleural effusion.",
    "No pneumothorax, no consolidation; heart size is normal.",
    "Unremarkable.",
    "...",
)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(1)
    tower, tokeniser = scratch_encoder(TEXTS, vocabulary=60, width=16, max_tokens=40)
    return tower.eval(), tokeniser


def test_words_are_numbered_without_gaps_and_without_punctuation(encoder):
    _, tokeniser = encoder
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


def test_batches_of_rows_are_the_reports_themselves(encoder):
    _, tokeniser = encoder
    rows = tokeniser.rows(TEXTS)
    chosen = rows.batch(np.array([2, 0]))
    direct = tokeniser.tokenise([TEXTS[2], TEXTS[0]])
    for name in ("ids", "mask", "word", "sentence"):
        assert torch.equal(getattr(chosen, name), getattr(direct, name))


def test_reports_are_cut_at_the_longest_length(encoder):
    _, tokeniser = encoder
    short = Tokeniser(tokeniser.tokenizer, 6).tokenise(TEXTS)
    assert short.ids.shape == (4, 6)
    assert short.ids[1, -1] == tokeniser.tokenizer.sep_token_id


def test_words_sum_their_own_sub_words_and_attention(encoder):
    tower, tokeniser = encoder
    batch = tokeniser.tokenise(TEXTS)
    with torch.no_grad():
        features = tower(batch)
        words = span_sums(features.tokens, batch.word, batch.words)
        means = span_means(features.tokens, batch.word, batch.words)
        raw = tower.encoder(input_ids=batch.ids, attention_mask=batch.mask.long(), output_attentions=True)
    attention = raw.attentions[-1].mean(dim=1)[:, 0]
    assert torch.equal(features.report, raw.last_hidden_state[:, 0])
    assert (batch.word == 3).sum() > 3, "the texts have a word of several sub-words"
    for row in range(len(TEXTS)):
        count = int(batch.word[row].max()) + 1
        assert batch.word_mask[row].tolist() == [number < count for number in range(batch.words)]
        for number in range(batch.words):
            vector, weight, pieces = torch.zeros(16), 0.0, 0
            for position in range(batch.ids.shape[1]):
                if batch.word[row, position] == number:
                    vector = vector + raw.last_hidden_state[row, position]
                    weight += float(attention[row, position])
                    pieces += 1
            assert torch.allclose(words[row, number], vector, atol=1e-5)
            assert torch.allclose(means[row, number], vector / max(1, pieces), atol=1e-5)
            assert float(features.word_attention[row, number]) == pytest.approx(weight, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("No effusion. Heart is normal.", ["no effusion .", "heart is normal ."]),
        ("1. Heart is normal. 2. No effusion.", ["1 . heart is normal .", "2 . no effusion ."]),
        ("A nodule of 1.5 cm; no effusion", ["a nodule of 1 . 5 cm ;", "no effusion"]),
        ("No effusion", ["no effusion"]),
        ("No effusion!\n\nIs the heart normal?  Yes.", ["no effusion !", "is the heart normal ?", "yes ."]),
        ("...", [". . ."]),
    ],
)
def test_sentences_are_numbered_without_gaps(text, sentences):
    tokenizer = wordpiece_tokenizer([text], vocabulary=200)
    batch = Tokeniser(tokenizer, 60).tokenise([text, "Other."])
    names = tokenizer.convert_ids_to_tokens(batch.ids[0].tolist())
    found = ["" for _ in range(batch.sentences)]
    for name, number in zip(names, batch.sentence[0].tolist(), strict=True):
        if number >= 0:
            found[number] += name.removeprefix("##") if name.startswith("##") else f" {name}"
    assert [sentence.strip() for sentence in found] == sentences
    special = [number for name, number in zip(names, batch.sentence[0].tolist(), strict=True) if name.startswith("[")]
    assert set(special) == {-1}
    assert batch.sentence_mask[0].tolist() == [True] * len(sentences)
    assert batch.sentence_mask[1].tolist() == [True] + [False] * (len(sentences) - 1)


def test_sentences_that_are_cut_off_are_not_counted(encoder):
    _, tokeniser = encoder
    text = "Unremarkable. No pneumothorax. Small effusion."
    whole, cut = (Tokeniser(tokeniser.tokenizer, length).tokenise([text]) for length in (40, 5))
    assert (whole.sentences, cut.sentences) == (3, 1)


def test_the_last_four_layers_are_summed(encoder):
    tower, tokeniser = encoder
    batch = tokeniser.tokenise(TEXTS)
    with torch.no_grad():
        found = tower(batch).last_four
        layers = tower.encoder(
            input_ids=batch.ids, attention_mask=batch.mask.long(), output_hidden_states=True
        ).hidden_states
    assert len(layers) == 3, "two layers over the embeddings, which are no layer"
    assert torch.allclose(found, layers[1] + layers[2], atol=1e-6)


def test_a_part_of_a_batch_is_the_same_reports(encoder):
    tower, tokeniser = encoder
    batch = tokeniser.tokenise(TEXTS)
    with torch.no_grad():
        whole, part = tower(batch), tower(batch.part(slice(1, 3)))
    assert torch.allclose(part.tokens, whole.tokens[1:3], atol=1e-5)
    assert part.word_attention.shape == (2, batch.words)


def test_attention_is_detached_and_words_are_not(encoder):
    tower, tokeniser = encoder
    batch = tokeniser.tokenise(TEXTS)
    features = tower(batch)
    assert span_sums(features.tokens, batch.word, batch.words).requires_grad
    assert not features.word_attention.requires_grad


def test_padding_changes_no_feature(encoder):
    tower, tokeniser = encoder
    alone, together = tokeniser.tokenise(TEXTS[:1]), tokeniser.tokenise(TEXTS)
    with torch.no_grad():
        one, many = (tower(batch) for batch in (alone, together))
    assert torch.allclose(one.report[0], many.report[0], atol=1e-5)
    lone = span_sums(one.tokens, alone.word, alone.words)
    words = span_sums(many.tokens, together.word, together.words)
    assert torch.allclose(lone[0], words[0, : alone.words], atol=1e-5)
    assert torch.allclose(one.last_four[0], many.last_four[0, : alone.ids.shape[1]], atol=1e-5)
    assert not together.word_mask[3].any()
    assert (words[3] == 0).all()


def test_a_local_bert_is_loaded_by_its_path(encoder, tmp_path):
    tower, tokeniser = encoder
    save_encoder(tower, tokeniser, tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    again, tokens = hugging_face_encoder(str(tmp_path), layers=0, max_tokens=40)
    batch = tokens.tokenise(TEXTS)
    assert torch.equal(batch.ids, tokeniser.tokenise(TEXTS).ids)
    with torch.no_grad():
        found = again.eval()(batch)
        expected = tower(batch)
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.equal(found.word_attention, expected.word_attention)
    cut, _ = hugging_face_encoder(str(tmp_path), layers=1, max_tokens=40)
    assert cut.layers == len(cut.encoder.encoder.layer) == 1
    assert torch.equal(
        cut.encoder.encoder.layer[0].attention.self.query.weight,
        tower.encoder.encoder.layer[0].attention.self.query.weight,
    )


def test_weights_of_older_repositories_are_read_without_running_a_pickle(encoder, tmp_path):
    tower, tokeniser = encoder
    save_encoder(tower, tokeniser, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(tower.encoder.state_dict(), tmp_path / "pytorch_model.bin")
    again, _ = hugging_face_encoder(str(tmp_path), layers=0, max_tokens=40)
    read = again.encoder.state_dict()
    for name, tensor in tower.encoder.state_dict().items():
        assert torch.equal(read[name], tensor)


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def test_a_pickle_that_would_run_code_is_refused(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tower, tokeniser = encoder
    save_encoder(tower, tokeniser, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weight": Malicious()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(VlpbenchError, match="is no text encoder"):
        hugging_face_encoder(str(tmp_path), layers=0, max_tokens=40)
    assert not Path("executed").exists()


def test_an_unreachable_model_names_the_ways_out(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(VlpbenchError) as caught:
        hugging_face_encoder("somebody/no-such-model", layers=0, max_tokens=40)
    message = str(caught.value)
    assert "somebody/no-such-model" in message
    assert "--set text_model=/path/to/folder" in message
    assert "--set text_model=scratch" in message


def test_a_folder_without_an_encoder_is_named(tmp_path):
    with pytest.raises(VlpbenchError, match="is no text encoder"):
        hugging_face_encoder(str(tmp_path), layers=0, max_tokens=40)


def test_more_layers_or_tokens_than_there_are(encoder, tmp_path):
    save_encoder(*encoder, tmp_path)
    with pytest.raises(VlpbenchError, match=r"text_layers = 3.*has 2 layers"):
        hugging_face_encoder(str(tmp_path), layers=3, max_tokens=40)
    with pytest.raises(VlpbenchError, match=r"max_tokens = 41.*takes 40 tokens"):
        hugging_face_encoder(str(tmp_path), layers=0, max_tokens=41)
    with pytest.raises(VlpbenchError, match="text_width = 18"):
        scratch_encoder(TEXTS, vocabulary=60, width=18, max_tokens=40)


def test_a_tokenizer_that_cannot_tell_words_apart_is_refused(encoder):
    class Slow:
        is_fast = False
        name_or_path = "slow one"

    with pytest.raises(VlpbenchError, match="slow one has no fast version"):
        Tokeniser(Slow(), 10)


def test_a_pooler_is_not_trained():
    from vlpbench.text import TextTower

    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    tower = TextTower(AutoModel.from_config(config, attn_implementation="eager"))
    idle = {name for name, parameter in tower.named_parameters() if not parameter.requires_grad}
    assert idle == {"encoder.pooler.dense.weight", "encoder.pooler.dense.bias"}


def test_the_vocabulary_is_the_same_every_time():
    """Maps in the trainer are seeded anew each time; unmended, twelve trainings on these texts disagree."""
    texts = ["abc abd acd bcd", "dcb dca dba cba abcd dcba"] * 3 + ["zyx zyw zxw yxw wxyz"]
    found = {str(sorted(wordpiece_tokenizer(texts, vocabulary=60).get_vocab().items())) for _ in range(12)}
    assert len(found) == 1


def test_inner_characters_are_ordinary_tokens():
    tokenizer = wordpiece_tokenizer(["ab ba"], vocabulary=20)
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert set(tokenizer.get_added_vocab()) == {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}
