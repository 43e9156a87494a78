from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.releases.vindr import write_kaggle, write_release
from vlpbench.data.prepared import prepare
from vlpbench.data.source import SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.splits.catalogue import find_recipe, named_split, shared_patients
from vlpbench.splits.recipe import NamedSplit
from vlpbench.suite import DataSpec

POSITIVE = 4394


def manifest(released: int = 15000, test: int = 3000) -> pd.DataFrame:
    """Ids of hexadecimal digits in no order, with as many findings in train as the Kaggle table has.

    Which images the recipe draws depends on PhysioNet's own tables, which are not public: only sizes, shares and the
    mechanism can be checked here.
    """
    generator = np.random.default_rng(0)
    count = released + test
    frame = pd.DataFrame({"image_id": [f"{number * 2654435761 % 2**32:032x}" for number in range(count)]})
    frame["fact:official"] = ["train"] * released + ["test"] * test
    frame["fact:finding"] = np.where(np.arange(count) % released < POSITIVE * released // 15000, "1", "0")
    frame["patient"] = frame["image_id"]
    return frame.iloc[generator.permutation(count)].reset_index(drop=True)


def split_of(frame: pd.DataFrame, task: str = "classification") -> NamedSplit:
    return named_split(frame, dataset="vindr", task=task, name="benchx-2024")


def test_sizes_are_the_published_ones() -> None:
    split = split_of(manifest())
    counts = find_recipe("vindr", "detection", "benchx-2024").counts
    assert {name: len(getattr(split, name)) for name in ("train", "val", "test")} == counts
    assert {share: len(rows) for share, rows in split.fractions.items()} == {0.01: 120, 0.1: 1200}


def test_parts_follow_the_official_ones_and_share_nothing() -> None:
    frame = manifest()
    split = split_of(frame)
    assert set(frame["fact:official"][np.r_[split.train, split.val]]) == {"train"}
    assert set(frame["fact:official"][split.test]) == {"test"}
    assert shared_patients(frame, split) == {}
    assert all(set(rows) <= set(split.train) for rows in split.fractions.values())


def test_draws_are_stratified_by_finding() -> None:
    frame = manifest()
    positive = frame["fact:finding"].to_numpy() == "1"
    split = split_of(frame)
    # 4,394 of 15,000, to the nearest image in each part.
    assert (positive[split.train].sum(), positive[split.val].sum()) == (3515, 879)
    assert {share: positive[rows].sum() for share, rows in split.fractions.items()} == {0.01: 35, 0.1: 352}


def test_only_ids_decide_not_the_order_of_the_manifest() -> None:
    frame = manifest(600, 120)
    again = frame.iloc[::-1].reset_index(drop=True)
    one, other = split_of(frame), split_of(again)
    for part in ("train", "val", "test"):
        assert list(frame["image_id"][getattr(one, part)]) == list(again["image_id"][getattr(other, part)])
    assert list(frame["image_id"][one.test]) == sorted(frame["image_id"][one.test])


def test_labels_are_not_looked_at() -> None:
    frame = manifest(600, 120)
    frame["label:no_finding"] = 1.0
    assert set(split_of(frame).val) == set(split_of(frame.drop(columns="label:no_finding")).val)


def test_it_runs_on_what_is_there(tmp_path: Path) -> None:
    write_release(tmp_path)
    request = SourceRequest(DataSpec("vindr", "VinDr-CXR", "vindr"), root=tmp_path, image_size=32)
    prepared = prepare(request, tmp_path / "work", jobs=1).manifest
    split = split_of(prepared)
    assert (len(split.train), len(split.val), len(split.test)) == (18, 6, 6)
    # One per cent of 18 images cannot show both classes.
    assert 0.01 not in split.fractions


def test_the_kaggle_edition_has_no_such_split(tmp_path: Path) -> None:
    write_kaggle(tmp_path)
    request = SourceRequest(DataSpec("vindr", "VinDr-CXR", "vindr"), root=tmp_path, image_size=32)
    prepared = prepare(request, tmp_path / "work", jobs=1).manifest
    with pytest.raises(VlpbenchError, match="benchx-2024 of vindr needs the PhysioNet edition"):
        split_of(prepared)


def test_too_few_images_are_named() -> None:
    frame = manifest(600, 120)
    frame["fact:finding"] = np.where(np.cumsum(frame["fact:official"] == "train") == 1, "1", "0")
    frame.loc[frame["fact:official"] == "test", "fact:finding"] = "0"
    with pytest.raises(VlpbenchError, match=r"benchx-2024 of vindr cannot be drawn: .*least populated"):
        split_of(frame)
