from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vlpbench.box import Box
from vlpbench.errors import VlpbenchError
from vlpbench.task import Cell, TaskResult
from vlpbench_tasks.detection import Detection

MakeCell = Callable[..., Cell]


def test_blobs_are_found_and_the_backbone_stays_as_it_was(
    make_cell: MakeCell, capfd: pytest.CaptureFixture[str]
) -> None:
    cell = make_cell("detection")
    before = {name: value.clone() for name, value in cell.backbone.state_dict().items()}
    state = torch.get_rng_state()
    result = Detection().run(cell)
    assert result.metrics["ap_50"] > 0.2
    assert set(result.metrics) == set(Detection.card.metrics)
    assert result.floors["no_boxes"]["map_40_75"] == 0
    assert (result.counts["train_boxes"], result.counts["test_boxes"], result.counts["test_images"]) == (24, 8, 12)
    kinds = result.predictions["kind"]
    assert list(result.predictions.loc[kinds == "image", "image_id"]) == cell.dataset.image_ids(cell.test_rows)
    assert Detection().score(result.predictions, cell.settings, result.headline) == dict(result.metrics)
    boxes = result.predictions[kinds == "prediction"]
    assert boxes["score"].between(0.005, 1).all()
    assert (boxes["x"] >= 0).all()
    assert (boxes["x"] + boxes["width"] <= 64).all()
    assert capfd.readouterr().out == ""
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in cell.backbone.state_dict().items())


def test_same_seed_same_numbers(make_cell: MakeCell) -> None:
    def run(seed: int) -> TaskResult:
        return Detection().run(make_cell("detection", seed=seed, max_steps=4, validate_every=2, score_threshold=1e-4))

    first, second, other = run(1), run(1), run(2)
    assert len(first.predictions) > 12 + 8
    assert first.predictions.equals(second.predictions)
    assert not first.predictions.equals(other.predictions)


def test_mixed_precision_says_nearly_the_same(make_cell: MakeCell) -> None:
    from vlpbench_tasks import openmm_detection

    losses = []
    for precision in ("float32", "bfloat16"):
        cell = make_cell("detection", precision=precision)
        settings: Any = cell.settings
        model = openmm_detection.build_detector(cell, settings)
        rows = cell.train_rows[:6]
        terms = model(cell.features.maps(rows), openmm_detection._samples(cell, rows), mode="loss")
        losses.append({name: sum(float(level.detach()) for level in levels) for name, levels in terms.items()})
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)


def test_validation_map_selects(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlpbench_tasks import openmm_detection

    values = iter([0.3, 0.1, 0.2])
    monkeypatch.setattr(openmm_detection, "score", lambda table, limit: {"map_40_75": next(values)})
    result = Detection().run(make_cell("detection", max_steps=6, validate_every=2))
    assert (result.selection["step"], result.selection["value"], result.selection["steps"]) == (2, 0.3, 6)


def test_largest_anchors_belong_to_the_coarsest_map(make_cell: MakeCell) -> None:
    from vlpbench_tasks.openmm_detection import build_detector

    cell = make_cell("detection")
    settings: Any = cell.settings
    model = build_detector(cell, settings)
    assert model.bbox_head.featmap_strides == (32, 16, 8)
    assert model.bbox_head.prior_generator.base_sizes[0][2] == pytest.approx((0.8966 * 64, 0.7837 * 64), abs=1e-3)
    shapes = [tuple(level.shape[1:]) for level in model.backbone(cell.features.maps(np.arange(1)))]
    assert shapes == [(128, 8, 8), (256, 4, 4), (512, 2, 2)]


def test_training_boxes_are_cut_at_the_border() -> None:
    from vlpbench_tasks.openmm_detection import _samples

    boxes = (Box("a", -5, 60, 10, 10), Box("b", 64, 0, 5, 5), Box("b", 3, 3, 0, 9), Box("b", 1, 2, 3, 4))
    dataset = SimpleNamespace(image_size=64, label_names=("a", "b"), boxes=lambda rows: [boxes, ()])
    cell: Any = SimpleNamespace(dataset=dataset, device=torch.device("cpu"))
    first, second = _samples(cell, np.arange(2))
    assert first.gt_instances.bboxes.tolist() == [[0, 60, 5, 64], [1, 2, 4, 6]]
    assert first.gt_instances.labels.tolist() == [0, 1]
    assert second.gt_instances.bboxes.shape == (0, 4)


def test_plain_transformer_is_refused_with_the_reason(make_cell: MakeCell) -> None:
    assert Detection().refuses(make_cell("detection").backbone.card) is None
    reason = Detection().refuses(make_cell("detection", arch="vit_tiny_patch16_224").backbone.card)
    assert reason == (
        "vit_tiny_patch16_224 offers feature maps of strides [16]; YOLOv3 needs maps of strides 8, 16 and 32."
    )


def test_fraction_without_box_is_refused(make_cell: MakeCell) -> None:
    with pytest.raises(VlpbenchError, match=r"none of the 2 images of the training fraction has a box of \['blob'\]"):
        Detection().run(make_cell("detection", rows=np.array([0, 3]), labels=("blob",)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [({"anchors": ((0.1, 0.1),)}, "1 anchors"), ({"headline": "map"}, "headline = 'map' is none of")],
)
def test_settings_that_do_not_fit_are_named(make_cell: MakeCell, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(VlpbenchError, match=message):
        Detection().run(make_cell("detection", **overrides))
