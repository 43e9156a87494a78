"""Detection with YOLOv3 on frozen feature maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vlpbench.box import Box
from vlpbench.errors import VlpbenchError
from vlpbench.protocol import DetectionSettings, Settings
from vlpbench.registry import register_task
from vlpbench.task import Cell, Task, TaskResult
from vlpbench_tasks.box_metrics import score, tabulate
from vlpbench_tasks.weighted_boxes import resample

if TYPE_CHECKING:
    from vlpbench.backbone import BackboneCard

STRIDES = (8, 16, 32)


@register_task(
    "detection",
    title="Detection",
    summary="YOLOv3 neck and head on frozen maps of strides 8, 16 and 32, AdamW, highest validation mAP.",
    metrics={
        "map_40_75": "average precision, mean over IoU 0.40 to 0.75 in steps of 0.05, over all images",
        "ap_50": "average precision at IoU 0.50, over all images",
        "map_coco": "average precision, mean over IoU 0.50 to 0.95 in steps of 0.05, over all images",
        "map_released": (
            "map_40_75 as MGCA released it: scores of 0.5 or more, images without a prediction or without a box left "
            "out"
        ),
    },
    version=1,
)
class Detection(Task):
    """Boxes of one or more labels."""

    def refuses(self, backbone: BackboneCard) -> str | None:
        """Backbones without maps of strides 8, 16 and 32, such as plain transformers."""
        if set(STRIDES) <= set(backbone.strides):
            return None
        return (
            f"{backbone.arch} offers feature maps of strides {sorted(set(backbone.strides))}; "
            "YOLOv3 needs maps of strides 8, 16 and 32."
        )

    def run(self, cell: Cell) -> TaskResult:
        """Train neck and head on the label fraction and evaluate them on the test rows.

        Raises:
            VlpbenchError: if a stratified training fraction has no box, or sizes, numbers or names of the settings do
                not fit.
        """
        settings = _own(cell.settings)
        train_boxes = _check(cell, settings)
        from vlpbench_tasks.openmm_detection import build_detector, fit_detector, predict_boxes

        model = build_detector(cell, settings)
        selected = fit_detector(model, cell, settings)
        ids, targets = cell.dataset.image_ids(cell.test_rows), cell.dataset.boxes(cell.test_rows)
        predictions = tabulate(ids, predict_boxes(model, cell, cell.test_rows), targets)
        side = float(cell.dataset.image_size)
        whole = [(Box(label, 0.0, 0.0, side, side), 1.0) for label in cell.dataset.label_names]
        return TaskResult(
            metrics=self.score(predictions, settings, settings.headline),
            headline=settings.headline,
            floors={
                "no_boxes": score(tabulate(ids, [[] for _ in ids], targets), settings.max_detections),
                "full_image_box": score(tabulate(ids, [whole for _ in ids], targets), settings.max_detections),
            },
            counts={
                "train_images": len(cell.train_rows),
                "train_boxes": train_boxes,
                "val_images": len(cell.val_rows),
                **_count(predictions),
            },
            selection=selected.describe(f"highest validation {settings.select_on}, the {settings.ties} of equals"),
            predictions=predictions,
        )

    def score(self, predictions: pd.DataFrame, settings: Settings | None, headline: str) -> dict[str, float]:
        """Every metric of the card; the headline makes no difference."""
        del headline
        return score(predictions, _own(settings).max_detections)

    def images(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Images in the order of the table; the stratum says whether one has an annotated box."""
        kind = predictions["kind"].to_numpy()
        found = predictions.loc[kind == "image", "image_id"]
        texts = np.where(found.isin(predictions.loc[kind == "target", "image_id"]), "box", "no box")
        return pd.DataFrame({"image_id": found.to_numpy(), "stratum": texts})

    def resample(
        self,
        predictions: pd.DataFrame,
        settings: Settings | None,
        metric: str,
        weights: Int[np.ndarray, "samples images"],
    ) -> Float[np.ndarray, " samples"]:
        """A metric for each sample; boxes are matched once.

        Raises:
            VlpbenchError: for a metric that is not the card's.
        """
        return resample(predictions, metric, weights, _own(settings).max_detections)


def _own(settings: Settings | None) -> DetectionSettings:
    if not isinstance(settings, DetectionSettings):
        raise TypeError(f"detection was given {type(settings).__name__}")
    return settings


def _check(cell: Cell, settings: DetectionSettings) -> int:
    """Boxes in the training fraction; what cannot be trained is refused."""
    for field, metric in (("headline", settings.headline), ("select_on", settings.select_on)):
        if metric not in Detection.card.metrics:
            raise VlpbenchError(f"[detection] {field} = {metric!r} is none of {list(Detection.card.metrics)}.")
    if cell.dataset.image_size % STRIDES[-1] != 0:
        raise VlpbenchError(
            f"detection of {cell.dataset.name!r}: the image side {cell.dataset.image_size} is no multiple of "
            f"{STRIDES[-1]}, so that maps of "
            "neighbouring strides do not fit on each other. Choose an image_size such as 224 or 416."
        )
    if len(settings.anchors) != 9 or len(settings.neck_channels) != 3:
        raise VlpbenchError(
            f"[detection] has {len(settings.anchors)} anchors and {len(settings.neck_channels)} neck_channels; YOLOv3 "
            "on three strides "
            "takes nine and three."
        )
    boxes = sum(box.width > 0 and box.height > 0 for boxes in cell.dataset.boxes(cell.train_rows) for box in boxes)
    if boxes == 0 and settings.sampling == "stratified":
        raise VlpbenchError(
            f"detection of {cell.dataset.name!r}: none of the {len(cell.train_rows)} images of the training fraction "
            "has a box of "
            f"{list(cell.dataset.label_names)}. Use a larger fraction."
        )
    return boxes


def _count(table: pd.DataFrame) -> dict[str, int]:
    kinds = table["kind"].value_counts()
    return {
        "test_images": int(kinds.get("image", 0)),
        "test_images_with_boxes": int(table.loc[table["kind"] == "target", "image_id"].nunique()),
        "test_boxes": int(kinds.get("target", 0)),
        "test_boxes_predicted": int(kinds.get("prediction", 0)),
    }
