"""Published splits of Object-CXR."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from vlpbench.errors import VlpbenchError
from vlpbench.splits.draw import draw_two
from vlpbench.splits.recipe import NamedSplit, Rows, SplitRecipe

MGCA = "https://github.com/HKU-MedAI/MGCA, mgca/preprocess/object_cxr.py"
BENCHX = "https://github.com/yangzhou12/BenchX, preprocess/datasets/Object-CXR/preprocess_object_cxr.py"
FRACTIONS = (0.01, 0.1)


def assign_mgca(manifest: pd.DataFrame) -> NamedSplit:
    """A tenth of train.csv validates, dev tests.

    Raises:
        VlpbenchError: if a part has no image.
    """
    return _carved(manifest, share=0.1)


def assign_sista(manifest: pd.DataFrame) -> NamedSplit:
    """A fifth of train.csv validates, dev tests.

    Raises:
        VlpbenchError: if a part has no image.
    """
    return _carved(manifest, share=0.2)


def assign_benchx(manifest: pd.DataFrame) -> NamedSplit:
    """The official three, with fractions of the training images.

    Raises:
        VlpbenchError: if a part has no image.
    """
    train, val, test = (_official(manifest, name) for name in ("train", "dev", "test"))
    return NamedSplit(train, val, test, dict(_fractions(manifest, train)))


def _carved(manifest: pd.DataFrame, *, share: float) -> NamedSplit:
    train, val = draw_two(_official(manifest, "train"), share, seed=0)
    return NamedSplit(train, val, _official(manifest, "dev"))


def _official(manifest: pd.DataFrame, name: str) -> Rows:
    """Rows of one table, in its order: the draws depend on it."""
    rows = np.flatnonzero((manifest["fact:official"] == name).to_numpy())
    if len(rows) == 0:
        raise VlpbenchError(f"The prepared Object-CXR has no image of {name}.csv, which this split needs.")
    lines = manifest["fact:row"].to_numpy()[rows].astype(int)
    return rows[np.argsort(lines, kind="stable")]


def _fractions(manifest: pd.DataFrame, train: Rows) -> Iterator[tuple[float, Rows]]:
    """Fractions as released: the part that a draw sets aside; none where the images are too few to stratify."""
    positive = manifest["label:foreign_object"].to_numpy()
    for fraction in FRACTIONS:
        try:
            _, kept = draw_two(train, fraction, seed=42, labels=positive)
        except ValueError:
            continue
        yield fraction, kept


RECIPES = (
    SplitRecipe(
        name="mgca-2022",
        dataset="object_cxr",
        tasks=("detection",),
        rule="train_test_split(train.csv, test_size=0.1, random_state=0) trains and validates, dev tests",
        source=MGCA,
        counts={"train": 7200, "val": 800, "test": 1000, "test positive": 500},
        assign=assign_mgca,
        known=("Patients are not named, so nobody can say whether parts share people.",),
    ),
    SplitRecipe(
        name="sista-2026",
        dataset="object_cxr",
        tasks=("detection",),
        rule="train_test_split(train.csv, test_size=0.2, random_state=0) trains and validates, dev tests",
        source="https://arxiv.org/abs/2601.08165, section on medical object detection (sizes only)",
        counts={"train": 6400, "val": 1600, "test": 1000, "test positive": 500},
        assign=assign_sista,
        known=(
            "The paper states sizes and no rule: the draw is MGCA's with the share that gives these sizes.",
            "Patients are not named, so nobody can say whether parts share people.",
        ),
    ),
    SplitRecipe(
        name="benchx-2024",
        dataset="object_cxr",
        tasks=("segmentation",),
        rule="the official train, dev and test; 1 and 10 % are the second output of train_test_split(test_size=0.01 "
        "or 0.1, stratify=has object, random_state=42), 80 and 800 images",
        source=BENCHX,
        counts={
            "train": 8000,
            "train positive": 4000,
            "val": 1000,
            "val positive": 500,
            "test": 1000,
            "test positive": 500,
        },
        assign=assign_benchx,
        known=("Patients are not named, so nobody can say whether parts share people.",),
    ),
)
