"""Comparisons as tables of words, before any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlpbench.commands.comparison_words import (
    Compared,
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
from vlpbench.statistics.comparison import LOSS, TIE, UNTESTED, WIN, Comparison
from vlpbench.statistics.ranks import Ranking
from vlpbench.table.notes import percent

VERDICTS = (WIN, TIE, LOSS, UNTESTED)
ALL_TASKS = "all"


@dataclass(frozen=True)
class Sheet:
    """A table in words; the first `names` columns are left-aligned, and rows with a mark are set in bold."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int
    marked: tuple[bool, ...]


Part = tuple[str, str | Sequence[str] | Sheet]
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
            ("sheet", _cells(comparison)),
            ("sheet", _counts(comparison)),
            ("lines", untested_lines(comparison)),
        ]
    parts.append(("section", "Average ranks"))
    if compared.ranking is not None:
        parts += [("sheet", _ranks(compared.ranking)), ("picture", picture)]
    parts.append(("lines", ranking_lines(compared)))
    return parts


def _summary(comparisons: Sequence[Comparison]) -> Sheet:
    """Counts of every pair over all tasks."""
    rows = tuple(
        (one.ours.title, one.theirs.title, *(str(one.count(verdict)) for verdict in VERDICTS), str(len(one.missing)))
        for one in comparisons
    )
    head = ("First method", "Second method", *(verdict.capitalize() for verdict in VERDICTS), "Missing")
    return Sheet(head, rows, 2, (False,) * len(rows))


def _cells(comparison: Comparison) -> Sheet:
    head = (
        "Task", "Dataset", "Metric", "Labels", comparison.ours.title, comparison.theirs.title, "Difference [95 %]",
        "Test", "p", "p (Holm)", "Verdict",
    )  # fmt: skip
    rows = tuple(
        (
            cell.column.task,
            cell.column.title,
            cell.column.metric_title,
            percent(cell.column.fraction),
            runs_text(cell.ours, cell.column),
            runs_text(cell.theirs, cell.column),
            difference_text(cell),
            cell.difference.test if cell.difference is not None else "",
            p_text(cell.difference.p_value if cell.difference is not None else None),
            p_text(cell.p_holm),
            verdict_text(cell),
        )
        for cell in comparison.cells
    )
    return Sheet(head, rows, 3, tuple(cell.verdict in (WIN, LOSS) for cell in comparison.cells))


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
    return Sheet(head, rows, 1, (False,) * len(rows))


def _ranks(ranking: Ranking) -> Sheet:
    rows = tuple(
        (one.title, f"{average:.2f}") for one, average in zip(ranking.contestants, ranking.averages, strict=True)
    )
    return Sheet(("Method", "Average rank"), rows, 1, (False,) * len(rows))
