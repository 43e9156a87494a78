"""Average ranks of methods over cells, with Friedman's test and Nemenyi's critical difference.

As Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006, 7:1-30, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vlpbench.statistics.comparison import ALPHA, METHODS, Contest, Contestant

DIGITS = 9


@dataclass(frozen=True)
class Ranking:
    """Methods by their average rank, rank 1 being the highest mean of a cell; equal means share their ranks.

    Attributes:
        contestants: best first.
        averages: average rank of each.
        cells: number of cells ranked.
        statistic: Friedman's, corrected for ties; None for fewer than three methods or two cells, or where all tie.
        p_value: of Friedman's test, likewise.
        critical_difference: Nemenyi's at 5 %; average ranks that are less apart do not differ by that test.
        groups: places (from, to) in `contestants` of the largest groups that do not differ.
        incomplete: methods that are left out since they lack a cell.
    """

    contestants: tuple[Contestant, ...]
    averages: tuple[float, ...]
    cells: int
    statistic: float | None
    p_value: float | None
    critical_difference: float
    groups: tuple[tuple[int, int], ...]
    incomplete: tuple[Contestant, ...]


def rank_contestants(contest: Contest, candidates: Sequence[Contestant]) -> Ranking | None:
    """Rank those of the candidates that are methods, and no floors, ceilings or ablations, and have every cell.

    Returns:
        None where fewer than two have.
    """
    methods = [one for one in candidates if one.section == METHODS]
    means = {one: [contest.mean(one, column) for column in contest.columns] for one in methods}
    complete = {one: values for one, values in means.items() if None not in values}
    if len(complete) < 2:
        return None
    names = list(complete)
    table = np.array([complete[one] for one in names], dtype=np.float64).T
    averages = average_ranks(table)
    order = np.argsort(averages, kind="stable")
    statistic, p_value = friedman(table)
    critical = critical_difference(len(names), len(table))
    sorted_averages = tuple(float(averages[place]) for place in order)
    return Ranking(
        contestants=tuple(names[place] for place in order),
        averages=sorted_averages,
        cells=len(table),
        statistic=statistic,
        p_value=p_value,
        critical_difference=critical,
        groups=tuple(find_groups(sorted_averages, critical)),
        incomplete=tuple(one for one in methods if one not in complete),
    )


def average_ranks(values: Float[np.ndarray, "cells methods"]) -> Float[np.ndarray, " methods"]:
    """Mean over cells of each method's rank, the highest value first; values that agree to nine digits tie."""
    from scipy.stats import rankdata

    ranks: Float[np.ndarray, " methods"] = rankdata(-np.round(values, DIGITS), axis=1).mean(axis=0)
    return ranks


def friedman(values: Float[np.ndarray, "cells methods"]) -> tuple[float | None, float | None]:
    """Statistic and p-value of Friedman's test; None for fewer than three methods or two cells, or where all tie."""
    from scipy.stats import friedmanchisquare

    rounded = np.round(values, DIGITS)
    if rounded.shape[1] < 3 or len(rounded) < 2 or not np.ptp(rounded, axis=1).any():
        return None, None
    found = friedmanchisquare(*rounded.T)
    return float(found.statistic), float(found.pvalue)


def critical_difference(methods: int, cells: int) -> float:
    """Nemenyi's critical difference of average ranks at 5 %."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - ALPHA, methods, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * cells))


def find_groups(averages: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """First and last place of each largest run of methods whose average ranks are less than `critical` apart.

    Args:
        averages: ascending.
        critical: difference.
    """
    groups: list[tuple[int, int]] = []
    for first, best in enumerate(averages):
        last = max(place for place, rank in enumerate(averages) if rank - best < critical and place >= first)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
