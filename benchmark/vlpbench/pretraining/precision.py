"""In which precision a device trains fastest without harm."""

from __future__ import annotations

import torch


def resolve_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype of the towers' autocast.

    Args:
        wanted: "float32", "bfloat16", or "auto" for bfloat16 where the device computes in it: CUDA from compute
            capability 8.0, and CPUs with AVX512-BF16 or AMX instructions.
        device: where training runs.
    """
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and (_cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported"))
    return torch.bfloat16 if native else torch.float32


def _cpu_has(probe: str) -> bool:
    """Ask torch, which keeps these probes private and may rename them; an unknown answer is no."""
    ask = getattr(torch.cpu, probe, None)
    return bool(ask()) if callable(ask) else False
