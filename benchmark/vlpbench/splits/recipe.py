"""What a split recipe says, and what it hands out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Int

Rows = Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class NamedSplit:
    """Rows of the prepared manifest, in the order of the recipe.

    A released split may hold a row in two parts: that is its leak.

    Attributes:
        train: all training rows.
        val: validation rows.
        test: test rows.
        fractions: training rows of fractions that the recipe lists itself, such as {0.01: ...}; others are drawn by the
            protocol.
    """

    train: Rows
    val: Rows
    test: Rows
    fractions: Mapping[float, Rows] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitRecipe:
    """A published way to split a dataset.

    Attributes:
        name: such as "benchx-2024".
        dataset: registered source it is for.
        tasks: tasks it holds for.
        rule: what it does, in a sentence.
        source: public address of the code or list it follows.
        counts: published sizes by split, and positives where they are known, such as {"train": 18678, "train positive":
            4208}.
        known: what is wrong with it as released, a sentence each.
        assign: rows of the splits, from the prepared manifest.
    """

    name: str
    dataset: str
    tasks: tuple[str, ...]
    rule: str
    source: str
    counts: Mapping[str, int]
    assign: Callable[[pd.DataFrame], NamedSplit]
    known: tuple[str, ...] = ()
