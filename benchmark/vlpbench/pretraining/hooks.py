"""What happens around the steps of a pre-training run: guard, journal, checkpoints and early stopping."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from vlpbench.canonical import atomic_path, finite_or_none, write_text
from vlpbench.errors import VlpbenchError
from vlpbench.pretraining.model import MEASURED
from vlpbench.tracking.trackers import Log

Report = Callable[[int, int, str], None]
LAST, BEST = "last.pth", "best.pth"
TOLD_EVERY = 10


class History:
    """An entry per finished epoch: mean terms of training and validation, measured quantities, learning rate, time."""

    def __init__(self) -> None:
        """Start with no epoch."""
        self.epochs: list[dict[str, Any]] = []

    @property
    def validation(self) -> list[float]:
        """Validation loss of every epoch."""
        return [float(entry["validation"]["loss"]) for entry in self.epochs]

    @property
    def best(self) -> int:
        """Index of the first epoch with the lowest validation loss."""
        return self.validation.index(min(self.validation))

    def exhausted(self, patience: int) -> bool:
        """Whether the lowest validation loss is `patience` epochs old."""
        return len(self.epochs) - 1 - self.best >= patience if self.epochs else False

    def write(self, path: Path) -> None:
        """Write one JSON line per epoch."""
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in self.epochs))


class Guard(Hook):
    """Stops a run whose loss is no number, before it is saved."""

    priority = "VERY_HIGH"

    def __init__(self, folder: Path) -> None:
        """Remember where checkpoints lie, for the message."""
        self._folder = folder

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Tensor] | None = None
    ) -> None:
        """Look at the terms of the step.

        Raises:
            VlpbenchError: naming step, terms and the last good checkpoint.
        """
        del batch_idx, data_batch
        values = {} if outputs is None else {name: float(value) for name, value in outputs.items()}
        self._check(values, f"At step {runner.iter + 1} of {runner.max_iters} (epoch {runner.epoch + 1})")

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Look at the validation terms.

        Raises:
            VlpbenchError: as above.
        """
        terms = {name: value for name, value in (metrics or {}).items() if not name.startswith(MEASURED)}
        self._check(terms, f"In the validation after epoch {runner.epoch}")

    def _check(self, values: Mapping[str, float], when: str) -> None:
        if all(math.isfinite(value) for value in values.values()):
            return
        listed = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        last = self._folder / LAST
        kept = f"The last good checkpoint is {last}" if last.is_file() else "There is no checkpoint yet"
        raise VlpbenchError(
            f"{when} the loss is not a finite number: {listed}. {kept}. Lower the learning rate "
            "(--set learning_rate=...), or rule out half precision (--set precision=float32)."
        )


class Journal(Hook):
    """Averages what an epoch measured, reports progress, and keeps the history."""

    priority = "NORMAL"

    def __init__(self, history: History, diagnostics: Callable[[], Mapping[str, Tensor]], report: Report) -> None:
        """Take the history to fill, where to read the method's diagnostics, and whom to tell."""
        self._history = history
        self._diagnostics = diagnostics
        self._report = report
        self._begin()

    def before_train_epoch(self, runner: Any) -> None:
        """Point the order at the epoch, and start averaging."""
        runner.train_dataloader.sampler.set_epoch(runner.epoch)
        self._begin()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Tensor] | None = None
    ) -> None:
        """Add up terms and diagnostics."""
        del data_batch
        terms = {} if outputs is None else outputs
        _add(self._terms, terms)
        _add(self._measured, self._diagnostics())
        self._rate = runner.optim_wrapper.get_lr()["lr"][0]
        total = sum(self._terms.values()) / (batch_idx + 1)
        self._report(
            runner.iter + 1, runner.max_iters, f"epoch {runner.epoch + 1} of {runner.max_epochs}, loss {total:.3f}"
        )

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Close the epoch's entry."""
        steps = len(runner.train_dataloader)
        found = {name: float(value) for name, value in (metrics or {}).items()}
        means = {name: value / steps for name, value in self._terms.items()}
        self._history.epochs.append(
            {
                "epoch": runner.epoch,
                "train": {**means, "loss": sum(means.values())},
                "validation": {name: value for name, value in found.items() if not name.startswith(MEASURED)},
                "train_measured": {name: finite_or_none(value / steps) for name, value in self._measured.items()},
                "validation_measured": {
                    name.removeprefix(MEASURED): finite_or_none(value)
                    for name, value in found.items()
                    if name.startswith(MEASURED)
                },
                "learning_rate": self._rate,
                "seconds": round(time.monotonic() - self._started, 3),
            }
        )

    def _begin(self) -> None:
        self._terms: dict[str, float] = {}
        self._measured: dict[str, float] = {}
        self._rate = 0.0
        self._started = time.monotonic()


class Account(Hook):
    """Tells trackers of every tenth step, and of every epoch once its journal is written."""

    priority = "BELOW_NORMAL"

    def __init__(self, history: History, log: Log) -> None:
        """Take the history that the journal fills, and whom to tell."""
        self._history = history
        self._log = log

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Tensor] | None = None
    ) -> None:
        """Tell the terms of the step."""
        del batch_idx, data_batch
        if (runner.iter + 1) % TOLD_EVERY == 0:
            terms = {f"step/{name}": float(value) for name, value in (outputs or {}).items()}
            rate = runner.optim_wrapper.get_lr()["lr"][0]
            self._log({"step/loss": sum(terms.values()), **terms, "learning_rate": rate}, runner.iter + 1)

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Tell what the epoch came to."""
        del metrics
        told: dict[str, float | None] = {}
        for name, value in self._history.epochs[-1].items():
            told.update(
                {f"{name}/{term}": mean for term, mean in value.items()} if isinstance(value, dict) else {name: value}
            )
        self._log(told, runner.iter)


class Checkpoints(Hook):
    """Saves after each validation: the state to resume from, and the weights where the loss is the lowest so far.

    MMEngine's own hook saves before validation and keeps no count of early stopping, so a resumed run would differ.
    """

    priority = "VERY_LOW"

    def __init__(self, history: History, folder: Path, *, patience: int) -> None:
        """Take the history that travels with the state.

        Args:
            history: of the run.
            folder: of the checkpoints.
            patience: epochs without a lower validation loss before the run stops.
        """
        self._history = history
        self._folder = folder
        self._patience = patience

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Save, and stop when patience is at an end."""
        del metrics
        if self._history.best == len(self._history.epochs) - 1:
            with atomic_path(self._folder / BEST) as temporary:
                torch.save(runner.model.method.state_dict(), temporary)
        with atomic_path(self._folder / LAST) as temporary:
            meta = {"epoch": runner.epoch, "iter": runner.iter}
            runner.save_checkpoint(str(temporary.parent), temporary.name, meta=meta)
        runner.train_loop.stop_training = self._history.exhausted(self._patience)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Put the history into the checkpoint."""
        del runner
        checkpoint["history"] = self._history.epochs

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Take the history out of the checkpoint."""
        self._history.epochs[:] = checkpoint["history"]
        runner.train_loop.stop_training = self._history.exhausted(self._patience)


def _add(sums: dict[str, float], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        sums[name] = sums.get(name, 0.0) + float(value)
