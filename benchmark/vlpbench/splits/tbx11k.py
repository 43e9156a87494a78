"""Published splits of TBX11K."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from vlpbench.errors import VlpbenchError
from vlpbench.splits.draw import draw_two
from vlpbench.splits.recipe import NamedSplit, Rows, SplitRecipe

FRACTIONS = (0.01, 0.1)


def assign_benchx(manifest: pd.DataFrame) -> NamedSplit:
    """Images with known boxes, sorted by name, 70 : 15 : 15 stratified by tuberculosis.

    Raises:
        VlpbenchError: if there are too few images to stratify.
    """
    known = np.flatnonzero(manifest["boxes_known"].to_numpy())
    names = manifest["image_id"].astype(str).to_numpy(dtype=object)
    listed = known[np.argsort(names[known], kind="stable")]
    target = manifest["label:tuberculosis"].to_numpy()
    try:
        train, rest = draw_two(listed, 0.3, seed=42, labels=target)
        val, test = draw_two(rest, 0.5, seed=42, labels=target)
    except ValueError as error:
        raise VlpbenchError(f"TBX11K cannot be split 70 : 15 : 15 by tuberculosis: {error}") from error
    return NamedSplit(train, val, test, dict(_fractions(train, target)))


def _fractions(train: Rows, target: np.ndarray) -> Iterator[tuple[float, Rows]]:
    """Fractions as released: what a draw leaves; none where the images are too few to stratify."""
    for fraction in FRACTIONS:
        try:
            kept, _ = draw_two(train, 1 - fraction, seed=42, labels=target)
        except ValueError:
            continue
        yield fraction, kept


RECIPES = (
    SplitRecipe(
        name="benchx-2024",
        dataset="tbx11k",
        tasks=("segmentation",),
        rule="images of the simplified edition sorted by name, 70 : 15 : 15 by two draws of train_test_split "
        "stratified by tuberculosis with random_state=42; 1 and 10 % are the first output of "
        "train_test_split(test_size=0.99 or 0.9, stratify=tuberculosis, random_state=42), 58 and 587 images",
        source="https://github.com/yangzhou12/BenchX, preprocess/datasets/TBX11K/preprocess_tbx11k.py",
        counts={
            "train": 5879,
            "train positive": 559,
            "val": 1260,
            "val positive": 120,
            "test": 1260,
            "test positive": 120,
        },
        assign=assign_benchx,
        known=(
            "It mixes the official train and val, so results are not comparable with those on the official val.",
            "Patients are not named, and some images are in the release twice: parts may share people and images.",
        ),
    ),
)
