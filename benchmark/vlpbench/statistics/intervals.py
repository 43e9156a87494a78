"""Intervals: how far the mean over the evaluation seeds would move with other test patients of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vlpbench.record import Record
from vlpbench.statistics.resampler import Resampler

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A percentile interval over bootstrap samples of the test patients.

    It is about the test patients, for these trained weights; seeds of pre-training and evaluation are told apart.

    Attributes:
        low: lower limit, a fraction in [0, 1].
        high: upper limit, likewise.
        level: share of samples between the limits.
        samples: samples whose metric is defined.
        undefined: samples left out because it is not.
    """

    low: float
    high: float
    level: float
    samples: int
    undefined: int


def interval(resampler: Resampler, records: Sequence[Record], *, level: float = LEVEL) -> Interval | None:
    """Percentile interval of the mean over the runs of one cell whose headline is defined.

    Args:
        resampler: gives the headline of each record in each sample.
        records: of one cell, which differ in their seeds.
        level: of the interval.

    Returns:
        None where no run has a defined headline, or fewer than half of the samples have one.

    Raises:
        VlpbenchError: with the reason why a record has no samples.
    """
    values = mean_over_seeds(resampler, records)
    if values is None:
        return None
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        return None
    low, high = percentiles(defined, level)
    return Interval(low, high, level, len(defined), len(values) - len(defined))


def mean_over_seeds(resampler: Resampler, records: Sequence[Record]) -> Float[np.ndarray, " samples"] | None:
    """Mean in each sample over the runs whose headline is defined, NaN where one is not there; None without any.

    Raises:
        VlpbenchError: with the reason why a record has no samples.
    """
    defined = [record for record in records if record.metrics.get(record.headline) is not None]
    if not defined:
        return None
    mean: Float[np.ndarray, " samples"] = np.mean([resampler.values(record) for record in defined], axis=0)
    return mean


def percentiles(values: Float[np.ndarray, " samples"], level: float) -> tuple[float, float]:
    """Limits that leave half of what is beyond `level` on either side."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
