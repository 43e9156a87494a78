"""A label fraction as the released MGCA code draws it: uniform, by one fixed seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int

from vlpbench.errors import VlpbenchError

SEED = 42


def draw_uniform(count: int, fraction: float) -> Int[np.ndarray, " sampled"]:
    """Positions among `count` training rows: pandas' `sample(frac=fraction, random_state=42)`, in the order drawn.

    The same whatever the seed of the cell, and blind to labels, so that a rare class may be missing from it
    (MGCA mgca/datasets/classification_dataset.py:53, 166, 209). All rows keep their order, and at least one is taken.

    Args:
        count: training rows.
        fraction: in (0, 1].

    Raises:
        VlpbenchError: for a fraction outside (0, 1], or no rows at all.
    """
    if not 0 < fraction <= 1:
        raise VlpbenchError(f"A fraction of the training labels lies in (0, 1]; got {fraction:g}.")
    if count == 0:
        raise VlpbenchError("There are no training images to take a fraction of.")
    rows = pd.Series(np.arange(count))
    if fraction == 1:
        return rows.to_numpy()
    # the size is what pandas makes of `frac`
    return rows.sample(n=max(1, round(fraction * count)), random_state=SEED).to_numpy()
