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
        ranks: average rank under each head; None where it lacks a column.
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
        heads: what the ranks are over: all columns, where there are several tasks, then each task.
        places: best rank first.
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
    ranked = _rankings(contest, methods, titles)
    if not ranked:
        return None
    heads, rankings = zip(*ranked, strict=True)
    first = rankings[0]
    order = [*first.contestants, *(one for one in methods if one not in first.contestants)]
    pairs = _pairs(_labelled(contest), order, resampler) if len(order) <= MOST else {}
    reasons = dict.fromkeys(cell.reason for pair in pairs.values() for cell in pair.cells if cell.reason)
    places = tuple(_place(one, order, rankings, pairs) for one in order)
    diagram = _diagram(contest, heads[0], first, name)
    return Standing(title, heads, places, diagram, tuple(_sentences(heads[0], first)), tuple(reasons))


def _rankings(contest: Contest, methods: Sequence[Contestant], titles: Titles) -> list[tuple[str, Ranking]]:
    """Over all columns that use labels and then over those of each task, as far as two methods have them all."""
    labelled = _labelled(contest)
    everything = "all columns" if labelled == contest else "all columns with labels"
    tasks = list(dict.fromkeys(column.task for column in contest.columns))
    subjects = [(everything, labelled)] if len({column.task for column in labelled.columns}) > 1 else []
    for task in tasks:
        card = titles.task(task)
        mine = tuple(column for column in contest.columns if column.task == task)
        subjects.append((card.title if card else task, replace(contest, columns=mine)))
    return [(head, found) for head, one in subjects if (found := rank_contestants(one, methods)) is not None]


def _labelled(contest: Contest) -> Contest:
    """Without the columns that no head is trained for, which few methods have."""
    return replace(contest, columns=tuple(column for column in contest.columns if column.fraction))


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


def _diagram(contest: Contest, head: str, ranking: Ranking, name: str) -> Picture:
    named = [short_title(one) for one in ranking.contestants]
    synthetic = any("synthetic" in remark.lower() for remark in contest.remarks)
    title = f"Average ranks of {len(named)} methods: {head[:1].lower()}{head[1:]} ({ranking.cells})"
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


def _sentences(head: str, ranking: Ranking) -> list[str]:
    lines = []
    if ranking.statistic is not None and ranking.p_value is not None:
        verdict = "differ" if ranking.p_value <= ALPHA else "cannot be told apart"
        lines.append(
            f"Friedman's test over {ranking.cells} columns ({head}): the methods {verdict} in rank "
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
