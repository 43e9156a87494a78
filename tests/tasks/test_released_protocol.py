"""The three tasks under the protocol `mgca`, with its schedule cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vlpbench.errors import VlpbenchError
from vlpbench.plan import open_task
from vlpbench.protocol import load_protocol
from vlpbench.task import Cell, TaskResult
from vlpbench_tasks.augmented_features import AugmentedFeatures, pool_centres
from vlpbench_tasks.classification import Classification
from vlpbench_tasks.detection import Detection
from vlpbench_tasks.segmentation import Segmentation

MakeCell = Callable[..., Cell]
HEADLINES = {"classification": "auroc", "segmentation": "dice_batch_mean", "detection": "map_released"}


@pytest.mark.parametrize("task", HEADLINES)
def test_a_task_runs_as_released_and_leaves_the_backbone_as_it_was(make_cell: MakeCell, task: str) -> None:
    cell = make_cell(task, protocol="mgca", labels=("blob",))
    before = {name: value.clone() for name, value in cell.backbone.state_dict().items()}
    state = torch.get_rng_state()

    def run() -> TaskResult:
        return open_task(task).run(cell)

    result, again = run(), run()
    assert result.headline == HEADLINES[task]
    # two epochs: of 36 images, 12 or 8 a batch
    assert result.selection["steps"] == {"classification": 6}.get(task, 8)
    assert int(result.selection["step"]) % {"classification": 3}.get(task, 4) == 0
    assert result.predictions.equals(again.predictions)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in cell.backbone.state_dict().items())
    # no metric that the other protocol lacks
    assert set(result.metrics) == set(open_task(task).run(make_cell(task, labels=("blob",), **_one_step(task))).metrics)


def _one_step(task: str) -> dict[str, Any]:
    return {"max_epochs": 1, "min_steps": 0} if task == "classification" else {"max_steps": 1, "validate_every": 1}


def test_blobs_are_told_from_noise_by_crops(make_cell: MakeCell) -> None:
    result = Classification().run(make_cell("classification", protocol="mgca", labels=("blob",), max_epochs=8))
    assert result.metrics["auroc_blob"] > 0.75


def test_training_images_change_while_the_others_stay(make_cell: MakeCell) -> None:
    cell = make_cell("classification", protocol="mgca", labels=("blob",))
    features = AugmentedFeatures(cell, "crop", torch.zeros(36, 1))
    assert features.width == 512
    positions = torch.arange(6)
    first, second = features.take(positions), features.take(positions)
    assert first.shape == (6, 512)
    assert not torch.equal(first, second)
    assert torch.equal(AugmentedFeatures(cell, "crop", torch.zeros(36, 1)).take(positions), first)
    assert not torch.equal(AugmentedFeatures(cell, "moco", torch.zeros(36, 1)).take(positions), first)
    centres = pool_centres(cell, cell.train_rows[:6])
    assert torch.equal(centres, pool_centres(cell, cell.train_rows[:6]))
    assert not torch.equal(centres, torch.from_numpy(cell.features.pooled(cell.train_rows[:6])))


def test_standardising_what_changes_is_refused(make_cell: MakeCell) -> None:
    with pytest.raises(VlpbenchError, match="standardise = true goes with augmentation = 'none' only"):
        Classification().run(make_cell("classification", protocol="mgca", labels=("blob",), standardise=True))


@pytest.mark.parametrize("rows", [[1, 2, 4], [0, 3, 6]])
@pytest.mark.parametrize("task", [Classification, Segmentation, Detection])
def test_a_uniform_fraction_is_taken_as_it_falls(make_cell: MakeCell, task: type[Any], rows: list[int]) -> None:
    name = task.__name__.lower()
    short = {"max_epochs": 1}
    cell = make_cell(name, protocol="mgca", labels=("blob",), rows=np.array(rows), **short)
    assert len(task().run(cell).predictions) >= 12


def test_a_label_that_is_known_nowhere_is_refused(make_cell: MakeCell) -> None:
    with pytest.raises(VlpbenchError, match="0 positive and 0 negative"):
        Classification().run(make_cell("classification", protocol="mgca", labels=("odd",), rows=np.array([0, 5])))


def test_the_validation_loss_is_of_whole_batches(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlpbench_tasks import openmm_segmentation

    walked: list[tuple[list[int], int]] = []
    walk = openmm_segmentation.walk_inputs

    def note(model: Any, cell: Cell, rows: np.ndarray, size: int = 64) -> Any:
        walked.append((rows.tolist(), size))
        return walk(model, cell, rows, size)

    monkeypatch.setattr(openmm_segmentation, "walk_inputs", note)
    cell = make_cell("segmentation", protocol="mgca", max_epochs=1)
    Segmentation().run(cell)
    # 12 validation images in batches of 8; all 12 test images
    assert walked == [(cell.val_rows[:8].tolist(), 8), (cell.test_rows.tolist(), 64)]
    whole = make_cell("classification", protocol="mgca", labels=("blob",), batch_size=5)
    settings: Any = whole.settings
    from vlpbench_tasks.classification import _features

    train, val, test = _features(whole, settings)
    assert [len(part.targets) for part in (train, val, test)] == [36, 10, 12]


def test_detection_is_selected_on_the_released_map(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlpbench_tasks import openmm_detection

    values = iter([0.4, 0.4])
    monkeypatch.setattr(openmm_detection, "score", lambda table, limit: {"map_released": next(values)})
    result = Detection().run(make_cell("detection", protocol="mgca"))
    rule = "highest validation map_released, the first of equals"
    assert dict(result.selection) == {"rule": rule, "step": 4, "value": 0.4, "steps": 8}


def test_settings_with_amendments_are_no_settings_of_a_cell(make_cell: MakeCell) -> None:
    cell = make_cell("segmentation")
    object.__setattr__(cell, "settings", load_protocol("mgca").for_task("segmentation"))
    with pytest.raises(TypeError, match=r"vlpbench\.settings\.amend"):
        cell.__post_init__()


def test_masks_are_moved_with_their_images(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlpbench_tasks import openmm_segmentation

    calls: list[tuple[int, ...]] = []

    def note(images: torch.Tensor, masks: torch.Tensor, generator: np.random.Generator) -> Any:
        calls.append((len(images), int(generator.integers(1000))))
        return images, torch.zeros_like(masks)

    monkeypatch.setattr(openmm_segmentation, "scale_and_rotate", note)
    result = Segmentation().run(make_cell("segmentation", protocol="mgca", max_epochs=6, max_steps=20))
    assert [count for count, _ in calls] == [8] * 20
    assert len({draw for _, draw in calls}) > 10
    # taught on empty masks alone, it predicts nothing
    assert result.counts["test_images_predicted_positive"] == 0
