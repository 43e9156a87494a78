"""Matches of stored boxes with annotated ones at IoU 0.5, by the COCO evaluation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

IOU = 0.5
MOST = 10_000
"""Boxes counted per image and label: all that the task has stored."""
SIDES = ["x", "y", "width", "height"]


@dataclass(frozen=True)
class Matches:
    """What the COCO evaluation says of a table of boxes.

    Attributes:
        precision: at recall 0, 0.01 … 1, the highest at this recall or a higher one; mean over labels.
        found: one row per predicted box: image_id, score and whether it matches an annotated box.
        targets: annotated boxes by image.
    """

    precision: Float[np.ndarray, 101]
    found: pd.DataFrame
    targets: Mapping[str, int]

    def best_threshold(self) -> float:
        """Score at which F1 over all test images is highest, the higher score of equals; 1 where there is no box."""
        if self.found.empty:
            return 1.0
        ordered = self.found.sort_values("score", ascending=False, kind="stable")
        scores, hits = ordered["score"].to_numpy(), ordered["hit"].to_numpy().cumsum()
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + sum(self.targets.values()))
        # a threshold keeps or drops boxes of one score together
        last = np.append(scores[1:] < scores[:-1], [True])
        return float(scores[last][np.argmax(f1[last])])

    def image_f1(self, threshold: float) -> pd.Series[float]:
        """F1 of each image with an annotated box, by image id: boxes of at least `threshold`, IoU of at least 0.5."""
        kept = self.found[self.found["score"] >= threshold].groupby("image_id")["hit"].agg(["sum", "size"])
        targets = pd.Series({image: count for image, count in self.targets.items() if count}, dtype=float)
        kept = kept.reindex(targets.index, fill_value=0)
        return 2 * kept["sum"] / (kept["size"] + targets)


def match_boxes(table: pd.DataFrame) -> Matches | None:
    """Match boxes greedily by score, within each image and label.

    Args:
        table: stored predictions of detection: image_id, kind ("image", "prediction" or "target"), label, score, box.

    Returns:
        None where no image has an annotated box.
    """
    from pycocotools.cocoeval import COCOeval

    images = table.loc[table["kind"] == "image", "image_id"].tolist()
    boxes = table[table["kind"] != "image"]
    labels = sorted(set(boxes["label"]))
    targets, predictions = (boxes[boxes["kind"] == kind] for kind in ("target", "prediction"))
    if targets.empty:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_indexed(targets, images, labels), _indexed(predictions, images, labels), "bbox")
        evaluation.params.iouThrs = np.array([IOU])
        evaluation.params.maxDets = [MOST]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    curves: np.ndarray = evaluation.eval["precision"][0, :, :, 0, 0]
    # -1 for a label without an annotated box
    precision = curves[:, (curves > -1).all(axis=0)].mean(axis=1)
    counts = targets["image_id"].value_counts()
    return Matches(precision, _found(evaluation, images), {image: int(counts.get(image, 0)) for image in images})


def _found(evaluation: Any, images: list[str]) -> pd.DataFrame:
    """Every predicted box with its score and whether it was matched."""
    looked = [one for one in evaluation.evalImgs if one is not None]
    return pd.DataFrame(
        {
            "image_id": [images[one["image_id"] - 1] for one in looked for _ in one["dtScores"]],
            "score": np.array([score for one in looked for score in one["dtScores"]], dtype=float),
            "hit": np.array([match > 0 for one in looked for match in one["dtMatches"][0]], dtype=bool),
        }
    )


def _indexed(boxes: pd.DataFrame, images: list[str], labels: list[str]) -> Any:
    """Boxes as pycocotools wants them; ids start at 1 because it takes 0 for unmatched."""
    from pycocotools.coco import COCO

    numbers = {image: number for number, image in enumerate(images, start=1)}
    kinds = {label: number for number, label in enumerate(labels, start=1)}
    sides = boxes[SIDES].to_numpy(dtype=float).tolist()
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in numbers.values()],
        "categories": [{"id": number} for number in kinds.values()],
        "annotations": [
            {
                "id": number,
                "image_id": numbers[image],
                "category_id": kinds[label],
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "score": score,
            }
            for number, (image, label, score, box) in enumerate(
                zip(boxes["image_id"], boxes["label"], boxes["score"], sides, strict=True), start=1
            )
        ],
    }
    coco.createIndex()
    return coco
