from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from vlpbench.errors import VlpbenchError
from vlpbench.splits.catalogue import find_recipe, recipes
from vlpbench.splits.recipe import NamedSplit

POSITIVE = 6_012
PAIRS = [(recipe, task) for recipe in recipes("rsna") for task in recipe.tasks]


def manifest(*, images: int = 26_684, positive: int = POSITIVE, stage: str = "stage_2") -> pd.DataFrame:
    """Made-up ids in no order; which of them are positive is made up too, so only sizes can be those published."""
    generator = np.random.default_rng(0)
    ids = np.array([f"{number:06d}" for number in generator.permutation(images)])
    labels = (np.arange(images) < positive).astype(float)
    return pd.DataFrame({"image_id": ids, "label:lung_opacity": labels, "fact:stage": stage})


@pytest.fixture(scope="module")
def whole() -> pd.DataFrame:
    return manifest()


def assign(frame: pd.DataFrame, name: str, task: str) -> NamedSplit:
    return find_recipe("rsna", task, name).assign(frame)


def ids(frame: pd.DataFrame, rows: np.ndarray) -> list[str]:
    return [str(name) for name in frame["image_id"].to_numpy()[rows]]


@pytest.mark.parametrize(("recipe", "task"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_sizes_are_the_published_ones_and_parts_are_disjoint(whole: pd.DataFrame, recipe: object, task: str) -> None:
    name = getattr(recipe, "name", "")
    split = assign(whole, name, task)
    published = find_recipe("rsna", task, name).counts
    for part in ("train", "val", "test"):
        if part in published:
            assert len(getattr(split, part)) == published[part]
    together = np.concatenate([split.train, split.val, split.test])
    assert sorted(together.tolist()) == list(range(len(whole)))
    for rows in split.fractions.values():
        assert set(rows.tolist()) < set(split.train.tolist())


@pytest.mark.parametrize(("task", "size"), [("classification", 0.3), ("segmentation", 10_674), ("detection", 10_674)])
def test_mgca_draws_sorted_ids_twice_and_tests_on_the_first_half(whole: pd.DataFrame, task: str, size: float) -> None:
    train, rest = train_test_split(sorted(whole["image_id"]), test_size=size, random_state=0)
    test, val = train_test_split(rest, test_size=0.5, random_state=0)
    split = assign(whole, "mgca-2022", task)
    assert ids(whole, split.train) == train
    assert ids(whole, split.val) == val
    assert ids(whole, split.test) == test


def test_mgca_fractions_are_those_of_pandas_with_seed_42(whole: pd.DataFrame) -> None:
    split = assign(whole, "mgca-2022", "classification")
    listed = pd.DataFrame({"patientId": ids(whole, split.train)})
    for share, size in ((0.01, 187), (0.1, 1_868)):
        expected = listed.sample(frac=share, random_state=42)["patientId"].tolist()
        assert ids(whole, split.fractions[share]) == expected
        assert len(expected) == size


def test_the_two_draws_of_mgca_cross(whole: pd.DataFrame) -> None:
    classified, dense = assign(whole, "mgca-2022", "classification"), assign(whole, "mgca-2022", "detection")
    assert set(classified.train.tolist()) & set(dense.test.tolist())


def test_benchx_is_stratified_and_lists_nested_fractions(whole: pd.DataFrame) -> None:
    split = assign(whole, "benchx-2024", "segmentation")
    labels = whole["label:lung_opacity"].to_numpy()
    found = [(len(rows), int(labels[rows].sum())) for rows in (split.train, split.val, split.test)]
    assert found == [(18_678, 4_208), (4_003, 902), (4_003, 902)]
    small, large = split.fractions[0.01], split.fractions[0.1]
    assert [(len(rows), int(labels[rows].sum())) for rows in (small, large)] == [(186, 42), (1_867, 421)]
    assert set(small.tolist()) < set(large.tolist())


def test_benchx_is_the_released_draw_in_its_order(whole: pd.DataFrame) -> None:
    listed = whole.sort_values("image_id")
    x, y = listed["image_id"].tolist(), listed["label:lung_opacity"].tolist()
    train, rest, of_train, of_rest = train_test_split(x, y, test_size=0.3, stratify=y, random_state=42)
    val, test = train_test_split(rest, test_size=0.5, stratify=of_rest, random_state=42)
    tenth, _ = train_test_split(train, test_size=0.90, stratify=of_train, random_state=42)
    split = assign(whole, "benchx-2024", "classification")
    assert ids(whole, split.train) == train
    assert ids(whole, split.val) == val
    assert ids(whole, split.test) == test
    assert ids(whole, split.fractions[0.1]) == tenth


@pytest.mark.parametrize(("recipe", "task"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_the_order_of_the_manifest_does_not_matter(recipe: object, task: str) -> None:
    frame = manifest(images=400, positive=90)
    shuffled = frame.sample(frac=1, random_state=5).reset_index(drop=True)
    one, other = (assign(each, getattr(recipe, "name", ""), task) for each in (frame, shuffled))
    assert ids(frame, one.train) == ids(shuffled, other.train)
    assert ids(frame, one.test) == ids(shuffled, other.test)


@pytest.mark.parametrize(("recipe", "task"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_recipes_run_on_what_is_there(recipe: object, task: str) -> None:
    for images in (26, 26_683):
        frame = manifest(images=images, positive=images // 4)
        split = assign(frame, getattr(recipe, "name", ""), task)
        assert len(split.train) + len(split.val) + len(split.test) == images
        assert all(len(set(frame["label:lung_opacity"][rows])) == 2 for rows in split.fractions.values())


@pytest.mark.parametrize(("recipe", "task"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_stage_one_has_no_published_split(recipe: object, task: str) -> None:
    with pytest.raises(VlpbenchError, match="are of stage 2; this folder was prepared from stage_1"):
        assign(manifest(images=40, positive=9, stage="stage_1"), getattr(recipe, "name", ""), task)


def test_every_recipe_names_the_leak_by_patient() -> None:
    for recipe, _ in PAIRS:
        assert any("images of one person fall into different parts" in sentence for sentence in recipe.known)
