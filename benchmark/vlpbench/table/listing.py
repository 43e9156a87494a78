"""Listings: cells of a table named in a note, as short as they can be without being mistaken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vlpbench.table.blocks import Block
from vlpbench.table.cells import Row
from vlpbench.table.columns import ColumnGroup
from vlpbench.table.titles import percent

LISTED = 8


def row_name(block: Block, row: Row) -> str:
    """Title of a row; with its backbone only where another row has the same."""
    alike = sum(other.short_title == row.short_title for other in block.rows)
    return row.title if alike > 1 else row.short_title


def group_name(block: Block, group: ColumnGroup) -> str:
    """Title of a dataset; with its metric only where it has columns of another metric too."""
    alike = Counter(other.title for other in block.groups)[group.title]
    return f"{group.title} ({group.metric_title})" if alike > 1 else group.title


def list_cells(block: Block, places: Iterable[tuple[int, int]]) -> str:
    """Cells by row and dataset: "SISTA: RSNA-like 1 %, 10 %; ConVIRT: all of SIIM-like"; long lists are cut.

    Args:
        block: the table.
        places: row and column of each cell.
    """
    by_row: dict[int, list[int]] = {}
    for number, column in sorted(places):
        by_row.setdefault(number, []).append(column)
    told = [
        f"{row_name(block, block.rows[number])}: {_columns(block, columns)}"
        for number, columns in list(by_row.items())[:LISTED]
    ]
    rest = list(by_row.values())[LISTED:]
    if rest:
        told.append(f"and {sum(map(len, rest))} more in {len(rest)} other row{'s' if len(rest) > 1 else ''}")
    return "; ".join(told)


def _columns(block: Block, wanted: Iterable[int]) -> str:
    numbers, told, start = set(wanted), [], 0
    for group in block.groups:
        mine = [fraction for place, fraction in enumerate(group.fractions, start) if place in numbers]
        start += len(group.fractions)
        if mine and len(mine) == len(group.fractions) > 1:
            told.append(f"all of {group_name(block, group)}")
        elif mine:
            told.append(f"{group_name(block, group)} {', '.join(percent(fraction) for fraction in mine)}")
    return ", ".join(told)
