from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from vlpbench.figures.box_matches import match_boxes

TARGET = (0.0, 0.0, 10.0, 10.0)
HIT, MISS = (1.0, 0.0, 10.0, 10.0), (50.0, 50.0, 10.0, 10.0)


def _table(*rows: tuple[str, str, float, tuple[float, float, float, float]], label: str = "a") -> pd.DataFrame:
    images = sorted({image for image, *_ in rows} | {"empty"})
    listed = [(image, "image", "", math.nan, *[math.nan] * 4) for image in images]
    listed += [(image, kind, label, score, *box) for image, kind, score, box in rows]
    return pd.DataFrame(listed, columns=["image_id", "kind", "label", "score", "x", "y", "width", "height"])


def test_precision_falls_where_a_box_of_nothing_scores_higher() -> None:
    table = _table(
        ("one", "target", math.nan, TARGET),
        ("two", "target", math.nan, TARGET),
        ("one", "prediction", 0.9, HIT),
        ("one", "prediction", 0.8, MISS),
        ("two", "prediction", 0.7, HIT),
    )
    matches = match_boxes(table)
    assert matches is not None
    assert matches.precision[:51] == pytest.approx(np.ones(51))
    assert matches.precision[51:] == pytest.approx(np.full(50, 2 / 3))
    assert sorted(zip(matches.found["score"], matches.found["hit"], strict=True)) == [
        (0.7, True), (0.8, False), (0.9, True),
    ]  # fmt: skip
    assert matches.targets == {"empty": 0, "one": 1, "two": 1}


def test_the_threshold_is_that_of_the_highest_f1() -> None:
    table = _table(
        ("one", "target", math.nan, TARGET),
        ("two", "target", math.nan, TARGET),
        ("one", "prediction", 0.9, HIT),
        ("two", "prediction", 0.6, HIT),
        ("two", "prediction", 0.5, MISS),
        ("one", "prediction", 0.4, MISS),
    )
    matches = match_boxes(table)
    assert matches is not None
    assert matches.best_threshold() == 0.6
    assert matches.image_f1(0.6).to_dict() == {"one": 1.0, "two": 1.0}
    assert matches.image_f1(0.5).to_dict() == pytest.approx({"one": 1.0, "two": 2 / 3})
    assert matches.image_f1(0.95).to_dict() == {"one": 0.0, "two": 0.0}


def test_boxes_of_one_score_are_kept_together() -> None:
    table = _table(
        ("one", "target", math.nan, TARGET), ("one", "prediction", 0.9, HIT), ("one", "prediction", 0.9, MISS)
    )
    matches = match_boxes(table)
    assert matches is not None
    assert matches.best_threshold() == 0.9
    assert matches.image_f1(0.9).to_dict() == pytest.approx({"one": 2 / 3})


def test_a_threshold_takes_all_boxes_of_its_score() -> None:
    table = _table(
        ("one", "target", math.nan, TARGET),
        ("two", "target", math.nan, TARGET),
        ("one", "prediction", 0.9, HIT),
        ("two", "prediction", 0.5, HIT),
        *[("two", "prediction", 0.5, MISS)] * 5,
    )
    matches = match_boxes(table)
    assert matches is not None
    assert matches.best_threshold() == 0.9


def test_each_annotated_box_is_found_once() -> None:
    table = _table(
        ("one", "target", math.nan, TARGET), ("one", "prediction", 0.9, HIT), ("one", "prediction", 0.8, TARGET)
    )
    matches = match_boxes(table)
    assert matches is not None
    assert matches.found["hit"].sum() == 1


def test_overlap_of_less_than_half_is_no_match() -> None:
    table = _table(("one", "target", math.nan, TARGET), ("one", "prediction", 0.9, (4.0, 0.0, 10.0, 10.0)))
    matches = match_boxes(table)
    assert matches is not None
    assert matches.found["hit"].sum() == 0
    assert matches.precision.max() == 0


def test_labels_do_not_match_each_other_and_are_averaged() -> None:
    one = _table(("one", "target", math.nan, TARGET), ("one", "prediction", 0.9, HIT), label="a")
    other = _table(("one", "target", math.nan, TARGET), label="b")
    matches = match_boxes(pd.concat([one, other[other["kind"] != "image"]], ignore_index=True))
    assert matches is not None
    assert matches.precision == pytest.approx(np.full(101, 0.5))


def test_nothing_annotated_and_nothing_predicted() -> None:
    assert match_boxes(_table(("one", "prediction", 0.9, HIT))) is None
    matches = match_boxes(_table(("one", "target", math.nan, TARGET)))
    assert matches is not None
    assert matches.best_threshold() == 1.0
    assert matches.image_f1(1.0).to_dict() == {"one": 0.0}
