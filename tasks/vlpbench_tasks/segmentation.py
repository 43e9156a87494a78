"""Segmentation with a decoder on frozen feature maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vlpbench.errors import VlpbenchError
from vlpbench.protocol import SegmentationSettings, Settings
from vlpbench.registry import register_task
from vlpbench.task import Cell, Task, TaskResult
from vlpbench_tasks.mask_metrics import count_pixels, foreground, score, tabulate
from vlpbench_tasks.weighted_masks import resample

if TYPE_CHECKING:
    from vlpbench.backbone import BackboneCard

PYRAMIDS = ((2, 4, 8, 16, 32), (4, 8, 16, 32))


@register_task(
    "segmentation",
    title="Segmentation",
    summary="U-Net decoder (up-sampling head for a plain transformer) on frozen maps, AdamW, lowest validation loss.",
    metrics={
        "dice_positive": "Dice, mean over the images with a foreground pixel",
        "dice_empty_one": (
            "Dice, mean over all images; without foreground 1 if the prediction is empty too, else 0 (MGCA, per image)"
        ),
        "dice_batch_mean": "the same, as the mean of the means of batches in test order (MGCA as released)",
        "dice_pooled": "Dice of all pixels of all images together",
        "iou_positive": "intersection over union, mean over the images with a foreground pixel",
        "empty_accuracy": "share of the images without foreground whose prediction is empty",
    },
    version=1,
)
class Segmentation(Task):
    """One foreground class; pixels of value 255 count neither in the loss nor in a metric."""

    def refuses(self, backbone: BackboneCard) -> str | None:
        """A pyramid of strides 2 or 4 to 32, or maps of one stride of at least 2, can be decoded."""
        if backbone.strides in PYRAMIDS or (len(set(backbone.strides)) == 1 and backbone.strides[0] >= 2):
            return None
        return (
            f"{backbone.arch} offers feature maps of strides {list(backbone.strides)}; the U-Net decoder needs 4, 8, "
            "16, 32 "
            "(with or without 2), and progressive up-sampling maps of one stride."
        )

    def run(self, cell: Cell) -> TaskResult:
        """Train the decoder on the label fraction and evaluate it on the test rows.

        Raises:
            VlpbenchError: if a stratified training fraction has no foreground pixel, or the protocol names too few
                decoder channels.
        """
        settings = _own(cell.settings)
        train_positive = _check(cell, settings)
        from vlpbench_tasks.openmm_segmentation import build_segmentor, fit_segmentor, predict_masks

        model = build_segmentor(cell, settings)
        selected = fit_segmentor(model, cell, settings)
        predictions = tabulate(
            cell.dataset.image_ids(cell.test_rows),
            predict_masks(model, cell, cell.test_rows),
            cell.dataset.masks(cell.test_rows),
        )
        return TaskResult(
            metrics=self.score(predictions, settings, settings.headline),
            headline=settings.headline,
            floors={
                "always_empty": score(count_pixels(predictions, 0), settings.metric_batch),
                "always_full": score(count_pixels(predictions, 1), settings.metric_batch),
            },
            counts={
                "train_images": len(cell.train_rows),
                "train_images_positive": train_positive,
                "val_images": len(cell.val_rows),
                **_count(count_pixels(predictions)),
            },
            selection=selected.describe("lowest validation loss"),
            predictions=predictions,
        )

    def score(self, predictions: pd.DataFrame, settings: Settings | None, headline: str) -> dict[str, float]:
        """Every metric of the card; the headline makes no difference."""
        del headline
        return score(count_pixels(predictions), _own(settings).metric_batch)

    def images(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Images in the order of the table; the stratum says whether the mask has a foreground pixel."""
        texts = np.where(foreground(predictions), "foreground", "no foreground")
        return pd.DataFrame({"image_id": predictions["image_id"].to_numpy(), "stratum": texts})

    def resample(
        self,
        predictions: pd.DataFrame,
        settings: Settings | None,
        metric: str,
        weights: Int[np.ndarray, "samples images"],
    ) -> Float[np.ndarray, " samples"]:
        """A metric for each sample; pixels are counted once.

        Raises:
            VlpbenchError: for a metric that is not the card's, and for `dice_batch_mean`, which needs an order.
        """
        _own(settings)
        return resample(count_pixels(predictions), metric, weights)


def _own(settings: Settings | None) -> SegmentationSettings:
    if not isinstance(settings, SegmentationSettings):
        raise TypeError(f"segmentation was given {type(settings).__name__}")
    return settings


def _check(cell: Cell, settings: SegmentationSettings) -> int:
    """Images with foreground in the training fraction; what cannot be trained is refused."""
    if settings.headline not in Segmentation.card.metrics:
        raise VlpbenchError(
            f"[segmentation] headline = {settings.headline!r} is none of {list(Segmentation.card.metrics)}."
        )
    strides = cell.backbone.card.strides
    steps = round(math.log2(strides[-1]))
    if len(settings.decoder_channels) < steps or (len(set(strides)) > 1 and len(settings.decoder_channels) > steps):
        raise VlpbenchError(
            f"[segmentation] decoder_channels = {list(settings.decoder_channels)}: {cell.backbone.arch} with its "
            "coarsest stride "
            f"{strides[-1]} is decoded in {steps} doublings and needs as many numbers."
        )
    positive = int((cell.dataset.masks(cell.train_rows) == 1).any(axis=(1, 2)).sum())
    if positive == 0 and settings.sampling == "stratified":
        raise VlpbenchError(
            f"segmentation of {cell.dataset.name!r}: none of the {len(cell.train_rows)} images of the training "
            "fraction has a "
            "foreground pixel. Use a larger fraction."
        )
    return positive


def _count(counted: pd.DataFrame) -> dict[str, int]:
    positive = counted["true_positive"] + counted["false_negative"] > 0
    found = counted["true_positive"] + counted["false_positive"] > 0
    return {
        "test_images": len(counted),
        "test_images_positive": int(positive.sum()),
        "test_images_predicted_positive": int(found.sum()),
    }
