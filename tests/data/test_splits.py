from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vlpbench.data.splits import _strata, assign_splits
from vlpbench.errors import BadInputError

SHARES = (6, 2, 2)


def manifest(*, patients: int = 120, images_each: int = 3, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), images_each)
    effusion = (generator.random(patients) < 0.3).astype(float)[owner]
    nodule = np.where(generator.random(len(owner)) < 0.2, np.nan, generator.random(len(owner)) < 0.1)
    return pd.DataFrame(
        {
            "image_id": [f"image {number}" for number in range(len(owner))],
            "patient": [f"p{number}" for number in owner],
            "split": "",
            "label:effusion": effusion,
            "label:nodule": nodule,
        }
    )


def with_split(table: pd.DataFrame, **until: int) -> pd.DataFrame:
    """Give the first patients to the first split, and so on."""
    number = table["patient"].str[1:].astype(int)
    names = [next(name for name, end in until.items() if patient < end) for patient in number]
    return table.assign(split=names)


def test_patients_are_dealt_in_the_shares_that_were_asked_for() -> None:
    table = manifest()
    split = np.array(assign_splits(table, shares=SHARES, seed=0))
    assert [np.mean(split == name) for name in ("train", "val", "test")] == pytest.approx([0.6, 0.2, 0.2], abs=0.02)
    assert (table.assign(split=split).groupby("patient")["split"].nunique() == 1).all()
    assert list(split) == assign_splits(table, shares=SHARES, seed=0)
    assert list(split) != assign_splits(table, shares=SHARES, seed=1)


def test_val_is_carved_out_of_train_by_patient_where_the_source_gives_none() -> None:
    table = with_split(manifest(), test=40, train=120)
    split = np.array(assign_splits(table, shares=SHARES, seed=0))
    given = table["split"].to_numpy()
    np.testing.assert_array_equal(split == "test", given == "test")
    carved = split[given == "train"]
    assert set(carved) == {"train", "val"}
    assert np.mean(carved == "val") == pytest.approx(2 / 8, abs=0.02)
    inside = table.assign(split=split)[given == "train"]
    assert (inside.groupby("patient")["split"].nunique() == 1).all()
    rates = inside.groupby("split")["label:effusion"].mean()
    assert rates["val"] == pytest.approx(rates["train"], abs=0.05)


@pytest.mark.parametrize(
    "until",
    [{"train": 60, "val": 80, "test": 120}, {"train": 80, "val": 120}, {"val": 60, "test": 120}, {"train": 120}],
)
def test_any_other_split_is_left_as_it_is(until: dict[str, int]) -> None:
    table = with_split(manifest(), **until)
    assert assign_splits(table, shares=SHARES, seed=0) == list(table["split"])


def test_wrong_and_missing_names_are_listed() -> None:
    table = with_split(manifest(patients=20), train=10, test=20)
    table.loc[3, "split"] = "dev"
    table.loc[5, "split"] = None
    with pytest.raises(BadInputError) as error:
        assign_splits(table, shares=SHARES, seed=0)
    assert error.value.problems == ("row 4 (image 3): split is 'dev'", "row 6 (image 5): split is ''")


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(BadInputError, match="9 patients cannot be split into 10 folds"):
        assign_splits(manifest(patients=9), shares=SHARES, seed=0)
    with pytest.raises(BadInputError, match="7 patients cannot be split into 8 folds"):
        assign_splits(with_split(manifest(patients=9), train=7, test=9), shares=SHARES, seed=0)


def test_strata_are_combinations_of_labels_the_rare_ones_together() -> None:
    table = manifest(patients=60, images_each=1)
    table["label:rare"] = [1.0] + [0.0] * 59
    codes = _strata(table, 10)
    columns = table.filter(like="label:").fillna(-1)
    combined = columns.astype(int).astype(str).agg("/".join, axis=1)
    frequent = combined.map(combined.value_counts()) >= 10
    expected, _ = pd.factorize(combined.where(frequent, "rare"))
    np.testing.assert_array_equal(codes, expected)
    assert 0 < frequent.sum() < 60
    assert not _strata(table[["patient"]], 10).any()
