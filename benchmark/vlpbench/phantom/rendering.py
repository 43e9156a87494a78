"""From a study to its pixels, masks and boxes."""

import numpy as np
from jaxtyping import Bool

from vlpbench.box import Box
from vlpbench.errors import VlpbenchError
from vlpbench.phantom.acquisition import draw_leads, expose, position
from vlpbench.phantom.anatomy import build, measure
from vlpbench.phantom.findings import DRAW
from vlpbench.phantom.study import Rendered, Study

_SMALLEST = 32


def render(study: Study, size: int) -> Rendered:
    """The radiograph of a study. Depends on nothing else, so worker processes and machines agree.

    Args:
        study: What to draw.
        size: Pixels along an edge, at least 32.

    Raises:
        VlpbenchError: The size is too small to show anything.
    """
    if size < _SMALLEST:
        raise VlpbenchError(f"a phantom of {size} pixels shows nothing: ask for a size of at least {_SMALLEST}")
    frame = position(study, size)
    thorax = build(frame, measure(study), study)
    thorax.added = draw_leads(study, frame)
    masks: dict[str, Bool[np.ndarray, "size size"]] = {"lung": thorax.lung}
    boxes: list[Box] = []
    for kind, draw in DRAW.items():
        for finding in study.findings:
            if finding.kind != kind:
                continue
            for mask in draw(thorax, finding):
                masks[kind] = masks.get(kind, np.zeros_like(mask)) | mask
                boxes.extend(_box(mask, "lung_opacity" if kind == "consolidation" else kind))
    opacities = [box for box in boxes if box.label == "lung_opacity"]
    if opacities:
        masks["lung_opacity"] = _filled(opacities, size)
    return Rendered(image=expose(thorax.density(), study), masks=masks, boxes=tuple(boxes))


def _box(mask: Bool[np.ndarray, "size size"], label: str) -> list[Box]:
    """The extent of a mask, or nothing when it has fallen outside the image."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    x, y = float(columns[0]), float(rows[0])
    return [Box(label, x, y, float(columns[-1]) + 1.0 - x, float(rows[-1]) + 1.0 - y)]


def _filled(boxes: list[Box], size: int) -> Bool[np.ndarray, "size size"]:
    """The union of boxes as a mask."""
    mask = np.zeros((size, size), dtype=np.bool_)
    for box in boxes:
        mask[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)] = True
    return mask
