"""DeLong's variance of AUROC, from plain arrays: several labels, runs and images per patient.

DeLong, DeLong and Clarke-Pearson, Biometrics 1988, 44:837; mid-ranks after Sun and Xu, IEEE Signal Processing Letters
2014, 21:1389; sums within patients after Obuchowski, Biometrics 1997, 53:567.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vlpbench.errors import VlpbenchError


@dataclass(frozen=True)
class Auroc:
    """Mean AUROC over labels and runs, with what each patient adds to its error.

    Attributes:
        mean: over the labels with both classes, then over runs.
        shares: by patient; the variance of `mean` is the sum of their squares, and that of the difference of two means
            on the same patients the sum of the squares of the differences of their shares.
    """

    mean: float
    shares: Float[np.ndarray, " patients"]

    @property
    def variance(self) -> float:
        """Of the mean."""
        return float(self.shares @ self.shares)

    def minus(self, other: Auroc) -> Auroc:
        """The difference to another on the same patients."""
        return Auroc(self.mean - other.mean, self.shares - other.shares)


def auroc_with_shares(
    scores: Float[np.ndarray, "runs images labels"],
    truth: Float[np.ndarray, "images labels"],
    patients: Int[np.ndarray, " images"],
) -> Auroc:
    """AUROC as the mean over labels and runs, and every patient's share in its error.

    The structural components of a label, less its AUROC and over the number of positives (or negatives), are summed
    within patients, and over labels and runs. Each sum of squares is corrected for its degrees of freedom by
    n / (n - 1), n being the patients with a positive (or negative) image, and products of the two kinds by the
    geometric mean of the two factors; Obuchowski takes that of all patients there, but then a variance can be negative.
    With one label, one run and one image per patient this is DeLong's variance.

    Args:
        scores: higher for positive.
        truth: 1, 0, or NaN where unknown; labels without both classes are left out.
        patients: of each image, from 0 to n - 1.

    Raises:
        VlpbenchError: if no label has both classes, or one has all its positives or negatives in one patient.
    """
    number = int(patients.max(initial=-1)) + 1
    shares = np.zeros(number)
    areas = []
    for column in range(truth.shape[1]):
        known = ~np.isnan(truth[:, column])
        positive = truth[known, column] == 1
        if positive.all() or not positive.any():
            continue
        area, parts = _structural_components(scores[:, known, column], positive)
        areas.append(area)
        for kind in (positive, ~positive):
            owners = patients[known][kind]
            people = len(np.unique(owners))
            if people == 1:
                raise VlpbenchError(
                    "DeLong's variance needs positives and negatives of two patients each, and all "
                    f"{'positives' if kind is positive else 'negatives'} of a label are of one."
                )
            centred = (parts[:, kind] - area[:, None]).mean(axis=0) / kind.sum()
            shares += np.bincount(owners, centred, minlength=number) * np.sqrt(people / (people - 1))
    if not areas:
        raise VlpbenchError("No label has both positive and negative images, so AUROC is undefined.")
    return Auroc(float(np.mean(areas)), shares / len(areas))


def _structural_components(
    scores: Float[np.ndarray, "runs images"], positive: Bool[np.ndarray, " images"]
) -> tuple[Float[np.ndarray, " runs"], Float[np.ndarray, "runs images"]]:
    """AUROC of each run, and each image's share of the other class that it is ranked rightly against, ties half."""
    from scipy.stats import rankdata

    parts = rankdata(scores, axis=1)
    for kind in (positive, ~positive):
        parts[:, kind] -= rankdata(scores[:, kind], axis=1)
    parts[:, positive] /= (~positive).sum()
    parts[:, ~positive] = 1 - parts[:, ~positive] / positive.sum()
    return parts[:, positive].mean(axis=1), parts
