from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench.errors import VlpbenchError
from vlpbench.task import Cell
from vlpbench_tasks.openmm import FrozenMaps, Selected, compute_in, fit, stream_batches

MakeCell = Callable[..., Cell]


class Pixel(BaseModel):
    """One trainable number beside a frozen backbone."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__()
        self.backbone = FrozenMaps(encoder, [4])
        self.number = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Any, mode: str = "loss") -> dict[str, Tensor]:
        self.backbone(inputs)
        return {"loss": -self.number.sum()}


def run(cell: Cell, values: list[float], *, lower: bool, ties: str = "last") -> tuple[Pixel, Selected, list[float]]:
    """Fit with scripted looks; also the number at every look."""
    model = Pixel(cell.backbone)
    left, seen = iter(values), []

    def look() -> float:
        assert not model.training
        seen.append(model.number.item())
        return next(left)

    settings: Any = cell.settings
    selected = fit(
        model,
        cell,
        settings,
        collate=lambda rows, maps: {"inputs": maps},
        look=look,
        lower_is_better=lower,
        ties=ties,
    )
    return model, selected, seen


def test_lowest_look_is_kept_and_patience_ends_the_run(make_cell: MakeCell) -> None:
    cell = make_cell("segmentation", batch_size=4, max_steps=20, validate_every=2, patience=2)
    model, selected, seen = run(cell, [0.9, 0.4, 0.4, 0.5, 0.1], lower=True)
    assert (selected.step, selected.value, selected.steps) == (4, 0.4, 8)
    assert model.number.item() == seen[1]
    assert len(set(seen)) == 4
    log = (cell.workdir / "training.csv").read_text(encoding="utf-8").splitlines()
    assert log[0] == "step,loss,validation"
    assert [line.split(",")[0] for line in log[1:]] == ["2", "4", "6", "8"]


def test_last_of_equal_highest_looks_is_kept(make_cell: MakeCell) -> None:
    cell = make_cell("segmentation", batch_size=4, max_steps=7, validate_every=2, patience=9)
    model, selected, seen = run(cell, [math.nan, 0.0, 0.0, -0.5], lower=False)
    assert (selected.step, selected.steps) == (6 - 2 + 2, 7)
    assert model.number.item() == seen[2]
    _, selected, _ = run(cell, [math.nan] * 4, lower=False)
    assert selected.step == 7
    assert selected.describe("rule") == {"rule": "rule", "step": 7, "value": "undefined", "steps": 7}


def test_first_of_equal_highest_looks_is_kept_where_the_protocol_says_so(make_cell: MakeCell) -> None:
    cell = make_cell("segmentation", batch_size=4, max_steps=20, validate_every=2, patience=2)
    model, selected, seen = run(cell, [math.nan, math.nan, 0.0, 0.0, -1.0], lower=False, ties="first")
    assert (selected.step, selected.value, selected.steps) == (6, 0.0, 10)
    assert model.number.item() == seen[2]
    # an undefined first look is kept too, and patience counts from it
    _, selected, _ = run(cell, [math.nan] * 9, lower=False, ties="first")
    assert (selected.step, selected.steps) == (2, 6)


def test_epochs_and_steps_both_end_a_run(make_cell: MakeCell) -> None:
    epochs = {"batch_size": 8, "validate_every_epochs": 2, "max_epochs": 5, "drop_last": True}
    # 36 images: four whole batches an epoch
    _, selected, seen = run(make_cell("segmentation", max_steps=0, **epochs), [0.5, 0.4, 0.3], lower=True)
    assert (selected.steps, len(seen), selected.step) == (20, 3, 20)
    _, selected, seen = run(make_cell("segmentation", max_steps=10, **epochs), [0.5, 0.4], lower=True)
    assert (selected.steps, len(seen)) == (10, 2)


def test_no_finite_validation_loss_is_an_error(make_cell: MakeCell) -> None:
    cell = make_cell("segmentation", batch_size=4, max_steps=2, validate_every=1)
    with pytest.raises(VlpbenchError, match="No look at the validation split"):
        run(cell, [math.nan, math.inf], lower=True)


def test_divergence_is_an_error(make_cell: MakeCell) -> None:
    cell = make_cell("segmentation", batch_size=4, max_steps=2, validate_every=1, learning_rate=math.inf)
    with pytest.raises(VlpbenchError, match="'blobs' diverged: its loss at step 2 is"):
        run(cell, [1.0, 1.0], lower=True)


def test_maps_are_those_of_the_rows_with_and_without_a_cache(make_cell: MakeCell) -> None:
    cells = [make_cell("segmentation", cache_gb=gigabytes, batch_size=6) for gigabytes in (1.0, 0.0)]
    streams: list[Any] = [stream_batches(cell, cell.settings, drifts=False) for cell in cells]  # type: ignore[arg-type]
    cell = cells[0]
    for _ in range(12):
        (rows, maps), (same, computed) = next(streams[0]), next(streams[1])
        assert np.array_equal(rows, same)
        for level, other, right in zip(maps, computed, cell.features.maps(rows), strict=True):
            assert torch.equal(level, right)
            torch.testing.assert_close(other, right)


def test_batches_of_an_epoch_have_their_maps_with_and_without_a_cache(make_cell: MakeCell) -> None:
    short = {"batch_size": 10, "max_epochs": 2, "rows": np.arange(23)}
    for gigabytes in (1.0, 0.0):
        cell = make_cell("segmentation", cache_gb=gigabytes, **short)
        stream: Any = stream_batches(cell, cell.settings, drifts=False)  # type: ignore[arg-type]
        batches = [next(stream) for _ in range(7)]
        assert [len(rows) for rows, _ in batches] == [10, 10, 3, 10, 10, 3, 10]
        for rows, maps in batches:
            torch.testing.assert_close(maps[4], cell.features.maps(rows)[4])


@pytest.mark.parametrize("changed", [{"augmentation": "scale and rotate"}, {}])
def test_images_are_handed_out_where_maps_would_not_stay_the_same(make_cell: MakeCell, changed: dict[str, str]) -> None:
    cell = make_cell("segmentation", **changed)
    stream: Any = stream_batches(cell, cell.settings, drifts=not changed)  # type: ignore[arg-type]
    rows, images = next(stream)
    assert torch.equal(images, torch.from_numpy(cell.dataset.images(rows)))


def test_backbone_slot_passes_maps_and_encodes_images(make_cell: MakeCell) -> None:
    cell = make_cell("detection")
    slot = FrozenMaps(cell.backbone, [2, 4])
    rows = np.arange(3)
    maps = cell.features.maps(rows)
    passed = slot(maps)
    assert [level.data_ptr() for level in passed] == [maps[2].data_ptr(), maps[4].data_ptr()]
    images = cell.backbone.normalise(torch.from_numpy(cell.dataset.images(rows)))
    for encoded, cached in zip(slot(images), passed, strict=True):
        torch.testing.assert_close(encoded, cached, rtol=1e-3, atol=1e-4)


def test_encoder_stays_in_evaluation_mode_even_if_nobody_froze_it() -> None:
    slot = FrozenMaps(Backbone("resnet18", Preprocessing(64)), [4])
    slot.train()
    assert slot.training
    assert not any(module.training for module in slot.encoder.modules())


class Nested(nn.Module):
    """Hands out what it is given, in a tuple of a tuple, as MMDetection's heads do, and notes the type it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.computed: list[torch.dtype] = []

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], ...]:
        outputs = tuple(self.layer(level) for level in inputs)
        self.computed.extend(output.dtype for output in outputs)
        return (outputs,)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_head_computes_in_its_precision_and_hands_out_float32(precision: torch.dtype) -> None:
    module, inputs = Nested(), (torch.randn(4, 3), torch.randn(2, 3))
    (plain,) = module(inputs)
    module.computed.clear()
    compute_in(module, precision)
    (outputs,) = module(inputs)
    assert module.computed == [precision, precision]
    for output, expected in zip(outputs, plain, strict=True):
        assert output.dtype == torch.float32
        torch.testing.assert_close(output, expected, atol=2e-2, rtol=2e-2)
    outputs[0].sum().backward()
    assert module.layer.weight.grad is not None
    assert module.layer.weight.grad.dtype == torch.float32
