from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vlpbench.data.dataset import Dataset
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.splits import catalogue
from vlpbench.splits.catalogue import find_recipe, named_split, recipes, shared_patients
from vlpbench.splits.recipe import NamedSplit, SplitRecipe
from vlpbench.suite import TaskSpec

MANIFEST = pd.DataFrame(
    {
        "image_id": list("abcdef"),
        "patient": ["p", "p", "q", "r", "s", "q"],
        "split": ["train", "train", "train", "val", "test", "test"],
        "label:sick": [1.0, 0.0, np.nan, 1.0, 0.0, 1.0],
    }
)
PAIR = TaskSpec("made_up", "classification", "auroc", ("sick",))


def leaky(manifest: pd.DataFrame) -> NamedSplit:
    rows = np.arange(len(manifest))
    return NamedSplit(rows[:4][::-1], rows[3:4], rows[4:], fractions={0.5: rows[[3, 2, 1]]})


RECIPE = SplitRecipe(
    "as-released",
    "made_up",
    ("classification",),
    "all of it",
    "https://example.org",
    {"train": 4},
    leaky,
    ("It leaks.",),
)


def dataset(monkeypatch: pytest.MonkeyPatch, *, name: str, manifest: pd.DataFrame = MANIFEST) -> Dataset:
    monkeypatch.setattr(catalogue, "recipes", lambda source: (RECIPE,) if source == "made_up" else ())
    prepared: Any = SimpleNamespace(
        manifest=manifest, images=np.zeros((len(manifest), 8, 8), np.uint8), fingerprint="f"
    )
    return Dataset(prepared, PAIR, source="made_up", split_name=name)


def listed(rows: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: found.tolist() for name, found in rows.items()}


def test_clean_is_the_split_of_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = dataset(monkeypatch, name="clean")
    assert listed(clean.splits) == {"train": [0, 1], "val": [3], "test": [4, 5]}
    assert clean.split_facts == {"name": "clean", "known": [], "shared": {"train and test": 1}}


def test_a_recipe_keeps_its_order_and_its_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    released = dataset(monkeypatch, name="as-released")
    assert listed(released.splits) == {"train": [3, 1, 0], "val": [3], "test": [4, 5]}
    assert released.split_facts == {
        "name": "as-released",
        "known": ["It leaks."],
        "shared": {"train and val": 1, "train and test": 1},
    }
    assert released.split_hash != dataset(monkeypatch, name="clean").split_hash


def test_fractions_of_the_recipe_outrank_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    released = dataset(monkeypatch, name="as-released")
    assert released.train_fraction(0.5, seed=0).tolist() == [3, 1]
    assert sorted(released.train_fraction(1.0, seed=0).tolist()) == [0, 1, 3]


def test_a_split_that_does_not_exist_shows_those_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UnknownNameError, match=r"No split of made_up for classification named 'as-relased'.*as-released"
    ):
        _ = dataset(monkeypatch, name="as-relased").splits
    with pytest.raises(UnknownNameError, match="for detection"):
        find_recipe("made_up", "detection", "as-released")


def test_a_list_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\ufeffimage_id,split\nf,train\na,train\nb,val\ne,test\n", encoding="utf-8")
    mine = dataset(monkeypatch, name=str(path))
    assert listed(mine.splits) == {"train": [5, 0], "val": [1], "test": [4]}
    assert mine.split_facts["known"] == []
    path.write_text("image_id,split\nf,training\nz,val\n", encoding="utf-8")
    with pytest.raises(BadInputError) as caught:
        _ = dataset(monkeypatch, name=str(path)).splits
    assert caught.value.problems == (
        "mine.csv row 2: split is 'training'; expected train, val or test",
        "mine.csv row 3: no image 'z' in the prepared data",
    )
    path.write_text("image,split\nf,train\n", encoding="utf-8")
    with pytest.raises(VlpbenchError, match="lacks the column 'image_id'"):
        named_split(MANIFEST, dataset="", task="classification", name=str(path))
    with pytest.raises(VlpbenchError, match="No split file at"):
        named_split(MANIFEST, dataset="", task="classification", name="nowhere.csv")


def test_patients_shared_by_parts_are_counted_once() -> None:
    split = NamedSplit(np.array([0, 1, 2]), np.array([1]), np.array([2, 5]))
    assert shared_patients(MANIFEST, split) == {"train and val": 1, "train and test": 1}
    apart = replace(split, train=np.array([3]), test=np.array([4]))
    assert shared_patients(MANIFEST, apart) == {}


def test_sources_without_recipes_have_none() -> None:
    assert recipes("table") == ()
    assert recipes("no such source") == ()
