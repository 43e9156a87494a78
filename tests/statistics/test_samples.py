"""Bootstrap samples of patients."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vlpbench.statistics.samples import SMALL, draw_weights


def test_images_of_a_patient_come_and_go_together() -> None:
    patients = np.array([7, 3, 7, 7, 5] * 4) + np.repeat(np.arange(4) * 10, 5)
    weights = draw_weights(patients, ["a"] * len(patients), samples=50)
    assert weights.shape == (50, len(patients))
    for patient in np.unique(patients):
        mine = weights[:, patients == patient]
        assert (mine == mine[:, :1]).all()
    assert np.ptp(weights) > 0


def test_every_sample_has_as_many_patients_of_each_stratum() -> None:
    # patients 0-19 show a, 20-39 show b, 40-59 show both
    patients = np.array([*range(40), *np.repeat(np.arange(40, 60), 2)])
    strata = ["a"] * 20 + ["b"] * 20 + ["a", "b"] * 20
    weights = draw_weights(patients, strata, samples=200)
    for first, last, images in ((0, 20, 1), (20, 40, 1), (40, 80, 2)):
        assert (weights[:, first:last].sum(axis=1) == 20 * images).all()


def test_rare_strata_are_drawn_together() -> None:
    patients = np.arange(30 + SMALL - 1 + 4)
    strata = ["common"] * 30 + ["rare"] * (SMALL - 1) + ["alone0", "alone1", "alone2", "alone3"]
    weights = draw_weights(patients, strata, samples=300)
    assert (weights[:, :30].sum(axis=1) == 30).all()
    assert np.ptp(weights[:, 30 : 30 + SMALL - 1].sum(axis=1)) > 0
    assert (weights[:, -4:] == 0).any(axis=0).all()  # nobody is in every sample


def test_the_same_arguments_give_the_same_samples_and_another_seed_gives_others() -> None:
    patients, strata = np.arange(40), ["a", "b"] * 20
    first = draw_weights(patients, strata, samples=20)
    assert np.array_equal(first, draw_weights(patients, strata, samples=20))
    assert not np.array_equal(first, draw_weights(patients, strata, samples=20, seed=1))


def test_samples_are_multinomial() -> None:
    weights = draw_weights(np.arange(20), ["a"] * 20, samples=20000)
    assert weights.mean(axis=0) == pytest.approx(np.ones(20), abs=0.03)
    assert weights.var(axis=0) == pytest.approx(np.full(20, 0.95), abs=0.06)  # 20 * 1/20 * 19/20


def test_numbers_of_patients_need_not_be_dense_and_no_image_is_no_error() -> None:
    sparse = draw_weights(np.array([1000, 5, 1000]), ["a", "a", "a"], samples=5)
    assert np.array_equal(sparse, draw_weights(np.array([1, 0, 1]), ["a", "a", "a"], samples=5))
    assert draw_weights(np.array([], dtype=int), [], samples=3).shape == (3, 0)


def test_one_stratum_per_image_is_asked_for() -> None:
    with pytest.raises(ValueError, match="3 images and 2 strata"):
        draw_weights(np.arange(3), ["a", "b"], samples=2)


def test_two_thousand_samples_of_five_thousand_images_are_drawn_in_a_second() -> None:
    start = time.process_time()
    draw_weights(np.arange(5000), ["a", "b"] * 2500, samples=2000)
    assert time.process_time() - start < 1.0
