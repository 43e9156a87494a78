"""The label-fraction sampler: seeded, stratified, nested."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from vlpbench.errors import VlpbenchError


def fraction_order(labels: Float[np.ndarray, "n classes"], *, seed: int) -> Int[np.ndarray, " n"]:
    """An order of the training rows of which every prefix is a stratified sample.

    First come rows that show each class (each label present, then each label absent) once, so that even a small prefix
    holds every class the data has; the others follow spread out evenly within their stratum, which is their
    combination of
    labels. Prefixes of one order are nested by construction.

    Args:
        labels: 0, 1 or NaN for unknown; no columns for data without labels.
        seed: of the order.
    """
    count, classes = labels.shape
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, count, 20])))
    shuffled = generator.permutation(count)
    _, stratum = np.unique(np.nan_to_num(labels, nan=-1.0), axis=0, return_inverse=True)
    stratum = stratum.reshape(-1)
    position = np.empty(count)
    for name in np.unique(stratum):
        members = shuffled[stratum[shuffled] == name]
        position[members] = (np.arange(len(members)) + generator.random()) / len(members)
    spread = shuffled[np.argsort(position[shuffled], kind="stable")]
    first: list[int] = []
    rarest = np.argsort(np.nansum(labels, axis=0), kind="stable") if count else np.arange(classes)
    for value in (1.0, 0.0):
        for column in rarest:
            if not np.any(labels[first, column] == value):
                first.extend(spread[labels[spread, column] == value][:1])
    rest = spread[~np.isin(spread, first)]
    return np.concatenate([np.asarray(first, dtype=int), rest]).astype(int)


def covering_count(labels: Float[np.ndarray, "n classes"], order: Int[np.ndarray, " n"]) -> int:
    """Length of the shortest prefix of `order` that shows every class the data has, present and absent."""
    needed = 0
    for column in range(labels.shape[1]):
        for value in (1.0, 0.0):
            found = np.flatnonzero(labels[order, column] == value)
            if len(found):
                needed = max(needed, int(found[0]) + 1)
    return needed


def sample_fraction(
    labels: Float[np.ndarray, "n classes"], fraction: float, *, seed: int
) -> Int[np.ndarray, " sampled"]:
    """Rows of a stratified fraction; a smaller fraction of the same seed lies inside a larger one.

    At least one row of every class the data has is taken, even where the fraction alone would be smaller.

    Args:
        labels: 0, 1 or NaN for unknown.
        fraction: in (0, 1].
        seed: of the order.

    Raises:
        VlpbenchError: for a fraction outside (0, 1], or no rows at all.
    """
    if not 0 < fraction <= 1:
        raise VlpbenchError(f"A fraction of the training labels lies in (0, 1]; got {fraction:g}.")
    if len(labels) == 0:
        raise VlpbenchError("There are no training images to take a fraction of.")
    order = fraction_order(labels, seed=seed)
    count = max(1, round(fraction * len(labels)), covering_count(labels, order))
    return order[:count]
