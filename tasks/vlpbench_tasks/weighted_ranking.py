"""AUROC and average precision of one label under many samples of the images: sorted once, then cumulative weights.

With whole weights both are what scikit-learn gives for `sample_weight`, and for a table in which images are repeated.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from vlpbench_tasks.image_weights import blocks, ratio


def auroc(
    truth: Bool[np.ndarray, " images"],
    probability: Float[np.ndarray, " images"],
    weights: Float[np.ndarray, "samples images"],
) -> Float[np.ndarray, " samples"]:
    """Area under the ROC curve of each sample, NaN where it lacks one of the classes.

    The share of pairs of a positive and a negative image that are in order, a tie as half (the mid-ranks of Mann and
    Whitney). Sums are of whole numbers, so up to the one division they are exact.
    """
    negatives, positives = _ascending(~truth, probability), _ascending(truth, probability)
    lower = np.searchsorted(probability[negatives], probability[positives], side="left")
    not_higher = np.searchsorted(probability[negatives], probability[positives], side="right")
    ties = bool((not_higher > lower).any())
    areas = np.empty(len(weights))
    for rows in blocks(*weights.shape):
        passed = _cumulative(weights[rows].take(negatives, axis=1))
        chosen = weights[rows].take(positives, axis=1)
        ordered = np.einsum("sp,sp->s", chosen, passed.take(lower, axis=1))
        if ties:
            ordered = (ordered + np.einsum("sp,sp->s", chosen, passed.take(not_higher, axis=1))) / 2
        areas[rows] = ratio(ordered, passed[:, -1] * chosen.sum(axis=1))
    return areas


def average_precision(
    truth: Bool[np.ndarray, " images"],
    probability: Float[np.ndarray, " images"],
    weights: Float[np.ndarray, "samples images"],
) -> Float[np.ndarray, " samples"]:
    """Mean, over the positive images of a sample, of the precision among images at least as probable as they are.

    Images of one probability share a threshold, as in scikit-learn. NaN where a sample lacks one of the classes, as
    `vlpbench_tasks.label_metrics.score` has it.
    """
    everyone, positives = _ascending(np.ones_like(truth), -probability), _ascending(truth, -probability)
    seen_at = np.searchsorted(-probability[everyone], -probability[positives], side="right")
    found_at = np.searchsorted(-probability[positives], -probability[positives], side="right")
    precisions = np.empty(len(weights))
    for rows in blocks(*weights.shape):
        seen = _cumulative(weights[rows].take(everyone, axis=1))
        chosen = weights[rows].take(positives, axis=1)
        found = _cumulative(chosen)
        both = (found[:, -1] > 0) & (seen[:, -1] > found[:, -1])
        # where nothing was seen the positive itself is not in the sample, and what stands here is not counted
        precision = found.take(found_at, axis=1) / np.maximum(seen.take(seen_at, axis=1), 1.0)
        total = np.einsum("sp,sp->s", chosen, precision)
        precisions[rows] = ratio(total, np.where(both, found[:, -1], 0.0))
    return precisions


def _ascending(among: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Positions of the images that are among them, by value."""
    positions = np.flatnonzero(among)
    return positions[np.argsort(values[positions], kind="stable")]


def _cumulative(weights: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, … columns."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums
