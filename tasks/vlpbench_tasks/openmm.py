"""What the OpenMMLab models of all tasks share: the backbone slot, batches of frozen maps, and the training loop.

The loop is short on purpose. It takes MMEngine's `train_step` and `OptimWrapper`; MMEngine's Runner would seed every
global generator, move the model to the first GPU it sees, and keep an open log file and three registered singletons
per cell, and a process runs many.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from vlpbench.backbone import Backbone
from vlpbench.errors import VlpbenchError
from vlpbench.features import ENCODE_BATCH
from vlpbench.protocol import DetectionSettings, SegmentationSettings
from vlpbench.task import Cell

Maps = tuple[Tensor, ...]
REPORT_EVERY = 10
BACKBONE_PREFIX = "backbone."


class FrozenMaps(nn.Module):
    """The backbone of an OpenMMLab model: passes maps that were computed before, and encodes images."""

    def __init__(self, encoder: Backbone, levels: Sequence[int]) -> None:
        """Keep the frozen encoder and the positions of the maps that the neck or head wants."""
        super().__init__()
        self.encoder = encoder
        self.levels = tuple(levels)

    def forward(self, inputs: Float[Tensor, "b 3 h w"] | Maps) -> Maps:
        """Chosen maps of normalised images, or of all the maps of some images."""
        if isinstance(inputs, Tensor):
            with torch.no_grad():
                inputs = self.encoder(inputs)
        return tuple(inputs[level] for level in self.levels)

    def train(self, mode: bool = True) -> FrozenMaps:
        """Leave the encoder in evaluation mode: BatchNorm statistics are frozen too."""
        super().train(mode)
        self.encoder.eval()
        return self


def compute_in(module: nn.Module, precision: torch.dtype) -> None:
    """Let a neck or head compute in mixed precision, and hand out float32 whatever it computes in.

    Its losses, called outside of its `forward`, stay in float32.
    """
    if precision == torch.float32:
        return
    plain = module.forward

    def forward(inputs: Maps) -> Any:
        with torch.autocast(inputs[0].device.type, precision):
            return _widened(plain(inputs))

    module.forward = forward


def _widened(outputs: Any) -> Any:
    return outputs.float() if isinstance(outputs, Tensor) else tuple(_widened(output) for output in outputs)


@dataclass(frozen=True)
class Selected:
    """The look at the validation split that was kept; the model holds its weights.

    Attributes:
        step: optimiser steps up to it.
        value: what was looked at; NaN where it was undefined at every look.
        steps: optimiser steps in all.
    """

    step: int
    value: float
    steps: int

    def describe(self, rule: str) -> dict[str, str | int | float]:
        """For the record: the rule, the step it chose, its value and the steps taken."""
        value: str | float = self.value if math.isfinite(self.value) else "undefined"
        return {"rule": rule, "step": self.step, "value": value, "steps": self.steps}


def shuffle_rows(rows: Int[np.ndarray, " n"], size: int, seed: int) -> Iterator[Int[np.ndarray, " size"]]:
    """Endless batches of one size; every row once, in a new order, before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    waiting = np.empty(0, dtype=rows.dtype)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rows[torch.randperm(len(rows), generator=generator).numpy()]])
        yield waiting[:size]
        waiting = waiting[size:]


def stream_maps(cell: Cell, size: int) -> Iterator[tuple[Int[np.ndarray, " size"], Maps]]:
    """Endless shuffled training batches with their maps."""
    order = shuffle_rows(cell.train_rows, size, cell.seed)
    # maps that are not cached are encoded in full batches, so small training batches share one
    together = 1 if cell.features.fits else max(1, ENCODE_BATCH // size)
    while True:
        batches = [next(order) for _ in range(together)]
        maps = cell.features.maps(np.concatenate(batches))
        for position, rows in enumerate(batches):
            yield rows, tuple(level[position * size : (position + 1) * size] for level in maps)


def walk_maps(cell: Cell, rows: Int[np.ndarray, " n"]) -> Iterator[tuple[Int[np.ndarray, " b"], Maps]]:
    """The given rows once, in order, in batches with their maps."""
    for start in range(0, len(rows), ENCODE_BATCH):
        batch = rows[start : start + ENCODE_BATCH]
        yield batch, cell.features.maps(batch)


def fit(
    model: Any,
    cell: Cell,
    settings: SegmentationSettings | DetectionSettings,
    *,
    collate: Callable[[Int[np.ndarray, " b"], Maps], dict[str, Any]],
    look: Callable[[], float],
    lower_is_better: bool,
) -> Selected:
    """Train everything but the backbone with AdamW, and leave the model with the weights of the best look.

    A look is taken every `validate_every` steps and after the last one. Among equal or undefined highest values the
    last counts; patience counts looks that are not strictly better than the best before.

    Args:
        model: an MMEngine `BaseModel` whose backbone is a `FrozenMaps`.
        cell: training rows, seed, device, working folder and progress.
        settings: optimiser, schedule and patience.
        collate: a batch as the model's `train_step` takes it.
        look: a number on the validation split.
        lower_is_better: whether the lowest look is the best, rather than the highest.

    Raises:
        VlpbenchError: if the training loss, or every validation loss, is not finite.
    """
    parameters = [value for name, value in model.named_parameters() if not name.startswith(BACKBONE_PREFIX)]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    wrapper = OptimWrapper(optimiser)
    best = Best(lower_is_better)
    log: list[tuple[int, float, float]] = []
    step = 0
    for step, (rows, maps) in zip(
        range(1, settings.max_steps + 1), stream_maps(cell, settings.batch_size), strict=False
    ):
        model.train()
        losses = model.train_step(collate(rows, maps), wrapper)
        is_look = step % settings.validate_every == 0 or step == settings.max_steps
        if step % REPORT_EVERY == 0 or is_look:
            loss = float(losses["loss"].detach())
            _check(loss, step, cell)
            value = _look(model, look) if is_look else math.nan
            log.append((step, loss, value))
            cell.report(step, settings.max_steps, f"loss {loss:.3f}")
            if is_look and best.offer(step, value, model) >= settings.patience:
                break
    best.restore(model)
    _write(cell, log)
    return Selected(best.step, best.value, step)


class Best:
    """The best look so far, with the weights it was taken of."""

    def __init__(self, lower_is_better: bool) -> None:
        """Start with nothing."""
        self.step = 0
        self.value = math.nan
        self._sign = -1.0 if lower_is_better else 1.0
        self._ties = not lower_is_better
        self._key = -math.inf
        self._stale = 0
        self._state: dict[str, Tensor] = {}

    def offer(self, step: int, value: float, model: nn.Module) -> int:
        """Keep the weights if the value is the best; return how many looks ago it was last exceeded."""
        key = self._sign * value if math.isfinite(value) else -math.inf
        self._stale = 0 if key > self._key else self._stale + 1
        if key > self._key or (self._ties and key == self._key):
            self.step, self.value, self._key = step, value, key
            state = model.state_dict()
            self._state = {
                name: tensor.clone() for name, tensor in state.items() if not name.startswith(BACKBONE_PREFIX)
            }
        return self._stale

    def restore(self, model: nn.Module) -> None:
        """Give the model the weights that were kept.

        Raises:
            VlpbenchError: if no look was finite.
        """
        if not self._state:
            raise VlpbenchError(
                "No look at the validation split gave a finite loss; lower learning_rate of the protocol."
            )
        model.load_state_dict(self._state, strict=False)


def _look(model: nn.Module, look: Callable[[], float]) -> float:
    model.eval()
    with torch.no_grad():
        return look()


def _check(loss: float, step: int, cell: Cell) -> None:
    if not math.isfinite(loss):
        raise VlpbenchError(
            f"The {cell.dataset.pair.task} head on {cell.dataset.name!r} diverged: its loss at step {step} is {loss}. "
            "Look for NaN in the features of the backbone, or lower learning_rate of the protocol."
        )


def _write(cell: Cell, log: Sequence[tuple[int, float, float]]) -> None:
    cell.workdir.mkdir(parents=True, exist_ok=True)
    with (cell.workdir / "training.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "loss", "validation"])
        writer.writerows((step, loss, "" if math.isnan(value) else value) for step, loss, value in log)
