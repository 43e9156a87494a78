"""Findings: what a task's columns say of the best method, computed from the cells and never written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from vlpbench.errors import VlpbenchError
from vlpbench.report.naming import contest_title, short_title
from vlpbench.statistics.comparison import (
    ALPHA,
    LOSS,
    METHODS,
    WIN,
    Column,
    Comparison,
    Contest,
    Contestant,
    compare,
    correct,
)
from vlpbench.statistics.differences import Difference, difference
from vlpbench.statistics.ranks import Ranking, rank_contestants
from vlpbench.statistics.resampler import Resampler
from vlpbench.table.blocks import Block
from vlpbench.table.notes import RANDOM
from vlpbench.table.titles import Titles, arch_title, percent

Who = tuple[str, str, str]
"""Method, backbone and recipe."""


@dataclass(frozen=True)
class Leader:
    """The best method of one column, set against the second and against random initialisation.

    Attributes:
        column: dataset and label fraction.
        metric: as printed.
        best: the method with the highest mean.
        value: its mean.
        over_random: its mean less that of random initialisation; None where there is none.
        second: the method with the second highest mean.
        gap: the best less the second; None where it cannot be tested.
        p_holm: its p-value after Holm's correction over the columns of the task; None likewise.
    """

    column: str
    metric: str
    best: str
    value: float
    over_random: float | None
    second: str
    gap: Difference | None
    p_holm: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the best is told apart from the second."""
        return self.p_holm is not None and self.p_holm <= ALPHA


@dataclass(frozen=True)
class Finding:
    """What was found of one task.

    Attributes:
        title: the task, with what sets it apart where there are several.
        sentences: the findings.
        leaders: one per column with two methods or more.
        remarks: why something could not be tested.
    """

    title: str
    sentences: tuple[str, ...]
    leaders: tuple[Leader, ...]
    remarks: tuple[str, ...]

    @property
    def has_random(self) -> bool:
        """Whether any column has random initialisation to compare with."""
        return any(leader.over_random is not None for leader in self.leaders)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics of its columns, as printed."""
        return tuple(dict.fromkeys(leader.metric for leader in self.leaders))


def build_findings(
    contests: Sequence[Contest], blocks: Sequence[Block], resampler: Resampler, titles: Titles
) -> list[Finding]:
    """Findings of every task, backbones apart.

    Args:
        contests: what may be compared.
        blocks: tables, whose cells know whether they are above the floors.
        resampler: for the tests.
        titles: of tasks.
    """
    found = []
    for contest in contests:
        for task in dict.fromkeys(column.task for column in contest.columns):
            mine = replace(contest, columns=tuple(column for column in contest.columns if column.task == task))
            archs = list(dict.fromkeys(one.arch for one in mine.contestants if one.section == METHODS))
            for arch in archs:
                card = titles.task(task)
                parts = [card.title if card else task.capitalize()]
                parts += [arch_title(arch)] if len(archs) > 1 else []
                parts += [contest_title(contest)] if len(contests) > 1 else []
                low = below_floors(contest, task, blocks)
                if (finding := _finding(mine, arch, ", ".join(parts), low, resampler)) is not None:
                    found.append(finding)
    return found


def below_floors(contest: Contest, task: str, blocks: Sequence[Block]) -> dict[Who, int]:
    """In how many columns of a task a method is not above the highest floor; by name, backbone and recipe."""
    where = contest.suite, contest.protocol, contest.image_size, contest.limit
    counts: dict[Who, int] = {}
    for block in blocks:
        told = block.suite, block.protocol, block.image_size, block.limit
        if told != where or block.differences or block.layout.variants_of or block.layout.task != task:
            continue
        for row in block.rows:
            counts[row.name, row.arch, row.recipe] = sum(cell.below_floor for cell in row.cells if cell is not None)
    return counts


def _finding(contest: Contest, arch: str, title: str, low: Mapping[Who, int], resampler: Resampler) -> Finding | None:
    methods = [one for one in contest.contestants if one.section == METHODS and one.arch == arch]
    random = next((one for one in contest.contestants if one.name == RANDOM and one.arch == arch), None)
    ranking = rank_contestants(contest, methods)
    if ranking is None:
        return None
    remarks: dict[str, None] = {}
    leaders = _leaders(contest, methods, random, resampler, remarks)
    best, second = ranking.contestants[:2]
    pair = compare(resampler, contest, best, second)
    remarks |= {cell.reason: None for cell in pair.cells if cell.reason}
    sentences = [_best_sentence(ranking, contest, leaders)]
    if any(column.fraction for column in contest.columns):  # without labels there is no head to train on anything
        sentences.append(_random_sentence(contest, best, random))
    sentences.append(_second_sentence(ranking, pair))
    if fallen := low.get(best.identity, 0):
        sentences.append(f"But in {fallen} of {len(contest.columns)} columns it is not above a floor.")
    if ranking.incomplete:
        named = ", ".join(short_title(one) for one in ranking.incomplete)
        sentences.append(f"Without a rank, since a column lacks a record: {named}.")
    return Finding(title, tuple(sentences), tuple(leaders), tuple(remarks))


def _best_sentence(ranking: Ranking, contest: Contest, leaders: Sequence[Leader]) -> str:
    best = short_title(ranking.contestants[0])
    wins = sum(leader.best == best for leader in leaders)
    return (
        f"{best} has the best average rank, {ranking.averages[0]:.1f} among {len(ranking.contestants)} methods, and "
        f"the highest mean in {wins} of {len(contest.columns)} columns."
    )


def _random_sentence(contest: Contest, best: Contestant, random: Contestant | None) -> str:
    """By how much the best is above random initialisation."""
    found = [] if random is None else [_gain(contest, best, random, column) for column in contest.columns]
    gains = [gain for gain in found if gain is not None]
    if not gains:
        return "There is no random initialisation to compare it with: vlpbench run --method random makes it."
    above = sum(gain > 0 for gain in gains)
    return (
        f"On average it is {_apart(fmean(gains))} random initialisation ({_points(min(gains))} to "
        f"{_points(max(gains))}), and above it in {above} of {len(gains)} columns."
    )


def _second_sentence(ranking: Ranking, pair: Comparison) -> str:
    """By how much the best is above the second in rank, and in how many columns that is significant."""
    means = [(cell.ours.mean, cell.theirs.mean) for cell in pair.cells]
    gains = [mine - other for mine, other in means if mine is not None and other is not None]
    second = f"the second, {short_title(pair.theirs)} (rank {ranking.averages[1]:.1f})"
    lead = f"On average it is {_apart(fmean(gains))} {second}"
    wins, losses, tested = pair.count(WIN), pair.count(LOSS), len(pair.tested)
    if not tested:
        return f"{lead}; no difference could be tested."
    if not wins and not losses:
        return f"{lead}; in none of {tested} columns is the difference significant."
    against = f", and against it in {losses}" if losses else ""
    return f"{lead}; the difference is significant in its favour in {wins} of {tested} columns{against}."


def _leaders(
    contest: Contest,
    methods: Sequence[Contestant],
    random: Contestant | None,
    resampler: Resampler,
    remarks: dict[str, None],
) -> list[Leader]:
    leaders = []
    for column in contest.columns:
        means = {one: mean for one in methods if (mean := contest.mean(one, column)) is not None}
        if len(means) < 2:
            continue
        best, second = sorted(means, key=lambda one: (-means[one], one.identity))[:2]
        gap = None
        try:
            gap = difference(resampler, contest.runs[best, column], contest.runs[second, column])
        except VlpbenchError as reason:
            remarks[str(reason)] = None
        over = None if random is None else _gain(contest, best, random, column)
        name = column.title
        if column.fraction:
            name += f" {percent(column.fraction)}".replace(" %", "\u00a0%")
        leaders.append(
            Leader(name, column.metric_title, short_title(best), means[best], over, short_title(second), gap)
        )
    corrected = iter(correct([leader.gap.p_value for leader in leaders if leader.gap is not None]))
    return [leader if leader.gap is None else replace(leader, p_holm=next(corrected)) for leader in leaders]


def _gain(contest: Contest, ours: Contestant, theirs: Contestant, column: Column) -> float | None:
    mine, other = contest.mean(ours, column), contest.mean(theirs, column)
    return None if mine is None or other is None else mine - other


def _apart(value: float) -> str:
    """A difference in words."""
    return f"{abs(100 * value):.1f} points {'above' if value >= 0 else 'below'}"


def _points(value: float) -> str:
    """A difference of two fractions in percentage points."""
    return f"{100 * value:+.1f}".replace("-", "−")
