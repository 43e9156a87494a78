"""Boxes that several readers drew on one image, made into one set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlpbench.box import Box

FUSIONS = ("weighted", "majority", "all")
OVERLAP = 0.5
DECIMALS = 2


@dataclass(frozen=True)
class Reading:
    """A box and who drew it."""

    reader: str
    box: Box


def fuse(readings: Sequence[Reading], rule: str) -> tuple[Box, ...]:
    """One set of boxes from those of all readers, sorted by label and place.

    Args:
        readings: of one image, in pixels.
        rule: "weighted" for weighted boxes fusion (Solovyev et al. 2021, https://arxiv.org/abs/1910.13302): boxes of a
            class whose intersection over union is above 0.5 become their mean, a box that only one reader drew stays;
            "majority" for the means of such boxes of at least two readers; "all" for every box as drawn.
    """
    ordered = sorted(readings, key=lambda reading: (reading.box.label, reading.reader, *_corners(reading.box)))
    if rule == "weighted":
        fused = _weighted(ordered)
    elif rule == "majority":
        fused = _agreed(ordered)
    else:
        fused = [reading.box for reading in ordered]
    return tuple(sorted(fused, key=lambda box: (box.label, *_corners(box))))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


def _weighted(readings: Sequence[Reading]) -> list[Box]:
    from ensemble_boxes import weighted_boxes_fusion

    if not readings:
        return []
    # The library wants coordinates in 0..1. The image's size is not known before its pixels are read, and need not be:
    # any common divisor leaves every intersection over union as it is.
    divisor = max(max(_corners(reading.box)) for reading in readings)
    labels = sorted({reading.box.label for reading in readings})
    readers = sorted({reading.reader for reading in readings})
    boxes: list[list[list[float]]] = [[] for _ in readers]
    scores: list[list[float]] = [[] for _ in readers]
    classes: list[list[int]] = [[] for _ in readers]
    for place, reading in enumerate(readings):
        of = readers.index(reading.reader)
        boxes[of].append([max(corner, 0.0) / divisor for corner in _corners(reading.box)])
        # All readers count the same; scores differ in the ninth digit because the library sorts by them, and the
        # order of equal scores depends on the machine.
        scores[of].append(1.0 - place * 1e-9)
        classes[of].append(labels.index(reading.box.label))
    fused, _, found = weighted_boxes_fusion(boxes, scores, classes, iou_thr=OVERLAP)
    return [
        _box(labels[int(label)], *(float(corner) * divisor for corner in corners))
        for corners, label in zip(fused, found, strict=True)
    ]


def _agreed(readings: Sequence[Reading]) -> list[Box]:
    """Means of groups with one box each of at least two readers."""
    groups: list[list[Reading]] = []
    for reading in readings:
        open_to = [group for group in groups if all(member.reader != reading.reader for member in group)]
        best = max(open_to, key=lambda group: _fit(group, reading), default=None)
        if best is not None and _fit(best, reading) >= OVERLAP:
            best.append(reading)
        else:
            groups.append([reading])
    return [_mean(group) for group in groups if len(group) > 1]


def _fit(group: Sequence[Reading], reading: Reading) -> float:
    """Overlap of a box with the mean of a group of its class."""
    mean = _mean(group)
    return overlap(mean, reading.box) if mean.label == reading.box.label else 0.0


def _mean(group: Sequence[Reading]) -> Box:
    corners = zip(*(_corners(reading.box) for reading in group), strict=True)
    return _box(group[0].box.label, *(sum(values) / len(group) for values in corners))


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.x + box.width, box.y + box.height


def _box(label: str, left: float, top: float, right: float, bottom: float) -> Box:
    """A box to a hundredth of a pixel: the fusion computes in single precision."""
    left, top = round(left, DECIMALS), round(top, DECIMALS)
    return Box(label, left, top, round(right - left, DECIMALS), round(bottom - top, DECIMALS))
