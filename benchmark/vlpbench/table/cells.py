"""Cells: the runs of a method on one column, as mean and spread, and the rows they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from vlpbench.record import Record

if TYPE_CHECKING:
    from vlpbench.statistics.intervals import Interval
    from vlpbench.table.published import PublishedCell

METHOD, FLOOR, TRIVIAL, CEILING, PUBLISHED = "method", "floor", "trivial", "ceiling", "published"
SECTIONS = ("floors", "methods", "ceilings")


@dataclass(frozen=True)
class Cell:
    """Runs that differ in nothing but their seeds.

    Attributes:
        mean: over runs with a defined metric, a fraction in [0, 1]; None where no run has one.
        sd: sample standard deviation over the same runs; None for fewer than two.
        n: number of those runs.
        undefined: runs whose metric is undefined.
        pretrain_seeds: number of pre-training seeds among the runs.
        seeds: number of evaluation seeds among them.
        rank: `BEST`, `SECOND` or 0.
        below_floor: whether the mean is not above the highest floor of the column.
        tied: whether it is not significantly below the best of the column.
        interval: over samples of the test patients; None where none was asked for, or none can be given.
        no_interval: why there is none though one was asked for, "" otherwise.
        untested: why the cell could not be tested against the best of its column, "" otherwise.
        records: of the runs; of a trivial predictor those that state its floor.
    """

    mean: float | None
    sd: float | None
    n: int
    undefined: int
    pretrain_seeds: int
    seeds: int
    rank: int = 0
    below_floor: bool = False
    tied: bool = False
    interval: Interval | None = None
    no_interval: str = ""
    untested: str = ""
    records: tuple[Record, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: of the method or trivial predictor.
        title: as printed where nothing else tells the backbone.
        short_title: as printed where the backbone stands in a column or group of its own.
        kind: "method", "floor" (a method that trains nothing), "trivial" (a predictor that looks at nothing), "ceiling"
            (a method that saw more than the others may) or "published" (a method without a record).
        arch: architecture; "" for trivial predictors.
        recipe: hash of the pre-training recipe; "" when unknown.
        cells: one per column, None where there is no record.
        venue: where the method was published, "" for none.
        published: one per column where published numbers are shown, None where there is none; else empty.
    """

    name: str
    title: str
    short_title: str
    kind: str
    arch: str
    recipe: str
    cells: tuple[Cell | None, ...]
    venue: str = ""
    published: tuple[PublishedCell | None, ...] = ()

    @property
    def section(self) -> str:
        """Part of the table the row stands in: "floors", "methods" or "ceilings"."""
        return {METHOD: "methods", PUBLISHED: "methods", CEILING: "ceilings"}.get(self.kind, "floors")

    @property
    def counted(self) -> bool:
        """Whether the row's cells come from runs, so that one without a record is missing."""
        return self.kind not in {TRIVIAL, PUBLISHED}


def summarise(records: Sequence[Record]) -> Cell | None:
    """Mean and sample standard deviation of the headline over runs; None without records."""
    if not records:
        return None
    values = [value for record in records if (value := record.metrics.get(record.headline)) is not None]
    return Cell(
        mean=fmean(values) if values else None,
        sd=stdev(values) if len(values) > 1 else None,
        n=len(values),
        undefined=len(records) - len(values),
        pretrain_seeds=len({record.spec.pretrain_seed for record in records}),
        seeds=len({record.spec.seed for record in records}),
        records=tuple(records),
    )


def summarise_floor(records: Sequence[Record], floor: str) -> Cell | None:
    """Mean headline of a trivial predictor over the records of a column; None where no record states it."""
    stated = [record for record in records if record.headline in record.floors.get(floor, {})]
    if not stated:
        return None
    values = [value for record in stated if (value := record.floors[floor][record.headline]) is not None]
    mean = fmean(values) if values else None
    return Cell(mean, None, len(values), len(stated) - len(values), 0, 0, records=tuple(stated))
