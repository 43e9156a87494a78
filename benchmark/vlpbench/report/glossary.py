"""Glossary: every mark, word and metric of the page, in a sentence each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from vlpbench.record import Record
from vlpbench.report.cells import metric_title
from vlpbench.table.entries import BELOW_FLOOR, MISSING
from vlpbench.table.layout import Layout
from vlpbench.table.titles import MARKS, Titles

FILE = "glossary.toml"
SIGNS = {"BELOW": BELOW_FLOOR, "MISSING": MISSING}
"""Signs that the tables choose, by what stands for them in the file."""


@dataclass(frozen=True)
class Entry:
    """One word and its meaning.

    Attributes:
        anchor: id within the page.
        term: as it appears on the page.
        meaning: a sentence or two.
    """

    anchor: str
    term: str
    meaning: str


@dataclass(frozen=True)
class Glossary:
    """All entries.

    Attributes:
        marks: signs in the tables.
        metrics: title of each task, with its metrics.
        words: in alphabetical order.
    """

    marks: tuple[Entry, ...]
    metrics: tuple[tuple[str, tuple[Entry, ...]], ...]
    words: tuple[Entry, ...]


def build_glossary(records: Sequence[Record], layouts: Sequence[Layout], titles: Titles) -> Glossary:
    """Entries for the marks and words of any report, and for the metrics of these records."""
    shipped = _shipped()
    marks = [
        Entry(_anchor(one["anchor"]), SIGNS.get(one["term"], one["term"]), one["meaning"]) for one in shipped["marks"]
    ]
    used = {mark for record in records for mark in titles.method_card(record.spec.method).mark}
    marks += [
        Entry(f"g-mark-{number}", mark, f"{meaning[:1].upper()}{meaning[1:]}.")
        for number, (mark, meaning) in enumerate(MARKS.items())
        if mark in used
    ]
    words = tuple(Entry(_anchor(one["term"]), one["term"], one["meaning"]) for one in shipped["words"])
    return Glossary(tuple(marks), tuple(_metrics(records, layouts, titles)), words)


def _metrics(
    records: Sequence[Record], layouts: Sequence[Layout], titles: Titles
) -> Iterable[tuple[str, tuple[Entry, ...]]]:
    order = list(dict.fromkeys(task for layout in layouts for task in layout.tasks))
    there = {record.spec.task for record in records}
    for task in [*(task for task in order if task in there), *sorted(there - set(order))]:
        headlines = {record.headline for record in records if record.spec.task == task}
        card = titles.task(task)
        if card is None:
            continue
        entries = []
        for name, meaning in card.metrics.items():
            title = metric_title(task, name, layouts)
            named = f"{title} ({name})" if title != name else name
            printed = " Printed in the tables." if name in headlines else ""
            entries.append(Entry(_anchor(f"{task} {name}"), named, f"{meaning[:1].upper()}{meaning[1:]}.{printed}"))
        yield card.title or task, tuple(entries)


def _shipped() -> dict[str, list[dict[str, str]]]:
    return tomllib.loads((files("vlpbench_configs") / "report" / FILE).read_text(encoding="utf-8"))


def _anchor(term: str) -> str:
    return "g-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")
