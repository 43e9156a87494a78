"""Trackers: what is told to TensorBoard, Weights & Biases or MLflow while a run goes on.

They only listen. Nothing they do changes a number: they get plain values, the random states are put back after each
call, and a tracker that fails is left alone from then on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlpbench.errors import UnknownNameError, VlpbenchError

if TYPE_CHECKING:
    from vlpbench.tracking.backends import Backend

TRACKERS = ("tensorboard", "wandb", "mlflow")
FOLDER = "tracking"
Values = Mapping[str, float | None]
Log = Callable[[Values, int], None]


def require_trackers(names: Sequence[str]) -> None:
    """See that trackers exist and are installed; they are called like their packages, and like vlpbench's extras.

    Raises:
        UnknownNameError: for a name that is none of `TRACKERS`.
        VlpbenchError: naming the extras to install.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
    missing = [name for name in dict.fromkeys(names) if find_spec(name) is None]
    if missing:
        raise VlpbenchError(
            f"Not installed: the package that --tracker {' and --tracker '.join(missing)} needs. "
            f"Install it with: pip install 'vlpbench[{','.join(missing)}]', or leave the option out."
        )


def no_log(values: Values, step: int) -> None:
    """Tell nobody."""
    del values, step


class Tracking:
    """The trackers of a run; with no names, nothing is imported and nothing is told."""

    def __init__(self, names: Sequence[str], *, folder: Path, warn: Callable[[str], None]) -> None:
        """Follow with some trackers.

        Args:
            names: of `TRACKERS`.
            folder: where those that write files get a folder each.
            warn: told once of each tracker that fails.
        """
        self._names = list(dict.fromkeys(names))
        self._folder = folder
        self._warn = warn

    @contextmanager
    def follow(self, group: str, name: str, config: Mapping[str, Any]) -> Iterator[Log]:
        """One piece of work, a run of its own in each tracker.

        Args:
            group: kind of work.
            name: of the run.
            config: what it is, in plain data.

        Yields:
            A function to call with values by name, and the step they are of; undefined values are left out.
        """
        opened: dict[str, Backend] = {}
        for tracker in list(self._names):
            with self._guarded(tracker):
                opened[tracker] = self._open(tracker, group, name, config)
        failed = True
        try:
            yield partial(self._log, opened)
            failed = False
        finally:
            for tracker, backend in opened.items():
                with self._guarded(tracker):
                    backend.finish(failed=failed)

    def _open(self, tracker: str, group: str, name: str, config: Mapping[str, Any]) -> Backend:
        from vlpbench.tracking.backends import open_backend

        return open_backend(tracker, self._folder, group=group, name=name, config=config)

    def _log(self, opened: Mapping[str, Backend], values: Values, step: int) -> None:
        told = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
        for tracker, backend in opened.items():
            if tracker in self._names and told:
                with self._guarded(tracker):
                    backend.add_scalars(told, step)

    @contextmanager
    def _guarded(self, tracker: str) -> Iterator[None]:
        """Put random states back, and turn a failure into one warning."""
        with random_states_kept():
            try:
                yield
            except Exception as error:  # whatever a tracker runs into, the run goes on
                if tracker in self._names:
                    self._names.remove(tracker)
                    self._warn(
                        f"The tracker {tracker} failed and is left out from here; records are not touched by it. "
                        f"{type(error).__name__}: {error}"
                    )


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Give back the states of the global generators of Python, NumPy and torch."""
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
