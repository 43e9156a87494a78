"""What an edition of the Open-i chest radiographs holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from vlpbench.data.source import ImageRow
from vlpbench.sources.deidentification import drop_placeholders

SECTIONS = ("findings", "impression")


@dataclass(frozen=True)
class Choices:
    """What the user asked for.

    Attributes:
        views: kept where the edition knows the projection, "frontal" or "lateral".
        image: "both" images of a report, the "first" or the "second", where an edition only numbers them.
        keep_placeholders: whether XXXX stays in the text.
    """

    views: frozenset[str]
    image: str
    keep_placeholders: bool


@dataclass
class Listing:
    """Rows of an edition as they are gathered, what is wrong with its tables, and how many of what there were."""

    rows: list[ImageRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, row: ImageRow) -> None:
        """Keep an image."""
        self.rows.append(row)
        self.counts["images"] += 1
        self.counts["images without a report text"] += not row.report


def report_text(sections: Mapping[str, str], *, keep_placeholders: bool) -> str:
    """Findings and impression under their headings, blank sections left out.

    Args:
        sections: text by section name in lower case.
        keep_placeholders: whether XXXX stays in the text.
    """
    texts = {name: tidy(sections.get(name, ""), keep_placeholders=keep_placeholders) for name in SECTIONS}
    return "\n".join(f"{name.upper()}: {text}" for name, text in texts.items() if text)


def tidy(text: str, *, keep_placeholders: bool) -> str:
    """Text on one line, with or without the placeholders of de-identification."""
    return " ".join(text.split()) if keep_placeholders else drop_placeholders(text)
