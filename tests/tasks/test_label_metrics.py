from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from vlpbench_tasks.label_metrics import count, score, tabulate


def test_auroc_counts_ordered_pairs_and_forgets_unknown_labels() -> None:
    # known images: positives at 0.8 and 0.4, negatives at 0.5 and 0.1 -> 3 of 4 pairs are ordered
    truth = np.array([[1.0], [1.0], [0.0], [0.0], [np.nan]])
    probability = np.array([[0.8], [0.4], [0.5], [0.1], [0.99]])
    metrics = score(tabulate(list("abcde"), ["edema"], probability, truth), exclusive=False)
    assert metrics["auroc_edema"] == pytest.approx(0.75)
    assert metrics["auroc"] == pytest.approx(0.75)
    assert math.isnan(metrics["accuracy"])


def test_means_are_those_of_sklearn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (50, 3)).astype(float)
    probability = rng.random((50, 3))
    metrics = score(tabulate([str(n) for n in range(50)], ["a", "b", "c"], probability, truth), exclusive=False)
    assert metrics["auroc"] == pytest.approx(roc_auc_score(truth, probability, average="macro"))
    assert metrics["average_precision"] == pytest.approx(average_precision_score(truth, probability, average="macro"))


def test_label_of_one_class_is_left_out_and_named() -> None:
    truth = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, np.nan]])
    table = tabulate(["a", "b", "c"], ["edema", "fracture"], np.array([[0.9, 0.5], [0.1, 0.5], [0.2, 0.5]]), truth)
    metrics = score(table, exclusive=False)
    assert metrics["auroc"] == 1.0
    assert math.isnan(metrics["auroc_fracture"])
    counts = count(table)
    assert counts["auroc_undefined:fracture"] == 1
    assert "auroc_undefined:edema" not in counts
    assert (counts["test_images"], counts["test_positives:edema"], counts["test_negatives:fracture"]) == (3, 1, 2)


def test_no_defined_label_gives_no_number() -> None:
    metrics = score(tabulate(["a"], ["edema"], np.array([[0.9]]), np.array([[1.0]])), exclusive=False)
    assert math.isnan(metrics["auroc"])
    assert math.isnan(metrics["average_precision"])


def test_accuracy_and_balanced_accuracy_by_hand() -> None:
    # 3 of class 0 (2 right), 1 of class 1 (wrong), none of class 2
    truth = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=float)
    probability = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.4, 0.1]])
    metrics = score(tabulate(list("abcd"), ["x", "y", "z"], probability, truth), exclusive=True)
    assert metrics["accuracy"] == pytest.approx(2 / 4)
    assert metrics["balanced_accuracy"] == pytest.approx((2 / 3 + 0) / 2)


def test_constant_prediction_has_half_the_area() -> None:
    truth = np.array([[1.0], [0.0], [0.0]])
    metrics = score(tabulate(list("abc"), ["edema"], np.full((3, 1), 0.3), truth), exclusive=False)
    assert metrics["auroc"] == 0.5
    assert metrics["average_precision"] == pytest.approx(1 / 3)
