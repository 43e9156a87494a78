"""Predictions as figures read them: whole files, with the columns that their task writes."""

from __future__ import annotations

import pandas as pd

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.store import RecordStore

PROBABILITY, TRUTH = "p:", "y:"
"""Columns of probabilities and labels begin with these."""
COLUMNS = {
    "classification": {"image_id"},
    "segmentation": {"image_id", "height", "width", "rle_prediction", "rle_target", "rle_ignored"},
    "detection": {"image_id", "kind", "label", "score", "x", "y", "width", "height"},
}


def read_predictions(store: RecordStore, record: Record) -> pd.DataFrame:
    """Predictions of one record.

    Raises:
        VlpbenchError: if there are none, the file is not the one the record names, or it lacks a column.
    """
    found = store.read_predictions(record)
    task = record.spec.task
    wanted = COLUMNS.get(task, set()) | {TRUTH + name for name in label_names(found)}
    if lacking := sorted(wanted - set(found.columns)):
        raise VlpbenchError(
            f"{record.predictions}: the predictions of {task} lack {', '.join(lacking)}. "
            "Run the cell again with --force to get them."
        )
    return found


def label_names(predictions: pd.DataFrame) -> list[str]:
    """Labels with a probability, in the order of the columns."""
    return [name.removeprefix(PROBABILITY) for name in map(str, predictions) if name.startswith(PROBABILITY)]
