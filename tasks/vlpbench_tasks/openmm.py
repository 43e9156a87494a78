"""What the OpenMMLab models of all tasks share: the backbone slot, batches of frozen maps, and the training loop.

The loop is short on purpose. It takes MMEngine's `train_step` and `OptimWrapper`; MMEngine's Runner would seed every
global generator, move the model to the first GPU it sees, and keep an open log file and three registered singletons
per cell, and a process runs many.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from vlpbench.backbone import Backbone
from vlpbench.errors import VlpbenchError
from vlpbench.features import ENCODE_BATCH
from vlpbench.protocol import DetectionSettings, SegmentationSettings
from vlpbench.task import Cell
from vlpbench_tasks.schedule import plan_schedule, shuffle_epochs, shuffle_rows

Maps = tuple[Tensor, ...]
REPORT_EVERY = 10
BACKBONE_PREFIX = "backbone."


class FrozenMaps(nn.Module):
    """The backbone of an OpenMMLab model: passes maps that were computed before, and encodes images.

    Attributes:
        drifts: whether the encoder changes in training, so that no map can be computed before.
    """

    drifts = False

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

    def moving(self) -> frozenset[str]:
        """Names of its tensors that training changes."""
        return frozenset()


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


def stream_batches(
    cell: Cell, settings: SegmentationSettings | DetectionSettings, *, drifts: bool
) -> Iterator[tuple[Int[np.ndarray, " b"], Maps | UInt8[Tensor, "b h w"]]]:
    """Endless shuffled training batches with their maps, or with their images where maps would not stay the same.

    Args:
        cell: training rows and seed.
        settings: whether epochs count, and whether images are augmented.
        drifts: whether the encoder changes in training.
    """
    size = settings.batch_size
    if settings.max_epochs:
        order = shuffle_epochs(cell.train_rows, size, cell.seed, drop_last=settings.drop_last)
    else:
        order = shuffle_rows(cell.train_rows, size, cell.seed)
    if drifts or settings.augmentation != "none":
        return ((rows, torch.from_numpy(cell.dataset.images(rows)).to(cell.device)) for rows in order)
    return stream_maps(cell, order, size)


def stream_maps(
    cell: Cell, order: Iterator[Int[np.ndarray, " b"]], size: int
) -> Iterator[tuple[Int[np.ndarray, " b"], Maps]]:
    """Endless training batches of up to `size` rows with their maps."""
    # maps that are not cached are encoded in full batches, so small training batches share one
    together = 1 if cell.features.fits else max(1, ENCODE_BATCH // size)
    while True:
        batches = list(itertools.islice(order, together))
        maps = cell.features.maps(np.concatenate(batches))
        start = 0
        for rows in batches:
            yield rows, tuple(level[start : start + len(rows)] for level in maps)
            start += len(rows)


def walk_inputs(
    model: Any, cell: Cell, rows: Int[np.ndarray, " n"], size: int = ENCODE_BATCH
) -> Iterator[tuple[Int[np.ndarray, " b"], Maps | Float[Tensor, "b 3 h w"]]]:
    """The given rows once, in order, in batches of what the model takes: maps, or images where its encoder drifts."""
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        if model.backbone.drifts:
            yield batch, cell.backbone.normalise(torch.from_numpy(cell.dataset.images(batch)).to(cell.device))
        else:
            yield batch, cell.features.maps(batch)


def fit(
    model: Any,
    cell: Cell,
    settings: SegmentationSettings | DetectionSettings,
    *,
    collate: Callable[[Int[np.ndarray, " b"], Maps | UInt8[Tensor, "b h w"]], dict[str, Any]],
    look: Callable[[], float],
    lower_is_better: bool,
    ties: str = "last",
) -> Selected:
    """Train everything but the backbone with AdamW, and leave the model with the weights of the best look.

    A look is taken at the intervals of the schedule and after the last step. Patience counts looks that are not
    strictly better than the best before. What drifts in the backbone belongs to the weights.

    Args:
        model: an MMEngine `BaseModel` whose backbone is a `FrozenMaps`.
        cell: training rows, seed, device, working folder and progress.
        settings: optimiser, schedule and patience.
        collate: a batch as the model's `train_step` takes it.
        look: a number on the validation split.
        lower_is_better: whether the lowest look is the best, the first of equals, rather than the highest.
        ties: which of equal or undefined highest looks counts, the "last" or the "first".

    Raises:
        VlpbenchError: if the training loss, or every validation loss, is not finite.
    """
    parameters = [value for name, value in model.named_parameters() if not name.startswith(BACKBONE_PREFIX)]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    wrapper = OptimWrapper(optimiser)
    schedule = plan_schedule(settings, len(cell.train_rows))
    best = Best(lower_is_better, ties)
    log: list[tuple[int, float, float]] = []
    step = 0
    batches = stream_batches(cell, settings, drifts=model.backbone.drifts)
    for step, (rows, inputs) in zip(range(1, schedule.steps + 1), batches, strict=False):
        model.train()
        losses = model.train_step(collate(rows, inputs), wrapper)
        is_look = schedule.looks_at(step)
        if step % REPORT_EVERY == 0 or is_look:
            loss = float(losses["loss"].detach())
            _check(loss, step, cell)
            value = _look(model, look) if is_look else math.nan
            log.append((step, loss, value))
            cell.report(step, schedule.steps, f"loss {loss:.3f}")
            if is_look and best.offer(step, value, model) >= settings.patience:
                break
    best.restore(model)
    _write(cell, log)
    return Selected(best.step, best.value, step)


class Best:
    """The best look so far, with the weights it was taken of."""

    def __init__(self, lower_is_better: bool, ties: str = "last") -> None:
        """Start with nothing; `ties` says which of equal highest values is kept."""
        self.step = 0
        self.value = math.nan
        self._sign = -1.0 if lower_is_better else 1.0
        self._ties = not lower_is_better and ties == "last"
        self._takes_first = not lower_is_better and ties == "first"
        self._key = -math.inf
        self._stale = 0
        self._state: dict[str, Tensor] = {}

    def offer(self, step: int, value: float, model: Any) -> int:
        """Keep the weights if the value is the best; return how many looks ago it was last exceeded."""
        key = self._sign * value if math.isfinite(value) else -math.inf
        better = key > self._key or (self._takes_first and not self._state)
        self._stale = 0 if better else self._stale + 1
        if better or (self._ties and key == self._key):
            self.step, self.value, self._key = step, value, key
            moving = {BACKBONE_PREFIX + name for name in model.backbone.moving()}
            self._state = {
                name: tensor.clone()
                for name, tensor in model.state_dict().items()
                if not name.startswith(BACKBONE_PREFIX) or name in moving
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
