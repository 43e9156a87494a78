"""Comparisons as tables of words, before any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from vlpbench.commands.comparison_words import (
    Compared,
    cells_title,
    contest_title,
    difference_text,
    notes,
    p_text,
    ranking_lines,
    runs_text,
    tasks_of,
    untested_lines,
    verdict_text,
)
from vlpbench.statistics.comparison import LOSS, TIE, UNTESTED, WIN, ComparedCell, Comparison
from vlpbench.statistics.ranks import Ranking
from vlpbench.table.titles import percent

VERDICTS = (WIN, TIE, LOSS, UNTESTED)
ALL_TASKS = "all"


@dataclass(frozen=True)
class Sheet:
    """A table in words.

    Attributes:
        caption: over it, "" for none.
        head: of the columns.
        rows: as many texts as columns each.
        names: columns from the left that hold names, and not numbers.
        strong: places (row, column) set in bold.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    strong: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A diagram of ranks.

    Attributes:
        alternative: the same in words.
        content: the SVG itself, or the name of its file.
    """

    alternative: str
    content: str


Part = tuple[str, str | Sequence[str] | Sheet | Picture]
"""Kind ("chapter", "section", "lines", "sheet" or "picture") and content."""


def build_parts(compared: Compared, picture: str) -> list[Part]:
    """Everything there is to say of a contest, in order."""
    parts: list[Part] = [("chapter", contest_title(compared.contest))]
    if len(compared.comparisons) > 1:
        parts += [("section", "Wins, ties and losses"), ("sheet", _summary(compared.comparisons))]
    parts += [("section", "What the numbers say"), ("lines", notes(compared))]
    for comparison in compared.comparisons:
        parts += [
            ("section", f"{comparison.ours.title} against {comparison.theirs.title}"),
            *(("sheet", sheet) for sheet in _cells(comparison)),
            ("sheet", _counts(comparison)),
            ("lines", untested_lines(comparison)),
        ]
    parts.append(("section", "Average ranks"))
    if compared.ranking is not None:
        parts += [("sheet", _ranks(compared.ranking)), ("picture", Picture(_alternative(compared.ranking), picture))]
    parts.append(("lines", ranking_lines(compared)))
    return parts


def _summary(comparisons: Sequence[Comparison]) -> Sheet:
    """Counts of every pair over all tasks."""
    rows = tuple(
        (one.ours.title, one.theirs.title, *(str(one.count(verdict)) for verdict in VERDICTS), str(len(one.missing)))
        for one in comparisons
    )
    head = ("First method", "Second method", *(verdict.capitalize() for verdict in VERDICTS), "Missing")
    return Sheet("", head, rows, names=2)


def _cells(comparison: Comparison) -> list[Sheet]:
    """A sheet per task and metric."""
    found = groupby(comparison.cells, key=lambda cell: (cell.column.task, cell.column.metric))
    return [_cell_sheet(comparison, list(alike)) for _, alike in found]


def _cell_sheet(comparison: Comparison, cells: Sequence[ComparedCell]) -> Sheet:
    first, second = comparison.ours.title, comparison.theirs.title
    rows = tuple(
        (
            cell.column.title,
            percent(cell.column.fraction),
            runs_text(cell.ours, cell.column),
            runs_text(cell.theirs, cell.column),
            difference_text(cell),
            p_text(cell.difference.p_value if cell.difference is not None else None),
            p_text(cell.p_holm),
            verdict_text(cell),
        )
        for cell in cells
    )
    decided = [row for row, cell in enumerate(cells) if cell.verdict in (WIN, LOSS)]
    return Sheet(
        caption=cells_title(cells),
        head=("Dataset", "Labels", first, second, "Difference [95 %]", "p", "p (Holm)", "Verdict"),
        rows=rows,
        strong=frozenset((row, column) for row in decided for column in (4, 7)),
    )


def count_rows(comparison: Comparison) -> tuple[tuple[str, ...], ...]:
    """Wins, ties, losses and untested and missing cells per task, and in all."""
    tasks = [*tasks_of(comparison), None]
    return tuple(
        (
            ALL_TASKS if task is None else task,
            *(str(comparison.count(verdict, task)) for verdict in VERDICTS),
            str(sum(task in (None, column.task) for column in comparison.missing)),
        )
        for task in tasks
    )


def _counts(comparison: Comparison) -> Sheet:
    rows = count_rows(comparison)
    head = ("Task", *(verdict.capitalize() for verdict in VERDICTS), "Missing")
    return Sheet("Cells", head, rows)


def _ranks(ranking: Ranking) -> Sheet:
    rows = tuple(
        (one.title, f"{average:.2f}") for one, average in zip(ranking.contestants, ranking.averages, strict=True)
    )
    return Sheet("", ("Method", "Average rank"), rows)


def _alternative(ranking: Ranking) -> str:
    """The diagram in words."""
    told = (f"{one.title} {average:.2f}" for one, average in zip(ranking.contestants, ranking.averages, strict=True))
    return f"Average ranks: {', '.join(told)}; critical difference {ranking.critical_difference:.2f}"
