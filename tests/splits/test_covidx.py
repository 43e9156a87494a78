from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from vlpbench.errors import VlpbenchError
from vlpbench.splits.covidx import RECIPES, split_as_benchx, split_as_mgca, split_as_sista

TRAIN_9A, TEST_9A = 30_130, 400
CXR_4 = {"train.txt": 67_863, "val.txt": 8473, "test.txt": 8482}
COUNTS = {recipe.name: recipe.counts for recipe in RECIPES}


def manifest_of(version: str, files: Mapping[str, int], *, seed: int = 0) -> pd.DataFrame:
    """A row per line of some files, with made-up classes."""
    parts = [
        pd.DataFrame(
            {
                "fact:version": version,
                "fact:file": name,
                "fact:csv_row": np.arange(length).astype(str),
                "fact:csv_length": str(length),
            }
        )
        for name, length in files.items()
    ]
    manifest = pd.concat(parts, ignore_index=True)
    manifest["label:covid"] = (np.random.RandomState(seed).rand(len(manifest)) < 0.7).astype(float)
    return manifest


def nine_a() -> pd.DataFrame:
    return manifest_of("9A", {"train_COVIDx9A.txt": TRAIN_9A, "test_COVIDx9A.txt": TEST_9A})


def test_mgca_draws_a_fifth_of_the_lines() -> None:
    split = split_as_mgca(nine_a())
    train, val = train_test_split(list(range(TRAIN_9A)), train_size=0.8, random_state=0)
    assert split.train.tolist() == train
    assert split.val.tolist() == val
    assert split.test.tolist() == list(range(TRAIN_9A, TRAIN_9A + TEST_9A))
    sizes = {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    assert sizes == {part: count for part, count in COUNTS["mgca-2022"].items() if "covid" not in part}
    drawn = np.random.RandomState(42).choice(len(train), 241, replace=False)
    assert split.fractions[0.01].tolist() == [train[place] for place in drawn]
    assert len(split.fractions[0.1]) == 2410


def test_mgca_of_a_folder_that_lacks_images_leaves_the_others_where_they_are() -> None:
    whole = nine_a()
    there = np.flatnonzero(np.random.RandomState(1).rand(len(whole)) < 0.8)[::-1]
    split, full = split_as_mgca(whole.iloc[there].reset_index(drop=True)), split_as_mgca(whole)
    kept = set(there.tolist())
    for part in ("train", "val", "test"):
        expected = [row for row in getattr(full, part).tolist() if row in kept]
        assert there[getattr(split, part)].tolist() == expected
    assert there[split.fractions[0.1]].tolist() == [row for row in full.fractions[0.1].tolist() if row in kept]


def test_sista_draws_a_tenth_of_the_lines() -> None:
    split = split_as_sista(nine_a())
    train, val = train_test_split(list(range(TRAIN_9A)), test_size=0.1, random_state=0)
    assert split.train.tolist() == train
    assert split.val.tolist() == val
    assert {"train": len(train), "val": len(val), "test": len(split.test)} == COUNTS["sista-2026"]
    assert not split.fractions


def test_benchx_loses_the_first_line_of_each_file() -> None:
    manifest = manifest_of("CXR-4", CXR_4)
    split = split_as_benchx(manifest)
    starts = np.cumsum([0, *CXR_4.values()]).tolist()
    for part, first, last in zip(("train", "val", "test"), starts, starts[1:], strict=False):
        assert getattr(split, part).tolist() == list(range(first + 1, last))
    sizes = {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    assert {**sizes, **{f"{100 * share:g} %": len(rows) for share, rows in split.fractions.items()}} == COUNTS[
        "benchx-2024"
    ]


@pytest.mark.parametrize(("share", "left"), [(0.01, 0.99), (0.1, 0.90)])
def test_benchx_fractions_are_stratified_and_follow_the_file(share: float, left: float) -> None:
    manifest = manifest_of("CXR-4", CXR_4)
    split = split_as_benchx(manifest)
    names = np.where(manifest["label:covid"] == 1.0, "positive", "negative")
    train = list(range(1, CXR_4["train.txt"]))
    drawn, _ = train_test_split(train, test_size=left, stratify=names[train].tolist(), random_state=42)
    assert split.fractions[share].tolist() == drawn
    positives = (names[split.fractions[share]] == "positive").sum()
    assert positives == pytest.approx((names[train] == "positive").sum() * share, abs=1)
    shuffled = manifest.iloc[np.random.RandomState(5).permutation(len(manifest))]
    again = split_as_benchx(shuffled.reset_index(drop=True)).fractions[share]
    assert shuffled.index[again].tolist() == drawn


def test_a_folder_of_another_version_says_which_option_to_set() -> None:
    with pytest.raises(VlpbenchError, match=r'mgca-2022 .* COVIDx 9A, .* holds CXR-4. .*version = "9A"'):
        split_as_mgca(manifest_of("CXR-4", {"train.txt": 9}))
    with pytest.raises(VlpbenchError, match=r'benchx-2024 .* COVIDx CXR-4, .* holds 9A. .*version = "CXR-4"'):
        split_as_benchx(nine_a())
    with pytest.raises(VlpbenchError, match=r'sista-2026 .* COVIDx 9A, .* holds 9B. .*version = "9A"'):
        split_as_sista(manifest_of("9B", {"train.txt": 9}))


def test_a_manifest_of_another_source_is_refused() -> None:
    with pytest.raises(VlpbenchError, match=r"lacks the fact 'csv_length'.*data prepare covidx"):
        split_as_mgca(nine_a().drop(columns="fact:csv_length"))
