"""Classification metrics under many samples of the test images."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vlpbench.errors import UnknownNameError
from vlpbench_tasks.image_weights import as_weights, mean_of_defined, weighted_mean
from vlpbench_tasks.label_metrics import TRUTH, chosen_classes, known_images, label_names
from vlpbench_tasks.weighted_ranking import auroc, average_precision

ONE_LABEL = "auroc_"


def resample(
    predictions: pd.DataFrame, metric: str, weights: Int[np.ndarray, "samples images"]
) -> Float[np.ndarray, " samples"]:
    """One metric of `vlpbench_tasks.label_metrics.score` for each sample.

    A label that has not both classes in a sample is left out of that sample's mean, as `score` leaves it out of the
    whole split: the samples of a rare label then differ in what they average, which the mean over labels hides. Read
    `auroc_<label>` for it, which is NaN there.

    Args:
        predictions: made by `vlpbench_tasks.label_metrics.tabulate`.
        metric: auroc, auroc_<label>, average_precision, accuracy or balanced_accuracy; the last two are NaN unless
            exactly one of several labels is true of every image.
        weights: how often each image is in each sample.

    Raises:
        UnknownNameError: for another metric.
        VlpbenchError: if a probability is not a number.
    """
    counted, labels = as_weights(weights, len(predictions)), label_names(predictions)
    per_label = {f"{ONE_LABEL}{label}": label for label in labels}
    if metric in per_label:
        return _of_label(predictions, per_label[metric], "auroc", counted)
    if metric in ("auroc", "average_precision"):
        if not labels:
            return np.full(len(weights), math.nan)
        return mean_of_defined(np.stack([_of_label(predictions, label, metric, counted) for label in labels]))
    if metric in ("accuracy", "balanced_accuracy"):
        if not exclude_each_other(predictions):
            return np.full(len(weights), math.nan)
        return _accuracy(predictions, counted, balanced=metric == "balanced_accuracy")
    raise UnknownNameError(
        "metric", metric, ["auroc", "average_precision", "accuracy", "balanced_accuracy", *per_label]
    )


def strata(predictions: pd.DataFrame) -> list[str]:
    """What each image shows: its class where classes exclude each other, else whether any label is true of it."""
    labels = label_names(predictions)
    truth = predictions[[TRUTH + label for label in labels]].to_numpy(dtype=np.float64)
    if exclude_each_other(predictions):
        return [labels[position] for position in truth.argmax(axis=1)]
    return ["finding" if any_label else "no finding" for any_label in (truth == 1).any(axis=1)]


def exclude_each_other(predictions: pd.DataFrame) -> bool:
    """Whether exactly one of several labels is true of every image, and all are known."""
    labels = label_names(predictions)
    truth = predictions[[TRUTH + label for label in labels]].to_numpy(dtype=np.float64)
    return len(labels) > 1 and bool(np.isin(truth, (0.0, 1.0)).all() and (truth.sum(axis=1) == 1).all())


def _of_label(predictions: pd.DataFrame, label: str, metric: str, weights: np.ndarray) -> np.ndarray:
    known, truth, probability = known_images(predictions, label)
    measure = auroc if metric == "auroc" else average_precision
    return measure(truth == 1, probability, weights if known.all() else weights[:, known])


def _accuracy(predictions: pd.DataFrame, weights: np.ndarray, *, balanced: bool) -> np.ndarray:
    right, chosen = chosen_classes(predictions)
    hits = (right == chosen).astype(np.float64)
    if not balanced:
        return weighted_mean(weights, hits, np.ones(len(hits)))
    classes = [(right == number).astype(np.float64) for number in np.unique(right)]
    return mean_of_defined(np.stack([weighted_mean(weights, hits, among) for among in classes]))
