"""Stores with predictions of a made-up task, small enough to compute by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vlpbench.patients import patients_file, write_patients
from vlpbench.protocol import Settings, load_protocol
from vlpbench.record import Record, make_record
from vlpbench.settings import recorded
from vlpbench.specs import Foundations, RunSpec
from vlpbench.store import RecordStore
from vlpbench.task import TaskResult

FINGERPRINT, SPLIT = "f" * 32, "s" * 16


class MeanTask:
    """A metric that is the weighted mean of a column; what is NaN counts for nothing."""

    def images(self, predictions: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"image_id": predictions["image_id"], "stratum": predictions["stratum"]})

    def resample(
        self, predictions: pd.DataFrame, settings: Settings, metric: str, weights: Int[np.ndarray, "samples images"]
    ) -> Float[np.ndarray, " samples"]:
        values = predictions["value"].to_numpy()
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            return (weights[:, known] @ values[known]) / weights[:, known].sum(axis=1)


def mean_table(values: Sequence[float], strata: Sequence[str] | None = None) -> pd.DataFrame:
    """Predictions of the made-up task, one image per value."""
    number = len(values)
    ids = [f"image{place:04d}" for place in range(number)]
    return pd.DataFrame(
        {"image_id": ids, "stratum": list(strata) if strata else ["all"] * number, "value": np.array(values, float)}
    )


def label_table(truth: Float[np.ndarray, "n labels"], scores: Float[np.ndarray, "n labels"]) -> pd.DataFrame:
    """Predictions of labels."""
    columns: dict[str, object] = {"image_id": [f"image{place:04d}" for place in range(len(truth))]}
    for label in range(truth.shape[1]):
        columns[f"p:label{label}"], columns[f"y:label{label}"] = scores[:, label], truth[:, label]
    return pd.DataFrame(columns)


def add(
    root: Path,
    predictions: pd.DataFrame | None,
    *,
    method: str = "sista",
    value: float | None,
    metric: str = "dice_positive",
    task: str = "segmentation",
    dataset: str = "siim",
    fraction: float = 1.0,
    seed: int = 0,
    weights: str = "w",
    split: str = SPLIT,
    suite: str = "phantom",
    arch: str = "resnet18",
    recipe: str = "",
    day: int = 1,
    pretrain_seed: int = 0,
) -> Record:
    """Store one run and its predictions."""
    spec = RunSpec(method, arch, 96, suite, task, dataset, fraction, seed, "clean", pretrain_seed)
    base = Foundations(f"{method}{recipe}{weights}", FINGERPRINT, split, "h", 1)
    result = TaskResult(
        metrics={metric: np.nan if value is None else value},
        headline=metric,
        floors={},
        counts={},
        selection={},
        predictions=pd.DataFrame(),
    )
    settings = recorded(load_protocol("clean").for_task(task))
    provenance = {
        "settings": settings,
        "started_at": f"2026-01-{day:02d}T00:00:00+00:00",
        "backbone": {"recipe_hash": recipe},
    }
    return RecordStore(root).add(make_record(spec, base, result, {}, provenance), predictions)


def add_mean(root: Path, table: pd.DataFrame, **rest: object) -> Record:
    """Store one run of the made-up task, its headline being the mean of the values."""
    return add(root, table, value=float(table["value"].mean()), **rest)  # type: ignore[arg-type]


def add_patients(root: Path, patients: Sequence[str], *, task: str = "segmentation", dataset: str = "siim") -> None:
    """Say which images are of one patient."""
    file = patients_file(root, suite="phantom", task=task, dataset=dataset, fingerprint=FINGERPRINT, split_hash=SPLIT)
    write_patients(file, [f"image{place:04d}" for place in range(len(patients))], patients)
