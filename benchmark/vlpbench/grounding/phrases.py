"""Phrases: words asked for, the text they are read in, and what is known by their name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.text import TokenBatch
from vlpbench.tokens import Tokeniser

WORD = re.compile(r"[^\W_]+")
EXAMPLE = '--words "pleural effusion,opacity"'
LONG = 3


@dataclass(frozen=True)
class Phrase:
    """One or more words whose place in an image is asked for.

    Attributes:
        words: as asked for.
        text: what the text encoder reads: the words alone, or a report that they stand in.
    """

    words: str
    text: str


def parse_phrases(words: str, report: str | None = None) -> tuple[Phrase, ...]:
    """Phrases from a list with commas, each a text of its own, or all in one report.

    Raises:
        BadInputError: listing every phrase without a letter or digit, and every one that the report does not hold.
        VlpbenchError: if there is no phrase at all.
    """
    asked = list(dict.fromkeys(" ".join(part.split()) for part in words.split(",") if part.strip()))
    if not asked:
        raise VlpbenchError(f"No words to look for: name some, separated by commas, such as {EXAMPLE}.")
    problems = [f"{phrase!r} holds no letter or digit" for phrase in asked if not WORD.search(phrase)]
    if report is not None:
        told = [phrase for phrase in asked if WORD.search(phrase)]
        problems += [f"{phrase!r} does not stand in the report" for phrase in told if not _places(phrase, report)]
    if problems:
        step = "Leave --report out to have each phrase read as a text of its own." if report is not None else ""
        raise BadInputError("Words that cannot be looked for:", problems, next_step=step)
    return tuple(Phrase(phrase, phrase if report is None else report) for phrase in asked)


def tokenise_phrases(
    tokeniser: Tokeniser, phrases: Sequence[Phrase]
) -> tuple[TokenBatch, Bool[Tensor, "phrases words"]]:
    """Tokenised texts, a row per phrase, and which of their words belong to the phrase, wherever it stands.

    Raises:
        VlpbenchError: for a phrase that stands beyond the longest text the method reads.
    """
    texts = [phrase.text for phrase in phrases]
    tokens = tokeniser.tokenise(texts)
    encodings = tokeniser.tokenizer(texts, truncation=True, max_length=tokeniser.max_tokens, padding=False).encodings
    asked = torch.zeros(len(phrases), tokens.words, dtype=torch.bool)
    for row, (phrase, encoding) in enumerate(zip(phrases, encodings, strict=True)):
        places = _places(phrase.words, phrase.text)
        for number, (start, end) in zip(tokens.word[row].tolist(), encoding.offsets, strict=False):
            if number >= 0 and any(start < stop and begin < end for begin, stop in places):
                asked[row, number] = True
        if not asked[row].any():
            raise VlpbenchError(
                f"{phrase.words!r} stands beyond the first {tokeniser.max_tokens} tokens of the report, which are all "
                "that the method reads. Shorten the report."
            )
    return tokens, asked


def unknown_words(tokeniser: Tokeniser, phrases: Sequence[Phrase]) -> list[str]:
    """Phrases of which the text encoder has not even the letters."""
    unknown = tokeniser.tokenizer.unk_token_id
    found = tokeniser.tokenise([phrase.words for phrase in phrases]).ids == unknown
    return [phrase.words for phrase, row in zip(phrases, found, strict=True) if bool(row.any())]


def occurrences(phrase: Phrase, reports: Iterable[str]) -> int:
    """Number of reports that hold the words of a phrase as they are, in any case."""
    pattern = _pattern(phrase.words)
    return sum(pattern.search(report) is not None for report in reports)


def is_named(words: str, name: str) -> bool:
    """Whether words name a thing: they hold all words of its name, or the last and no other words; plurals count.

    So "small pleural effusion" and "effusions" both name "pleural_effusion", and "pleural thickening" does not.
    """
    asked, known = _stems(words), _stems(name)
    return bool(asked and known) and (set(known) <= set(asked) or (set(asked) <= set(known) and known[-1] in asked))


def named_best(words: str, names: Iterable[str]) -> str | None:
    """The thing that words name with the fewest words left over on either side, None where they name none."""
    named = [name for name in names if is_named(words, name)]
    return min(named, key=lambda name: (len({*_stems(words)} ^ {*_stems(name)}), name), default=None)


def _stems(text: str) -> tuple[str, ...]:
    """Words in lower case, without the s of a plural."""
    found = WORD.findall(text.lower())
    return tuple(word.removesuffix("s") if len(word) > LONG else word for word in found)


def _pattern(words: str) -> re.Pattern[str]:
    inner = r"\s+".join(re.escape(word) for word in words.split())
    return re.compile(rf"(?<!\w){inner}(?!\w)", re.IGNORECASE)


def _places(words: str, text: str) -> list[tuple[int, int]]:
    """Where words stand in a text, first and last character."""
    return [match.span() for match in _pattern(words).finditer(text)]
