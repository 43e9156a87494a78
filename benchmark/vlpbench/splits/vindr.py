"""Published splits of VinDr-CXR."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vlpbench.errors import VlpbenchError
from vlpbench.splits.draw import draw_fractions, draw_two
from vlpbench.splits.recipe import NamedSplit, SplitRecipe

SEED = 42


def benchx(manifest: pd.DataFrame) -> NamedSplit:
    """BenchX: PhysioNet's test part, and as many validation images drawn from its training part.

    Args:
        manifest: with columns image_id, `fact:official` and `fact:finding`.

    Raises:
        VlpbenchError: for the Kaggle edition, which has no test part, or too few images to draw from.
    """
    official = manifest["fact:official"].to_numpy()
    if not {"train", "test"} <= set(official):
        raise VlpbenchError(
            "The split benchx-2024 of vindr needs the PhysioNet edition, which has a test part; "
            "Kaggle's images are its training part only."
        )
    # The recipe groups by image id, which sorts them.
    order = np.argsort(manifest["image_id"].to_numpy().astype(str), kind="stable")
    released, test = order[official[order] == "train"], order[official[order] == "test"]
    finding = manifest["fact:finding"].to_numpy().astype(np.float64)
    try:
        train, val = draw_two(released, len(test), seed=SEED, labels=finding)
        fractions = draw_fractions(train, seed=SEED, labels=finding)
    except ValueError as error:
        raise VlpbenchError(f"The split benchx-2024 of vindr cannot be drawn: {error}") from error
    return NamedSplit(train, val, test, fractions)


RECIPES = (
    SplitRecipe(
        name="benchx-2024",
        dataset="vindr",
        tasks=("classification", "detection"),
        rule="PhysioNet's test part as test; validation as large as it, drawn from the training part sorted by id, "
        "stratified by whether any reader saw anything, seed 42; 1 % and 10 % drawn likewise.",
        source="https://github.com/yangzhou12/BenchX, preprocess/datasets/VinDr_CXR/preprocess_vindr.py",
        counts={"train": 12000, "val": 3000, "test": 3000},
        assign=benchx,
        known=(
            "The release does not name patients: parts may share them.",
            "Labels are the majority of three readers here; BenchX' code joins the classes that any reader named.",
            "BenchX reports classification on it; detection uses the same images.",
        ),
    ),
)
