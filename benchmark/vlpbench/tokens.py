"""Reports as tokens: words and sentences told apart from sub-words, punctuation and special tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from vlpbench.errors import VlpbenchError
from vlpbench.text import TokenBatch

NONE = -1
ENCODE_AT_ONCE = 2000
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class TokenRows:
    """Tokenised reports laid end to end, from which any rows make a padded batch.

    Attributes:
        ids: token ids.
        word: number of the word of each token within its report, -1 for none.
        sentence: number of its sentence, likewise.
        starts: where each report starts, and where the last one ends.
        padding: token id that pads.
    """

    ids: Int[np.ndarray, " tokens"]
    word: Int[np.ndarray, " tokens"]
    sentence: Int[np.ndarray, " tokens"]
    starts: Int[np.ndarray, " reports_and_one"]
    padding: int

    def batch(self, rows: Int[np.ndarray, " b"]) -> TokenBatch:
        """Pad the given rows to the longest of them."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        steps = np.arange(max(1, int(lengths.max(initial=0))))
        mask = steps < lengths[:, None]
        where = (self.starts[rows][:, None] + steps)[mask]
        ids = np.full(mask.shape, self.padding, dtype=np.int64)
        word, sentence = (np.full(mask.shape, NONE, dtype=np.int64) for _ in range(2))
        ids[mask], word[mask], sentence[mask] = self.ids[where], self.word[where], self.sentence[where]
        words, sentences = (max(1, int(span.max(initial=NONE)) + 1) for span in (word, sentence))
        return TokenBatch(
            ids=torch.from_numpy(ids),
            mask=torch.from_numpy(mask),
            word=torch.from_numpy(word),
            sentence=torch.from_numpy(sentence),
            words=words,
            sentences=sentences,
        )


class Tokeniser:
    """A Hugging Face fast tokenizer that also numbers whole words and sentences.

    A word is what the tokenizer's pre-tokenisation splits off, provided it holds a letter or a digit. Punctuation is
    read by the encoder but is no word, as in MGCA, which keeps runs of letters and digits only
    (mgca/datasets/pretrain_dataset.py:70-158). A sentence ends at . ! ? or ; before white space; what holds no letter,
    such as the number of an item, belongs to the sentence after it.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        """Take a tokenizer.

        Args:
            tokenizer: with `is_fast`, a class token and a padding token.
            max_tokens: reports are cut to this many tokens, special ones included.

        Raises:
            VlpbenchError: if the tokenizer cannot tell words apart, or lacks a class or padding token.
        """
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        if not getattr(tokenizer, "is_fast", False):
            raise VlpbenchError(
                f"The tokenizer {name} has no fast version, which word boundaries come from; choose another text_model."
            )
        if tokenizer.cls_token_id is None or tokenizer.pad_token_id is None:
            raise VlpbenchError(
                f"The tokenizer {name} lacks a class or padding token; choose an encoder such as a BERT as text_model."
            )
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def tokenise(self, texts: Sequence[str]) -> TokenBatch:
        """Tokenise reports and pad them to the longest."""
        return self.rows(texts).batch(np.arange(len(texts)))

    def rows(self, texts: Sequence[str]) -> TokenRows:
        """Tokenise reports once, for any number of batches."""
        ids, word, sentence = ([np.zeros(0, dtype=np.int32)] for _ in range(3))
        lengths = [0]
        for first in range(0, len(texts), ENCODE_AT_ONCE):
            chunk = list(texts[first : first + ENCODE_AT_ONCE])
            for text, encoding in zip(chunk, self._encode(chunk), strict=True):
                ids.append(np.array(encoding.ids, dtype=np.int32))
                word.append(_word_numbers(text, encoding.word_ids, encoding.offsets))
                sentence.append(_sentence_numbers(text, encoding.offsets))
                lengths.append(len(encoding.ids))
        ends = np.cumsum(np.array(lengths, dtype=np.int64))
        padding = int(self.tokenizer.pad_token_id)
        return TokenRows(np.concatenate(ids), np.concatenate(word), np.concatenate(sentence), ends, padding)

    def _encode(self, texts: list[str]) -> Any:
        return self.tokenizer(texts, truncation=True, max_length=self.max_tokens, padding=False).encodings


def _word_numbers(
    text: str, words: Sequence[int | None], offsets: Sequence[tuple[int, int]]
) -> Int[np.ndarray, " tokens"]:
    """Renumber words without gaps, leaving out those without a letter or digit."""
    spoken = {
        word
        for word, (start, end) in zip(words, offsets, strict=True)
        if word is not None and any(character.isalnum() for character in text[start:end])
    }
    number = {word: count for count, word in enumerate(sorted(spoken))}
    return np.array([NONE if word is None else number.get(word, NONE) for word in words], dtype=np.int32)


def _sentence_numbers(text: str, offsets: Sequence[tuple[int, int]]) -> Int[np.ndarray, " tokens"]:
    """Number sentences; special tokens cover no character and belong to none."""
    begins, latest = [], 0
    for match in SENTENCE_END.finditer(text):
        if any(character.isalpha() for character in text[latest : match.start()]):
            begins.append(match.end())
            latest = match.end()
    places = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    numbers = np.searchsorted(np.array(begins, dtype=np.int64), places[:, 0], side="right")
    return np.where(places[:, 1] > places[:, 0], numbers, NONE).astype(np.int32)


def wordpiece_tokenizer(texts: Iterable[str], *, vocabulary: int) -> Any:
    """Train a lower-case WordPiece tokenizer as BERT has it; equal texts give an equal vocabulary.

    Args:
        texts: what to learn from.
        vocabulary: number of tokens, special ones included; single characters are always kept.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertTokenizerFast

    corpus = list(texts)
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = normalizers.BertNormalizer(lowercase=True)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # The trainer numbers inner characters in the order of a randomly seeded hash map, and breaks ties between merges by
    # those numbers; naming them beforehand is what makes the vocabulary reproducible.
    normalised = {character for text in corpus for character in learner.normalizer.normalize_str(text)}
    inner = sorted(f"##{character}" for character in normalised if not character.isspace())
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=[*SPECIAL_TOKENS, *inner], show_progress=False
    )
    learner.train_from_iterator(corpus, trainer)
    # A fresh tokenizer, in which those characters are ordinary tokens again.
    numbers = learner.get_vocab()
    tokenizer = Tokenizer(models.WordPiece(vocab=numbers, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = learner.normalizer, learner.pre_tokenizer
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"]))
    return BertTokenizerFast(tokenizer_object=tokenizer)
