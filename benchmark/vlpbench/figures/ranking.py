"""Which rows a figure brings out: the best ones, the benchmark's own method, and the floor."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from vlpbench.figures.style import CEILING_LINE, FLOOR_LINE, OTHER_LINE, TRIVIAL_LINE, Stroke, strokes
from vlpbench.table.blocks import Block
from vlpbench.table.cells import CEILING, FLOOR, METHOD, TRIVIAL, Row
from vlpbench.table.layout import load_layouts

BEST = 3


def rank_rows(block: Block) -> list[Row]:
    """Rows of methods by their average rank over the columns in which they stand, best first; ties in table order."""
    methods = [row for row in block.rows if row.kind == METHOD]
    ranks: dict[Row, list[float]] = {row: [] for row in methods}
    for column in range(len(block.columns)):
        means = {row: cell.mean for row in methods if (cell := row.cells[column]) is not None and cell.mean is not None}
        for row, mean in means.items():
            above = sum(other > mean for other in means.values())
            equal = sum(other == mean for other in means.values())
            # relative to the number of rows, so that a column with few records weighs no more than a full one
            ranks[row].append((above + (equal + 1) / 2) / len(means))
    standing = [row for row in methods if ranks[row]]
    return sorted(standing, key=lambda row: fmean(ranks[row]))


def highlighted_rows(block: Block) -> list[Row]:
    """The best rows of methods, and the benchmark's own where it is not among them."""
    ranked = rank_rows(block)
    own = next((row for row in ranked if row.name in _own()), None)
    best = ranked[:BEST]
    return best if own is None or own in best else [*best, own]


def compared_rows(block: Block) -> list[Row]:
    """The rows that are brought out, and those they are compared with: floors and ceilings that have predictions."""
    return [*highlighted_rows(block), *(row for row in block.rows if row.kind in (FLOOR, CEILING))]


def subject_row(block: Block) -> Row | None:
    """The row whose predictions are shown: the benchmark's own method, else the best; None without any."""
    ranked = rank_rows(block)
    return next((row for row in ranked if row.name in _own()), ranked[0] if ranked else None)


def floor_row(block: Block) -> Row | None:
    """The row of a method that trains nothing, None where there is none."""
    return next((row for row in block.rows if row.kind == FLOOR), None)


def shown_rows(block: Block) -> list[Row]:
    """The rows whose predictions are shown side by side: the subject, and the floor."""
    return [row for row in (subject_row(block), floor_row(block)) if row is not None]


def short_titles(rows: Sequence[Row]) -> dict[Row, str]:
    """Titles as printed in tables, without the architecture where all rows share it."""
    shared = len({row.arch for row in rows if row.arch}) == 1
    return {row: row.short_title if shared else row.title for row in rows}


def row_strokes(block: Block) -> dict[Row, Stroke]:
    """How each row is drawn."""
    bright = highlighted_rows(block)
    coloured = strokes([row.title for row in bright])
    apart = {FLOOR: FLOOR_LINE, TRIVIAL: TRIVIAL_LINE, CEILING: CEILING_LINE}
    return {row: coloured[row.title] if row in bright else apart.get(row.kind, OTHER_LINE) for row in block.rows}


def _own() -> set[str]:
    """Methods whose ablations have a table."""
    return {layout.variants_of for layout in load_layouts() if layout.variants_of}
