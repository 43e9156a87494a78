"""Standings: average ranks, and wins, ties and losses of every pair of methods, as the page prints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vlpbench.figures.critical_difference import draw_ranks
from vlpbench.figures.figure import Figure
from vlpbench.report.naming import contest_title, short_title
from vlpbench.report.pictures import Picture, embed
from vlpbench.statistics.comparison import ALPHA, LOSS, METHODS, TIE, WIN, Comparison, Contest, Contestant, compare
from vlpbench.statistics.ranks import Ranking, rank_contestants
from vlpbench.statistics.resampler import Resampler
from vlpbench.table.titles import Titles, arch_title

MOST = 16
"""Methods, beyond which the table of pairs is left out: it grows with their square."""


@dataclass(frozen=True)
class Place:
    """One method in the order of ranks.

    Attributes:
        title: as printed.
        ranks: average rank over all columns and then of each task; None where it lacks a column.
        records: wins, ties and losses against each other method in the same order, None against itself.
        total: wins, ties and losses against all.
    """

    title: str
    ranks: tuple[float | None, ...]
    records: tuple[tuple[int, int, int] | None, ...]
    total: tuple[int, int, int]


@dataclass(frozen=True)
class Standing:
    """The methods of one contest on one backbone.

    Attributes:
        title: what sets it apart where there are several; "" for one.
        heads: what the ranks are over: all columns, then each task.
        places: best rank first.
        diagram: critical-difference diagram.
        sentences: tests of the ranks, and what the counts mean.
        remarks: cells that could not be tested, and why.
    """

    title: str
    heads: tuple[str, ...]
    places: tuple[Place, ...]
    diagram: Picture
    sentences: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def has_pairs(self) -> bool:
        """Whether pairs were compared."""
        return any(place.records for place in self.places)


def build_standings(contests: Sequence[Contest], resampler: Resampler, titles: Titles) -> list[Standing]:
    """Standings of every contest, backbones apart; those with fewer than two complete methods are left out."""
    found: list[Standing] = []
    for contest in contests:
        archs = list(dict.fromkeys(one.arch for one in contest.contestants if one.section == METHODS))
        for arch in archs:
            parts = [contest_title(contest)] if len(contests) > 1 else []
            parts += [arch_title(arch)] if len(archs) > 1 else []
            name = f"ranks-{len(found) + 1}"
            if (standing := _standing(contest, arch, ", ".join(parts), name, resampler, titles)) is not None:
                found.append(standing)
    return found


def _standing(
    contest: Contest, arch: str, title: str, name: str, resampler: Resampler, titles: Titles
) -> Standing | None:
    methods = [one for one in contest.contestants if one.section == METHODS and one.arch == arch]
    overall = rank_contestants(contest, methods)
    if overall is None:
        return None
    tasks = list(dict.fromkeys(column.task for column in contest.columns))
    columns = {task: tuple(column for column in contest.columns if column.task == task) for task in tasks}
    rankings = [overall]
    rankings += [
        ranking
        for task in tasks
        if len(tasks) > 1 and (ranking := rank_contestants(replace(contest, columns=columns[task]), methods))
    ]
    heads = ["all columns"]
    heads += [card.title if (card := titles.task(task)) else task for task in tasks if len(tasks) > 1]
    order = [*overall.contestants, *overall.incomplete]
    pairs = _pairs(contest, order, resampler) if len(order) <= MOST else {}
    reasons = dict.fromkeys(cell.reason for pair in pairs.values() for cell in pair.cells if cell.reason)
    places = tuple(_place(one, order, rankings, pairs) for one in order)
    diagram = _diagram(contest, overall, name)
    return Standing(title, tuple(heads), places, diagram, tuple(_sentences(overall)), tuple(reasons))


def _pairs(
    contest: Contest, order: Sequence[Contestant], resampler: Resampler
) -> dict[tuple[Contestant, Contestant], Comparison]:
    """Every pair once, the better ranked first."""
    return {
        (one, other): compare(resampler, contest, one, other)
        for place, one in enumerate(order)
        for other in order[place + 1 :]
    }


def _place(
    one: Contestant,
    order: Sequence[Contestant],
    rankings: Sequence[Ranking],
    pairs: dict[tuple[Contestant, Contestant], Comparison],
) -> Place:
    records = tuple(_record(one, other, pairs) for other in order) if pairs else ()
    known = [record for record in records if record is not None]
    wins, ties, losses = (sum(record[number] for record in known) for number in range(3))
    ranks = tuple(dict(zip(ranking.contestants, ranking.averages, strict=True)).get(one) for ranking in rankings)
    return Place(short_title(one), ranks, records, (wins, ties, losses))


def _record(
    one: Contestant, other: Contestant, pairs: dict[tuple[Contestant, Contestant], Comparison]
) -> tuple[int, int, int] | None:
    """Wins, ties and losses of one against the other."""
    if (pair := pairs.get((one, other))) is not None:
        return pair.count(WIN), pair.count(TIE), pair.count(LOSS)
    if (pair := pairs.get((other, one))) is not None:
        return pair.count(LOSS), pair.count(TIE), pair.count(WIN)
    return None


def _diagram(contest: Contest, ranking: Ranking, name: str) -> Picture:
    named = [short_title(one) for one in ranking.contestants]
    synthetic = any("synthetic" in remark.lower() for remark in contest.remarks)
    title = f"Average ranks of {len(named)} methods over {ranking.cells} columns"
    subtitle = f"{contest_title(contest).capitalize()}{', synthetic data' if synthetic else ''}"
    svg, png = draw_ranks(
        named,
        ranking.averages,
        critical_difference=ranking.critical_difference,
        groups=ranking.groups,
        title=title,
        subtitle=subtitle,
        name=name,
    )
    ranks = "; ".join(f"{one} {rank:.2f}" for one, rank in zip(named, ranking.averages, strict=True))
    bars = "; ".join(f"{named[first]} to {named[last]}" for first, last in ranking.groups)
    shares = "Columns of one dataset share test images, so the critical difference is too small."
    caption = " ".join([*contest.remarks, shares])
    return embed(Figure(name, title, caption, f"{title}: {ranks}. Joined by bars: {bars or 'none'}.", svg, png))


def _sentences(ranking: Ranking) -> list[str]:
    lines = []
    if ranking.statistic is not None and ranking.p_value is not None:
        verdict = "differ" if ranking.p_value <= ALPHA else "cannot be told apart"
        lines.append(
            f"Friedman's test over {ranking.cells} columns: the methods {verdict} in rank "
            f"(χ² = {ranking.statistic:.1f}, p {p_text(ranking.p_value)})."
        )
    lines.append(
        f"Average ranks less than {ranking.critical_difference:.2f} apart do not differ by Nemenyi's test (5 %). Both "
        "tests take columns as independent; those of one dataset share test images, which makes the tests too sure."
    )
    return lines


def p_text(value: float) -> str:
    """A p-value with its sign: "= 0.034", "< 0.001"."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
