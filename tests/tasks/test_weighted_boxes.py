from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from vlpbench.box import Box
from vlpbench.errors import UnknownNameError
from vlpbench.protocol import load_protocol
from vlpbench_tasks.box_metrics import MEANS, THRESHOLDS, score, tabulate
from vlpbench_tasks.detection import Detection
from vlpbench_tasks.weighted_boxes import RECALLS, resample

SETTINGS = load_protocol("clean").for_task("detection")
TRUE = Box("nodule", 0, 0, 10, 10)
ELSEWHERE = Box("nodule", 50, 50, 10, 10)


def drawn(seed: int, *, images: int = 14, labels: tuple[str, ...] = ("mass", "nodule")) -> pd.DataFrame:
    """Boxes of which some are shifted copies of annotated ones; no two of the same score; images without either."""
    generator = np.random.default_rng(seed)
    targets, predictions = [], []
    scores = iter(generator.permutation(10_000) / 10_000)
    for _ in range(images):
        true = [
            Box(str(generator.choice(labels)), *generator.uniform(0, 40, 2), *generator.uniform(8, 20, 2))
            for _ in range(generator.integers(0, 4))
        ]
        found = [
            Box(box.label, box.x + dx, box.y + dy, box.width * scale, box.height)
            for box in true
            for dx, dy, scale in generator.normal([0, 0, 1], [1.5, 1.5, 0.1], (generator.integers(0, 3), 3))
        ]
        found += [Box(str(generator.choice(labels)), *generator.uniform(0, 40, 2), 12, 12) for _ in range(2)]
        if generator.random() < 0.2:
            found = []
        targets.append(true)
        predictions.append([(box, float(next(scores))) for box in found])
    return tabulate([f"image{number:02d}" for number in range(images)], predictions, targets)


def repeated(table: pd.DataFrame, counts: np.ndarray) -> pd.DataFrame:
    """The same images, each as often as it counts, under new names."""
    parts = []
    for count, (image, rows) in zip(counts, table.groupby("image_id", sort=False), strict=True):
        parts += [rows.assign(image_id=f"{image}, copy {copy}") for copy in range(count)]
    return pd.concat(parts, ignore_index=True) if parts else table.iloc[:0]


@pytest.mark.parametrize("metric", MEANS)
@pytest.mark.parametrize("seed", range(4))
def test_each_sample_is_pycocotools_on_repeated_images(metric: str, seed: int) -> None:
    table = drawn(seed)
    weights = np.random.default_rng(seed).multinomial(14, np.full(14, 1 / 14), size=4)
    weights[0] = 1
    expected = [score(repeated(table, counts), 100)[metric] for counts in weights]
    assert not np.isnan(expected).any()
    np.testing.assert_allclose(resample(table, metric, weights, 100), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("most", [1, 2])
def test_only_the_highest_scored_boxes_of_an_image_and_label_count(most: int) -> None:
    table = drawn(9, labels=("nodule",))
    weights = np.random.default_rng(0).integers(0, 3, (3, 14))
    expected = [score(repeated(table, counts), most)["ap_50"] for counts in weights]
    np.testing.assert_allclose(resample(table, "ap_50", weights, most), expected, rtol=0, atol=1e-9)
    assert expected[0] != score(repeated(table, weights[0]), 100)["ap_50"]


def test_by_hand() -> None:
    # "found" at 0.9, "healthy" wrong at 0.95, "missed" nothing
    table = tabulate(["found", "missed", "healthy"], [[(TRUE, 0.9)], [], [(ELSEWHERE, 0.95)]], [[TRUE], [TRUE], []])
    weights = np.array([[1, 1, 1], [2, 1, 3], [1, 0, 0], [0, 1, 1], [0, 0, 5], [0, 0, 0]])
    # recall 1/2 at precision 1/2; 2/3 at 2/5 (67 of 101 recalls); all; none found; nothing annotated, twice
    expected = [51 / 101 / 2, 67 / 101 * 2 / 5, 1, 0, math.nan, math.nan]
    np.testing.assert_allclose(resample(table, "map_40_75", weights, 100), expected, rtol=0, atol=1e-12)
    # as released only "found" is counted, in samples that have it
    released = [1, 1, 1, math.nan, math.nan, math.nan]
    np.testing.assert_allclose(resample(table, "map_released", weights, 100), released, rtol=0, atol=1e-12)


def test_a_label_is_left_out_of_samples_without_its_boxes() -> None:
    mass = Box("mass", 0, 0, 10, 10)
    table = tabulate(["a", "b"], [[(TRUE, 0.9)], []], [[TRUE], [mass]])
    found = resample(table, "ap_50", np.array([[1, 1], [3, 0], [0, 2]]), 100)
    assert found.tolist() == pytest.approx([1 / 2, 1, 0])


def test_no_box_at_all() -> None:
    weights = np.array([[1, 1], [0, 2]])
    assert np.isnan(resample(tabulate(["a", "b"], [[], []], [[], []]), "map_coco", weights, 100)).all()
    assert np.isnan(resample(tabulate(["a", "b"], [[(TRUE, 0.9)], []], [[], []]), "ap_50", weights, 100)).all()
    assert resample(tabulate(["a", "b"], [[], []], [[TRUE], [TRUE]]), "ap_50", weights, 100).tolist() == [0, 0]


def test_recalls_that_floating_point_does_not_reach() -> None:
    # 7 of 20 is 0.35, and the recall that COCOeval asks for lies a little above
    assert RECALLS[35] > 7 / 20
    images = [f"{number:02d}" for number in range(20)]
    table = tabulate(
        images, [[(TRUE, 0.9 - number / 100)] if number < 7 else [] for number in range(20)], [[TRUE]] * 20
    )
    found = resample(table, "ap_50", np.ones((1, 20), dtype=int), 100)[0]
    assert found == pytest.approx(35 / 101, abs=1e-12)
    assert found == pytest.approx(score(table, 100)["ap_50"], abs=1e-12)


def test_equal_scores_stand_in_the_order_of_images() -> None:
    table = tabulate(["a", "b"], [[(ELSEWHERE, 0.5)], [(TRUE, 0.5)]], [[], [TRUE]])
    weights = np.array([[1, 1], [3, 2]])
    # both copies of b's box come after all of a's
    assert resample(table, "ap_50", weights, 100).tolist() == pytest.approx([1 / 2, 2 / 5])
    assert resample(table, "ap_50", weights, 100)[0] == pytest.approx(score(table, 100)["ap_50"])
    other = tabulate(["b", "a"], [[(TRUE, 0.5)], [(ELSEWHERE, 0.5)]], [[TRUE], []])
    assert resample(other, "ap_50", weights, 100).tolist() == pytest.approx([1, 1])


def test_equal_scores_within_one_image_go_box_by_box_and_not_copy_by_copy() -> None:
    table = tabulate(["a"], [[(ELSEWHERE, 0.5), (TRUE, 0.5)]], [[TRUE]])
    assert resample(table, "ap_50", np.array([[2]]), 100)[0] == pytest.approx(2 / 4)
    # copy by copy precision is 1/2 after the first copy, and it stays
    assert score(repeated(table, np.array([2])), 100)["ap_50"] == pytest.approx(1 / 2)
    three = tabulate(["a"], [[(TRUE, 0.5), (ELSEWHERE, 0.5)]], [[TRUE]])
    assert resample(three, "ap_50", np.array([[2]]), 100)[0] == pytest.approx(1)
    assert score(repeated(three, np.array([2])), 100)["ap_50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_box_without_a_score_stands_last() -> None:
    table = tabulate(["a", "b"], [[(TRUE, math.nan)], [(ELSEWHERE, 0.1)]], [[TRUE], []])
    ones = np.ones((1, 2), dtype=int)
    assert resample(table, "ap_50", ones, 100)[0] == pytest.approx(1 / 2)
    assert resample(table, "ap_50", ones, 100)[0] == pytest.approx(score(table, 100)["ap_50"])


def test_the_task_resamples_what_it_scores_and_says_what_is_there() -> None:
    task, table = Detection(), drawn(2)
    metrics = task.score(table, SETTINGS, "map_40_75")
    assert set(metrics) == set(MEANS) == set(task.card.metrics)
    ones = np.ones((1, 14), dtype=np.int32)
    for metric, value in metrics.items():
        assert task.resample(table, SETTINGS, metric, ones)[0] == pytest.approx(value, abs=1e-9)
    images = task.images(table)
    assert list(images["image_id"]) == [f"image{number:02d}" for number in range(14)]
    true = set(table.loc[table["kind"] == "target", "image_id"])
    assert list(images["stratum"]) == ["box" if image in true else "no box" for image in images["image_id"]]
    assert set(images["stratum"]) == {"box", "no box"}


def test_other_metrics_and_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"No metric named 'map'. Near: map_coco"):
        resample(drawn(0), "map", np.ones((1, 14), dtype=int), 100)
    with pytest.raises(TypeError, match="ClassificationSettings"):
        Detection().score(drawn(0), load_protocol("clean").for_task("classification"), "map_40_75")


def test_thresholds_of_each_metric() -> None:
    assert [len(MEANS[metric]) for metric in ("map_40_75", "ap_50", "map_coco", "map_released")] == [8, 1, 10, 8]
    assert set(np.concatenate(list(MEANS.values()))) == set(THRESHOLDS)
