from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.protocol import load_protocol
from vlpbench_tasks.classification import Classification
from vlpbench_tasks.label_metrics import score, tabulate
from vlpbench_tasks.weighted_labels import resample

SETTINGS = load_protocol("clean").for_task("classification")


def independent(images: int = 60) -> pd.DataFrame:
    """Three labels, some unknown, with ties."""
    generator = np.random.default_rng(3)
    truth = (generator.random((images, 3)) < [0.4, 0.1, 0.7]).astype(float)
    truth[generator.random((images, 3)) < 0.15] = np.nan
    probability = np.round(generator.random((images, 3)), 1)
    return tabulate([f"image{number}" for number in range(images)], ["a", "b", "c"], probability, truth)


def exclusive(images: int = 40) -> pd.DataFrame:
    generator = np.random.default_rng(4)
    right = generator.integers(0, 3, images)
    probability = generator.dirichlet(np.ones(3), images)
    return tabulate([str(number) for number in range(images)], ["x", "y", "z"], probability, np.eye(3)[right])


def repeated(table: pd.DataFrame, counts: np.ndarray) -> pd.DataFrame:
    return table.iloc[np.repeat(np.arange(len(table)), counts)]


@pytest.mark.parametrize("metric", ["auroc", "auroc_a", "auroc_b", "average_precision"])
def test_each_sample_is_the_score_of_repeated_rows(metric: str) -> None:
    agree(independent(), metric, exclude=False)


@pytest.mark.parametrize("metric", ["auroc", "auroc_z", "average_precision", "accuracy", "balanced_accuracy"])
def test_each_sample_of_exclusive_classes_is_the_score_of_repeated_rows(metric: str) -> None:
    agree(exclusive(), metric, exclude=True)


def agree(table: pd.DataFrame, metric: str, *, exclude: bool) -> None:
    weights = np.random.default_rng(0).multinomial(len(table), np.full(len(table), 1 / len(table)), size=20)
    weights[0] = 1
    expected = [score(repeated(table, counts), exclusive=exclude)[metric] for counts in weights]
    np.testing.assert_allclose(resample(table, metric, weights), expected, rtol=0, atol=1e-12)


def test_balanced_accuracy_forgets_classes_that_a_sample_lacks() -> None:
    table = exclusive()
    weights = np.random.default_rng(0).multinomial(6, np.full(len(table), 1 / len(table)), size=30)
    expected = [score(repeated(table, counts), exclusive=True)["balanced_accuracy"] for counts in weights]
    classes = [len(set(Classification().images(repeated(table, counts))["stratum"])) for counts in weights]
    assert {2, 3} <= set(classes)
    np.testing.assert_allclose(resample(table, "balanced_accuracy", weights), expected, rtol=0, atol=1e-12)


def test_a_label_without_both_classes_in_a_sample_is_left_out_of_its_mean() -> None:
    truth = np.array([[1, 1], [0, 1], [1, 0], [0, np.nan]], dtype=float)
    probability = np.array([[0.9, 0.8], [0.1, 0.3], [0.2, 0.5], [0.4, 0.9]])
    table = tabulate(list("abcd"), ["often", "rare"], probability, truth)
    weights = np.array([[1, 1, 1, 1], [1, 1, 0, 1], [0, 0, 0, 5], [0, 0, 0, 0]])
    often, rare, mean = (resample(table, metric, weights) for metric in ("auroc_often", "auroc_rare", "auroc"))
    np.testing.assert_allclose(often, [3 / 4, 1, math.nan, math.nan])
    np.testing.assert_allclose(rare, [1 / 2, math.nan, math.nan, math.nan])
    np.testing.assert_allclose(mean, [(3 / 4 + 1 / 2) / 2, 1, math.nan, math.nan])


def test_accuracy_is_undefined_where_labels_do_not_exclude_each_other() -> None:
    table = independent()
    weights = np.ones((2, len(table)), dtype=int)
    assert np.isnan(resample(table, "accuracy", weights)).all()
    assert np.isnan(resample(table, "balanced_accuracy", weights)).all()
    one = tabulate(["a", "b"], ["only"], np.array([[0.9], [0.1]]), np.array([[1.0], [1.0]]))
    assert np.isnan(resample(one, "accuracy", weights[:, :2])).all()


def test_one_image() -> None:
    table = tabulate(["a"], ["x", "y"], np.array([[0.9, 0.1]]), np.array([[1.0, 0.0]]))
    weights = np.array([[3], [0]])
    assert np.isnan(resample(table, "auroc", weights)).all()
    np.testing.assert_array_equal(resample(table, "accuracy", weights), [1.0, math.nan])


def test_strata_are_classes_or_whether_anything_was_found() -> None:
    images = Classification().images(exclusive(4))
    assert list(images) == ["image_id", "stratum"]
    right = exclusive(4)[["y:x", "y:y", "y:z"]].to_numpy().argmax(axis=1)
    assert list(images["stratum"]) == ["xyz"[number] for number in right]
    truth = np.array([[0, 1], [0, 0], [np.nan, 0], [1, 1]])
    table = tabulate(list("dcba"), ["p", "q"], np.full((4, 2), 0.5), truth)
    assert list(Classification().images(table)["image_id"]) == ["d", "c", "b", "a"]
    assert list(Classification().images(table)["stratum"]) == ["finding", "no finding", "no finding", "finding"]


def test_the_task_resamples_what_it_scores() -> None:
    task, table = Classification(), independent()
    metrics = task.score(table, SETTINGS, "auroc")
    ones = np.ones((1, len(table)), dtype=np.int32)
    for metric in ("auroc", "average_precision", "auroc_b"):
        assert task.resample(table, SETTINGS, metric, ones)[0] == pytest.approx(metrics[metric], abs=1e-12)
    assert math.isnan(metrics["accuracy"])
    assert not math.isnan(task.score(exclusive(), SETTINGS, "accuracy")["accuracy"])
    with pytest.raises(TypeError, match="SegmentationSettings"):
        task.resample(table, load_protocol("clean").for_task("segmentation"), "auroc", ones)


def test_what_cannot_be_weighed_is_refused() -> None:
    table = independent(5)
    with pytest.raises(UnknownNameError, match=r"No metric named 'auroc_d'. Near: auroc"):
        resample(table, "auroc_d", np.ones((1, 5), dtype=int))
    with pytest.raises(ValueError, match=r"expected \(samples, 5\)"):
        resample(table, "auroc", np.ones((5, 1), dtype=int))
    with pytest.raises(ValueError, match="negative weight"):
        resample(table, "auroc", np.array([[1, 1, -1, 1, 1]]))
    table.loc[table["y:a"].first_valid_index(), "p:a"] = np.nan
    for compute in (
        lambda: resample(table, "auroc", np.ones((1, 5), dtype=int)),
        lambda: score(table, exclusive=False),
    ):
        with pytest.raises(VlpbenchError, match="no number as the probability of 'a' for image 'image"):
            compute()
