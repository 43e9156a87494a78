"""The terminal: the tables as they are printed after a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vlpbench.record import Record
from vlpbench.table.blocks import Block, ColumnGroup, build_blocks
from vlpbench.table.entries import Style, dressed, entries
from vlpbench.table.layout import load_layouts
from vlpbench.table.notes import build_notes, heading
from vlpbench.table.titles import Titles, percent, registered_titles

STYLE = Style(
    plain=escape,
    bold=lambda text: f"[bold]{text}[/bold]",
    underline=lambda text: f"[underline]{text}[/underline]",
    sign=escape,
    below=lambda text: f" {escape(text)}",
)


def print_tables(records: Sequence[Record], console: Console, *, titles: Titles | None = None) -> None:
    """Print every table there are records for, with its notes."""
    named = registered_titles() if titles is None else titles
    for layout in load_layouts():
        for block in build_blocks(records, layout, named):
            console.print()
            console.print(heading(block), style="bold", markup=False, highlight=False)
            for table in terminal_tables(block):
                console.print(table)
            for note in build_notes(block, named):
                console.print(f"  {note}", style="dim", markup=False, highlight=False)


def terminal_tables(block: Block) -> list[Table]:
    """One block as a table per dataset, so that each fits a terminal of 80 columns; floors are dimmed."""
    cells = [[dressed(entry, STYLE) for entry in entries(block, row)] for row in block.rows]
    tables = []
    start = 0
    for group in block.groups:
        stop = start + len(group.fractions)
        tables.append(_group_table(block, group, [row[start:stop] for row in cells]))
        start = stop
    return tables


def _group_table(block: Block, group: ColumnGroup, cells: Sequence[Sequence[str]]) -> Table:
    table = Table(title=escape(f"{group.title}: {group.metric_title}"), title_justify="left")
    table.add_column("Method", min_width=28)
    for fraction in group.fractions:
        table.add_column(percent(fraction), justify="right", min_width=12)
    for number, (row, texts) in enumerate(zip(block.rows, cells, strict=True)):
        ends = number + 1 < len(block.rows) and block.rows[number + 1].section != row.section
        table.add_row(escape(row.title), *texts, style=None if row.kind == "method" else "dim", end_section=ends)
    return table
