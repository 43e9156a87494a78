from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from vlpbench_tasks import image_weights
from vlpbench_tasks.weighted_ranking import auroc, average_precision

PLAIN = {auroc: roc_auc_score, average_precision: average_precision_score}


@pytest.mark.parametrize("measure", PLAIN)
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(2, 40), steps=st.sampled_from([1, 3, 10, 10**6]))
def test_it_is_scikit_learn_weighted_and_with_rows_repeated(
    measure: object, seed: int, images: int, steps: int
) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random(images) < 0.5
    probability = generator.integers(0, steps + 1, images) / steps
    weights = generator.integers(0, 4, (3, images))
    found = measure(truth, probability, weights.astype(float))  # type: ignore[operator]
    for value, counts in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(images), counts)
        if len(np.unique(truth[rows])) < 2:
            assert math.isnan(value)
            continue
        assert value == pytest.approx(PLAIN[measure](truth[rows], probability[rows]), abs=1e-12)
        assert value == pytest.approx(PLAIN[measure](truth, probability, sample_weight=counts), abs=1e-12)


def test_auroc_by_hand() -> None:
    truth = np.array([True, True, False, False])
    probability = np.array([0.8, 0.4, 0.4, 0.1])
    weights = np.array([[1, 1, 1, 1], [2, 1, 3, 1], [0, 2, 5, 0], [1, 0, 1, 0]], dtype=float)
    # a tie counts half; pairs: 3.5 of 4; 2*4 + 1*(1 + 1.5) of 12; ties alone; in order alone
    assert auroc(truth, probability, weights).tolist() == [3.5 / 4, 10.5 / 12, 0.5, 1.0]


def test_average_precision_by_hand() -> None:
    truth = np.array([True, False, True])
    probability = np.array([0.9, 0.5, 0.2])
    weights = np.array([[1, 1, 1], [0, 2, 1], [2, 3, 2]], dtype=float)
    expected = [(1 + 2 / 3) / 2, 1 / 3, (2 * 1 + 2 * 4 / 7) / 4]
    np.testing.assert_allclose(average_precision(truth, probability, weights), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("measure", PLAIN)
@pytest.mark.parametrize("truth", [[True], [False], [True, True], [False, False]])
def test_a_single_class_is_undefined(measure: object, truth: list[bool]) -> None:
    found = measure(np.array(truth), np.linspace(0.1, 0.9, len(truth)), np.ones((2, len(truth))))  # type: ignore[operator]
    assert np.isnan(found).all()


@pytest.mark.parametrize("measure", PLAIN)
def test_blocks_change_nothing(measure: object, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    truth, probability = generator.random(30) < 0.4, generator.random(30)
    weights = generator.integers(0, 3, (11, 30)).astype(float)
    whole = measure(truth, probability, weights)  # type: ignore[operator]
    monkeypatch.setattr(image_weights, "BLOCK", 90)
    assert [one.stop - one.start for one in image_weights.blocks(11, 30)] == [3, 3, 3, 3]
    np.testing.assert_array_equal(measure(truth, probability, weights), whole)  # type: ignore[operator]


def test_whole_sums_lose_nothing_to_rounding() -> None:
    truth = np.arange(4000) % 2 == 0
    weights = np.ones((1, 4000))
    # every positive beats every negative below it: 2000 * 1999 / 2 of 2000^2 pairs, to the last bit
    assert auroc(truth, np.arange(4000) / 4000, weights)[0] == (2000 * 1999 / 2) / 2000**2
