"""DeLong's variance against the definition, a published example and hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.statistics.delong import Auroc, auroc_with_shares

# Albumin, total protein, Krebs-Goplerud score and outcome of 43 patients with ovarian cancer, from DeLong, DeLong and
# Clarke-Pearson (1988), as given in SAS/STAT User's Guide, The LOGISTIC Procedure, Comparing Receiver Operating
# Characteristic Curves
TABLE = """3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
    3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
    2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
    3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
    3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
    3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1"""
OVARIAN = np.array(TABLE.split(), dtype=float).reshape(43, 4)


def _one(scores: np.ndarray, truth: np.ndarray, patients: np.ndarray | None = None) -> Auroc:
    owners = np.arange(len(truth)) if patients is None else patients
    return auroc_with_shares(scores[None, :, None], truth[:, None].astype(float), owners)


def _naive(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """AUROC and DeLong's variance by double loops over the definition (equations 4 to 6 of the paper)."""
    positive, negative = scores[truth == 1], scores[truth == 0]
    m, n = len(positive), len(negative)
    kernel = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in negative] for x in positive]
    area = sum(sum(row) for row in kernel) / (m * n)
    v10 = [sum(kernel[i]) / n for i in range(m)]
    v01 = [sum(kernel[i][j] for i in range(m)) / m for j in range(n)]
    s10 = sum((v - area) ** 2 for v in v10) / (m - 1)
    s01 = sum((v - area) ** 2 for v in v01) / (n - 1)
    return area, s10 / m + s01 / n


@pytest.mark.parametrize(("column", "area", "error"), [(0, 0.7366, 0.0927), (1, 0.6478, 0.1000), (2, 0.7258, 0.1028)])
def test_areas_and_standard_errors_of_the_published_example(column: int, area: float, error: float) -> None:
    scores = 10 - OVARIAN[:, 2] if column == 2 else OVARIAN[:, column]
    found = _one(scores, OVARIAN[:, 3])
    assert round(found.mean, 4) == area
    assert round(found.variance**0.5, 4) == error


def test_the_published_contrast_of_three_curves() -> None:
    truth = OVARIAN[:, 3]
    score = _one(10 - OVARIAN[:, 2], truth)
    contrasts = [_one(OVARIAN[:, column], truth).minus(score) for column in (0, 1)]
    means = np.array([one.mean for one in contrasts])
    covariance = np.array([[one.shares @ other.shares for other in contrasts] for one in contrasts])
    assert round(float(means @ np.linalg.solve(covariance, means)), 4) == 2.5340  # chi-square, 2 degrees of freedom
    assert [round(value, 4) for value in means] == [0.0108, -0.0780]


@pytest.mark.parametrize("seed", range(5))
def test_one_label_one_run_one_image_a_patient_is_the_textbook_variance(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = (generator.random(60) < 0.3).astype(float)
    scores = np.round(generator.normal(size=60) + truth, 1)  # with ties
    area, variance = _naive(scores, truth)
    found = _one(scores, truth)
    assert found.mean == pytest.approx(area, abs=1e-14)
    assert found.variance == pytest.approx(variance, rel=1e-12)


def test_a_case_by_hand() -> None:
    # positives 3 and 1, negatives 2 and 0: kernel [[1, 1], [0, 1]], area 3/4, components 1, 1/2 and 1/2, 1
    found = _one(np.array([3.0, 1.0, 2.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0]))
    assert found.mean == 0.75
    assert found.variance == pytest.approx(1 / 8)  # (1/8) / 2 + (1/8) / 2


def _clustered_by_hand(scores: np.ndarray, truth: np.ndarray, patients: np.ndarray) -> float:
    """Obuchowski's sums within patients, with the factor of the mixed term that the docstring names."""
    positive, negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    m, n = len(positive), len(negative)
    kernel = (scores[positive][:, None] > scores[negative]) + 0.5 * (scores[positive][:, None] == scores[negative])
    area = kernel.mean()
    people = np.unique(patients)
    a = np.array([sum(kernel[i].mean() - area for i in range(m) if patients[positive[i]] == one) for one in people])
    b = np.array([sum(kernel[:, j].mean() - area for j in range(n) if patients[negative[j]] == one) for one in people])
    with_positive, with_negative = len(set(patients[positive])), len(set(patients[negative]))
    f10, f01 = with_positive / (with_positive - 1), with_negative / (with_negative - 1)
    mixed = 2 * np.sqrt(f10 * f01) * (a @ b) / (m * n)
    return float(f10 * (a @ a) / m**2 + f01 * (b @ b) / n**2 + mixed)


def test_several_images_a_patient_are_summed_within_the_patient() -> None:
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(20), generator.integers(1, 5, size=20))
    # nine images of ten show what their patient has, so that most of what they share does not cancel
    truth = ((generator.random(20) < 0.4)[patients] ^ (generator.random(len(patients)) < 0.1)).astype(float)
    scores = generator.normal(size=len(patients)) + truth + generator.normal(size=20)[patients]
    found = _one(scores, truth, patients)
    assert found.variance == pytest.approx(_clustered_by_hand(scores, truth, patients), rel=1e-12)
    assert found.variance > 1.3 * _one(scores, truth).variance


def test_the_mean_over_runs_and_labels_is_their_mean_with_all_covariances() -> None:
    generator = np.random.default_rng(1)
    truth = (generator.random((80, 2)) < 0.4).astype(float)
    scores = generator.normal(size=(3, 80, 2)) + truth + generator.normal(size=(80, 2))
    found = auroc_with_shares(scores, truth, np.arange(80))
    single = [[_one(scores[run, :, label], truth[:, label]) for label in range(2)] for run in range(3)]
    assert found.mean == pytest.approx(np.mean([[one.mean for one in run] for run in single]))
    shares = np.mean([[one.shares for one in run] for run in single], axis=(0, 1))
    assert found.shares == pytest.approx(shares)


def test_unknown_truths_and_labels_of_one_class_are_left_out() -> None:
    generator = np.random.default_rng(2)
    truth = (generator.random(50) < 0.5).astype(float)
    scores = generator.normal(size=50) + truth
    known = np.arange(50) % 5 != 0
    wide = np.column_stack([np.where(known, truth, np.nan), np.ones(50), np.full(50, np.nan)])
    found = auroc_with_shares(np.repeat(scores[None, :, None], 3, axis=2), wide, np.arange(50))
    alone = _one(scores[known], truth[known])
    assert found.mean == pytest.approx(alone.mean)
    assert found.variance == pytest.approx(alone.variance)


def test_what_has_no_variance_is_refused() -> None:
    with pytest.raises(VlpbenchError, match="all positives of a label are of one"):
        _one(np.arange(4.0), np.array([1.0, 0.0, 0.0, 0.0]))
    with pytest.raises(VlpbenchError, match="all negatives of a label are of one"):
        _one(np.arange(4.0), np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 1, 2, 2]))
    with pytest.raises(VlpbenchError, match="No label has both"):
        _one(np.arange(4.0), np.ones(4))


def test_the_variance_is_that_of_many_redrawn_samples() -> None:
    # 2,000 test splits of 40 + 60 images; their standard error is known to 1.6 %
    generator = np.random.default_rng(3)
    truth = np.repeat([1.0, 0.0], [40, 60])
    found = [_one(generator.normal(size=100) + truth, truth) for _ in range(2000)]
    measured = np.std([one.mean for one in found])
    assert np.mean([one.variance for one in found]) ** 0.5 == pytest.approx(measured, rel=0.05)
