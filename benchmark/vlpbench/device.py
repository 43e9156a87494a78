"""The device to compute on."""

from __future__ import annotations

import torch

from vlpbench.errors import VlpbenchError


def resolve_device(name: str) -> str:
    """The device to compute on: "auto" takes a GPU where there is one.

    Raises:
        VlpbenchError: for a device this machine does not have.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise VlpbenchError(f"No device {name!r}; use auto, cpu, cuda or cuda:N.") from error
    if device.type not in {"cpu", "cuda"}:
        raise VlpbenchError(f"No device {name!r}; use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise VlpbenchError(
            f"No device {name!r} on this machine: torch sees {torch.cuda.device_count()} GPU(s). Use --device cpu."
        )
    return name


def be_deterministic(device: torch.device) -> None:
    """Same command, same seed, same numbers, on the CPU; called late, since torch imports its compiler for it."""
    torch.use_deterministic_algorithms(device.type == "cpu")
    # Writing to memory that is about to be overwritten took a seventh of a segmentation cell.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
