from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from vlpbench.errors import VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench.task import Cell
from vlpbench_tasks.classification import Classification

MakeCell = Callable[..., Cell]


def test_blobs_are_told_from_noise(make_cell: MakeCell) -> None:
    cell = make_cell("classification", labels=("blob", "odd"))
    before = {name: value.clone() for name, value in cell.backbone.state_dict().items()}
    result = Classification().run(cell)
    assert result.headline == "auroc"
    assert result.metrics["auroc_blob"] > 0.9
    assert result.metrics["auroc"] == pytest.approx((result.metrics["auroc_blob"] + result.metrics["auroc_odd"]) / 2)
    assert result.floors["majority"]["auroc"] == 0.5
    assert result.counts["train_images"] == 36
    assert result.counts["train_positives:blob"] == 24
    assert list(result.predictions) == ["image_id", "p:blob", "y:blob", "p:odd", "y:odd"]
    assert result.predictions["p:blob"].dtype == np.float64
    assert list(result.predictions["image_id"]) == cell.dataset.image_ids(cell.test_rows)
    assert all(torch.equal(before[name], value) for name, value in cell.backbone.state_dict().items())


def test_stored_predictions_give_the_metrics_again(make_cell: MakeCell) -> None:
    cell = make_cell("classification", labels=("blob", "odd"))
    result = Classification().run(cell)
    again = Classification().score(result.predictions, cell.settings, result.headline)
    assert all(again[name] == value or math.isnan(value) for name, value in result.metrics.items())
    ones = np.ones((1, len(Classification().images(result.predictions))), dtype=int)
    resampled = Classification().resample(result.predictions, cell.settings, result.headline, ones)
    assert resampled[0] == pytest.approx(result.metrics[result.headline], abs=1e-12)


def test_exclusive_labels_are_scored_by_accuracy(make_cell: MakeCell) -> None:
    result = Classification().run(make_cell("classification", metric="accuracy", labels=("blob", "none")))
    assert result.headline == "accuracy"
    # 8 of 12 test images have the training majority's class
    assert result.floors["majority"]["accuracy"] == pytest.approx(8 / 12)
    assert result.floors["majority"]["balanced_accuracy"] == 0.5
    assert result.metrics["accuracy"] > 8 / 12
    np.testing.assert_allclose(result.predictions[["p:blob", "p:none"]].sum(axis=1), 1.0)


def test_same_seed_same_numbers(make_cell: MakeCell) -> None:
    first, second = (Classification().run(make_cell("classification", labels=("blob",), seed=5)) for _ in range(2))
    assert dict(first.selection) == dict(second.selection)
    assert first.predictions.equals(second.predictions)


@pytest.mark.parametrize(
    ("rows", "found"), [([0, 3, 6], "0 positive and 3 negative"), ([1, 2], "2 positive and 0 neg")]
)
def test_fraction_without_a_class_is_refused(make_cell: MakeCell, rows: list[int], found: str) -> None:
    with pytest.raises(VlpbenchError, match=f"{found}.*'blob'"):
        Classification().run(make_cell("classification", labels=("blob",), rows=np.array(rows)))


def test_labels_that_are_not_exclusive_are_refused(make_cell: MakeCell) -> None:
    with pytest.raises(VlpbenchError, match="'image00' is not in exactly one of"):
        Classification().run(make_cell("classification", metric="accuracy", labels=("odd", "none")))


def test_standardising_takes_training_rows_only(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell("classification", labels=("blob",))
    pooled = cell.features.pooled
    plain = Classification().run(cell).predictions

    def shifted(rows: np.ndarray) -> np.ndarray:
        return 3 * pooled(rows) + 7

    monkeypatch.setattr(cell.features, "pooled", shifted)
    np.testing.assert_allclose(Classification().run(cell).predictions["p:blob"], plain["p:blob"], atol=1e-3)


def test_card_is_read_without_importing(make_cell: MakeCell) -> None:
    assert {"classification", "segmentation", "detection"} <= set(REGISTRY.names("task"))
    result = Classification().run(make_cell("classification", labels=("blob",)))
    assert set(Classification.card.metrics) - {"auroc_<label>"} <= set(result.metrics)
    assert Classification().refuses(make_cell("classification").backbone.card) is None
