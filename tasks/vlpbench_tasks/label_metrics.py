"""Classification metrics from stored probabilities; a label without both classes has no AUROC.

scikit-learn is imported where it is used: a plan opens every task and computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from vlpbench.errors import VlpbenchError

PROBABILITY = "p:"
TRUTH = "y:"


def tabulate(
    image_ids: Sequence[str],
    labels: Sequence[str],
    probabilities: Float[np.ndarray, "n classes"],
    truth: Float[np.ndarray, "n classes"],
) -> pd.DataFrame:
    """One row per image: `image_id`, then per label `p:<label>` in [0, 1] and `y:<label>` (0, 1, NaN where unknown)."""
    columns: dict[str, object] = {"image_id": list(image_ids)}
    for position, label in enumerate(labels):
        columns[PROBABILITY + label] = probabilities[:, position]
        columns[TRUTH + label] = truth[:, position]
    return pd.DataFrame(columns)


def score(predictions: pd.DataFrame, *, exclusive: bool) -> dict[str, float]:
    """Metrics of a table made by `tabulate`, each in [0, 1], NaN where undefined.

    Args:
        predictions: probabilities and truth.
        exclusive: exactly one label is true per image, so that the most probable one can be right or wrong.

    Returns:
        `auroc` and `average_precision`, means over the labels that have both classes among their known images;
        `auroc_<label>` each; `accuracy` and `balanced_accuracy` (mean recall over the classes that occur), NaN unless
        labels are exclusive.

    Raises:
        VlpbenchError: if a probability is not a number.
    """
    from sklearn.metrics import accuracy_score, average_precision_score, recall_score, roc_auc_score

    labels = label_names(predictions)
    auroc: dict[str, float] = {}
    precision: dict[str, float] = {}
    for label in labels:
        _, truth, probability = known_images(predictions, label)
        defined = len(np.unique(truth)) == 2
        auroc[label] = float(roc_auc_score(truth, probability)) if defined else math.nan
        precision[label] = float(average_precision_score(truth, probability)) if defined else math.nan
    metrics = {
        "auroc": _mean(auroc.values()),
        "average_precision": _mean(precision.values()),
        "accuracy": math.nan,
        "balanced_accuracy": math.nan,
        **{f"auroc_{label}": value for label, value in auroc.items()},
    }
    if exclusive:
        right, chosen = chosen_classes(predictions)
        metrics["accuracy"] = float(accuracy_score(right, chosen))
        metrics["balanced_accuracy"] = float(recall_score(right, chosen, labels=np.unique(right), average="macro"))
    return metrics


def count(predictions: pd.DataFrame) -> dict[str, int]:
    """Images, known positives and negatives per label, and an `auroc_undefined:<label>` for a label without both."""
    counts = {"test_images": len(predictions)}
    for label in label_names(predictions):
        truth = predictions[TRUTH + label]
        positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
        counts[f"test_positives:{label}"] = positives
        counts[f"test_negatives:{label}"] = negatives
        if positives == 0 or negatives == 0:
            counts[f"auroc_undefined:{label}"] = 1
    return counts


def known_images(
    predictions: pd.DataFrame, label: str
) -> tuple[Bool[np.ndarray, " images"], Float[np.ndarray, " known"], Float[np.ndarray, " known"]]:
    """Which images a label is known of, and their truth and probability.

    Raises:
        VlpbenchError: if a probability is not a number.
    """
    known = predictions[TRUTH + label].notna().to_numpy()
    truth = predictions[TRUTH + label].to_numpy(dtype=np.float64)[known]
    probability = predictions[PROBABILITY + label].to_numpy(dtype=np.float64)[known]
    if np.isnan(probability).any():
        image = predictions["image_id"].to_numpy()[known][np.isnan(probability)][0]
        raise VlpbenchError(
            f"The predictions hold no number as the probability of {label!r} for image {image!r}, so images cannot be "
            "put in order. Train the head again, with a lower learning rate."
        )
    return known, truth, probability


def chosen_classes(predictions: pd.DataFrame) -> tuple[Int[np.ndarray, " images"], Int[np.ndarray, " images"]]:
    """Numbers of the right and of the most probable class of each image; of equals the first."""
    labels = label_names(predictions)
    right, chosen = (
        predictions[[prefix + label for label in labels]].to_numpy().argmax(axis=1) for prefix in (TRUTH, PROBABILITY)
    )
    return right, chosen


def label_names(predictions: pd.DataFrame) -> list[str]:
    """Labels of a table made by `tabulate`, in its order."""
    return [str(name).removeprefix(PROBABILITY) for name in predictions if str(name).startswith(PROBABILITY)]


def _mean(values: Iterable[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan
