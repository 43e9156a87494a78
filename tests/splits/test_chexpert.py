from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.splits.chexpert import (
    COMPETITION,
    OTHERS,
    RECIPES,
    draw_5x200,
    pools_5x200,
    split_as_mgca,
    split_as_sista,
)

LENGTH = 223_414
TAKEN = np.sort(np.random.RandomState(111).choice(LENGTH, 1000, replace=False))
"""Made-up rows of the 5x200 set, laid out so that 19 of the drawn numbers are theirs, as the published sizes imply."""


@cache
def rest_rows() -> np.ndarray:
    rest = np.full(LENGTH, "", dtype=object)
    rest[np.setdiff1d(np.arange(LENGTH), TAKEN)] = np.arange(LENGTH - len(TAKEN)).astype(str)
    return rest


def manifest_of(numbers: np.ndarray, *, views: np.ndarray | None = None) -> pd.DataFrame:
    """Training rows by their number in train.csv, and 202 frontal rows and 32 laterals of valid.csv."""
    shown = np.full(len(numbers), "frontal") if views is None else views[numbers]
    train = {
        "fact:file": "train.csv",
        "fact:view": shown,
        "fact:csv_row": numbers.astype(str),
        "fact:csv_length": str(LENGTH),
        "fact:rest_row": rest_rows()[numbers],
    }
    valid = {
        "fact:file": "valid.csv",
        "fact:view": np.where(np.arange(234) < 202, "frontal", "lateral"),
        "fact:csv_row": np.arange(234).astype(str),
        "fact:csv_length": "234",
        "fact:rest_row": "",
    }
    return pd.concat([pd.DataFrame(train), pd.DataFrame(valid)], ignore_index=True)


@cache
def naive_mgca() -> tuple[list[int], list[int]]:
    """Row numbers of train and val, laterals included, by the words of the published finding."""
    taken = set(TAKEN.tolist())
    left = [row for row in range(LENGTH) if row not in taken]
    drawn = np.random.RandomState(0).choice(len(left), 5000, replace=False).tolist()
    dropped = set(drawn)
    return [row for row in left if row not in dropped], [left[position] for position in drawn]


def test_mgca_replays_the_leak_with_its_published_sizes() -> None:
    split = split_as_mgca(manifest_of(np.arange(LENGTH)))
    train, val = naive_mgca()
    assert split.train.tolist() == train
    assert split.val.tolist() == val
    published = {
        "train with laterals": len(split.train),
        "val with laterals": len(split.val),
        "val rows kept in train, with laterals": len(set(split.train.tolist()) & set(split.val.tolist())),
        "test": len(split.test),
    }
    assert published == RECIPES[0].counts


def test_mgca_drops_laterals_after_the_draw_and_needs_only_the_frontal_rows() -> None:
    views = np.where(np.random.RandomState(1).rand(LENGTH) < 0.145, "lateral", "frontal")
    frontal = np.flatnonzero(views == "frontal")
    with_laterals = split_as_mgca(manifest_of(np.arange(LENGTH), views=views))
    without = split_as_mgca(manifest_of(frontal))
    train, val = naive_mgca()
    assert with_laterals.train.tolist() == [row for row in train if views[row] == "frontal"]
    assert frontal[without.train].tolist() == with_laterals.train.tolist()
    assert frontal[without.val].tolist() == [row for row in val if views[row] == "frontal"]
    for share, rows in without.fractions.items():
        assert len(rows) == round(share * len(without.train))
        assert frontal[rows].tolist() == with_laterals.fractions[share].tolist()
    first = np.random.RandomState(42).choice(len(without.train), len(without.fractions[0.01]), replace=False)
    assert without.fractions[0.01].tolist() == without.train[first].tolist()


def test_mgca_of_a_folder_that_lacks_images_leaves_the_others_where_they_are() -> None:
    numbers = np.flatnonzero(np.random.RandomState(2).rand(LENGTH) < 0.9)
    split = split_as_mgca(manifest_of(numbers))
    there = set(numbers.tolist())
    train, val = naive_mgca()
    assert numbers[split.train].tolist() == [row for row in train if row in there]
    assert numbers[split.val].tolist() == [row for row in val if row in there]


def test_mgca_follows_the_table_and_not_the_order_of_the_manifest() -> None:
    numbers = np.arange(LENGTH)
    split = split_as_mgca(manifest_of(numbers[::-1]))
    assert numbers[::-1][split.train].tolist() == naive_mgca()[0]
    assert numbers[::-1][split.val].tolist() == naive_mgca()[1]


def test_mgca_of_a_table_that_was_cut_says_what_to_prepare() -> None:
    manifest = manifest_of(np.arange(20))
    manifest["fact:rest_row"] = ""
    with pytest.raises(VlpbenchError, match=r"needs 200 images of each class .* 223,414 rows"):
        split_as_mgca(manifest)
    manifest = manifest_of(np.arange(20))
    manifest["fact:csv_length"] = "6000"
    with pytest.raises(VlpbenchError, match=r"5,000 validation rows"):
        split_as_mgca(manifest)


def test_a_manifest_of_another_source_is_refused() -> None:
    manifest = manifest_of(np.arange(20)).drop(columns="fact:rest_row")
    with pytest.raises(VlpbenchError, match=r"lacks the fact 'rest_row'.*data prepare chexpert"):
        split_as_mgca(manifest)


def test_sista_draws_validation_from_frontal_images_only() -> None:
    views = np.full(LENGTH, "lateral")
    views[np.random.RandomState(3).permutation(LENGTH)[:191_027]] = "frontal"
    split = split_as_sista(manifest_of(np.arange(LENGTH), views=views))
    assert {"train": len(split.train), "val": len(split.val), "test": len(split.test)} == RECIPES[1].counts
    rows = np.concatenate([split.train, split.val])
    assert (views[rows] == "frontal").all()
    assert len(np.unique(rows)) == 191_027
    with pytest.raises(VlpbenchError, match=r"draws 5,000 frontal training images .* has 20 in all"):
        split_as_sista(manifest_of(np.arange(20)))


def labels_of(rows: int) -> pd.DataFrame:
    return pd.DataFrame(0.0, index=range(rows), columns=["no_finding", *COMPETITION, *OTHERS])


def test_pools_of_5x200_hold_rows_with_one_class_only() -> None:
    labels, frontal = labels_of(8), np.ones(8, dtype=bool)
    labels.loc[0, "edema"] = 1.0
    labels.loc[1, ["edema", "no_finding"]] = 1.0
    labels.loc[2, ["edema", "consolidation"]] = 1.0
    labels.loc[3, ["edema", "fracture"]] = [1.0, -1.0]
    labels.loc[4, "edema"] = -1.0
    labels.loc[5, "edema"] = 1.0
    frontal[5] = False
    labels.loc[6, "support_devices"] = 1.0
    labels.loc[7, "atelectasis"] = 1.0
    found = {name: rows.tolist() for name, rows in pools_5x200(labels, frontal).items()}
    assert found == {
        "atelectasis": [7],
        "cardiomegaly": [],
        "consolidation": [],
        "edema": [0, 1],
        "pleural_effusion": [],
    }


def test_5x200_is_drawn_from_pools_of_the_published_sizes() -> None:
    labels = labels_of(8000)
    order, start = np.random.RandomState(4).permutation(8000), 0
    sizes = (1087, 1034, 537, 2257, 2425)
    for name, size in zip(COMPETITION, sizes, strict=True):
        labels.loc[order[start : start + size], name] = 1.0
        start += size
    pools = pools_5x200(labels, np.ones(8000, dtype=bool))
    assert [len(rows) for rows in pools.values()] == list(sizes)
    for name, rows in draw_5x200(pools).items():
        drawn = np.random.RandomState(0).choice(len(pools[name]), 200, replace=False)
        assert rows.tolist() == pools[name][drawn].tolist()
    assert draw_5x200({**pools, "edema": pools["edema"][:199]}) == {}
