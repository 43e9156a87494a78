"""Average precision of boxes under many samples of the test images.

Boxes are matched within one image, so they are matched once, by pycocotools, whatever the sample. What a sample changes
is how often each box stands in the list of all boxes by score, and recall only rises at its true positives: weights are
summed there and nowhere else.

Boxes of one score stand in the order of their images, as pycocotools puts them, and all copies of one before the next.
Given a table in which images are repeated under new names, pycocotools would go copy by copy instead: both agree where
no two boxes of a label share a score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask

from vlpbench.errors import UnknownNameError
from vlpbench_tasks.box_metrics import MEANS, RELEASED, confident, match
from vlpbench_tasks.image_weights import as_weights, blocks, mean_of_defined

# the 101 recalls of COCOeval
RECALLS = np.linspace(0.0, 1.0, 101)
SIDES = ["x", "y", "width", "height"]


@dataclass(frozen=True)
class RankedBoxes:
    """Predicted boxes of one label by falling score.

    Attributes:
        image: position of each box's image.
        found: whether it is a true positive at each threshold.
        annotated: annotated boxes of the label on each image.
    """

    image: Int[np.ndarray, " boxes"]
    found: Bool[np.ndarray, "thresholds boxes"]
    annotated: Int[np.ndarray, " images"]


def resample(
    table: pd.DataFrame, metric: str, weights: Int[np.ndarray, "samples images"], max_detections: int
) -> Float[np.ndarray, " samples"]:
    """One metric of `vlpbench_tasks.box_metrics.score` for each sample, NaN where it has no annotated box.

    Args:
        table: made by `vlpbench_tasks.box_metrics.tabulate`.
        metric: one of the detection task's.
        weights: how often each image is in each sample; images in the order of the table.
        max_detections: highest-scored boxes counted per image and label.

    Raises:
        UnknownNameError: for another metric.
    """
    if metric not in MEANS:
        raise UnknownNameError("metric", metric, MEANS)
    images = pd.Index(table.loc[table["kind"] == "image", "image_id"])
    counted = as_weights(weights, len(images))
    ranked = rank(confident(table) if metric == RELEASED else table, images, max_detections, MEANS[metric])
    if not ranked:
        return np.full(len(weights), math.nan)
    return mean_of_defined(np.stack([average_precision(one, counted) for one in ranked]))


def rank(
    table: pd.DataFrame, images: pd.Index, max_detections: int, thresholds: Float[np.ndarray, " thresholds"]
) -> list[RankedBoxes]:
    """The labels that have an annotated box, with their boxes matched.

    Args:
        table: boxes.
        images: what positions refer to.
        max_detections: highest-scored boxes counted per image and label.
        thresholds: overlaps (IoU) from which on two boxes match.
    """
    position = images.get_indexer(pd.Index(table["image_id"]))
    score, label = table["score"].to_numpy(dtype=np.float64), table["label"].to_numpy(dtype=object)
    target, prediction = (table["kind"].to_numpy() == kind for kind in ("target", "prediction"))
    ranked = []
    for one in sorted(set(label[target])):
        targets = np.flatnonzero(target & (label == one))
        boxes = np.flatnonzero(prediction & (label == one))
        boxes = boxes[_highest(score[boxes], position[boxes], max_detections)]
        found = _found(table, boxes, targets, position, thresholds)
        falling = np.argsort(-score[boxes], kind="stable")
        annotated = np.bincount(position[targets], minlength=len(images))
        ranked.append(RankedBoxes(position[boxes[falling]], found[:, falling], annotated))
    return ranked


def average_precision(
    boxes: RankedBoxes, weights: Float[np.ndarray, "samples images"]
) -> Float[np.ndarray, " samples"]:
    """Mean over the thresholds of COCO's average precision at 101 recalls; NaN without an annotated box."""
    samples, images = weights.shape
    rises = np.flatnonzero(boxes.found.any(axis=0))
    # of each image, how many boxes are scored as high as each of these or higher
    step = np.searchsorted(rises, np.arange(len(boxes.image)), side="left")
    before = step < len(rises)
    above = np.bincount(step[before] * images + boxes.image[before], minlength=len(rises) * images)
    above = np.cumsum(above.reshape(len(rises), images), axis=0, dtype=np.float64)
    precisions = np.empty(samples)
    for rows in blocks(samples, 4 * len(rises)):
        chosen = np.ascontiguousarray(weights[rows].T)
        # COCOeval adds the spacing of 1 too
        listed, risen = above @ chosen + np.spacing(1), chosen[boxes.image[rises]]
        annotated = (boxes.annotated @ chosen).astype(np.int64)
        start, reached = _recalls_reached(annotated)
        sums = np.zeros(len(annotated))
        for found in boxes.found[:, rises]:
            true = np.cumsum(risen[found], axis=0)
            best = np.maximum.accumulate((true / listed[found])[::-1], axis=0)[::-1]
            recalls = reached.take(start + true.astype(np.intp))
            sums += np.einsum("bs,bs->s", best, np.diff(recalls, axis=0, prepend=0))
        mean = sums / (len(RECALLS) * len(boxes.found))
        precisions[rows] = np.where(annotated > 0, mean, math.nan)
    return precisions


def _recalls_reached(annotated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table of how many of the 101 recalls so many true positives reach, and where each sample's part of it starts.

    Looked up for whole numbers, as there are few; divided as COCOeval.accumulate divides, where 7 of 20 is below 0.35.
    """
    numbers, which = np.unique(annotated, return_inverse=True)
    recall = np.arange(numbers[-1] + 1) / np.maximum(numbers, 1)[:, None]
    reached = np.searchsorted(RECALLS, recall, side="right").astype(np.float64)
    return which * reached.shape[1], reached.ravel()


def _highest(score: np.ndarray, position: np.ndarray, most: int) -> np.ndarray:
    """The highest-scored boxes of each image, by image and falling score; of equals the first."""
    order = np.argsort(-score, kind="stable")
    order = order[np.argsort(position[order], kind="stable")]
    image = position[order]
    return order[np.arange(len(order)) - np.searchsorted(image, image, side="left") < most]


def _found(
    table: pd.DataFrame, boxes: np.ndarray, targets: np.ndarray, position: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Whether each predicted box of one label, by image and falling score, is a true positive at each threshold.

    Most boxes overlap no annotated one enough for the lowest threshold, and pycocotools is spared them.
    """
    sides = table[SIDES].to_numpy(dtype=np.float64)
    near = np.zeros(len(boxes), dtype=bool)
    for image in np.intersect1d(position[targets], position[boxes]):
        true = targets[position[targets] == image]
        start, end = np.searchsorted(position[boxes], [image, image + 1])
        # lists, since of an array pycocotools reads memory as it comes, whatever the strides
        overlaps = coco_mask.iou(sides[boxes[start:end]].tolist(), sides[true].tolist(), [0] * len(true))
        near[start:end] = (np.asarray(overlaps) >= thresholds.min()).any(axis=1)
    found = np.zeros((len(thresholds), len(boxes)), dtype=bool)
    if near.any():
        images = np.flatnonzero((table["kind"].to_numpy() == "image") & np.isin(position, position[boxes[near]]))
        kept = targets[np.isin(position[targets], position[images])]
        evaluation = match(table.iloc[np.concatenate([images, boxes[near], kept])], len(boxes), thresholds)
        found[:, near] = np.concatenate([one["dtMatches"] for one in evaluation.evalImgs], axis=1) > 0
    return found
