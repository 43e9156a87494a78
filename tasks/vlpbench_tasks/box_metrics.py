"""Average precision of boxes with the COCO evaluation, over every image, and as the released MGCA code counts it."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vlpbench.box import Box

THRESHOLDS = np.round(np.arange(0.40, 0.951, 0.05), 2)
RELEASED = "map_released"
MEANS = {
    "map_40_75": THRESHOLDS[THRESHOLDS <= 0.75],
    "ap_50": THRESHOLDS[THRESHOLDS == 0.50],
    "map_coco": THRESHOLDS[THRESHOLDS >= 0.50],
    RELEASED: THRESHOLDS[THRESHOLDS <= 0.75],
}
MGCA_SCORE = 0.5
COLUMNS = ["image_id", "kind", "label", "score", "x", "y", "width", "height"]
Scored = tuple[Box, float]


def tabulate(
    image_ids: Sequence[str], predictions: Sequence[Sequence[Scored]], targets: Sequence[Sequence[Box]]
) -> pd.DataFrame:
    """One row per image (kind "image"), per predicted box (kind "prediction") and per annotated box (kind "target").

    An image without any box is there too, so that no metric can forget it. Boxes are in pixels of the prepared square.
    """
    rows: list[tuple[object, ...]] = []
    for image, found, true in zip(image_ids, predictions, targets, strict=True):
        rows.append((image, "image", "", math.nan, math.nan, math.nan, math.nan, math.nan))
        rows += [(image, "prediction", box.label, value, box.x, box.y, box.width, box.height) for box, value in found]
        rows += [(image, "target", box.label, math.nan, box.x, box.y, box.width, box.height) for box in true]
    return pd.DataFrame(rows, columns=COLUMNS)


def score(table: pd.DataFrame, max_detections: int) -> dict[str, float]:
    """Metrics of a table made by `tabulate`, each in [0, 1], NaN where no image has a box.

    Args:
        table: predictions and targets.
        max_detections: highest-scored boxes counted per image and label.

    Returns:
        `map_40_75`, `ap_50` and `map_coco` over all images. `map_released` as mgca/models/ssl_detector.py:75-96
        counts: boxes of score 0.5 or more, without the images that have no such box and without those that have no
        annotated box; there the 0.5 applies to objectness, here to the score, which for one label is nearly the same.
    """
    precision = average_precision(table, max_detections)
    released = average_precision(confident(table), max_detections)
    return {
        metric: float((released if metric == RELEASED else precision)[np.isin(THRESHOLDS, among)].mean())
        for metric, among in MEANS.items()
    }


def average_precision(table: pd.DataFrame, max_detections: int) -> Float[np.ndarray, " thresholds"]:
    """COCO average precision at each of `THRESHOLDS`, mean over the labels with an annotated box; NaN without any."""
    if not (table["kind"] == "target").any():
        return np.full(len(THRESHOLDS), math.nan)
    evaluation = match(table, max_detections, THRESHOLDS)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    # thresholds, recalls, labels; -1 for a label without an annotated box
    curves: np.ndarray = evaluation.eval["precision"][:, :, :, 0, 0]
    return np.asarray(curves[:, :, (curves > -1).all(axis=(0, 1))].mean(axis=(1, 2)), dtype=np.float64)


def match(table: pd.DataFrame, max_detections: int, thresholds: Float[np.ndarray, " thresholds"]) -> COCOeval:
    """The COCO evaluation with the boxes of each image matched; of labels and images as numbers in order, from 1."""
    images = table.loc[table["kind"] == "image", "image_id"]
    numbers = {image: number for number, image in enumerate(images, start=1)}
    boxes = table[table["kind"] != "image"]
    labels = {label: number for number, label in enumerate(sorted(set(boxes["label"])), start=1)}
    targets, predictions = boxes[boxes["kind"] == "target"], boxes[boxes["kind"] == "prediction"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_indexed(targets, numbers, labels), _indexed(predictions, numbers, labels), "bbox")
        evaluation.params.iouThrs = thresholds
        evaluation.params.maxDets = [max_detections]
        evaluation.params.areaRng = [[0.0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
    return evaluation


def confident(table: pd.DataFrame) -> pd.DataFrame:
    """What `map_released` counts: confident boxes of the images that have one and an annotated box."""
    kept = table[(table["kind"] != "prediction") | (table["score"] >= MGCA_SCORE)]
    found = set(kept.loc[kept["kind"] == "prediction", "image_id"])
    true = set(kept.loc[kept["kind"] == "target", "image_id"])
    return kept[kept["image_id"].isin(found & true)]


def _indexed(boxes: pd.DataFrame, images: dict[object, int], labels: dict[object, int]) -> COCO:
    """Boxes as pycocotools wants them; ids start at 1 because it takes 0 for unmatched."""
    coco = COCO()
    columns = (boxes[name].tolist() for name in ("image_id", "label", "score"))
    sides = boxes[["x", "y", "width", "height"]].to_numpy(dtype=np.float64).tolist()
    coco.dataset = {
        "images": [{"id": number} for number in images.values()],
        "categories": [{"id": number} for number in labels.values()],
        "annotations": [
            {
                "id": number,
                "image_id": images[image],
                "category_id": labels[label],
                "bbox": side,
                "area": side[2] * side[3],
                "iscrowd": 0,
                "score": value,
            }
            for number, (image, label, value, side) in enumerate(zip(*columns, sides, strict=True), start=1)
        ],
    }
    coco.createIndex()
    return coco
