from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.releases.object_cxr import write_release
from vlpbench.data.prepared import prepare
from vlpbench.data.source import SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.splits.catalogue import named_split
from vlpbench.splits.object_cxr import RECIPES
from vlpbench.splits.recipe import NamedSplit
from vlpbench.suite import DataSpec

TASKS = {"mgca-2022": "detection", "sista-2026": "detection", "benchx-2024": "segmentation"}


def manifest(*, test: bool = True) -> pd.DataFrame:
    """Ids, order and counts of the release; which images are positive is made up."""
    frames = []
    for official, first, last in (("train", 1, 8000), ("dev", 8001, 9000), ("test", 9001, 10000)):
        numbers = np.arange(first, last + 1)
        frame = pd.DataFrame({"image_id": [f"{number:05d}" for number in numbers]})
        frame["fact:official"] = official
        frame["fact:row"] = [str(row) for row in range(2, len(numbers) + 2)]
        frame["label:foreign_object"] = (numbers % 2).astype(float)
        frames.append(frame)
    return pd.concat(frames if test else frames[:2], ignore_index=True)


def split_of(frame: pd.DataFrame, name: str) -> NamedSplit:
    return named_split(frame, dataset="object_cxr", task=TASKS[name], name=name)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_published_sizes_and_no_image_twice(recipe) -> None:
    frame = manifest()
    found = split_of(frame, recipe.name)
    positive = frame["label:foreign_object"].to_numpy()
    for part in ("train", "val", "test"):
        assert len(getattr(found, part)) == recipe.counts[part]
        # The draws of MGCA are not stratified: how many positives they train on depends on the real labels.
        if f"{part} positive" in recipe.counts:
            assert positive[getattr(found, part)].sum() == recipe.counts[f"{part} positive"]
    everything = np.concatenate([found.train, found.val, found.test])
    assert len(set(everything)) == len(everything)
    official = frame["fact:official"].to_numpy()
    assert set(official[found.test]) == {"test" if recipe.name == "benchx-2024" else "dev"}


def test_the_draws_follow_the_order_of_the_table_and_not_of_the_manifest() -> None:
    frame = manifest()
    names = frame["image_id"].to_numpy()
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    again = shuffled["image_id"].to_numpy()
    for name in TASKS:
        one, other = split_of(frame, name), split_of(shuffled, name)
        for part in ("train", "val", "test"):
            assert list(names[getattr(one, part)]) == list(again[getattr(other, part)])


def test_mgca_draws_as_numpys_legacy_generator_does() -> None:
    # scikit-learn permutes the rows once and takes the first of them as the part it sets aside.
    order = np.random.RandomState(0).permutation(8000)
    found = split_of(manifest(), "mgca-2022")
    assert list(found.val) == list(order[:800])
    assert list(found.train) == list(order[800:])
    fifth = split_of(manifest(), "sista-2026")
    assert list(fifth.val) == list(order[:1600])


def test_fractions_of_benchx_are_the_part_set_aside() -> None:
    frame = manifest()
    found = split_of(frame, "benchx-2024")
    positive = frame["label:foreign_object"].to_numpy()
    assert {share: len(rows) for share, rows in found.fractions.items()} == {0.01: 80, 0.1: 800}
    assert [positive[rows].sum() for rows in found.fractions.values()] == [40, 400]
    # True of the published lists too: the 80 are among the 800.
    assert set(found.fractions[0.01]) <= set(found.fractions[0.1]) <= set(found.train)


def test_detection_splits_need_no_test_table() -> None:
    frame = manifest(test=False)
    assert len(split_of(frame, "mgca-2022").test) == 1000
    with pytest.raises(VlpbenchError, match=r"no image of test\.csv, which this split needs"):
        split_of(frame, "benchx-2024")


def test_recipes_run_on_a_prepared_folder_with_few_images(tmp_path: Path) -> None:
    write_release(tmp_path / "release")
    spec = DataSpec("objects", "Object-CXR", "object_cxr")
    request = SourceRequest(spec, root=tmp_path / "release", image_size=32)
    prepared = prepare(request, tmp_path / "work", jobs=1)
    for name in TASKS:
        found = split_of(prepared.manifest, name)
        assert min(len(found.train), len(found.val), len(found.test)) > 0
    # One image, 1 % of twelve, cannot be of both classes.
    assert 0.01 not in split_of(prepared.manifest, "benchx-2024").fractions
