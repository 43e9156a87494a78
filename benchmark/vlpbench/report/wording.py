"""Wording: numbers with their nouns and verbs, and messages of elsewhere."""

from __future__ import annotations

from pathlib import Path


def count(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it is not one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def is_or_are(number: int) -> str:
    """The verb of so many."""
    return "is" if number == 1 else "are"


def was_or_were(number: int) -> str:
    """The verb of so many, in the past."""
    return "was" if number == 1 else "were"


def has_or_have(number: int) -> str:
    """The auxiliary of so many."""
    return "has" if number == 1 else "have"


def without_folder(text: str, root: Path) -> str:
    """A message without the path of the results folder: a page says the same wherever that lay."""
    return text.replace(f"{root}/", "")
