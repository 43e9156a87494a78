"""Paired differences between two methods on one cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from tests.statistics.fabricate import add, add_mean, add_patients, label_table, mean_table
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.statistics.delong import auroc_with_shares
from vlpbench.statistics.differences import bootstrap_p_value, difference, normal_p_value
from vlpbench.statistics.resampler import Resampler
from vlpbench.statistics.samples import draw_weights
from vlpbench.store import RecordStore

GENERATOR = np.random.default_rng(0)
VALUES = GENERATOR.random(60)
TRUTH = (GENERATOR.random((60, 2)) < 0.4).astype(float)


def _resampler(root: Path, samples: int = 1000) -> Resampler:
    return Resampler(RecordStore(root), samples=samples, jobs=1)


def _add_labels(root: Path, scores: np.ndarray, **rest: object) -> Record:
    value = float(np.mean([roc_auc_score(TRUTH[:, label], scores[:, label]) for label in range(2)]))
    table = label_table(TRUTH, scores)
    return add(root, table, value=value, metric="auroc", task="classification", **rest)  # type: ignore[arg-type]


@pytest.mark.usefixtures("mean_task")
def test_bootstrap_difference_is_paired_by_patients_and_seeds(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, size=(4, 60))
    ours = [add_mean(tmp_path, mean_table(VALUES + noise[seed] + 0.02), seed=seed) for seed in range(2)]
    theirs = [add_mean(tmp_path, mean_table(VALUES + noise[2 + seed]), seed=seed, method="mgca") for seed in range(2)]
    found = difference(_resampler(tmp_path), ours, theirs)
    weights = draw_weights(np.arange(60), ["all"] * 60, samples=1000)
    per_image = (noise[:2].mean(axis=0) + 0.02) - noise[2:].mean(axis=0)
    sampled = weights @ per_image / 60
    assert found.mean == pytest.approx(per_image.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(sampled, [2.5, 97.5])))
    assert found.p_value == pytest.approx(bootstrap_p_value(sampled))
    assert (found.test, found.seeds, found.samples, found.undefined) == ("bootstrap", (0, 1), 1000, 0)
    assert found.ours - found.theirs == pytest.approx(found.mean)


@pytest.mark.usefixtures("mean_task")
def test_only_seeds_that_both_have_are_compared(tmp_path: Path) -> None:
    ours = [add_mean(tmp_path, mean_table(VALUES + seed), seed=seed) for seed in (0.0, 0.25)]
    ours = [
        add_mean(tmp_path, mean_table(VALUES * 0.5), seed=0),
        add_mean(tmp_path, mean_table(VALUES * 0.9), seed=1),
        add(tmp_path, None, seed=2, value=None),
    ]
    theirs = [
        add_mean(tmp_path, mean_table(VALUES * 0.4), seed=1, method="mgca"),
        add_mean(tmp_path, mean_table(VALUES * 0.1), seed=2, method="mgca"),
    ]
    found = difference(_resampler(tmp_path), ours, theirs)
    assert found.seeds == (1,)
    assert found.mean == pytest.approx(0.5 * VALUES.mean())
    apart = difference(_resampler(tmp_path), ours[:1], theirs)
    assert apart.seeds == ()
    assert apart.mean == pytest.approx((0.5 - 0.25) * VALUES.mean())


@pytest.mark.usefixtures("mean_task")
def test_equal_predictions_differ_by_nothing(tmp_path: Path) -> None:
    ours, theirs = add_mean(tmp_path, mean_table(VALUES)), add_mean(tmp_path, mean_table(VALUES), method="mgca")
    found = difference(_resampler(tmp_path), [ours], [theirs])
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.usefixtures("mean_task")
def test_samples_in_which_one_is_undefined_are_left_out(tmp_path: Path) -> None:
    sparse = np.where(np.arange(60) < 3, VALUES, np.nan)
    ours, theirs = add_mean(tmp_path, mean_table(sparse)), add_mean(tmp_path, mean_table(VALUES), method="mgca")
    found = difference(_resampler(tmp_path), [ours], [theirs])
    weights = draw_weights(np.arange(60), ["all"] * 60, samples=1000)
    empty = int((weights[:, :3].sum(axis=1) == 0).sum())
    assert empty > 0
    assert (found.samples, found.undefined) == (1000 - empty, empty)


def test_auroc_is_tested_after_delong_over_labels_seeds_and_patients(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    people = np.repeat(np.arange(30), 2)
    scores = generator.random((4, 60, 2)) + 0.5 * TRUTH
    ours = [_add_labels(tmp_path, scores[seed], seed=seed) for seed in range(2)]
    theirs = [_add_labels(tmp_path, scores[2 + seed], seed=seed, method="mgca") for seed in range(2)]
    add_patients(tmp_path, people.astype(str), task="classification")
    found = difference(_resampler(tmp_path), ours, theirs)
    expected = auroc_with_shares(scores[:2], TRUTH, people).minus(auroc_with_shares(scores[2:], TRUTH, people))
    error = expected.variance**0.5
    assert found.test == "DeLong"
    assert found.mean == pytest.approx(expected.mean)
    assert (found.low, found.high) == pytest.approx((found.mean - 1.959964 * error, found.mean + 1.959964 * error))
    assert found.p_value == pytest.approx(2 * norm.cdf(-abs(expected.mean) / error))
    assert (found.samples, found.undefined) == (0, 0)


def test_equal_probabilities_have_no_difference_and_p_1(tmp_path: Path) -> None:
    scores = np.random.default_rng(3).random((60, 2))
    found = difference(
        _resampler(tmp_path), [_add_labels(tmp_path, scores)], [_add_labels(tmp_path, scores, method="mgca")]
    )
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_perfect_against_constant_has_no_p_value(tmp_path: Path) -> None:
    ours, theirs = _add_labels(tmp_path, TRUTH), _add_labels(tmp_path, 0 * TRUTH, method="mgca")
    with pytest.raises(VlpbenchError, match=r"variance is 0 though AUROC differs by 0\.5000"):
        difference(_resampler(tmp_path), [ours], [theirs])


def test_auroc_that_is_not_the_records_is_refused(tmp_path: Path) -> None:
    scores = np.random.default_rng(4).random((60, 2))
    ours = add(tmp_path, label_table(TRUTH, scores), value=0.99, metric="auroc", task="classification")
    with pytest.raises(VlpbenchError, match="and their records say"):
        difference(_resampler(tmp_path), [ours], [_add_labels(tmp_path, scores, method="mgca")])


@pytest.mark.usefixtures("mean_task")
def test_other_splits_metrics_and_empty_cells_are_refused(tmp_path: Path) -> None:
    ours = add_mean(tmp_path, mean_table(VALUES))
    other = add_mean(tmp_path, mean_table(VALUES), method="mgca", split="t" * 16)
    metric = add_mean(tmp_path, mean_table(VALUES), method="clip", metric="dice_pooled")
    undefined = add(tmp_path, None, value=None, method="convirt")
    resampler = _resampler(tmp_path)
    for strange in (other, metric):
        with pytest.raises(VlpbenchError, match=f"{ours.key}.*{strange.key}.*cannot be paired"):
            difference(resampler, [ours], [strange])
    with pytest.raises(VlpbenchError, match="convirt: dice_positive is undefined in all 1 run"):
        difference(resampler, [ours], [undefined])
    with pytest.raises(VlpbenchError, match="no record"):
        difference(resampler, [ours], [])


@pytest.mark.usefixtures("mean_task")
def test_mostly_undefined_samples_are_no_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = add_mean(tmp_path, mean_table(VALUES)), add_mean(tmp_path, mean_table(VALUES), method="mgca")
    resampler = _resampler(tmp_path, samples=100)
    values = np.where(np.arange(100) < 51, np.nan, 0.5)
    monkeypatch.setattr(resampler, "values", lambda record: values)
    with pytest.raises(VlpbenchError, match="undefined in 51 of 100 bootstrap samples"):
        difference(resampler, [ours], [theirs])


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0] * 99, 2 / 100),
        ([-1.0] * 99, 2 / 100),
        ([0.0] * 99, 1.0),
        ([1.0] * 89 + [-1.0] * 10, 22 / 100),
        ([1.0] * 90 + [0.0] * 9, 20 / 100),
        ([1.0, -1.0], 1.0),
    ],
)
def test_bootstrap_p_value_by_hand(differences: list[float], expected: float) -> None:
    assert bootstrap_p_value(np.array(differences)) == pytest.approx(expected)


def test_normal_p_value_by_hand() -> None:
    assert normal_p_value(1.959964, 1.0) == pytest.approx(0.05, abs=1e-6)
    assert normal_p_value(-1.959964, 1.0) == pytest.approx(0.05, abs=1e-6)
    assert normal_p_value(0.0, 0.0) == 1.0
