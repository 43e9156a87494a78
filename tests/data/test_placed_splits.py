from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vlpbench.data.placed_splits import PlacedSplit, comparable, moves, placed_splits, unplaced_splits
from vlpbench.data.prepared import Prepared
from vlpbench.data.verification import _splits
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.splits import catalogue
from vlpbench.splits.recipe import NamedSplit, SplitRecipe

MANIFEST = pd.DataFrame(
    {
        "image_id": list("abcdef"),
        "patient": ["p", "p", "q", "r", "s", "q"],
        "split": ["train", "train", "train", "val", "test", "test"],
    }
)


def leaky(manifest: pd.DataFrame) -> NamedSplit:
    rows = np.arange(len(manifest))
    return NamedSplit(rows[1:4], rows[3:4], rows[:1], fractions={0.1: rows[1:2]})


def impossible(manifest: pd.DataFrame) -> NamedSplit:
    raise VlpbenchError("the table that it needs is missing")


def recipe(name: str, tasks: tuple[str, ...], assign: object) -> SplitRecipe:
    return SplitRecipe(name, "made_up", tasks, "a rule", "https://example.org", {"train": 3}, assign)  # type: ignore[arg-type]


RECIPES = (
    recipe("as-released", ("classification",), leaky),
    recipe("as-released", ("detection",), leaky),
    recipe("other", ("segmentation",), impossible),
)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    MANIFEST.to_parquet(tmp_path / "manifest.parquet", index=False)
    (tmp_path / "prepared.json").write_text(json.dumps({"source": "made_up"}))
    for place in ("vlpbench.splits.catalogue", "vlpbench.data.placed_splits"):
        monkeypatch.setattr(f"{place}.recipes", lambda source: RECIPES if source == "made_up" else ())
    assert catalogue.recipes("made_up") == RECIPES
    return Prepared(tmp_path)


def by_title(prepared: Prepared) -> dict[str, PlacedSplit]:
    return {one.title: one for one in placed_splits(prepared)}


def test_every_split_is_placed_with_its_sizes_and_shared_patients(prepared: Prepared) -> None:
    placed = by_title(prepared)
    assert list(placed) == ["clean", "as-released (classification)", "as-released (detection)", "other (segmentation)"]
    clean, released = placed["clean"], placed["as-released (classification)"]
    assert (clean.sizes, clean.shared) == ({"train": 3, "val": 1, "test": 2}, {"train and test": 1})
    assert released.sizes == {"train": 3, "val": 1, "test": 1, "10 %": 1}
    assert released.shared == {"train and val": 1, "train and test": 1}
    assert released.digest == placed["as-released (detection)"].digest != clean.digest
    assert placed["other (segmentation)"].split is None
    assert [one.title for one in unplaced_splits("made_up")] == list(placed)[1:]


def test_verify_says_what_each_split_shares_and_which_cannot_be_made(prepared: Prepared) -> None:
    told = {finding.title: (finding.state, finding.text) for finding in _splits(prepared)}
    assert told["split clean"] == ("note", "train 3, val 1, test 2; 1 patient(s) in both train and test")
    assert told["split as-released (detection)"][1].endswith(
        "; 1 patient(s) in both train and val; 1 patient(s) in both train and test"
    )
    assert told["split other (segmentation)"] == ("note", "cannot be made here: the table that it needs is missing")
    manifest = MANIFEST.assign(patient=list("uvwxyz"))
    manifest.to_parquet(prepared.folder / "manifest.parquet", index=False)
    told = {finding.title: (finding.state, finding.text) for finding in _splits(Prepared(prepared.folder))}
    assert told["split clean"] == ("ok", "train 3, val 1, test 2; no patient in two parts")
    # A row in two parts is one patient in both, whoever it is.
    assert told["split as-released (detection)"][0] == "note"


def test_images_that_two_splits_place_differently_are_counted(prepared: Prepared) -> None:
    placed = placed_splits(prepared)
    pairs = comparable(placed, ("clean", "as-released"), source="made_up")
    assert [other.title for _, other in pairs] == ["as-released (classification)", "as-released (detection)"]
    # d stands in two parts of the released split.
    assert moves(*pairs[0]) == {
        "train": {"train": 2, "val": 0, "test": 1, "neither": 0},
        "val": {"train": 1, "val": 1, "test": 0, "neither": 0},
        "test": {"train": 0, "val": 0, "test": 0, "neither": 2},
    }
    same_task = comparable(placed, ("as-released", "as-released"), source="made_up")
    assert [(one.tasks, other.tasks) for one, other in same_task] == [(one.tasks, one.tasks) for one in RECIPES[:2]]
    with pytest.raises(UnknownNameError, match=r"split of made_up that can be made here named 'other'.*as-released"):
        comparable(placed, ("clean", "other"), source="made_up")
