"""Average ranks, Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.statistics.fabricate import add
from vlpbench.record import Record
from vlpbench.statistics.comparison import Column, Contest, Contestant
from vlpbench.statistics.ranks import (
    average_ranks,
    critical_difference,
    find_groups,
    friedman,
    rank_contestants,
)

# Ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets: Demšar, JMLR 2006, 7:1-30, table 6
DEMSAR = np.array(
    [
        [4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [4, 1, 3, 2], [4, 2, 3, 1], [1, 2.5, 4, 2.5], [3, 2, 4, 1],
        [2.5, 2.5, 4, 1], [4, 3, 2, 1], [2.5, 2.5, 2.5, 2.5], [4, 2.5, 1, 2.5], [3, 2, 4, 1], [4, 1, 2, 3],
        [3, 1, 4, 2],
    ]
)  # fmt: skip


def test_ranks_of_the_published_example() -> None:
    assert average_ranks(-DEMSAR) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


def test_friedman_of_the_published_example() -> None:
    # the paper gives 9.28 without a correction for ties, which divides by 1 - sum(t^3 - t) / (N (k^3 - k))
    ties = sum(count**3 - count for row in DEMSAR for count in np.unique(row, return_counts=True)[1])
    statistic, p_value = friedman(-DEMSAR)
    assert statistic is not None
    assert p_value is not None
    assert statistic * (1 - ties / (14 * 60)) == pytest.approx(9.28, abs=5e-3)
    assert 0.01 < p_value < 0.05


@pytest.mark.parametrize(
    ("methods", "quantile"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_quantiles_of_the_published_table(methods: int, quantile: float) -> None:
    # Demšar, table 5 a
    found = critical_difference(methods, 6) / (methods * (methods + 1) / 36) ** 0.5
    assert found == pytest.approx(quantile, abs=1.1e-3)


def test_critical_difference_of_the_published_example() -> None:
    # Demšar, section 3.2.2: four classifiers on 14 data sets, 2.569 * sqrt(4 * 5 / (6 * 14)) = 1.25
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


def test_equal_means_share_their_ranks() -> None:
    ranks = average_ranks(np.array([[0.5, 0.7, 0.5, 0.1], [0.2, 0.1, 0.2 + 1e-12, 0.2]]))
    assert ranks.tolist() == [(2.5 + 2) / 2, (1 + 4) / 2, (2.5 + 2) / 2, (4 + 2) / 2]


def test_friedman_needs_three_methods_two_cells_and_a_difference() -> None:
    values = np.random.default_rng(0).random((5, 4))
    assert friedman(values)[0] is not None
    for few in (values[:, :2], values[:1], np.ones((5, 4))):
        assert friedman(few) == (None, None)


def test_groups_are_the_largest_runs_within_the_difference() -> None:
    assert find_groups([1.0, 1.5, 2.4, 4.0, 4.5], 1.0) == [(0, 1), (1, 2), (3, 4)]
    assert find_groups([1.0, 1.2, 1.4], 1.0) == [(0, 2)]
    assert find_groups([1.0, 2.0, 3.0], 1.0) == []  # at the difference they differ
    assert find_groups([2.0, 2.0], 0.5) == [(0, 1)]


def _contestant(name: str, section: str = "methods") -> Contestant:
    return Contestant(name, "resnet18", "", name.upper(), section)


def _column(fraction: float) -> Column:
    return Column("segmentation", "siim", "dice_positive", fraction, "SIIM-like", "Dice", 1)


def _contest(root: Path, means: dict[Contestant, list[float | None]]) -> Contest:
    fractions = (0.01, 0.1, 1.0)
    runs: dict[tuple[Contestant, Column], list[Record]] = {}
    for one, values in means.items():
        for fraction, value in zip(fractions, values, strict=True):
            if value is not None:
                record = add(root, None, method=one.name, fraction=fraction, value=value if value >= 0 else None)
                runs[one, _column(fraction)] = [record]
    columns = tuple(map(_column, fractions))
    return Contest("phantom", "clean", 96, None, (), "", (), columns, tuple(means), runs)


def test_only_methods_with_every_cell_are_ranked(tmp_path: Path) -> None:
    first, second, third = _contestant("a"), _contestant("b"), _contestant("c")
    lacking, undefined = _contestant("d"), _contestant("e")
    means: dict[Contestant, list[float | None]] = {
        first: [0.1, 0.2, 0.3],
        second: [0.2, 0.3, 0.4],
        third: [0.2, 0.1, 0.35],
        lacking: [0.9, None, 0.9],
        undefined: [0.9, -1, 0.9],
        _contestant("random", "floors"): [0.5, 0.5, 0.5],
        _contestant("supervised", "ceilings"): [0.9, 0.9, 0.9],
        _contestant("sista_sia", "ablations"): [0.8, 0.8, 0.8],
    }
    found = rank_contestants(_contest(tmp_path, means), tuple(means))
    assert found is not None
    assert found.contestants == (second, third, first)
    assert found.averages == pytest.approx(((1.5 + 1 + 1) / 3, (1.5 + 3 + 2) / 3, (3 + 2 + 3) / 3))
    assert found.incomplete == (lacking, undefined)
    assert (found.cells, found.groups) == (3, ((0, 2),))
    assert found.critical_difference == pytest.approx(2.3437 * (3 * 4 / 18) ** 0.5, abs=1e-3)


def test_one_complete_method_has_no_rank(tmp_path: Path) -> None:
    means: dict[Contestant, list[float | None]] = {_contestant("a"): [0.1] * 3, _contestant("b"): [0.1, None, 0.1]}
    assert rank_contestants(_contest(tmp_path, means), tuple(means)) is None
