"""Draws by scikit-learn, in the ways released lists were made."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from jaxtyping import Float, Int

Rows = Int[np.ndarray, " rows"]
LEFT_OUT = {0.01: 0.99, 0.1: 0.90}
"""Share that BenchX leaves out of the training rows, by the label fraction that stays."""


def draw_two(
    rows: Rows, size: float, *, seed: int, labels: Float[np.ndarray, " images"] | None = None
) -> tuple[Rows, Rows]:
    """Both parts of `train_test_split`, which depends on the order of the rows.

    Args:
        rows: of the manifest, in the order of the recipe.
        size: of the second part, a share below 1 or a count.
        seed: its `random_state`.
        labels: of all manifest rows; the draw is then stratified by them.
    """
    from sklearn.model_selection import train_test_split

    strata = None if labels is None else labels[rows]
    return cast("tuple[Rows, Rows]", tuple(train_test_split(rows, test_size=size, random_state=seed, stratify=strata)))


def draw_fractions(train: Rows, *, seed: int, labels: Float[np.ndarray, " images"]) -> dict[float, Rows]:
    """BenchX's own 1 % and 10 % of the training rows; a fraction too small to show every class is left out.

    Args:
        train: training rows in the order of the recipe.
        seed: as in `draw_two`.
        labels: as in `draw_two`.
    """
    classes = len(np.unique(labels[train]))
    return {
        share: draw_two(train, left, seed=seed, labels=labels)[0]
        for share, left in LEFT_OUT.items()
        if len(train) - math.ceil(left * len(train)) >= classes
    }
