from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vlpbench.backbone import Backbone, BackboneCard, Preprocessing
from vlpbench.data.source import IGNORED
from vlpbench.errors import VlpbenchError
from vlpbench.task import Cell, TaskResult
from vlpbench_tasks.segmentation import Segmentation

MakeCell = Callable[..., Cell]


def card(*strides: int) -> BackboneCard:
    return BackboneCard("some", Preprocessing(64), (8,) * len(strides), strides, 8)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_blobs_are_outlined_and_the_backbone_stays_as_it_was(make_cell: MakeCell, precision: str) -> None:
    cell = make_cell("segmentation", precision=precision)
    before = {name: value.clone() for name, value in cell.backbone.state_dict().items()}
    state = torch.get_rng_state()
    notes: list[tuple[int, int]] = []
    object.__setattr__(cell, "report", lambda step, steps, note: notes.append((step, steps)))
    result = Segmentation().run(cell)
    assert result.metrics["dice_positive"] > 0.8
    assert set(result.metrics) == set(Segmentation.card.metrics)
    assert result.headline == "dice_positive"
    assert result.floors["always_empty"]["dice_empty_one"] == pytest.approx(4 / 12)
    assert result.counts["test_images_positive"] == 8
    assert result.counts["train_images_positive"] == 24
    assert result.selection["rule"] == "lowest validation loss"
    assert notes == [(10, 40), (20, 40), (30, 40), (40, 40)]
    assert list(result.predictions["image_id"]) == cell.dataset.image_ids(cell.test_rows)
    assert Segmentation().score(result.predictions, cell.settings, result.headline) == dict(result.metrics)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in cell.backbone.state_dict().items())


def test_same_seed_same_numbers(make_cell: MakeCell) -> None:
    def run(seed: int) -> TaskResult:
        return Segmentation().run(make_cell("segmentation", seed=seed, max_steps=4, validate_every=2))

    first, second, other = run(1), run(1), run(2)
    assert first.predictions.equals(second.predictions)
    assert dict(first.selection) == dict(second.selection)
    assert first.selection["value"] != other.selection["value"]


@pytest.mark.parametrize("arch", ["resnet18", "vit_tiny_patch16_224"])
def test_mixed_precision_says_nearly_the_same(make_cell: MakeCell, arch: str) -> None:
    from vlpbench_tasks import openmm_segmentation

    losses = []
    for precision in ("float32", "bfloat16"):
        cell = make_cell("segmentation", arch=arch, precision=precision)
        settings: Any = cell.settings
        model = openmm_segmentation.build_segmentor(cell, settings)
        rows = cell.train_rows[:6]
        terms = model(cell.features.maps(rows), openmm_segmentation._samples(cell, rows), mode="loss")
        losses.append({name: float(term.detach()) for name, term in terms.items()})
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_plain_transformer_is_decoded(make_cell: MakeCell) -> None:
    result = Segmentation().run(make_cell("segmentation", arch="vit_tiny_patch16_224"))
    assert result.metrics["dice_positive"] > result.floors["always_full"]["dice_positive"]


def test_pyramid_that_begins_at_stride_4_is_decoded(make_cell: MakeCell) -> None:
    cell = make_cell("segmentation", arch="convnext_atto", max_steps=2, validate_every=2)
    assert cell.backbone.strides == (4, 8, 16, 32)
    assert len(Segmentation().run(cell).predictions) == 12


def test_maps_need_no_cache(make_cell: MakeCell) -> None:
    results = [
        Segmentation().run(make_cell("segmentation", cache_gb=gigabytes, max_steps=4, validate_every=4))
        for gigabytes in (1.0, 0.0)
    ]
    assert results[0].selection["value"] == pytest.approx(results[1].selection["value"], rel=1e-4)


def test_ignored_pixels_change_nothing(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlpbench_tasks import openmm_segmentation

    def loss(cell: Cell) -> float:
        model = openmm_segmentation.build_segmentor(cell, cell.settings)
        rows = cell.train_rows[:4]
        samples = openmm_segmentation._samples(cell, rows)
        # the head answers the same everywhere, so only the targets matter
        monkeypatch.setattr(model.decode_head, "forward", lambda maps: logits)
        return float(sum(model(cell.features.maps(rows), samples, mode="loss").values()))

    cell = make_cell("segmentation")
    logits = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    before = loss(cell)
    logits[:, :, :2] += 100
    assert loss(cell) == pytest.approx(before, rel=1e-6)
    logits[:, :, 2] += 100
    assert loss(cell) != pytest.approx(before, rel=1e-3)


def test_losses_are_the_textbook_ones() -> None:
    from vlpbench_tasks.openmm_segmentation import DiceLoss, FocalLoss

    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 1, 6, 6))
    target = rng.integers(0, 2, (2, 6, 6))
    target[0, 0] = IGNORED
    counted = target != IGNORED
    probability, truth = (1 / (1 + np.exp(-logits[:, 0])))[counted], target[counted]
    right = np.where(truth == 1, probability, 1 - probability)
    focal = 10 * np.mean(-((1 - right) ** 2) * np.log(right))
    dice = 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
    inputs, targets = torch.tensor(logits), torch.tensor(target)
    assert FocalLoss(2.0, 10.0)(inputs, targets).item() == pytest.approx(focal)
    assert DiceLoss()(inputs, targets).item() == pytest.approx(dice)
    nothing = torch.full((2, 6, 6), IGNORED)
    assert FocalLoss(2.0, 10.0)(inputs, nothing).item() == 0
    assert DiceLoss()(inputs, nothing).item() == 0


def test_the_released_dice_term_is_the_one_counted_pixel_by_pixel() -> None:
    from vlpbench_tasks.log_dice import LogDiceLoss

    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 1, 5, 4))
    targets = [rng.integers(0, 2, (3, 5, 4)), np.zeros((3, 5, 4), dtype=np.int64)]
    for target in targets:
        target[1, 2:] = IGNORED
        overlap = share = truth = 0.0
        for place in np.ndindex(3, 5, 4):
            if target[place] == IGNORED:
                continue
            probability = 1 / (1 + math.exp(-logits[place[0], 0, place[1], place[2]]))
            overlap += probability * float(target[place])
            share += probability
            truth += float(target[place])
        expected = -math.log((2 * overlap + 1) / (share + truth + 1))
        assert expected > 0.1
        assert LogDiceLoss()(torch.tensor(logits), torch.tensor(target)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("word", "name"), [("one minus", "DiceLoss"), ("minus log", "LogDiceLoss")])
def test_the_protocol_names_the_dice_term(make_cell: MakeCell, word: str, name: str) -> None:
    from vlpbench_tasks.openmm_segmentation import build_segmentor

    cell = make_cell("segmentation", dice_loss=word)
    settings: Any = cell.settings
    losses = build_segmentor(cell, settings).decode_head.loss_decode
    assert [type(loss).__name__ for loss in losses] == ["FocalLoss", name]


def test_batch_norm_and_parameters_of_the_backbone_are_out_of_reach(make_cell: MakeCell) -> None:
    from vlpbench_tasks.openmm_segmentation import build_segmentor

    cell = make_cell("segmentation")
    settings: Any = cell.settings
    model = build_segmentor(cell, settings).train()
    trainable = {name.partition(".")[0] for name, value in model.named_parameters() if value.requires_grad}
    assert trainable == {"decode_head"}
    encoder: Backbone = model.backbone.encoder
    assert not any(module.training for module in encoder.modules())


def test_strides_that_cannot_be_decoded_are_refused() -> None:
    for strides in ((2, 4, 8, 16, 32), (4, 8, 16, 32), (16, 16, 16, 16)):
        assert Segmentation().refuses(card(*strides)) is None
    assert "strides [2, 4, 8]" in str(Segmentation().refuses(card(2, 4, 8)))


def test_fraction_without_foreground_is_refused(make_cell: MakeCell) -> None:
    with pytest.raises(VlpbenchError, match="none of the 2 images of the training fraction has a foreground pixel"):
        Segmentation().run(make_cell("segmentation", rows=np.array([0, 3])))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [({"decoder_channels": (8, 8, 8)}, "5 doublings"), ({"headline": "dice"}, "headline = 'dice' is none of")],
)
def test_settings_that_do_not_fit_are_named(make_cell: MakeCell, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(VlpbenchError, match=message):
        Segmentation().run(make_cell("segmentation", **overrides))
