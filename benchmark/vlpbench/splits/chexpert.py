"""Published splits of CheXpert, and the 5x200 set that one of them takes out first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from vlpbench.errors import VlpbenchError
from vlpbench.splits.draw import draw_two
from vlpbench.splits.recipe import NamedSplit, Rows, SplitRecipe

COMPETITION = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural_effusion")
"""The five classes that linear classification is reported for, in the order of GLoRIA and MGCA."""
OTHERS = (
    "enlarged_cardiomediastinum",
    "lung_lesion",
    "lung_opacity",
    "pneumonia",
    "pneumothorax",
    "pleural_other",
    "fracture",
    "support_devices",
)
"""Further classes that must be absent from an image of the 5x200 set."""
PER_CLASS = 200
TAKEN_OUT = PER_CLASS * len(COMPETITION)
VALIDATION = 5000
FRACTIONS = (0.01, 0.1)
FACTS = ("file", "view", "csv_row", "csv_length", "rest_row")


def pools_5x200(labels: pd.DataFrame, frontal: Bool[np.ndarray, " rows"]) -> dict[str, Rows]:
    """Frontal rows where exactly one competition class is present and every other listed class is absent.

    Args:
        labels: raw labels of all rows of train.csv in its order, a column per class: 1, 0 or -1, blank as 0. An
            uncertain label disqualifies a row; "no finding" is not looked at.
        frontal: whether a row is a frontal view.

    Returns:
        Row numbers by class, ascending. The whole train.csv gives 1,087, 1,034, 537, 2,257 and 2,425 of them.
    """
    values = labels[[*COMPETITION, *OTHERS]].to_numpy()
    alone = frontal & (np.count_nonzero(values, axis=1) == 1)
    return {name: np.flatnonzero(alone & (values[:, column] == 1)) for column, name in enumerate(COMPETITION)}


def draw_5x200(pools: Mapping[str, Rows]) -> dict[str, Rows]:
    """200 rows of each pool in MGCA's order, drawn by pandas with seed 0; nothing where a pool is too small.

    Source: https://github.com/HKU-MedAI/MGCA, `mgca/preprocess/chexpert.py`.
    """
    if any(len(rows) < PER_CLASS for rows in pools.values()):
        return {}
    return {name: pd.Series(rows).sample(n=PER_CLASS, random_state=0).to_numpy() for name, rows in pools.items()}


def split_as_mgca(manifest: pd.DataFrame) -> NamedSplit:
    """The split of the released MGCA code, its leak included.

    The code takes 5,000 random positions of the table without the 5x200 rows as validation, and then drops from
    training the rows whose *row numbers of train.csv* equal these positions. As the two count differently after the
    first 5x200 row, most validation rows stay in training. Laterals are dropped after that, and fractions drawn after
    that.

    Args:
        manifest: with the facts of the source chexpert; images that are missing from it are missing from the split.

    Raises:
        VlpbenchError: if it comes from another source, or from a train.csv that was cut.
    """
    _require(manifest, FACTS)
    train, test = _frontal(manifest, "train"), _frontal(manifest, "valid")
    place = _numbers(manifest, "rest_row")
    left = train[~np.isnan(place[train])]
    length = int(manifest["fact:csv_length"].iloc[left[0]]) - TAKEN_OUT if len(left) else 0
    if length <= VALIDATION:
        raise VlpbenchError(
            f"The split mgca-2022 of chexpert replays the whole train.csv: it needs {PER_CLASS} images of each class "
            f"for its 5x200 set and {VALIDATION:,} validation rows. The train.csv behind this folder was cut: prepare "
            "again from the release's own, which has 223,414 rows; the images may stay incomplete."
        )
    drawn = np.random.RandomState(0).choice(length, size=VALIDATION, replace=False)
    row_at = np.full(length, -1, dtype=np.int64)
    row_at[place[left].astype(np.int64)] = left
    val = row_at[drawn]
    kept = left[~np.isin(_numbers(manifest, "csv_row")[left], drawn)]
    fractions = {share: pd.Series(kept).sample(frac=share, random_state=42).to_numpy() for share in FRACTIONS}
    return NamedSplit(kept, val[val >= 0], test, fractions)


def split_as_sista(manifest: pd.DataFrame) -> NamedSplit:
    """5,000 frontal training images drawn as validation; the official validation images test.

    The paper names neither seed nor code: this draws with scikit-learn and seed 0.

    Raises:
        VlpbenchError: if the manifest comes from another source, or holds too few training images.
    """
    _require(manifest, ("file", "view", "csv_row"))
    rows, test = _frontal(manifest, "train"), _frontal(manifest, "valid")
    if len(rows) <= VALIDATION:
        raise VlpbenchError(
            f"The split sista-2026 of chexpert draws {VALIDATION:,} frontal training images as validation, and this "
            f"folder has {len(rows):,} in all. Prepare the whole release."
        )
    train, val = draw_two(rows, VALIDATION, seed=0)
    return NamedSplit(train, val, test)


def _frontal(manifest: pd.DataFrame, part: str) -> Rows:
    """Frontal rows of one table of the release, in its order."""
    chosen = (manifest["fact:file"] == f"{part}.csv") & (manifest["fact:view"] == "frontal")
    rows = np.flatnonzero(chosen.to_numpy(dtype=bool))
    ordered: Rows = rows[np.argsort(_numbers(manifest, "csv_row")[rows], kind="stable")]
    return ordered


def _numbers(manifest: pd.DataFrame, fact: str) -> Float[np.ndarray, " images"]:
    """A fact as numbers, NaN where it is blank."""
    return pd.to_numeric(manifest[f"fact:{fact}"], errors="coerce").to_numpy(dtype=np.float64)


def _require(manifest: pd.DataFrame, facts: Sequence[str]) -> None:
    for name in facts:
        if f"fact:{name}" not in manifest.columns:
            raise VlpbenchError(
                f"This folder lacks the fact {name!r} that splits of chexpert are made from. Prepare it again with "
                "`vlpbench data prepare chexpert`."
            )


RECIPES = (
    SplitRecipe(
        name="mgca-2022",
        dataset="chexpert",
        tasks=("classification",),
        rule="Without the 5x200 set, 5,000 random rows of train.csv validate (numpy seed 0) and the others train, as "
        "far as the released code drops them; then frontal views only. The official validation images test. 1 % and "
        "10 % by pandas with seed 42.",
        source="https://github.com/HKU-MedAI/MGCA mgca/preprocess/chexpert.py, mgca/datasets/classification_dataset.py",
        counts={
            "train with laterals": 217_433,
            "val with laterals": 5000,
            "val rows kept in train, with laterals": 4907,
            "test": 202,
        },
        assign=split_as_mgca,
        known=(
            "4,907 of the 5,000 validation rows stay in training: positions are taken for row numbers.",
            "Validation is drawn by image: 4,566 of its 4,576 patients are in training too.",
            "The released data loaders drop the last incomplete batch of validation; here all of it counts.",
        ),
    ),
    SplitRecipe(
        name="sista-2026",
        dataset="chexpert",
        tasks=("classification",),
        rule="5,000 random frontal images of train.csv validate, the others train; the official validation images "
        "test. The paper names no seed: 0 here.",
        source="https://arxiv.org/abs/2601.08165 section on medical image classification",
        counts={"train": 186_027, "val": 5000, "test": 202},
        assign=split_as_sista,
        known=(
            "The paper counts 191,229 frontal images: 191,027 of train.csv and the 202 test images together.",
            "Validation is drawn by image, so patients are shared with training.",
        ),
    ),
)
