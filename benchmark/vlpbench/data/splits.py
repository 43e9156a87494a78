"""Splits by patient."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from vlpbench.errors import BadInputError

SPLITS = ("train", "val", "test")


def assign_splits(manifest: pd.DataFrame, *, shares: tuple[int, int, int], seed: int) -> list[str]:
    """Split names per row: the source's own where it gives them, else drawn by patient.

    Patients are dealt into as many folds as the shares add up to (scikit-learn's StratifiedGroupKFold, stratified by
    the combination of known labels); the first folds train, the next validate, the last test. Where the source gives
    train and test only, the patients of train are dealt in the same way, and the last folds validate.

    Args:
        manifest: with columns patient, split and `label:<name>`.
        shares: of train, val and test, in folds.
        seed: of the deal.

    Raises:
        BadInputError: for a split name other than train, val and test, rows with and without a split mixed, or fewer
            patients than folds.
    """
    given = manifest["split"].fillna("").astype(str).to_numpy(dtype=object)
    train, val, _ = shares
    if (given == "").all():
        fold_of = _deal(manifest, sum(shares), seed)
        return ["train" if fold < train else "val" if fold < train + val else "test" for fold in fold_of]
    wrong = np.flatnonzero(~np.isin(given.astype(str), SPLITS))
    if len(wrong):
        ids = manifest["image_id"].to_numpy()
        listed = [f"row {row + 1} ({ids[row]}): split is {given[row]!r}" for row in wrong]
        raise BadInputError("Every row needs a split of train, val or test, or none has one:", listed)
    if set(given) == {"train", "test"}:
        rows = np.flatnonzero(given == "train")
        given[rows[_deal(manifest.iloc[rows], train + val, seed) >= train]] = "val"
    return [str(name) for name in given]


def _deal(manifest: pd.DataFrame, folds: int, seed: int) -> np.ndarray:
    """A fold per row; patients stay together."""
    from sklearn.model_selection import StratifiedGroupKFold

    patients = manifest["patient"].to_numpy()
    if len(set(patients)) < folds:
        raise BadInputError(
            f"{len(set(patients))} patients cannot be split into {folds} folds by patient.",
            [],
            next_step="Add patients, or give a split column with train, val and test.",
        )
    fold_of = np.empty(len(manifest), dtype=int)
    dealer = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # The class of the rare may itself have fewer members than there are folds.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, rows) in enumerate(dealer.split(np.zeros(len(manifest)), _strata(manifest, folds), patients)):
            fold_of[rows] = fold
    return fold_of


def _strata(manifest: pd.DataFrame, folds: int) -> np.ndarray:
    """A class per row: its combination of labels; combinations rarer than the folds share one class."""
    labels = manifest[[column for column in manifest.columns if column.startswith("label:")]]
    if labels.shape[1] == 0:
        return np.zeros(len(manifest), dtype=int)
    values = np.ascontiguousarray(labels.fillna(-1).to_numpy(dtype=np.int64))
    combined, _ = pd.factorize(values.view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel())
    counts = np.bincount(combined)[combined]
    codes, _ = pd.factorize(np.where(counts >= folds, combined, -1))
    return np.asarray(codes)
