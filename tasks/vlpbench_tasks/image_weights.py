"""How often each test image is in each sample, and means of what is known of each image under such weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

# 4 MiB of float64: what one step makes stays in a core's cache, and memory does not grow with the number of samples
BLOCK = 2**19


def as_weights(weights: Int[np.ndarray, "samples images"], images: int) -> Float[np.ndarray, "samples images"]:
    """The weights in float64, in which sums of whole numbers are exact up to 2^53.

    Args:
        weights: how often each image is in each sample.
        images: number of images there are.

    Raises:
        ValueError: if there is not one weight for each image, or one is negative.
    """
    if weights.ndim != 2 or weights.shape[1] != images:
        raise ValueError(f"weights have the shape {weights.shape}; expected (samples, {images}), one for each image.")
    if weights.size and weights.min() < 0:
        raise ValueError("an image cannot be in a sample less than 0 times; found a negative weight.")
    return np.asarray(weights, dtype=np.float64)


def blocks(samples: int, columns: int) -> Iterator[slice]:
    """Runs of samples whose matrices of so many columns fit in `BLOCK` numbers."""
    rows = max(1, BLOCK // max(1, columns))
    for start in range(0, samples, rows):
        yield slice(start, start + rows)


def weighted_mean(
    weights: Float[np.ndarray, "samples images"],
    values: Float[np.ndarray, " images"],
    among: Float[np.ndarray, " images"],
) -> Float[np.ndarray, " samples"]:
    """Mean of `values` over the images for which `among` is 1 (else 0); NaN where a sample has none of them."""
    both = weights @ np.column_stack([np.where(among == 1, values, 0.0), among])
    return ratio(both[:, 0], both[:, 1])


def ratio(above: Float[np.ndarray, " samples"], below: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """Quotients, NaN where `below` is 0."""
    quotients = np.full(below.shape, math.nan)
    np.divide(above, below, out=quotients, where=below != 0)
    return quotients


def mean_of_defined(values: Float[np.ndarray, "labels samples"]) -> Float[np.ndarray, " samples"]:
    """Mean over the labels that are not NaN in the sample; NaN where all of them are."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0, dtype=np.float64))
