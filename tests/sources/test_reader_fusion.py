from __future__ import annotations

import pytest

from vlpbench.box import Box
from vlpbench.sources.reader_fusion import Reading, fuse, overlap


def box(x: float, y: float, side: float = 100.0, label: str = "nodule_mass") -> Box:
    return Box(label, x, y, side, side)


SEEN_BY_TWO = (Reading("R1", box(1000, 2000)), Reading("R2", box(1020, 2010)))
SEEN_BY_ONE = Reading("R3", box(100, 200))


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(box(0, 0), box(0, 0)) == 1
    assert overlap(box(0, 0), box(50, 0)) == pytest.approx(1 / 3)
    assert overlap(box(0, 0), box(100, 0)) == 0
    assert overlap(box(0, 0), box(300, 300)) == 0


def test_weighted_fusion_averages_what_overlaps_and_keeps_single_boxes() -> None:
    assert fuse([*SEEN_BY_TWO, SEEN_BY_ONE], "weighted") == (box(100, 200), box(1010, 2005))


def test_majority_drops_single_boxes() -> None:
    assert fuse([*SEEN_BY_TWO, SEEN_BY_ONE], "majority") == (box(1010, 2005),)


def test_all_keeps_every_box() -> None:
    assert len(fuse([*SEEN_BY_TWO, SEEN_BY_ONE], "all")) == 3


@pytest.mark.parametrize("rule", ["weighted", "majority", "all"])
def test_no_box_stays_no_box(rule: str) -> None:
    assert fuse([], rule) == ()


@pytest.mark.parametrize("rule", ["weighted", "majority"])
def test_boxes_of_different_classes_are_never_one(rule: str) -> None:
    readings = [Reading("R1", box(0, 0)), Reading("R2", box(0, 0, label="infiltration"))]
    assert len(fuse(readings, rule)) == (2 if rule == "weighted" else 0)


def test_two_boxes_of_one_reader_are_no_majority() -> None:
    readings = [Reading("R1", box(0, 0)), Reading("R1", box(5, 0))]
    assert fuse(readings, "majority") == ()


def test_boxes_that_overlap_by_half_agree_and_by_less_do_not() -> None:
    half = [Reading("R1", Box("ild", 0, 0, 200, 100)), Reading("R2", Box("ild", 0, 0, 100, 100))]
    third = [Reading("R1", box(0, 0)), Reading("R2", box(50, 0))]
    assert fuse(half, "majority") == (Box("ild", 0, 0, 150, 100),)
    assert fuse(third, "majority") == ()


@pytest.mark.parametrize("rule", ["weighted", "majority", "all"])
def test_the_order_of_rows_changes_nothing(rule: str) -> None:
    readings = [*SEEN_BY_TWO, SEEN_BY_ONE, Reading("R3", box(1015, 1990)), Reading("R2", box(90, 210))]
    expected = fuse(readings, rule)
    assert all(fuse([*readings[turn:], *readings[:turn]], rule) == expected for turn in range(len(readings)))


def test_fusion_does_not_depend_on_where_the_image_ends() -> None:
    """Coordinates are divided by the largest of the image's own; a far box must not move the others."""
    alone = fuse(SEEN_BY_TWO, "weighted")
    beside = fuse([*SEEN_BY_TWO, Reading("R3", box(3000, 3200))], "weighted")
    assert alone == (box(1010, 2005),)
    assert beside == (box(1010, 2005), box(3000, 3200))


def test_a_pixel_beyond_the_left_edge_is_forgiven() -> None:
    (fused,) = fuse([Reading("R1", Box("ild", -0.5, 10, 100.5, 100))], "weighted")
    assert fused == Box("ild", 0, 10, 100, 100)
