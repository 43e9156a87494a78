"""Blocks: records that may stand in one table.

Records share a block only if suite, protocol, input size, limit, resolved settings and task version agree, and a column
only if data fingerprint and split agree as well. Records of an older state get a block of their own that says what
differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlpbench.record import Record, latest_attempts
from vlpbench.table.cells import Row
from vlpbench.table.columns import ColumnGroup, build_columns
from vlpbench.table.layout import Layout
from vlpbench.table.rows import build_rows
from vlpbench.table.states import describe_differences, grouped, split_states, without_superseded
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from vlpbench.table.intervals import Sampling

__all__ = ["Block", "ColumnGroup", "build_blocks"]


@dataclass(frozen=True)
class Block:
    """One table as rendered.

    Attributes:
        layout: its layout.
        suite: suite name.
        protocol: protocol name.
        image_size: side of the input, pixels.
        limit: cap on images per split, None for none.
        groups: column groups in order.
        rows: floors first, and within each section by backbone.
        records: everything in it.
        superseded: older records of the same cells and seeds that are left out.
        differences: what sets an older state apart from the newest; empty for the newest.
        sampling: what is behind the intervals of its cells, None where none were asked for.
        with_published: whether published numbers were asked for.
    """

    layout: Layout
    suite: str
    protocol: str
    image_size: int
    limit: int | None
    groups: tuple[ColumnGroup, ...]
    rows: tuple[Row, ...]
    records: tuple[Record, ...]
    superseded: int
    differences: tuple[str, ...]
    sampling: Sampling | None = None
    with_published: bool = False

    @property
    def columns(self) -> list[tuple[ColumnGroup, float]]:
        """Column groups and fractions from left to right."""
        return [(group, fraction) for group in self.groups for fraction in group.fractions]

    @property
    def newest(self) -> Record:
        """The record made last."""
        return max(self.records, key=lambda record: (record.started_at, record.key))

    @property
    def with_venues(self) -> bool:
        """Whether some row has a venue to print."""
        return any(row.venue for row in self.rows)

    @property
    def missing_places(self) -> list[tuple[int, int]]:
        """Row and column of each cell of a method, or of random initialisation, without a record."""
        return [
            (number, column)
            for number, row in enumerate(self.rows)
            if row.counted
            for column, cell in enumerate(row.cells)
            if cell is None
        ]

    @property
    def missing(self) -> int:
        """Cells of methods and of random initialisation without a record."""
        return len(self.missing_places)

    @property
    def expected(self) -> int:
        """Cells of methods and of random initialisation in all."""
        return sum(len(row.cells) for row in self.rows if row.counted)


def build_blocks(records: Iterable[Record], layout: Layout, titles: Titles) -> tuple[Block, ...]:
    """Sort the records of one table into blocks, the newest state of each suite and protocol first."""
    mine = [record for record in latest_attempts(records) if _belongs(record, layout, titles)]
    if layout.variants_of and all(not titles.method_card(record.spec.method).variant_of for record in mine):
        return ()
    blocks: list[Block] = []
    for _, alike in sorted(grouped(mine, _identity).items()):
        states = split_states(alike)
        blocks += [_block(state, layout, titles, newest=states[0]) for state in states]
    return tuple(blocks)


def _belongs(record: Record, layout: Layout, titles: Titles) -> bool:
    """Whether a record has a place in a table: its column, and a row among methods or among ablations."""
    spec = record.spec
    parent = titles.method_card(spec.method).variant_of
    if not layout.variants_of:
        wanted = not parent
    else:
        wanted = layout.variants_of in {spec.method, parent} or spec.method in layout.floors
    return wanted and layout.has_column(spec.task, spec.dataset)


def _identity(record: Record) -> tuple[str, str, int, int]:
    spec = record.spec
    return spec.suite, spec.protocol, spec.image_size, -1 if spec.limit is None else spec.limit


def _block(records: Sequence[Record], layout: Layout, titles: Titles, *, newest: Sequence[Record]) -> Block:
    spec = records[0].spec
    kept = without_superseded(records)
    is_newest = records is newest
    groups = build_columns(kept, layout, titles.suite(spec.suite), with_empty=is_newest)
    columns = [(group.records, fraction) for group in groups for fraction in group.fractions]
    return Block(
        layout=layout,
        suite=spec.suite,
        protocol=spec.protocol,
        image_size=spec.image_size,
        limit=spec.limit,
        groups=groups,
        rows=build_rows(kept, layout, titles, columns),
        records=tuple(kept),
        superseded=len(records) - len(kept),
        differences=() if is_newest else describe_differences(records, newest),
    )
