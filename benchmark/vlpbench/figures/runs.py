"""Runs behind the points of a figure: the seeds of one row in one column."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from vlpbench.record import Record
from vlpbench.table.blocks import Block, ColumnGroup
from vlpbench.table.cells import TRIVIAL, Row

if TYPE_CHECKING:
    from vlpbench.statistics.intervals import Interval

Band = Callable[[list[Record]], "Interval | None"]


@dataclass(frozen=True)
class Point:
    """One row at one label fraction.

    Attributes:
        fraction: of the training labels.
        mean: over the runs, a fraction in [0, 1].
        values: one a run.
        interval: of the mean, None where it is not drawn or cannot be had.
    """

    fraction: float
    mean: float
    values: tuple[float, ...]
    interval: Interval | None = None


@dataclass(frozen=True)
class Line:
    """One row over the label fractions of a dataset; fractions without a defined value are left out."""

    row: Row
    points: tuple[Point, ...]


def runs_of(group: ColumnGroup, row: Row, fraction: float) -> list[Record]:
    """Records of a row at a fraction, by their seeds; of a trivial predictor those that state it."""
    mine = [
        record for record in group.records if record.spec.fraction == fraction and _belongs(record, row, group.metric)
    ]
    return sorted(mine, key=lambda record: (record.spec.pretrain_seed, record.spec.seed, record.key))


def recorded_fractions(group: ColumnGroup) -> list[float]:
    """Shares of the training labels that have a record, ascending."""
    return sorted({record.spec.fraction for record in group.records})


def largest_fraction(group: ColumnGroup) -> float:
    """The largest share of the training labels that has a record."""
    return max(recorded_fractions(group))


def read_lines(block: Block, group: ColumnGroup, *, banded: Collection[Row], band: Band) -> list[Line]:
    """Lines of one dataset in the order of the rows.

    Args:
        block: gives the rows.
        group: columns of the dataset.
        banded: rows whose points get an interval.
        band: finds the interval of the records of one cell.
    """
    lines = []
    for row in block.rows:
        points = []
        for fraction in recorded_fractions(group):
            records = runs_of(group, row, fraction)
            if values := headline_values(records, row):
                interval = band(records) if row in banded else None
                points.append(Point(fraction, fmean(values), values, interval))
        lines.append(Line(row, tuple(points)))
    return lines


def headline_values(records: list[Record], row: Row) -> tuple[float, ...]:
    """Defined values of the headline, one a run."""
    found = [
        record.floors[row.name][record.headline] if row.kind == TRIVIAL else record.metrics.get(record.headline)
        for record in records
    ]
    return tuple(value for value in found if value is not None)


def _belongs(record: Record, row: Row, metric: str) -> bool:
    if row.kind == TRIVIAL:
        return metric in record.floors.get(row.name, {})
    return (record.spec.method, record.spec.arch, record.recipe) == (row.name, row.arch, row.recipe)
