from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vlpbench.errors import VlpbenchError
from vlpbench.protocol import ClassificationSettings
from vlpbench_tasks.linear import Chosen, Features, fit_linear, masked_bce, softmax_cross_entropy

SETTINGS = ClassificationSettings(
    headline="macro",
    standardise=True,
    learning_rate=0.05,
    weight_decay=0.0,
    batch_size=4,
    max_epochs=3,
    patience=2,
    min_steps=0,
)


def some(seed: int, count: int = 8) -> Features:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 3, generator=generator)
    return Features(inputs, (inputs[:, :2] > 0).float())


def quiet(step: int, steps: int, note: str) -> None:
    pass


def fit(settings: ClassificationSettings, values: list[float], seed: int = 0) -> tuple[Chosen, list[Tensor]]:
    """Train with scripted validation losses; also return the weights at the end of every epoch."""
    seen: list[Tensor] = []
    left = iter(values)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return masked_bce(logits, targets)
        seen.append(logits.clone())
        return torch.tensor(next(left))

    return fit_linear(some(0), some(1), settings, loss=loss, seed=seed, report=quiet), seen


def test_epoch_with_the_lowest_validation_loss_is_kept() -> None:
    chosen, seen = fit(replace(SETTINGS, max_epochs=9), [0.9, 0.3, 0.5, 0.4])
    assert (chosen.step, chosen.value, chosen.steps) == (4, pytest.approx(0.3), 8)
    assert torch.equal(chosen.layer(some(1).inputs), seen[1])
    assert not torch.equal(seen[1], seen[3])


def test_patience_waits_for_the_first_steps() -> None:
    chosen, _ = fit(replace(SETTINGS, max_epochs=9, min_steps=8), [0.1] + [0.5] * 8)
    # two steps an epoch: the fourth epoch reaches 8 steps, patience counts it and the next
    assert chosen.steps == 10
    assert chosen.step == 2


def test_small_fraction_gets_its_steps() -> None:
    chosen, _ = fit(replace(SETTINGS, max_epochs=1, min_steps=11), [1.0 / n for n in range(1, 20)])
    assert chosen.steps == 12


def test_divergence_is_an_error() -> None:
    with pytest.raises(VlpbenchError, match="diverged"):
        fit(SETTINGS, [math.nan] * 3)


def test_same_seed_same_layer_and_global_generator_untouched() -> None:
    before = torch.get_rng_state()
    first, second, other = (
        fit_linear(some(0), some(1), SETTINGS, loss=masked_bce, seed=seed, report=quiet) for seed in (3, 3, 4)
    )
    assert torch.equal(first.layer.weight, second.layer.weight)
    assert not torch.equal(first.layer.weight, other.layer.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_losses_are_the_textbook_ones() -> None:
    logits = np.array([[0.3, -2.0], [1.5, 0.7], [-0.2, 4.0]])
    targets = np.array([[1.0, 0.0], [np.nan, 1.0], [0.0, np.nan]])
    share = 1 / (1 + np.exp(-logits))
    each = -(targets * np.log(share) + (1 - targets) * np.log(1 - share))
    assert masked_bce(torch.tensor(logits), torch.tensor(targets)).item() == pytest.approx(np.nanmean(each))
    assert masked_bce(torch.tensor(logits), torch.full((3, 2), torch.nan)).item() == 0

    exclusive = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    naive = -(exclusive * np.log(shares)).sum(axis=1).mean()
    assert softmax_cross_entropy(torch.tensor(logits), torch.tensor(exclusive)).item() == pytest.approx(naive)
