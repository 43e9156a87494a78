from __future__ import annotations

import math

import pytest

from vlpbench.box import Box
from vlpbench_tasks.box_metrics import score, tabulate

TRUE = Box("nodule", 0, 0, 10, 10)
ELSEWHERE = Box("nodule", 50, 50, 10, 10)


def test_image_without_prediction_and_image_without_box_count() -> None:
    table = tabulate(["found", "missed", "healthy"], [[(TRUE, 0.9)], [], [(ELSEWHERE, 0.95)]], [[TRUE], [TRUE], []])
    metrics = score(table, 100)
    # the false box comes first: precision 1/2 at the 51 of 101 recalls up to 1/2
    assert metrics["map_40_75"] == pytest.approx(51 * 0.5 / 101)
    assert metrics["ap_50"] == pytest.approx(51 * 0.5 / 101)
    # MGCA drops the image without prediction, and the one without box
    assert metrics["map_released"] == pytest.approx(1.0)


def test_thresholds_by_hand() -> None:
    half = Box("nodule", 0, 0, 10, 5)  # overlap 0.5: found at 0.40, 0.45 and 0.50
    metrics = score(tabulate(["a"], [[(half, 0.9)]], [[TRUE]]), 100)
    assert metrics["map_40_75"] == pytest.approx(3 / 8)
    assert metrics["ap_50"] == pytest.approx(1.0)
    assert metrics["map_coco"] == pytest.approx(1 / 10)


def test_unsure_boxes_do_not_exist_for_the_released_metric() -> None:
    metrics = score(tabulate(["a"], [[(TRUE, 0.49)]], [[TRUE]]), 100)
    assert metrics["map_40_75"] == pytest.approx(1.0)
    assert math.isnan(metrics["map_released"])


def test_labels_are_averaged_and_do_not_match_each_other() -> None:
    mass = Box("mass", 0, 0, 10, 10)
    metrics = score(tabulate(["a"], [[(TRUE, 0.9)]], [[TRUE, mass]]), 100)
    assert metrics["map_40_75"] == pytest.approx(1 / 2)


def test_nothing_predicted_is_zero_and_nothing_annotated_is_undefined() -> None:
    assert score(tabulate(["a"], [[]], [[TRUE]]), 100)["map_40_75"] == 0
    assert math.isnan(score(tabulate(["a"], [[(TRUE, 0.9)]], [[]]), 100)["map_40_75"])


def test_only_the_highest_scored_boxes_count() -> None:
    boxes = [(ELSEWHERE, 0.9), (TRUE, 0.8)]
    assert score(tabulate(["a"], [boxes], [[TRUE]]), 1)["ap_50"] == 0
    assert score(tabulate(["a"], [boxes], [[TRUE]]), 2)["ap_50"] == pytest.approx(0.5)


def test_every_image_is_in_the_table_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    table = tabulate(["a", "b"], [[], [(TRUE, 0.5)]], [[], []])
    assert list(table.loc[table["kind"] == "image", "image_id"]) == ["a", "b"]
    assert list(table["kind"]) == ["image", "image", "prediction"]
    score(tabulate(["a"], [[(TRUE, 0.9)]], [[TRUE]]), 100)
    assert capsys.readouterr().out == ""
