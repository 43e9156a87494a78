"""In which precision a device trains fastest without harm."""

from __future__ import annotations

import torch

from vlpbench.errors import VlpbenchError

PRECISIONS = ("auto", "float32", "bfloat16")


def resolve_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype of autocast in towers and heads.

    Args:
        wanted: "float32", "bfloat16", or "auto" for bfloat16 where the device computes in it: CUDA from compute
            capability 8.0, and CPUs with AVX512-BF16 or AMX instructions.
        device: where training runs.

    Raises:
        VlpbenchError: for another word.
    """
    if wanted not in PRECISIONS:
        raise VlpbenchError(f"precision = {wanted!r}: expected auto, float32 or bfloat16.")
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and (_cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported"))
    return torch.bfloat16 if native else torch.float32


def precision_name(precision: torch.dtype) -> str:
    """As records and lineages write it: "float32" or "bfloat16"."""
    return str(precision).removeprefix("torch.")


def _cpu_has(probe: str) -> bool:
    """Ask torch, which keeps these probes private and may rename them; an unknown answer is no."""
    ask = getattr(torch.cpu, probe, None)
    return bool(ask()) if callable(ask) else False
