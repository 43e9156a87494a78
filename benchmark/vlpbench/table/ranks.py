"""Ranks: the best and the second of each column, and the cells that no floor lies below."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vlpbench.table.cells import CEILING, METHOD, Cell, Row

BEST = 1
SECOND = 2


def rank(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Mark the best and the second mean of each column among the methods on one backbone, as the paper's tables do.

    Equal means share a rank; a method alone on its backbone gets none, nor do floors and ceilings.
    """
    ranked = [list(row.cells) for row in rows]
    for arch in dict.fromkeys(row.arch for row in rows if row.kind == METHOD):
        rivals = [number for number, row in enumerate(rows) if row.kind == METHOD and row.arch == arch]
        for column in range(len(rows[0].cells)):
            means = {number: mean for number in rivals if (mean := _mean(rows[number].cells[column])) is not None}
            if len(means) < 2:
                continue
            places = _distinct(means.values())
            for number, mean in means.items():
                place = next(index for index, value in enumerate(places, start=BEST) if math.isclose(mean, value))
                cell = rows[number].cells[column]
                if place <= SECOND and cell is not None:
                    ranked[number][column] = replace(cell, rank=place)
    return tuple(replace(row, cells=tuple(cells)) for row, cells in zip(rows, ranked, strict=True))


def mark_floors(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Mark the cells of methods and ceilings whose mean is not above the highest floor of their column."""
    marked = []
    for row in rows:
        cells = list(row.cells)
        if row.kind in {METHOD, CEILING}:
            for column, cell in enumerate(cells):
                floor = highest_floor(rows, column, row.arch)
                if cell is not None and cell.mean is not None and floor is not None:
                    beaten = cell.mean > floor and not math.isclose(cell.mean, floor)
                    cells[column] = replace(cell, below_floor=not beaten)
        marked.append(replace(row, cells=tuple(cells)))
    return tuple(marked)


def highest_floor(rows: Iterable[Row], column: int, arch: str) -> float | None:
    """Highest mean among the floors of a column: predictors without a backbone, and untrained backbones of `arch`."""
    floors = [row for row in rows if row.section == "floors" and row.arch in {"", arch}]
    return max((mean for row in floors if (mean := _mean(row.cells[column])) is not None), default=None)


def _mean(cell: Cell | None) -> float | None:
    return None if cell is None else cell.mean


def _distinct(values: Iterable[float]) -> list[float]:
    """Values from high to low, those that differ by rounding errors only once."""
    found: list[float] = []
    for value in sorted(values, reverse=True):
        if not found or not math.isclose(value, found[-1]):
            found.append(value)
    return found
