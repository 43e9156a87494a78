"""Tables of the page: those of `vlpbench table`, each under a heading of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlpbench.table.blocks import Block
from vlpbench.table.notes import build_notes, heading
from vlpbench.table.titles import Titles
from vlpbench.table.webpage import block_html


@dataclass(frozen=True)
class TablePart:
    """One table.

    Attributes:
        anchor: id within the page.
        title: as printed.
        short_title: for the list of contents.
        html: the table in a region that scrolls, escaped where it is made.
        notes: what stands under it.
    """

    anchor: str
    title: str
    short_title: str
    html: str
    notes: tuple[str, ...]


def table_parts(blocks: Sequence[Block], titles: Titles) -> list[TablePart]:
    """Tables in their order."""
    return [_part(number, block, titles) for number, block in enumerate(blocks, start=1)]


def _part(number: int, block: Block, titles: Titles) -> TablePart:
    older = ", older state" if block.differences else ""
    return TablePart(
        anchor=f"table-{number}",
        title=heading(block),
        short_title=f"{block.layout.numeral}. {block.layout.title}{older}",
        html="\n".join(block_html(block, titles, notes=False)),
        notes=tuple(build_notes(block, titles)),
    )
