"""The YOLO loss of the released MGCA code, on one scale (mgca/utils/yolo_loss.py:103-256).

It differs from MMDetection's in three ways. Each annotated box is assigned on all three scales, to the best of the
scale's own anchors. The anchors of its cell that overlap it by 0.5 or less are background, the assigned one too. Every
term is a mean over all cells and anchors, so that the share of an object shrinks with the size of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

IGNORED_ABOVE = 0.5
CENTRE_WEIGHT = 2.5
SIZE_WEIGHT = 2.5
BACKGROUND_WEIGHT = 0.5
OBJECT = 4  # position of objectness among a prediction's numbers, behind x, y, width and height
TINY = 1e-16


@dataclass(frozen=True)
class Assigned:
    """What a scale should predict.

    Attributes:
        targets: per image, anchor and cell: x and y within the cell, logarithms of width and height in anchors, 1 for
            an object, and 1 for its label; 0 where there is none.
        background: 0 where an anchor overlaps a box centred in its cell by more than 0.5, else 1.
    """

    targets: Float[np.ndarray, "n a h w numbers"]
    background: Float[np.ndarray, "n a h w"]


def assign(
    boxes: Float[np.ndarray, "m 4"],
    images: Int[np.ndarray, " m"],
    labels: Int[np.ndarray, " m"],
    anchors: Float[np.ndarray, "a 2"],
    shape: tuple[int, int, int, int],
) -> Assigned:
    """Give each box to the best anchor of the cell its centre lies in; of two that meet there, the last counts.

    Args:
        boxes: centre x, centre y, width and height in cells of this scale.
        images: position of each box's image in the batch.
        labels: label of each box.
        anchors: width and height in cells.
        shape: images, height and width of the map, and labels.
    """
    count, height, width, classes = shape
    targets = np.zeros((count, len(anchors), height, width, OBJECT + 1 + classes))
    background = np.ones((count, len(anchors), height, width))
    overlaps = _overlap(boxes[:, None, 2:], anchors[None])
    columns, rows = boxes[:, 0].astype(int), boxes[:, 1].astype(int)
    covering, anchor = np.nonzero(overlaps > IGNORED_ABOVE)
    background[images[covering], anchor, rows[covering], columns[covering]] = 0
    best = overlaps.argmax(axis=1)
    places = (images, best, rows, columns)
    # of several values for one place, numpy keeps the last
    targets[(*places, 0)] = boxes[:, 0] - columns
    targets[(*places, 1)] = boxes[:, 1] - rows
    targets[(*places, slice(2, OBJECT))] = np.log(boxes[:, 2:] / anchors[best] + TINY)
    targets[(*places, OBJECT)] = 1
    targets[(*places, OBJECT + 1 + labels)] = 1
    return Assigned(targets, background)


def released_loss(
    prediction: Float[Tensor, "n a h w numbers"], assigned: Assigned
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Weighted losses of centres, sizes, objectness and labels.

    Args:
        prediction: raw outputs: x, y, width, height, objectness and labels.
        assigned: what they should be.
    """
    targets, background = (
        torch.as_tensor(values, dtype=prediction.dtype, device=prediction.device)
        for values in (assigned.targets, assigned.background)
    )
    mask = targets[..., OBJECT]
    shares = prediction.sigmoid()
    # outside the mask both sides are 0, and add nothing but to the count
    centres = [F.binary_cross_entropy(shares[..., axis] * mask, targets[..., axis]) for axis in (0, 1)]
    sizes = [F.mse_loss(prediction[..., axis] * mask, targets[..., axis]) for axis in (2, 3)]
    found = F.binary_cross_entropy(shares[..., OBJECT] * mask, mask)
    invented = F.binary_cross_entropy(shares[..., OBJECT] * background, torch.zeros_like(background))
    named = F.binary_cross_entropy(shares[..., OBJECT + 1 :] * mask[..., None], targets[..., OBJECT + 1 :])
    return (
        CENTRE_WEIGHT * (centres[0] + centres[1]),
        SIZE_WEIGHT * (sizes[0] + sizes[1]),
        found + BACKGROUND_WEIGHT * invented,
        named,
    )


def _overlap(boxes: Float[np.ndarray, "m 1 2"], anchors: Float[np.ndarray, "1 a 2"]) -> Float[np.ndarray, "m a"]:
    """IoU of shapes laid on one corner, each one unit wider and higher than it is.

    The released code adds that unit to pixels and cells alike, so boxes of a cell or less look much alike to it.
    """
    shared = (np.minimum(boxes, anchors) + 1).prod(axis=-1)
    return np.asarray(shared / ((boxes + 1).prod(axis=-1) + (anchors + 1).prod(axis=-1) - shared))
