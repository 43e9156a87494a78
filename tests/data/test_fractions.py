from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlpbench.data.fractions import sample_fraction
from vlpbench.errors import VlpbenchError


def labelled(count: int, classes: int, seed: int, rate: float = 0.3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, classes)) < rate).astype(float)
    labels[generator.random((count, classes)) < 0.1] = np.nan
    return labels


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 400), classes=st.integers(0, 5), seed=st.integers(0, 99))
def test_fractions_are_nested_and_show_every_class_the_data_has(count: int, classes: int, seed: int) -> None:
    labels = labelled(count, classes, seed)
    sampled = [sample_fraction(labels, fraction, seed=seed) for fraction in (0.01, 0.1, 1.0)]
    assert set(sampled[0]) <= set(sampled[1]) <= set(sampled[2])
    assert len(sampled[2]) == count
    for rows in sampled:
        assert len(set(rows.tolist())) == len(rows)
        for column in range(classes):
            for value in (0.0, 1.0):
                assert (labels[rows, column] == value).any() == (labels[:, column] == value).any()


def test_fractions_are_stratified() -> None:
    labels = np.repeat([[0.0], [1.0]], [800, 200], axis=0)
    rows = sample_fraction(labels, 0.1, seed=5)
    assert len(rows) == 100
    assert labels[rows].sum() == pytest.approx(20, abs=1)


def test_the_seed_decides() -> None:
    labels = labelled(300, 2, 0)
    first, again, other = (sample_fraction(labels, 0.1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, 10.0])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(VlpbenchError, match=r"lies in \(0, 1\]"):
        sample_fraction(np.zeros((4, 1)), fraction, seed=0)


def test_no_rows_are_refused() -> None:
    with pytest.raises(VlpbenchError, match="no training images"):
        sample_fraction(np.zeros((0, 1)), 0.1, seed=0)
