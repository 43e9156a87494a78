"""A linear layer on frozen pooled features, trained with early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vlpbench.errors import VlpbenchError
from vlpbench.protocol import ClassificationSettings
from vlpbench.task import Report
from vlpbench_tasks.schedule import batches_of

Loss = Callable[[Tensor, Tensor], Tensor]
REPORT_EVERY = 10


class Examples(Protocol):
    """Training images: features that may differ each time they are taken, and what they should be classified as."""

    @property
    def targets(self) -> Float[Tensor, "n classes"]:
        """0, 1, or NaN where unknown, on the device."""
        ...

    @property
    def width(self) -> int:
        """Numbers a feature has."""
        ...

    def take(self, positions: Int[Tensor, " b"]) -> Float[Tensor, "b features"]:
        """Features of the images at these positions."""
        ...


@dataclass(frozen=True)
class Features:
    """Features of some images with what they should be classified as.

    Attributes:
        inputs: one feature a row, standardised if the protocol says so.
        targets: 0, 1, or NaN where unknown.
    """

    inputs: Float[Tensor, "n features"]
    targets: Float[Tensor, "n classes"]

    @property
    def width(self) -> int:
        """Numbers a feature has."""
        return self.inputs.shape[1]

    def take(self, positions: Int[Tensor, " b"]) -> Float[Tensor, "b features"]:
        """Features of the images at these positions."""
        return self.inputs[positions]


@dataclass(frozen=True)
class Chosen:
    """The epoch that was kept.

    Attributes:
        layer: with the weights of that epoch.
        step: optimiser steps up to it.
        value: its validation loss.
        steps: optimiser steps in all.
    """

    layer: nn.Linear
    step: int
    value: float
    steps: int


def masked_bce(logits: Float[Tensor, "n classes"], targets: Float[Tensor, "n classes"]) -> Float[Tensor, ""]:
    """Binary cross-entropy, mean over the known labels; 0 where none is known."""
    known = ~targets.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(logits, targets.nan_to_num(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def softmax_cross_entropy(logits: Float[Tensor, "n classes"], targets: Float[Tensor, "n classes"]) -> Float[Tensor, ""]:
    """Cross-entropy over exclusive classes, mean over images."""
    return nn.functional.cross_entropy(logits, targets)


def fit_linear(
    train: Examples, val: Features, settings: ClassificationSettings, *, loss: Loss, seed: int, report: Report
) -> Chosen:
    """Train with AdamW; keep the epoch with the lowest validation loss.

    Patience counts only after `min_steps`; where `max_epochs` of a small fraction are fewer steps than that, there
    are more epochs. The procedure (constant rate, no hidden layer) is that of MGCA,
    mgca/models/ssl_finetuner.py:18-19, 105-137. With `drop_last`, an epoch has whole batches only, or one that is not.

    Raises:
        VlpbenchError: if no epoch has a finite validation loss.
    """
    generator = torch.Generator().manual_seed(seed)
    count, device = len(train.targets), train.targets.device
    layer = _layer(train.width, train.targets.shape[1], seed).to(device)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    per_epoch = batches_of(count, settings.batch_size, drop_last=settings.drop_last)
    epochs = max(settings.max_epochs, math.ceil(settings.min_steps / per_epoch))
    best: tuple[float, int, dict[str, Tensor]] = (math.inf, 0, {})
    stale = step = 0
    for _ in range(epochs):
        order = torch.randperm(count, generator=generator).to(device)
        for rows in torch.split(order, settings.batch_size)[:per_epoch]:
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss(layer(train.take(rows)), train.targets[rows]))
            optimiser.step()
            step += 1
        with torch.no_grad():
            value = float(loss(layer(val.inputs), val.targets))
        improved = value < best[0]
        if improved:
            best = (value, step, {name: tensor.clone() for name, tensor in layer.state_dict().items()})
        stale = 0 if improved or step < settings.min_steps else stale + 1
        if step % REPORT_EVERY < per_epoch:
            report(step, epochs * per_epoch, f"validation loss {value:.4f}")
        if stale >= settings.patience:
            break
    if not best[2]:
        raise VlpbenchError(
            "The linear layer diverged: no epoch has a finite validation loss. Look for NaN in the features of the "
            "backbone, "
            "or lower learning_rate of [classification]."
        )
    layer.load_state_dict(best[2])
    return Chosen(layer, best[1], best[0], step)


def _layer(features: int, classes: int, seed: int) -> nn.Linear:
    """A fresh layer, the same for the same seed, with the global generator left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(features, classes)
