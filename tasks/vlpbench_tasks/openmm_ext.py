"""Stands in for MMCV's compiled operators where they are not installed.

`mmcv._ext` is compiled for one torch and one CUDA, and no wheel of it fits current ones. MMDetection imports it
whatever the model; YOLOv3 calls one operator of it, non-maximum suppression, which torchvision has too.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from jaxtyping import Float, Int
from torch import Tensor

NAME = "mmcv._ext"


def prepare_openmm() -> None:
    """Import mmseg and mmdet, with the stand-in where it is needed and without the remarks they make at import."""
    ensure_extension()
    with warnings.catch_warnings():
        # their own moved names and escape sequences; nothing a user could act on
        for category in (ImportWarning, DeprecationWarning, SyntaxWarning):
            warnings.simplefilter("ignore", category)
        importlib.import_module("mmseg.models")
        importlib.import_module("mmdet.models")


def ensure_extension() -> None:
    """Put the stand-in into `sys.modules`, unless the real extension is installed."""
    if NAME in sys.modules or _is_installed():
        return
    module = ModuleType(NAME, __doc__)
    module.__spec__ = ModuleSpec(NAME, loader=None)
    module.nms = nms  # type: ignore[attr-defined]
    module.__getattr__ = _missing  # type: ignore[method-assign]
    sys.modules[NAME] = module


def nms(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], *, iou_threshold: float, offset: int
) -> Int[Tensor, " kept"]:
    """Non-maximum suppression with the signature of `mmcv._ext.nms`.

    Args:
        boxes: corners x1, y1, x2, y2 in pixels.
        scores: one a box.
        iou_threshold: overlap above which the weaker box is dropped.
        offset: 1 where corners are pixel indices, so that a width is x2 - x1 + 1; 0 otherwise.

    Returns:
        Indices of the kept boxes, highest score first.
    """
    from torchvision.ops import nms as torchvision_nms

    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    kept: Tensor = torchvision_nms(boxes, scores, iou_threshold)
    return kept


def _is_installed() -> bool:
    """Whether MMCV has its compiled extension; asked of the folder, since asking Python would import MMCV."""
    spec = importlib.util.find_spec("mmcv")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return any(any(Path(folder).glob("_ext.*")) for folder in folders)


def _missing(name: str) -> Callable[..., NoReturn]:
    """What the stand-in answers for any other operator: a function that says so when it is called."""
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*_arguments: Any, **_named: Any) -> NoReturn:
        raise NotImplementedError(
            f"mmcv._ext.{name} needs MMCV's compiled operators, which are not installed here; only nms is stood in "
            "for. "
            "Install a full build of mmcv for this torch to use it."
        )

    return refuse
