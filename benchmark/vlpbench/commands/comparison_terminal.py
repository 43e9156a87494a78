"""Comparisons in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vlpbench.commands.comparison_sheets import VERDICTS, count_rows
from vlpbench.commands.comparison_words import (
    Compared,
    cells_title,
    contest_title,
    difference_text,
    notes,
    p_text,
    ranking_lines,
    runs_text,
    untested_lines,
    verdict_text,
)
from vlpbench.statistics.comparison import LOSS, WIN, ComparedCell, Comparison
from vlpbench.statistics.ranks import Ranking
from vlpbench.table.titles import percent

NARROW = (0, 1, 0, 0)


def print_comparisons(compared: Compared, console: Console) -> None:
    """Print a contest: every cell where one pair was compared, else the counts of each pair; ranks; and the notes."""
    console.print(escape(contest_title(compared.contest)), style="bold", highlight=False)
    if len(compared.comparisons) == 1:
        _print_pair(compared.comparisons[0], console)
    else:
        _print_summary(compared.comparisons, console)
    for comparison in compared.comparisons:
        _print_lines(untested_lines(comparison), console)
    console.print()
    if compared.ranking is not None:
        console.print(_rank_table(compared.ranking))
    _print_lines([*ranking_lines(compared), *notes(compared)], console)


def _print_pair(comparison: Comparison, console: Console) -> None:
    console.print(
        f"First: {escape(comparison.ours.title)}. Second: {escape(comparison.theirs.title)}.", highlight=False
    )
    for _, alike in groupby(
        comparison.cells, key=lambda cell: (cell.column.task, cell.column.dataset, cell.column.metric)
    ):
        console.print()
        console.print(_cell_table(list(alike)))
    console.print()
    table = _table("Task", *(verdict.capitalize() for verdict in VERDICTS), "Missing", title="Cells")
    for row in count_rows(comparison):
        table.add_row(*row)
    console.print(table)


def _cell_table(cells: Sequence[ComparedCell]) -> Table:
    title = f"{cells[0].column.title}. {cells_title(cells)}"
    table = _table("Labels", "First", "Second", "Difference [95 %]", "p", "Holm", "", title=title)
    for cell in cells:
        found = cell.difference
        table.add_row(
            percent(cell.column.fraction),
            runs_text(cell.ours, cell.column),
            runs_text(cell.theirs, cell.column),
            escape(difference_text(cell)),
            p_text(found.p_value if found is not None else None),
            p_text(cell.p_holm),
            verdict_text(cell),
            style="bold" if cell.verdict in (WIN, LOSS) else None,
        )
    return table


def _print_summary(comparisons: Sequence[Comparison], console: Console) -> None:
    console.print(f"First: {escape(comparisons[0].ours.title)}, against each of the others.", highlight=False)
    table = _table("Second", *(verdict.capitalize() for verdict in VERDICTS), "Missing", title="Cells of the first")
    for one in comparisons:
        table.add_row(
            escape(one.theirs.title), *(str(one.count(verdict)) for verdict in VERDICTS), str(len(one.missing))
        )
    console.print(table)
    console.print("Every cell: --out compare.md (or .html, .csv).", style="dim", highlight=False)


def _rank_table(ranking: Ranking) -> Table:
    table = _table("Method", "Average rank", title="Average ranks")
    for one, average in zip(ranking.contestants, ranking.averages, strict=True):
        table.add_row(escape(one.title), f"{average:.2f}")
    return table


def _table(*heads: str, title: str) -> Table:
    table = Table(title=escape(title), title_justify="left", box=None, padding=NARROW, title_style="italic")
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right")
    return table


def _print_lines(lines: Sequence[str], console: Console) -> None:
    for line in lines:
        console.print(f"- {line}", style="dim", markup=False, highlight=False)


def _column_group(cell: ComparedCell) -> tuple[str, str, str]:
    return cell.column.task, cell.column.dataset, cell.column.metric
