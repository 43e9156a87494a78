"""Published splits of COVIDx."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int

from vlpbench.errors import VlpbenchError
from vlpbench.splits.draw import draw_fractions, draw_two
from vlpbench.splits.recipe import NamedSplit, Rows, SplitRecipe

FRACTIONS = (0.01, 0.1)
FACTS = ("version", "file", "csv_row", "csv_length")


def split_as_mgca(manifest: pd.DataFrame) -> NamedSplit:
    """A fifth of the training lines of COVIDx 9A validates, drawn by line; the official test lines test.

    Fractions are drawn by pandas with seed 42 from the training lines in the order of the draw.

    Args:
        manifest: with the facts of the source covidx; images that are missing from it are missing from the split.

    Raises:
        VlpbenchError: if it comes from another source or another version.
    """
    return _drawn_by_line(manifest, recipe="mgca-2022", share=0.2, fractions=FRACTIONS)


def split_as_sista(manifest: pd.DataFrame) -> NamedSplit:
    """A tenth of the training lines of COVIDx 9A validates, drawn by line; the official test lines test.

    The paper names neither version, seed nor code: 9A is the one with three classes and over 30,000 images, and this
    draws with scikit-learn and seed 0.

    Raises:
        VlpbenchError: if the manifest comes from another source or another version.
    """
    return _drawn_by_line(manifest, recipe="sista-2026", share=0.1, fractions=())


def split_as_benchx(manifest: pd.DataFrame) -> NamedSplit:
    """The official split of COVIDx CXR-4 without the first line of each file, and stratified fractions.

    The released code reads the files as if they had a header, which loses their first lines. Fractions too small to
    show both classes are left out.

    Args:
        manifest: with the facts of the source covidx, version CXR-4.

    Raises:
        VlpbenchError: if it comes from another source or another version.
    """
    _require(manifest, recipe="benchx-2024", version="CXR-4")
    train, val, test = (_there(_row_at(manifest, part)[1:]) for part in ("train", "val", "test"))
    labels = manifest["label:covid"].to_numpy(dtype=np.float64)
    return NamedSplit(train, val, test, draw_fractions(train, seed=42, labels=labels))


def _drawn_by_line(manifest: pd.DataFrame, *, recipe: str, share: float, fractions: tuple[float, ...]) -> NamedSplit:
    """Validation is a share of the training lines, whether their images are there or not."""
    _require(manifest, recipe=recipe, version="9A")
    row_at: Rows = _row_at(manifest, "train")
    train, val = draw_two(np.arange(len(row_at)), share, seed=0)
    lines = pd.Series(train)
    drawn: dict[float, Rows] = {
        size: np.asarray(lines.sample(frac=size, random_state=42), dtype=np.int64) for size in fractions
    }
    return NamedSplit(
        _there(row_at[train]),
        _there(row_at[val]),
        _there(_row_at(manifest, "test")),
        {size: _there(row_at[taken]) for size, taken in drawn.items()},
    )


def _row_at(manifest: pd.DataFrame, part: str) -> Int[np.ndarray, " lines"]:
    """Row of the manifest for every line of one label file, -1 where the image is missing."""
    rows = np.flatnonzero(manifest["fact:file"].str.startswith(part).to_numpy(dtype=bool))
    if len(rows) == 0:
        return np.empty(0, dtype=np.int64)
    row_at = np.full(int(manifest["fact:csv_length"].iloc[rows[0]]), -1, dtype=np.int64)
    row_at[manifest["fact:csv_row"].iloc[rows].astype(int).to_numpy()] = rows
    return row_at


def _there(rows: Int[np.ndarray, " lines"]) -> Rows:
    present: Rows = rows[rows >= 0]
    return present


def _require(manifest: pd.DataFrame, *, recipe: str, version: str) -> None:
    for name in FACTS:
        if f"fact:{name}" not in manifest.columns:
            raise VlpbenchError(
                f"This folder lacks the fact {name!r} that splits of covidx are made from. Prepare it again with "
                "`vlpbench data prepare covidx`."
            )
    found = sorted(set(manifest["fact:version"]))
    if found != [version]:
        raise VlpbenchError(
            f"The split {recipe} of covidx is one of COVIDx {version}, and this folder holds {', '.join(found)}. "
            f'Prepare it with the option version = "{version}".'
        )


RECIPES = (
    SplitRecipe(
        name="mgca-2022",
        dataset="covidx",
        tasks=("classification",),
        rule="COVIDx 9A: 20 % of the lines of the training file, drawn at random with seed 0, validate; the official "
        "test file tests. 1 % and 10 % by pandas with seed 42.",
        source="https://github.com/HKU-MedAI/MGCA mgca/preprocess/covidx.py, mgca/datasets/classification_dataset.py",
        counts={"train": 24_104, "val": 6026, "test": 400, "train covid": 13_176, "val covid": 3314, "test covid": 200},
        assign=split_as_mgca,
        known=(
            "Validation is drawn by line: 865 of its 3,821 patients are in training too.",
            "The paper says version 6, which is the count of the Kaggle archive; the code reads the files of 9A.",
            "13,588 training and 200 test lines are images of RSNA Pneumonia, stage-2 training.",
            "The released data loaders drop the last incomplete batch of validation; here all of it counts.",
        ),
    ),
    SplitRecipe(
        name="benchx-2024",
        dataset="covidx",
        tasks=("classification",),
        rule="COVIDx CXR-4, its own three files, each without the first line; 1 % and 10 % of training stratified by "
        "class with seed 42.",
        source="https://github.com/yangzhou12/BenchX preprocess/datasets/COVIDx",
        counts={"train": 67_862, "val": 8472, "test": 8481, "1 %": 678, "10 %": 6786},
        assign=split_as_benchx,
        known=(
            "The first line of each file is lost, read as a header.",
            "The released code cuts file names at the first dot, so that images overwrite each other (317 training and "
            "34 validation rows); here every image keeps its own pixels.",
            "Training, validation and test hold 9,719, 3,869 and 200 images of RSNA Pneumonia.",
        ),
    ),
    SplitRecipe(
        name="sista-2026",
        dataset="covidx",
        tasks=("classification",),
        rule="10 % of the training lines, drawn at random, validate; the official test file tests. The paper names "
        "neither version nor seed: 9A, the one with three classes and over 30,000 images, and seed 0 here.",
        source="https://arxiv.org/abs/2601.08165 section on medical image classification",
        counts={"train": 27_117, "val": 3013, "test": 400},
        assign=split_as_sista,
        known=(
            "Sizes follow from 10 % of the 30,130 lines of 9A; the paper states none.",
            "The paper keeps an 'original validation set' for testing, which COVIDx 9A does not have: its test file "
            "tests here.",
            "Validation is drawn by line: 603 of its 2,064 patients are in training too.",
        ),
    ),
)
