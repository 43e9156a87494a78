"""Cells: the runs of a method on one column, as mean and spread, and their ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from vlpbench.record import Record

BEST = 1
SECOND = 2


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
    """

    mean: float | None
    sd: float | None
    n: int
    undefined: int
    pretrain_seeds: int
    seeds: int
    rank: int = 0


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: of the method or trivial predictor.
        title: as printed.
        kind: "method", "floor" (a method that trains nothing), "trivial" (a predictor that looks at nothing) or
            "ceiling" (a method that saw more than the others may).
        arch: architecture; "" for trivial predictors.
        recipe: hash of the pre-training recipe; "" when unknown.
        cells: one per column, None where there is no record.
    """

    name: str
    title: str
    kind: str
    arch: str
    recipe: str
    cells: tuple[Cell | None, ...]

    @property
    def section(self) -> str:
        """Part of the table the row stands in: "floors", "methods" or "ceilings"."""
        return {"method": "methods", "ceiling": "ceilings"}.get(self.kind, "floors")


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
    )


def summarise_floor(records: Sequence[Record], floor: str) -> Cell | None:
    """Mean headline of a trivial predictor over the records of a column; None where no record states it."""
    stated = [record for record in records if record.headline in record.floors.get(floor, {})]
    if not stated:
        return None
    values = [value for record in stated if (value := record.floors[floor][record.headline]) is not None]
    return Cell(fmean(values) if values else None, None, len(values), len(stated) - len(values), 0, 0)


def rank(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Mark the best and the second mean of each column among methods; equal means share a rank, floors get none."""
    ranked = [list(row.cells) for row in rows]
    methods = [number for number, row in enumerate(rows) if row.kind == "method"]
    for column in range(len(rows[0].cells) if rows else 0):
        means = {}
        for number in methods:
            cell = rows[number].cells[column]
            if cell is not None and cell.mean is not None:
                means[number] = cell.mean
        if len(means) < 2:
            continue
        places = _distinct(means.values())
        for number, mean in means.items():
            place = next(index for index, value in enumerate(places, start=BEST) if math.isclose(mean, value))
            cell = rows[number].cells[column]
            if place <= SECOND and cell is not None:
                ranked[number][column] = replace(cell, rank=place)
    return tuple(replace(row, cells=tuple(cells)) for row, cells in zip(rows, ranked, strict=True))


def _distinct(values: Iterable[float]) -> list[float]:
    """Values from high to low, those that differ by rounding errors only once."""
    found: list[float] = []
    for value in sorted(values, reverse=True):
        if not found or not math.isclose(value, found[-1]):
            found.append(value)
    return found
