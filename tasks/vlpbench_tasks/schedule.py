"""When training ends and when it looks at the validation split, in steps or in passes over the training fraction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from vlpbench.errors import VlpbenchError
from vlpbench.protocol import DetectionSettings, SegmentationSettings


@dataclass(frozen=True)
class Schedule:
    """Steps of one training run.

    Attributes:
        steps: at most.
        look_every: steps between two looks at the validation split; another is taken after the last step.
    """

    steps: int
    look_every: int

    def looks_at(self, step: int) -> bool:
        """Whether the validation split is looked at after this step, counted from 1."""
        return step % self.look_every == 0 or step == self.steps


def plan_schedule(settings: SegmentationSettings | DetectionSettings, count: int) -> Schedule:
    """The schedule of a protocol for a training fraction of `count` images.

    With `max_epochs`, training ends with the last epoch, or after `max_steps` where these are fewer and not 0.

    Raises:
        VlpbenchError: where neither steps nor epochs are limited, or no interval between looks is given.
    """
    per_epoch = batches_of(count, settings.batch_size, drop_last=settings.drop_last)
    limits = [limit for limit in (settings.max_steps, settings.max_epochs * per_epoch) if limit > 0]
    look_every = settings.validate_every_epochs * per_epoch or settings.validate_every
    if not limits or look_every < 1:
        raise VlpbenchError(
            f"max_steps = {settings.max_steps}, max_epochs = {settings.max_epochs}, validate_every = "
            f"{settings.validate_every}, validate_every_epochs = {settings.validate_every_epochs}: one of each two has "
            "to be positive."
        )
    return Schedule(min(limits), look_every)


def batches_of(count: int, size: int, *, drop_last: bool) -> int:
    """Batches an epoch: whole ones only where the last is dropped, but at least one, however small."""
    return max(1, count // size) if drop_last else math.ceil(count / size)


def whole_batches(rows: Int[np.ndarray, " n"], size: int) -> Int[np.ndarray, " kept"]:
    """The first rows, as many as fill whole batches; all of them where they do not fill one.

    A released loader that drops its last batch would hold nothing then, and there would be nothing to select on.
    """
    return rows[: len(rows) // size * size] if len(rows) >= size else rows


def shuffle_rows(rows: Int[np.ndarray, " n"], size: int, seed: int) -> Iterator[Int[np.ndarray, " size"]]:
    """Endless batches of one size; every row once, in a new order, before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    waiting = np.empty(0, dtype=rows.dtype)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rows[torch.randperm(len(rows), generator=generator).numpy()]])
        yield waiting[:size]
        waiting = waiting[size:]


def shuffle_epochs(
    rows: Int[np.ndarray, " n"], size: int, seed: int, *, drop_last: bool
) -> Iterator[Int[np.ndarray, " _b"]]:
    """Endless batches, none across the border of two epochs; each epoch is in a new order.

    Args:
        rows: the training fraction.
        size: rows a batch.
        seed: of the orders.
        drop_last: leave out what does not fill a batch at the end of an epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    count = batches_of(len(rows), size, drop_last=drop_last)
    while True:
        order = rows[torch.randperm(len(rows), generator=generator).numpy()]
        for number in range(count):
            yield order[number * size : (number + 1) * size]
