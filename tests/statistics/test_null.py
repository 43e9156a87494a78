"""False positives: pairs of predictors that are equal in truth, drawn again and again.

With 500 pairs and a true rate of 5 %, 16 to 35 significant ones are expected in 95 of 100 such simulations, with 2,000
pairs 81 to 120 (binomial distribution).
The counts below are exact: any change in drawing or testing shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.stats import binom

from vlpbench.statistics.delong import auroc_with_shares
from vlpbench.statistics.differences import bootstrap_p_value, normal_p_value
from vlpbench.statistics.samples import draw_weights

PAIRS, EXPECTED = 500, range(16, 36)
MANY, EXPECTED_OF_MANY = 2000, range(81, 121)


@pytest.mark.parametrize(("pairs", "expected"), [(PAIRS, EXPECTED), (MANY, EXPECTED_OF_MANY)])
def test_the_range_is_that_of_the_binomial_distribution(pairs: int, expected: range) -> None:
    assert (expected[0], expected[-1]) == (binom.ppf(0.025, pairs, 0.05), binom.ppf(0.975, pairs, 0.05))


def _delong(seed: int, patients: int, images: int, *, labels: int = 1) -> float:
    """P-value of two scorers of the same quality, whose errors images of a patient share in part."""
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), images)
    truth = (generator.random((patients, labels)) < 0.4)[owners].astype(float)
    shared = generator.standard_normal((2, patients, labels))[:, owners]
    scores = truth + shared + generator.standard_normal((2, patients * images, labels))
    ours, theirs = (auroc_with_shares(one[None], truth, owners) for one in scores)
    found = ours.minus(theirs)
    return normal_p_value(found.mean, found.variance)


def _bootstrap(seed: int, patients: int, images: int) -> float:
    """P-value of two classifiers that are right with the same probability, which images of a patient share."""
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), images)
    strata = np.where(generator.random(patients) < 0.4, "positive", "negative")[owners]
    right = generator.random((2, patients * images)) < generator.beta(2, 1, size=(2, patients))[:, owners]
    weights = draw_weights(owners, strata.tolist(), samples=400, seed=seed)
    return bootstrap_p_value(weights @ (right[0].astype(float) - right[1]) / len(owners))


def _significant(p_values: Iterator[float]) -> int:
    return sum(p_value <= 0.05 for p_value in p_values)


CASES: dict[str, tuple[Callable[[int], float], int, int]] = {
    "DeLong, one image a patient": (lambda seed: _delong(seed, 80, 1), 20, 96),
    "DeLong, three images a patient": (lambda seed: _delong(seed, 150, 3), 26, 109),
    "DeLong, mean of two labels": (lambda seed: _delong(seed, 80, 1, labels=2), 23, 116),
    "bootstrap, one image a patient": (lambda seed: _bootstrap(seed, 80, 1), 30, 101),
    "bootstrap, three images a patient": (lambda seed: _bootstrap(seed, 150, 3), 25, 92),
}


@pytest.mark.parametrize("case", list(CASES))
def test_about_one_pair_of_twenty_is_significant(case: str) -> None:
    p_value, count, _ = CASES[case]
    assert count in EXPECTED
    assert _significant(map(p_value, range(PAIRS))) == count


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_the_same_with_more_pairs(case: str) -> None:
    p_value, _, count = CASES[case]
    assert count in EXPECTED_OF_MANY
    assert _significant(map(p_value, range(MANY))) == count


def test_images_taken_for_patients_would_be_significant_too_often() -> None:
    def p_value(seed: int) -> float:
        generator = np.random.default_rng(seed)
        truth = (generator.random(60) < 0.4).repeat(3).astype(float)[:, None]
        shared = generator.standard_normal((2, 60, 1)).repeat(3, axis=1)
        scores = truth + shared + generator.standard_normal((2, 180, 1))
        ours, theirs = (auroc_with_shares(one[None], truth, np.arange(180)) for one in scores)
        return normal_p_value(ours.mean - theirs.mean, ours.minus(theirs).variance)

    # a tenth of the pairs at the very least, where a rate of 5 % would give 4 to 16 of 200
    assert _significant(map(p_value, range(200))) > 20
