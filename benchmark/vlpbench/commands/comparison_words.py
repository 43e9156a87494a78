"""Comparisons in words: numbers as printed, and the notes without which they would say too much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vlpbench.statistics.comparison import ALPHA, UNTESTED, Column, ComparedCell, Comparison, Contest, Runs
from vlpbench.statistics.differences import BOOTSTRAP
from vlpbench.statistics.ranks import Ranking
from vlpbench.table.titles import percent

MISSING, OVERLAP = "–", "~"
SMALLEST = 0.001


@dataclass(frozen=True)
class Compared:
    """A contest with what was compared in it.

    Attributes:
        contest: what may be compared.
        comparisons: pairs, all with the same first method.
        ranking: of all methods that have every cell; None for fewer than two.
        choices: which recipe or architecture of a method was taken, and which reference.
        samples: bootstrap samples of the test patients.
    """

    contest: Contest
    comparisons: tuple[Comparison, ...]
    ranking: Ranking | None
    choices: tuple[str, ...]
    samples: int


def contest_title(contest: Contest) -> str:
    """What the records of a contest share."""
    parts = [f"suite {contest.suite}", f"protocol {contest.protocol}", f"{contest.image_size} px"]
    if contest.arch:
        parts.append(contest.arch)
    if contest.limit is not None:
        parts.append(f"at most {contest.limit} images per split")
    if contest.older:
        parts.append("older state")
    text = ", ".join(parts)
    return text[0].upper() + text[1:]


def runs_text(runs: Runs, column: Column) -> str:
    """Mean and spread in per cent."""
    if runs.mean is None:
        return "undefined"
    spread = "" if runs.sd is None else f" ± {100 * runs.sd:.{column.decimals}f}"
    return f"{100 * runs.mean:.{column.decimals}f}{spread}"


def difference_text(cell: ComparedCell) -> str:
    """Difference and its interval in percentage points."""
    found, decimals = cell.difference, cell.column.decimals
    if found is None:
        return MISSING
    mean, low, high = (_points(value, decimals) for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def verdict_text(cell: ComparedCell) -> str:
    """The verdict, with a mark where runs of the two overlap."""
    return f"{cell.verdict} {OVERLAP}" if cell.overlapping else cell.verdict


def cells_title(cells: Sequence[ComparedCell]) -> str:
    """Task, metric and test of some cells of one metric."""
    tests = dict.fromkeys(cell.difference.test for cell in cells if cell.difference is not None)
    tested = f" ({', '.join(tests)})" if tests else ""
    return f"{cells[0].column.task.capitalize()}: {cells[0].column.metric_title}{tested}"


def p_text(value: float | None) -> str:
    """A p-value as printed."""
    if value is None:
        return MISSING
    return f"<{SMALLEST}" if value < SMALLEST else f"{value:.3f}"


def column_text(column: Column) -> str:
    """A column on one line."""
    return f"{column.title} {percent(column.fraction)} ({column.task})"


def tasks_of(comparison: Comparison) -> list[str]:
    """Tasks of the compared cells in order."""
    return list(dict.fromkeys(cell.column.task for cell in comparison.cells))


def untested_lines(comparison: Comparison) -> list[str]:
    """A line for each cell that could not be tested, and one for those that a method lacks."""
    lines = [
        f"{column_text(cell.column)} is not tested: {cell.reason}"
        for cell in comparison.cells
        if cell.verdict == UNTESTED
    ]
    if comparison.missing:
        named = ", ".join(column_text(column) for column in comparison.missing)
        lines.append(f"Missing cells, which not both have records of: {len(comparison.missing)} ({named}).")
    return lines


def ranking_lines(compared: Compared) -> list[str]:
    """What the ranks say, and what they rest on."""
    ranking = compared.ranking
    if ranking is None:
        return ["No ranks: fewer than two methods have every cell."]
    lines = [
        f"Rank 1 is the highest mean of a cell. Ranks of {len(ranking.contestants)} methods over {ranking.cells} "
        "cells; floors, ceilings and ablations are not ranked."
    ]
    if ranking.incomplete:
        lines.append(f"Left out since they lack a cell: {', '.join(one.title for one in ranking.incomplete)}.")
    if ranking.statistic is None:
        lines.append("Friedman's test needs three methods, two cells and a difference.")
    else:
        lines.append(
            f"Friedman's test of equal ranks: chi-square {ranking.statistic:.2f} with {len(ranking.contestants) - 1} "
            f"degrees of freedom, p {p_text(ranking.p_value)}."
        )
    lines.append(
        f"Critical difference of average ranks (Nemenyi, 5 %): {ranking.critical_difference:.2f}. Groups within it: "
        f"{_groups(ranking)}."
    )
    lines.append(
        "Both tests take the cells as independent. They are not: label fractions of a dataset share test images, and "
        "all cells of a method share its weights; so the critical difference is too small."
    )
    return lines


def notes(compared: Compared) -> list[str]:
    """What was tested, how it was corrected, and what it does not say."""
    cells = [cell for one in compared.comparisons for cell in one.cells]
    sizes = sorted({len(one.tested) for one in compared.comparisons})
    tests = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return [
        *compared.contest.remarks,
        *_state(compared.contest),
        *compared.choices,
        "Mean ± sample standard deviation over the evaluation seeds, in %. Difference: the first method less the "
        f"second, in percentage points, over the evaluation seeds both have{_seeds(cells)}; in brackets its 95 % "
        "interval.",
        *_test_notes(compared, cells),
        f"Win, tie and loss of the first method at {100 * ALPHA:g} % after Holm's correction over the tested cells of "
        f"the pair ({tests}); another pair is another family, and is not corrected for. A tie is no proof that two "
        "methods are alike.",
        "Intervals and p-values are about the test patients: for these trained weights, and the mean over these "
        f"evaluation seeds. What another pre-training seed would give they do not say ({_pretraining(cells)}).",
        *_overlap(cells),
        *_patients(compared.comparisons),
    ]


def _test_notes(compared: Compared, cells: Sequence[ComparedCell]) -> Iterable[str]:
    tests = {cell.difference.test for cell in cells if cell.difference is not None}
    if tests - {BOOTSTRAP}:
        yield (
            "AUROC is tested after DeLong: covariances of its structural components, summed over labels and seeds and "
            "within patients."
        )
    if BOOTSTRAP in tests:
        yield (
            f"Other metrics are tested by {compared.samples:,} bootstrap samples of the test patients, the same for "
            "both methods and stratified by what their images show: percentile interval, and twice the smaller share "
            f"of samples on one side of 0 as p, which is never below 2 / {1 + compared.samples:,}."
        )
        undefined = sum(cell.difference.undefined > 0 for cell in cells if cell.difference is not None)
        if undefined:
            yield f"Cells with samples left out because a metric is undefined in them: {undefined}."
        most = max(len(one.tested) for one in compared.comparisons)
        if most * 2 / (1 + compared.samples) > ALPHA:
            yield (
                f"With {compared.samples:,} samples no bootstrap difference can pass Holm's correction over {most} "
                f"cells: it takes --samples {int(2 * most / ALPHA)} or more."
            )


def _points(value: float, decimals: int) -> str:
    """Percentage points with their sign; what rounds to 0 has none."""
    text = f"{100 * value:+.{decimals}f}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def _overlap(cells: Sequence[ComparedCell]) -> Iterable[str]:
    number = sum(cell.overlapping for cell in cells)
    if number:
        yield (
            f"{OVERLAP} marks {number} wins or losses in which single runs of the two overlap: other evaluation seeds "
            "might say otherwise, which neither interval nor p-value covers."
        )


def _state(contest: Contest) -> list[str]:
    if not contest.older:
        return []
    return [f"Records of an older state, which differ from newer ones: {'; '.join(contest.older)}."]


def _seeds(cells: Sequence[ComparedCell]) -> str:
    found = {cell.difference.seeds for cell in cells if cell.difference is not None}
    if found == {()}:
        return " (they share none: over all)"
    if len(found) == 1:
        return f" ({', '.join(map(str, found.pop()))})"
    return ""


def _pretraining(cells: Sequence[ComparedCell]) -> str:
    counts = sorted({len(runs.pretrain_seeds) for cell in cells for runs in (cell.ours, cell.theirs)})
    if counts == [1]:
        return "n = 1 pre-training seed each"
    return f"n = {counts[0]} to {counts[-1]} pre-training seeds"


def _patients(comparisons: Sequence[Comparison]) -> list[str]:
    unknown = dict.fromkeys(title for one in comparisons for title in one.unknown_patients)
    if not unknown:
        return []
    return [
        f"Results do not say which images are of one patient in {', '.join(unknown)}: there every image counts as a "
        "patient, and intervals are too narrow where patients have several."
    ]


def _groups(ranking: Ranking) -> str:
    if not ranking.groups:
        return "none"
    return "; ".join(
        ", ".join(one.title for one in ranking.contestants[first : last + 1]) for first, last in ranking.groups
    )
