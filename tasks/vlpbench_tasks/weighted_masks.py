"""Segmentation metrics under many samples of the test images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench_tasks.image_weights import as_weights, ratio, weighted_mean
from vlpbench_tasks.mask_metrics import per_image

OF_BATCHES = "dice_batch_mean"


def resample(
    counted: pd.DataFrame, metric: str, weights: Int[np.ndarray, "samples images"]
) -> Float[np.ndarray, " samples"]:
    """One metric of `vlpbench_tasks.mask_metrics.score` for each sample, NaN where it is undefined.

    Args:
        counted: made by `vlpbench_tasks.mask_metrics.count_pixels`.
        metric: one of the segmentation task's.
        weights: how often each image is in each sample.

    Raises:
        UnknownNameError: for another metric.
        VlpbenchError: for `dice_batch_mean`.
    """
    if metric == OF_BATCHES:
        raise VlpbenchError(
            f"{OF_BATCHES} cannot be resampled: it is the mean over batches in test order, and a sample of images has "
            "no order. Its like over single images is dice_empty_one."
        )
    known = as_weights(weights, len(counted))
    if metric == "dice_pooled":
        pixels = known @ counted[["true_positive", "false_positive", "false_negative"]].to_numpy()
        return ratio(2 * pixels[:, 0], 2 * pixels[:, 0] + pixels[:, 1] + pixels[:, 2])
    means = per_image(counted)
    if metric not in means:
        raise UnknownNameError("metric", metric, [*means, "dice_pooled", OF_BATCHES])
    values, among = means[metric]
    return weighted_mean(known, values.to_numpy(), among.to_numpy(dtype=np.float64))
