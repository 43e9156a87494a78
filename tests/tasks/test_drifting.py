from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vlpbench.task import Cell
from vlpbench_tasks.drifting import DriftingMaps
from vlpbench_tasks.openmm import Best

MakeCell = Callable[..., Cell]
MEAN = "encoder.model.bn1.running_mean"


class Holder(torch.nn.Module):
    """A model with a backbone slot and one trainable number."""

    def __init__(self, backbone: DriftingMaps) -> None:
        super().__init__()
        self.backbone = backbone
        self.number = torch.nn.Parameter(torch.zeros(1))


def images(seed: int) -> torch.Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) + seed


def test_statistics_drift_in_training_only_and_never_in_the_shared_encoder(make_cell: MakeCell) -> None:
    shared = make_cell("detection").backbone
    before = {name: value.clone() for name, value in shared.state_dict().items()}
    slot = DriftingMaps(shared, [2, 3, 4])
    assert not any(value.requires_grad for value in slot.parameters())
    slot.train()
    own = slot(images(3))
    moved = slot.state_dict()[MEAN].clone()
    assert not torch.equal(moved, before["model.bn1.running_mean"])
    # a training batch is normalised by its own statistics
    assert not torch.allclose(own[2], shared(images(3))[4], rtol=0.1)
    slot.eval()
    slot(images(5))
    assert torch.equal(slot.state_dict()[MEAN], moved)
    assert all(torch.equal(before[name], value) for name, value in shared.state_dict().items())
    assert not any(module.training for module in shared.modules())
    shared.train()
    assert not shared.training


def test_the_best_weights_restore_their_statistics(make_cell: MakeCell) -> None:
    model = Holder(DriftingMaps(make_cell("detection").backbone, [4]))
    best = Best(lower_is_better=True)
    states = []
    for step, value in enumerate((0.5, 0.2, 0.9), start=1):
        model.train()
        model.backbone(images(step))
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        best.offer(step, value, model)
    assert not torch.equal(states[1][f"backbone.{MEAN}"], states[2][f"backbone.{MEAN}"])
    best.restore(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_both_heads_take_the_slot_the_protocol_names(make_cell: MakeCell, task: str) -> None:
    from vlpbench_tasks import openmm_detection, openmm_segmentation

    build: Any = openmm_segmentation.build_segmentor if task == "segmentation" else openmm_detection.build_detector
    for statistics, drifts in (("frozen", False), ("drifting", True)):
        cell = make_cell(task, batchnorm=statistics)
        model = build(cell, cell.settings)
        assert isinstance(model.backbone, DriftingMaps) == model.backbone.drifts == drifts
        assert (model.backbone.encoder is cell.backbone) != drifts
