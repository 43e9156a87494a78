"""Which splits there are for a dataset, and how one by name or from a file is put on its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.splits import CLEAN
from vlpbench.splits.recipe import NamedSplit, SplitRecipe

PARTS = ("train", "val", "test")


def recipes(dataset: str) -> tuple[SplitRecipe, ...]:
    """Published split recipes of a registered source."""
    name = f"vlpbench.splits.{dataset}"
    if not dataset.isidentifier() or find_spec(name) is None:
        return ()
    found: tuple[SplitRecipe, ...] = getattr(import_module(name), "RECIPES", ())
    return found


def find_recipe(dataset: str, task: str, name: str) -> SplitRecipe:
    """The recipe of that name that holds for a task.

    Raises:
        UnknownNameError: if there is none; the message shows the names there are.
    """
    fitting = [recipe for recipe in recipes(dataset) if task in recipe.tasks]
    for recipe in fitting:
        if recipe.name == name:
            return recipe
    known = [CLEAN, *(recipe.name for recipe in fitting)]
    raise UnknownNameError(f"split of {dataset} for {task}", name, known, "A .csv with image_id and split works too.")


def named_split(manifest: pd.DataFrame, *, dataset: str, task: str, name: str) -> NamedSplit:
    """Rows of a split: "clean" for the manifest's own, a recipe by name, or a list read from a .csv file.

    Raises:
        UnknownNameError: for a name that is neither.
        BadInputError: listing the bad rows of a file.
        VlpbenchError: if a recipe lacks something in the manifest.
    """
    if name == CLEAN:
        return _rows_of(manifest["split"].to_numpy())
    if name.endswith(".csv"):
        return _read(Path(name), manifest)
    return find_recipe(dataset, task, name).assign(manifest)


def shared_patients(manifest: pd.DataFrame, split: NamedSplit) -> dict[str, int]:
    """Patients that two parts of a split have in common, by "train and test" and so on; only where there are any."""
    patients = manifest["patient"].to_numpy()
    parts: Mapping[str, set[str]] = {part: set(patients[getattr(split, part)]) for part in PARTS}
    shared = {f"{one} and {other}": len(parts[one] & parts[other]) for one, other in combinations(PARTS, 2)}
    return {pair: count for pair, count in shared.items() if count}


def _rows_of(parts: np.ndarray) -> NamedSplit:
    train, val, test = (np.flatnonzero(parts == part) for part in PARTS)
    return NamedSplit(train, val, test)


def _read(path: Path, manifest: pd.DataFrame) -> NamedSplit:
    if not path.is_file():
        raise VlpbenchError(f"No split file at {path}. Expected a CSV with the columns image_id and split.")
    listed = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    missing = {"image_id", "split"} - set(listed.columns)
    if missing:
        raise VlpbenchError(f"{path} lacks the column {sorted(missing)[0]!r}; found {list(listed.columns)}.")
    row_of = {name: row for row, name in enumerate(manifest["image_id"])}
    problems = []
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    for line, (image, part) in enumerate(zip(listed["image_id"], listed["split"], strict=True), start=2):
        if part.strip() not in PARTS:
            problems.append(f"{path.name} row {line}: split is {part!r}; expected train, val or test")
        elif image.strip() not in row_of:
            problems.append(f"{path.name} row {line}: no image {image!r} in the prepared data")
        else:
            found[part.strip()].append(row_of[image.strip()])
    if problems:
        raise BadInputError(f"{path} has {len(problems)} problem(s):", problems, next_step="Mend the rows named above.")
    train, val, test = (np.asarray(found[part], dtype=np.int64) for part in PARTS)
    return NamedSplit(train, val, test)
