"""MMEngine's Runner without side effects: a silent terminal, the device as told, no trace left in the process."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn


class QuietRunner(Runner):
    """A Runner that logs to its folder only and trains where the model lies."""

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **kwargs: Any) -> MMLogger:
        """A logger with its file handler only."""
        logger = super().build_logger(log_level=log_level, log_file=log_file, **kwargs)
        logger.handlers = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
        return logger

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """The model as it is, on its own device."""
        del model_wrapper_cfg
        return model

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = "cpu",
    ) -> None:
        """Resume; tensors are copied to the model's device from the CPU, never to a device MMEngine picks."""
        del map_location
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location="cpu")

    def dump_config(self) -> None:
        """There is no MMEngine configuration to write."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Provenance is in the lineage; probing compilers takes a second."""


@contextmanager
def no_traces(name: str, device: torch.device) -> Iterator[None]:
    """Give the process back its random states, and forget what a Runner of this experiment registered globally."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            for kind in (MMLogger, MessageHub, Visualizer, DefaultScope):
                for key in [key for key in kind._instance_dict if key.startswith(name)]:
                    instance = kind._instance_dict.pop(key)
                    for handler in getattr(instance, "handlers", []):
                        handler.close()
