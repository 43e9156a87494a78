"""Where a number comes from: code, software, machine, data, weights, settings and effort."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from vlpbench import __version__
from vlpbench.canonical import content_hash
from vlpbench.protocol import SETTINGS, Protocol, Settings
from vlpbench.settings import recorded
from vlpbench.suite import Suite

if TYPE_CHECKING:
    import torch

    from vlpbench.backbone import BackboneCard
    from vlpbench.data.dataset import Dataset

DISTRIBUTIONS = (
    "torch", "torchvision", "timm", "transformers", "numpy", "scipy", "pandas", "pyarrow", "pillow", "scikit-learn",
    "torchmetrics", "pycocotools", "segmentation-models-pytorch", "safetensors", "onedl-mmengine", "onedl-mmcv",
    "onedl-mmsegmentation", "onedl-mmdetection",
)  # fmt: skip


def collect_provenance(
    *,
    device: torch.device,
    started: float,
    peak_memory: int | None,
    plan_settings: Settings,
    protocol: Protocol,
    data: Dataset,
    backbone: BackboneCard,
    suite: Suite | None = None,
    precision: str = "float32",
) -> dict[str, Any]:
    """Everything a reader needs to judge or repeat a cell, as plain data.

    Args:
        device: what it was computed on.
        started: when it began, seconds since the epoch.
        peak_memory: bytes, see `peak_memory_bytes`.
        plan_settings: resolved settings of the task.
        protocol: the protocol they come from.
        data: the dataset.
        backbone: card of the saved backbone.
        suite: the suite, for its title and note.
        precision: of training the head.
    """
    now = time.time()
    return {
        "vlpbench": __version__,
        "git": git_state(),
        "packages": installed_versions(DISTRIBUTIONS),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "device": _device_title(device),
        "precision": precision,
        "suite": None if suite is None else {name: getattr(suite, name) for name in ("title", "synthetic", "note")},
        "protocol": {"name": protocol.name, "version": protocol.version, "title": protocol.title},
        "settings": recorded(plan_settings),
        "settings_sources": settings_sources(plan_settings, protocol),
        "data": _data_facts(data, suite),
        "backbone": {
            "sha256": backbone.sha256,
            "recipe_hash": recipe_hash(backbone.lineage),
            "lineage": dict(backbone.lineage),
        },
        "started_at": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(now - started, 3),
        "peak_memory_bytes": peak_memory,
    }


def git_state() -> dict[str, str | bool] | None:
    """Commit of the repository around the working directory, and whether tracked files differ; None without one."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    if commit is None or status is None:
        return None
    return {"commit": commit.strip(), "dirty": bool(status.strip())}


def installed_versions(names: tuple[str, ...]) -> dict[str, str | None]:
    """Versions of distributions, None for those not installed."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def settings_sources(settings: Settings, protocol: Protocol) -> dict[str, str]:
    """Source of each setting: the protocol's own, or the suite where it put another value over it."""
    task = next(name for name, kind in SETTINGS.items() if isinstance(settings, kind))
    return {name: protocol.source_of(task, name, getattr(settings, name)) for name in recorded(settings)}


def recipe_hash(lineage: Mapping[str, Any]) -> str:
    """Hash of how weights were made but for the seed, so that seeds of one recipe share a table row; "" when unknown.

    Args:
        lineage: of a backbone: "method", "method_version" and, of methods that train, "recipe" and "corpus".
    """
    if not {"method", "method_version"} <= set(lineage):
        return ""
    made = {name: lineage.get(name) for name in ("method", "method_version", "recipe")}
    return content_hash({**made, "corpus": lineage.get("corpus", {}).get("fingerprint")}, 16)


def peak_memory_bytes(device: torch.device) -> int | None:
    """Most memory in use so far: of the GPU allocator since its reset, else of this process; None where unknown."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return None
    # Linux counts kibibytes, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _data_facts(data: Dataset, suite: Suite | None) -> dict[str, Any]:
    """Name, state and sizes of the dataset, and the labels it was judged on."""
    return {
        "name": data.name,
        "title": data.name if suite is None else suite.datasets[data.name].title,
        "fingerprint": data.prepared.fingerprint,
        "split": data.split_facts,
        "split_hash": data.split_hash,
        "splits": {name: len(rows) for name, rows in data.splits.items()},
        "labels": list(data.label_names) if data.pair.task != "segmentation" else [],
    }


def _device_title(device: torch.device) -> str:
    if device.type != "cuda":
        return f"{device.type} ({platform.processor() or platform.machine()})"
    import torch

    return f"{device.type} ({torch.cuda.get_device_name(device)})"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
