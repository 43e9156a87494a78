"""Probabilities and truths of stored predictions of labels, as plain arrays in the order of the image ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.store import RecordStore

PROBABILITY = "p:"
TRUTH = "y:"


@dataclass(frozen=True)
class LabelScores:
    """What one record predicted of labels.

    Attributes:
        images: ids of the test images, sorted.
        labels: names.
        probabilities: in [0, 1].
        truth: 0, 1, or NaN where unknown.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: Float[np.ndarray, "images labels"]
    truth: Float[np.ndarray, "images labels"]


def read_label_scores(store: RecordStore, record: Record) -> LabelScores:
    """Read the predictions of a record of linear classification: columns `p:<label>` and `y:<label>`.

    Raises:
        VlpbenchError: if there are none, or not these columns.
    """
    predictions = store.read_predictions(record)
    labels = [str(name).removeprefix(PROBABILITY) for name in predictions if str(name).startswith(PROBABILITY)]
    lacking = [TRUTH + label for label in labels if TRUTH + label not in predictions]
    if "image_id" not in predictions or not labels or lacking:
        raise VlpbenchError(
            f"The predictions of the record {record.key} ({record.predictions}): expected the columns image_id and, "
            f"for each label, {PROBABILITY}<label> and {TRUTH}<label>; found {', '.join(map(str, predictions))}."
        )
    ordered = predictions.assign(image_id=predictions["image_id"].astype(str)).sort_values("image_id")
    return LabelScores(
        images=tuple(ordered["image_id"]),
        labels=tuple(labels),
        probabilities=ordered[[PROBABILITY + label for label in labels]].to_numpy(dtype=np.float64),
        truth=ordered[[TRUTH + label for label in labels]].to_numpy(dtype=np.float64),
    )
