from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlpbench.figures.label_places import spread


def test_labels_that_are_apart_stay() -> None:
    assert spread([50, 10, 30], gap=5, low=0, high=100) == [50, 10, 30]


def test_neighbours_move_apart_by_the_same_amount() -> None:
    assert spread([20, 20], gap=6, low=0, high=100) == [23, 17]
    assert spread([20, 22], gap=6, low=0, high=100) == [18, 24]


def test_a_group_keeps_its_middle() -> None:
    assert spread([20, 20, 20, 80], gap=10, low=0, high=100) == [30, 20, 10, 80]


def test_labels_stay_inside_the_borders() -> None:
    assert spread([98, 99, 100], gap=10, low=0, high=100) == [80, 90, 100]
    assert spread([0, 1], gap=10, low=0, high=100) == [0, 10]


def test_too_many_labels_share_the_room() -> None:
    assert spread([5, 5, 5], gap=100, low=0, high=10) == [10, 5, 0]
    assert spread([], gap=1, low=0, high=1) == []
    assert spread([7], gap=100, low=0, high=5) == [5]


@given(st.lists(st.floats(-50, 150), max_size=30))
def test_order_gap_and_borders_hold(wanted: list[float]) -> None:
    places = spread(wanted, gap=8, low=0, high=100)
    gap = min(8, 100 / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda number: (wanted[number], -number))
    for below, above in itertools.pairwise(order):
        assert places[above] - places[below] >= gap - 1e-9
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in places)


def test_each_of_equal_labels_has_its_own_place() -> None:
    places = spread([1.0] * 4, gap=2, low=0, high=10)
    assert places == pytest.approx([6, 4, 2, 0])
