"""Published numbers: the tables of the SISTA paper, as they are printed there, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from vlpbench.errors import VlpbenchError
from vlpbench.table.layout import Layout

CITATION = "the SISTA paper (arXiv 2601.08165)"
NO_VENUE = "-"


@dataclass(frozen=True)
class PublishedNumber:
    """One number of a published table.

    Attributes:
        method: registered method of its row.
        row: name of the row as printed, with the paper's mark.
        venue: as printed in the row, "" where the table prints none.
        arch: backbone.
        dataset: name.
        metric: "auroc", "accuracy", "dice" or "map", as the paper calls it.
        fraction: of the training labels.
        text: as printed, in per cent.
        value: a fraction in [0, 1]; None where the paper prints no number.
    """

    method: str
    row: str
    venue: str
    arch: str
    dataset: str
    metric: str
    fraction: float
    text: str
    value: float | None


@dataclass(frozen=True)
class PublishedCell:
    """A published number beside a measured one.

    Attributes:
        text: as printed in the paper.
        value: a fraction in [0, 1]; None where the paper prints no number.
        difference: measured less published; None where one of them is not there.
        marks: signs of what differs, in the order in which the notes explain them.
    """

    text: str
    value: float | None
    difference: float | None
    marks: tuple[str, ...]


@cache
def read_published(name: str, rows: tuple[tuple[str, str], ...]) -> tuple[PublishedNumber, ...]:
    """Every number of a shipped table, in its order.

    Args:
        name: of the file.
        rows: pairs of a row's name in it and the registered method.

    Raises:
        VlpbenchError: for a file that is not there, or a line that cannot be read.
    """
    path = files("vlpbench_configs") / "published" / name
    if not path.is_file():
        raise VlpbenchError(f"No published table {name} among the configurations of vlpbench.")
    methods = dict(rows)
    numbers = []
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    for line, entry in enumerate(reader, start=2):
        try:
            numbers.append(_number(entry, methods))
        except (KeyError, TypeError, ValueError) as error:
            raise VlpbenchError(
                f"published/{name}, line {line}: expected a row the layout names, its backbone, dataset, metric, per "
                f"cent of labels and value ({type(error).__name__}: {error})."
            ) from error
    return tuple(numbers)


def published_of(layout: Layout) -> tuple[PublishedNumber, ...]:
    """The paper's numbers for a table; empty where it has none."""
    return read_published(layout.published, tuple(layout.published_rows.items())) if layout.published else ()


def partner_archs(measured: Sequence[str], printed: Sequence[str]) -> dict[str, str]:
    """Backbone of the paper by the measured one whose row its number stands in.

    The same backbone where both have it; what is left over on either side is paired by family, a ResNet with a ResNet
    and a transformer with a transformer, in the order given.
    """
    pairs = {arch: arch for arch in measured if arch in printed}
    left = [arch for arch in printed if arch not in pairs]
    for arch in measured:
        other = next((one for one in left if _family(one) == _family(arch)), None)
        if arch not in pairs and other is not None:
            pairs[arch] = other
            left.remove(other)
    return pairs


def _family(arch: str) -> str:
    return next((family for family in ("resnet", "vit") if arch.startswith(family)), arch)


def _number(entry: dict[str, str], methods: dict[str, str]) -> PublishedNumber:
    name = entry["losses"] if "losses" in entry else entry["method"]
    printed, note = entry["value"], entry.get("note") or ""
    if not printed and not note:
        raise ValueError("neither a value nor a note")
    venue = entry.get("venue") or ""
    return PublishedNumber(
        method=methods[name],
        row=name + (entry.get("mark") or ""),
        venue="" if venue == NO_VENUE else venue,
        arch=entry["arch"],
        dataset=entry["dataset"],
        metric=entry["metric"],
        fraction=round(float(entry["label_percent"]) / 100, 9),
        text=printed if printed else note,
        value=round(float(printed) / 100, 9) if printed else None,
    )
