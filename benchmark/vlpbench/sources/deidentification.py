"""Placeholders that de-identification left in report text."""

from __future__ import annotations

import re

PLACEHOLDER = re.compile(r"-?X{4,}(?:'\w*)?-?")
"""Open-i's XXXX, with what hangs on it: x-XXXX, XXXX-year-old, XXXX's."""
GAP = "\0"
BRACKETED = re.compile(rf"\([\s{GAP}/]*{GAP}[\s{GAP}/]*\)")
GAPS = re.compile(rf"([.,;:]?)[\s/<>]*{GAP}(?:[\s,;:/<>]*{GAP})*[\s/<>]*([.,;:]?)")


def drop_placeholders(text: str) -> str:
    """The text on one line without placeholders, and without the blanks and doubled stops they would leave."""
    marked = BRACKETED.sub(GAP, PLACEHOLDER.sub(GAP, text))
    if GAP not in marked:
        return " ".join(text.split())
    return " ".join(GAPS.sub(_close, marked).split()).lstrip(" .,;:")


def _close(gap: re.Match[str]) -> str:
    """The stop that remains where a gap is closed."""
    before, after = gap.groups()
    return ("." if "." in (before, after) else before or after) + " "
