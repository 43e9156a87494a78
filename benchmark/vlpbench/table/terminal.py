"""The terminal: the tables as they are printed after a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vlpbench.record import Record
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import load_layouts
from vlpbench.table.notes import build_notes, heading, percent
from vlpbench.table.render import marked_cells
from vlpbench.table.titles import Titles, registered_titles


def print_tables(records: Sequence[Record], console: Console, *, titles: Titles | None = None) -> None:
    """Print every table there are records for, with its notes."""
    named = registered_titles() if titles is None else titles
    for layout in load_layouts():
        for block in build_blocks(records, layout, named):
            console.print()
            console.print(terminal_table(block))
            for note in build_notes(block, named):
                console.print(f"  {note}", style="dim", markup=False, highlight=False)


def terminal_table(block: Block) -> Table:
    """One block; floors are dimmed."""
    table = Table(title=escape(heading(block)), title_justify="left", title_style="bold")
    table.add_column("Method", overflow="fold", min_width=12)
    for group, fraction in block.columns:
        table.add_column(
            escape(f"{group.title}\n{group.metric_title}\n{percent(fraction)}"), justify="right", overflow="fold"
        )
    for number, row in enumerate(block.rows):
        cells = marked_cells(
            block,
            row,
            plain=escape,
            bold=lambda text: f"[bold]{text}[/bold]",
            underline=lambda text: f"[underline]{text}[/underline]",
        )
        last_floor = row.kind != "method" and number + 1 < len(block.rows) and block.rows[number + 1].kind == "method"
        style = None if row.kind == "method" else "dim"
        table.add_row(escape(row.title), *cells, style=style, end_section=last_floor)
    return table
