"""Splits by patient."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vlpbench.errors import BadInputError

SPLITS = ("train", "val", "test")


def assign_splits(manifest: pd.DataFrame, *, shares: tuple[int, int, int], seed: int) -> list[str]:
    """Split names per row: the source's own where it gives them, else drawn by patient.

    Patients are dealt into as many folds as the shares add up to (scikit-learn's StratifiedGroupKFold, stratified by
    the
    combination of known labels); the first folds train, the next validate, the last test.

    Args:
        manifest: with columns patient, split and `label:<name>`.
        shares: of train, val and test, in folds.
        seed: of the deal.

    Raises:
        BadInputError: for a split name other than train, val and test, rows with and without a split mixed, or fewer
            patients than folds.
    """
    given = manifest["split"].fillna("").astype(str)
    if (given != "").any():
        wrong = manifest.index[~given.isin(SPLITS)]
        if len(wrong):
            listed = [f"row {row + 1} ({manifest['image_id'][row]}): split is {given[row]!r}" for row in wrong]
            raise BadInputError("Every row needs a split of train, val or test, or none has one:", listed)
        return list(given)
    from sklearn.model_selection import StratifiedGroupKFold

    folds = sum(shares)
    patients = manifest["patient"].to_numpy()
    if len(set(patients)) < folds:
        raise BadInputError(
            f"{len(set(patients))} patients cannot be split into {folds} folds by patient.",
            [],
            next_step="Add patients, or give a split column with train, val and test.",
        )
    strata = _strata(manifest, folds)
    fold_of = np.empty(len(manifest), dtype=int)
    dealer = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for fold, (_, rows) in enumerate(dealer.split(np.zeros(len(manifest)), strata, patients)):
        fold_of[rows] = fold
    train, val, _ = shares
    return ["train" if fold < train else "val" if fold < train + val else "test" for fold in fold_of]


def _strata(manifest: pd.DataFrame, folds: int) -> np.ndarray:
    """A class per row: its combination of labels; combinations rarer than the folds share one class."""
    labels = manifest[[column for column in manifest.columns if column.startswith("label:")]]
    if labels.shape[1] == 0:
        return np.zeros(len(manifest), dtype=int)
    combined = labels.fillna(-1).astype(int).astype(str).agg("".join, axis=1)
    counts = combined.map(combined.value_counts())
    codes, _ = pd.factorize(combined.where(counts >= folds, "rare"))
    return np.asarray(codes)
