"""Intervals: how far the numbers of a table would move with other test patients, and which of them are ties."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.statistics.comparison import ALPHA, correct
from vlpbench.statistics.differences import Difference, difference
from vlpbench.statistics.intervals import LEVEL, interval
from vlpbench.statistics.resampler import Resampler
from vlpbench.table.blocks import Block
from vlpbench.table.cells import METHOD, Cell, Row
from vlpbench.table.ranks import BEST

TOO_RARE = "the metric is undefined in more than half of the bootstrap samples"


@dataclass(frozen=True)
class Sampling:
    """What is behind the intervals and ties of a table.

    Attributes:
        samples: bootstrap samples asked for.
        level: of the intervals.
        alpha: level of the tests.
        tests: kinds of tests that ties rest on, by name.
        without_patients: titles of the datasets whose results do not say which images are of one patient.
    """

    samples: int
    level: float
    alpha: float
    tests: tuple[str, ...]
    without_patients: tuple[str, ...]


def add_intervals(block: Block, resampler: Resampler) -> Block:
    """The block with intervals and ties in its cells.

    Methods of a column on one backbone are tested against the best of them, corrected for their number (Holm).
    """
    resampler.prefetch(
        record for row in block.rows if row.counted for cell in row.cells if cell for record in cell.records
    )
    grid = [[_with_interval(cell, resampler) if row.counted else cell for cell in row.cells] for row in block.rows]
    tests: set[str] = set()
    for rivals, column in _rivalries(block.rows):
        tests |= _mark_ties(grid, rivals, column, resampler)
    sampling = Sampling(
        samples=resampler.samples,
        level=LEVEL,
        alpha=ALPHA,
        tests=tuple(sorted(tests)),
        without_patients=tuple(_without_patients(block, resampler)),
    )
    rows = tuple(replace(row, cells=tuple(cells)) for row, cells in zip(block.rows, grid, strict=True))
    return replace(block, rows=rows, sampling=sampling)


def _with_interval(cell: Cell | None, resampler: Resampler) -> Cell | None:
    if cell is None or cell.mean is None:
        return cell
    try:
        found = interval(resampler, cell.records)
    except VlpbenchError as problem:
        return replace(cell, no_interval=_told(problem, resampler))
    return replace(cell, interval=found, no_interval="" if found else TOO_RARE)


def _rivalries(rows: tuple[Row, ...]) -> Iterable[tuple[list[int], int]]:
    """Methods on one backbone that have a number in a column, where there are several; the best comes first."""
    for arch in dict.fromkeys(row.arch for row in rows if row.kind == METHOD):
        mine = [number for number, row in enumerate(rows) if row.kind == METHOD and row.arch == arch]
        for column in range(len(rows[0].cells)):
            best: list[int] = []
            others: list[int] = []
            for number in mine:
                cell = rows[number].cells[column]
                if cell is not None and cell.mean is not None:
                    (best if cell.rank == BEST else others).append(number)
            if best and len(best) + len(others) > 1:
                yield [*best, *others], column


def _mark_ties(grid: list[list[Cell | None]], rivals: list[int], column: int, resampler: Resampler) -> set[str]:
    """Mark every rival whose difference to the first of them is not significant; the tests that were made."""
    best, *others = rivals
    found: dict[int, Difference] = {}
    for number in others:
        cell = grid[number][column]
        try:
            found[number] = difference(resampler, _records(grid[best][column]), _records(cell))
        except VlpbenchError as problem:
            grid[number][column] = None if cell is None else replace(cell, untested=_told(problem, resampler))
    for number, p_value in zip(found, correct([one.p_value for one in found.values()]), strict=True):
        cell = grid[number][column]
        if p_value > ALPHA and cell is not None:
            grid[number][column] = replace(cell, tied=True)
    return {one.test for one in found.values()}


def _told(problem: VlpbenchError, resampler: Resampler) -> str:
    """The reason, without the path of the results folder: a table says the same wherever that lies."""
    return str(problem).replace(f"{resampler.store.root}/", "")


def _records(cell: Cell | None) -> tuple[Record, ...]:
    return () if cell is None else cell.records


def _without_patients(block: Block, resampler: Resampler) -> Iterable[str]:
    for group in block.groups:
        try:
            if group.records and not resampler.patients_known(group.records[0]):
                yield group.title
        except VlpbenchError:
            continue  # its cells are listed with the damage
