"""Differences between two methods on one cell, paired by the test patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from jaxtyping import Float

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.statistics.delong import Auroc, auroc_with_shares
from vlpbench.statistics.intervals import LEVEL, mean_over_seeds, percentiles
from vlpbench.statistics.resampler import Resampler, patient_numbers, split_of

AUROC = "auroc"
DELONG = "DeLong"
BOOTSTRAP = "bootstrap"
AGREE = 1e-6


@dataclass(frozen=True)
class Difference:
    """Ours less theirs, both means over the same evaluation seeds, where they share any.

    The interval and the p-value are about the test patients, for these trained weights.

    Attributes:
        mean: of ours less theirs, in [-1, 1].
        low: lower limit of the 95 % interval.
        high: upper limit.
        p_value: two-sided, of no difference; not corrected for the number of comparisons.
        test: "DeLong" for AUROC, else "bootstrap".
        seeds: evaluation seeds that both have and the means are over; () where they share none and all are taken.
        ours: mean of ours, in [0, 1].
        theirs: mean of theirs.
        samples: bootstrap samples in which both are defined; 0 for DeLong.
        undefined: bootstrap samples left out because one is not.
    """

    mean: float
    low: float
    high: float
    p_value: float
    test: str
    seeds: tuple[int, ...]
    ours: float
    theirs: float
    samples: int = 0
    undefined: int = 0


def difference(resampler: Resampler, ours: Sequence[Record], theirs: Sequence[Record]) -> Difference:
    """Paired difference of the headline of two methods on one cell.

    Args:
        resampler: gives the headline of each record in each sample.
        ours: runs of one method on the cell.
        theirs: runs of the other on the same cell.

    Raises:
        VlpbenchError: with the reason why there is none: another test split or headline, no run with a defined
            headline, predictions that are missing or of other images, or a test that cannot be made.
    """
    mine, other, seeds = pair_seeds(ours, theirs)
    _check_alike(mine, other)
    if mine[0].headline == AUROC:
        low, high, p_value = _delong(resampler, mine, other)
        test, samples, undefined = DELONG, 0, 0
    else:
        values = _sampled(resampler, mine, other)
        defined = values[~np.isnan(values)]
        low, high = percentiles(defined, LEVEL)
        p_value = bootstrap_p_value(defined)
        test, samples, undefined = BOOTSTRAP, len(defined), len(values) - len(defined)
    means = _mean(mine), _mean(other)
    return Difference(means[0] - means[1], low, high, p_value, test, seeds, *means, samples, undefined)


def pair_seeds(ours: Sequence[Record], theirs: Sequence[Record]) -> tuple[list[Record], list[Record], tuple[int, ...]]:
    """Runs with a defined headline of the evaluation seeds that both have, or all where they share none; the seeds.

    Raises:
        VlpbenchError: if one has no such run.
    """
    mine, other = ([record for record in records if _value(record) is not None] for records in (ours, theirs))
    for kept, records in ((mine, ours), (other, theirs)):
        if not kept:
            name = f"{records[0].spec.method}: {records[0].headline} is undefined" if records else "one has no record"
            raise VlpbenchError(f"{name} in all {len(records)} run(s)." if records else f"{name}.")
    seeds = {record.spec.seed for record in mine} & {record.spec.seed for record in other}
    if seeds:
        mine, other = ([record for record in records if record.spec.seed in seeds] for records in (mine, other))
    return mine, other, tuple(sorted(seeds))


def bootstrap_p_value(differences: Float[np.ndarray, " samples"]) -> float:
    """Two-sided p-value of no difference, by where 0 lies among the samples; never below 2 / (1 + samples).

    It is twice the smaller share of samples on either side of 0 or on it, one being added to count and number, as for
    any test by random samples (Davison and Hinkley, Bootstrap Methods and their Application, 1997, chapter 4).
    """
    fewer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(differences)))


def normal_p_value(mean: float, variance: float) -> float:
    """Two-sided p-value of a mean of 0 under the normal distribution; 1 for a mean of exactly 0 without variance.

    Raises:
        VlpbenchError: if there is a difference and no variance.
    """
    from scipy.stats import norm

    if mean == 0:
        return 1.0
    if variance <= 0:
        raise VlpbenchError(
            f"DeLong's variance is 0 though AUROC differs by {mean:.4f}: each ranks every image alike or without an "
            "error, and that has no p-value."
        )
    return float(2 * norm.sf(abs(mean) / math.sqrt(variance)))


def _sampled(resampler: Resampler, ours: Sequence[Record], theirs: Sequence[Record]) -> Float[np.ndarray, " samples"]:
    """Difference of the means over seeds in each sample."""
    mine, other = mean_over_seeds(resampler, ours), mean_over_seeds(resampler, theirs)
    if mine is None or other is None:
        raise VlpbenchError(f"{ours[0].headline} is undefined.")
    values: Float[np.ndarray, " samples"] = mine - other
    if 2 * np.isnan(values).sum() > len(values):
        raise VlpbenchError(
            f"{ours[0].headline} is undefined in {int(np.isnan(values).sum())} of {len(values)} bootstrap samples."
        )
    return values


def _delong(resampler: Resampler, ours: Sequence[Record], theirs: Sequence[Record]) -> tuple[float, float, float]:
    """Limits of the interval and p-value."""
    from scipy.stats import norm

    found = _auroc(resampler, ours).minus(_auroc(resampler, theirs))
    told = _mean(ours) - _mean(theirs)
    if not math.isclose(found.mean, told, rel_tol=0, abs_tol=AGREE):
        raise VlpbenchError(
            f"The predictions of {ours[0].spec.method} and {theirs[0].spec.method} give AUROC that differ by "
            f"{found.mean:.6f}, and their records say {told:.6f}. Compute them again: vlpbench rescore."
        )
    half = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(found.variance)
    return found.mean - half, found.mean + half, normal_p_value(found.mean, found.variance)


def _auroc(resampler: Resampler, records: Sequence[Record]) -> Auroc:
    read = [resampler.label_scores(record) for record in records]
    first = read[0]
    people = patient_numbers(resampler.store.root, records[0], first.images)
    return auroc_with_shares(
        np.stack([one.probabilities for one in read]), first.truth, np.unique(people, return_inverse=True)[1]
    )


def _check_alike(ours: Sequence[Record], theirs: Sequence[Record]) -> None:
    """All runs must have one test split and one headline."""
    first = ours[0]
    for record in [*ours, *theirs]:
        if (split_of(record), record.headline) != (split_of(first), first.headline):
            raise VlpbenchError(
                f"The records {first.key} ({first.spec.method}) and {record.key} ({record.spec.method}) cannot be "
                f"paired: {first.headline} on {', '.join(split_of(first))}, and {record.headline} on "
                f"{', '.join(split_of(record))}."
            )


def _value(record: Record) -> float | None:
    return record.metrics.get(record.headline)


def _mean(records: Sequence[Record]) -> float:
    return fmean(value for record in records if (value := _value(record)) is not None)
