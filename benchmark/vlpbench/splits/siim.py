"""Published ways to split SIIM-ACR Pneumothorax."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vlpbench.errors import VlpbenchError
from vlpbench.splits.draw import Rows, draw_fractions, draw_two
from vlpbench.splits.recipe import NamedSplit, SplitRecipe

LABEL = "label:pneumothorax"
CSV_ROWS = "fact:csv_rows"
OFFICIAL = "fact:official"
FILE = "fact:file"


def mgca(manifest: pd.DataFrame) -> NamedSplit:
    """70 / 15 / 15 % of the rows of run lengths with seed 0; train keeps as many negatives as positives.

    An image whose rows fall into several parts is in all of them.

    Args:
        manifest: prepared from an edition in DICOM.

    Raises:
        VlpbenchError: for the PNG edition, which has no rows of run lengths.
    """
    if CSV_ROWS not in manifest:
        raise VlpbenchError(
            "The split mgca-2022 of siim is drawn from the rows of train-rle.csv or stage_2_train.csv, which the PNG "
            "edition lacks. Prepare an edition in DICOM, or use another split."
        )
    image_of = {int(line): row for row, text in enumerate(manifest[CSV_ROWS]) for line in text.split()}
    lines = np.array([image_of[line] for line in sorted(image_of)])
    train, rest = draw_two(lines, 0.15 * 2, seed=0)
    test, val = draw_two(rest, 0.5, seed=0)
    return NamedSplit(_balanced(pd.unique(train), manifest), pd.unique(val), pd.unique(test))


def benchx(manifest: pd.DataFrame) -> NamedSplit:
    """The test set of stage 1, as many images for validation, stratified with seed 42; own 1 % and 10 % lists.

    Args:
        manifest: prepared from the PNG edition, whose file names give the order.

    Raises:
        VlpbenchError: for an edition in DICOM.
    """
    if FILE not in manifest:
        raise VlpbenchError(
            "The split benchx-2024 of siim is drawn from the file names of the PNG edition. Prepare that edition "
            "(`vlpbench describe siim` says where to get it), or use another split."
        )
    labels = manifest[LABEL].to_numpy()
    # As text, so 10 comes before 2.
    order = np.argsort(manifest[FILE].to_numpy(dtype=str), kind="stable")
    official = manifest[OFFICIAL].to_numpy()[order]
    test, rest = order[official == "test"], order[official == "train"]
    # The released code puts positives first; a stratified draw depends on the order within a class only.
    train, val = draw_two(rest, len(test), seed=42, labels=labels)
    return NamedSplit(train, val, test, draw_fractions(train, seed=42, labels=labels))


def sista(manifest: pd.DataFrame) -> NamedSplit:
    """70 / 15 / 15 % of the images, sorted by id, with seed 0; the first half of the second draw is the test set.

    Args:
        manifest: prepared, of any edition.
    """
    order = np.argsort(manifest["image_id"].to_numpy(dtype=str), kind="stable")
    train, rest = draw_two(order, 0.3, seed=0)
    test, val = draw_two(rest, 0.5, seed=0)
    return NamedSplit(train, val, test)


def _balanced(rows: Rows, manifest: pd.DataFrame) -> Rows:
    """All positives, then as many negatives, drawn with NumPy's legacy generator as the released code does."""
    labels = manifest[LABEL].to_numpy()[rows]
    positive, negative = rows[labels == 1], rows[labels == 0]
    count = min(len(positive), len(negative))
    drawn = np.random.RandomState(42).choice(len(negative), size=count, replace=False)
    return np.concatenate([positive, negative[np.sort(drawn)]])


NO_PATIENTS = "No edition names patients, so whether images of one person fall into different parts is not known."

RECIPES: tuple[SplitRecipe, ...] = (
    SplitRecipe(
        name="mgca-2022",
        dataset="siim",
        tasks=("segmentation",),
        rule="Rows of run lengths in the order of the table, 70 / 15 / 15 % with seed 0; the first half of the second "
        "draw is the test set. Training keeps all positive images and as many negative ones, drawn with seed 42.",
        source="https://github.com/HKU-MedAI/MGCA/blob/main/mgca/preprocess/siim.py",
        counts={
            "train": 4_004,
            "train positive": 2_002,
            "val": 1_910,
            "val positive": 535,
            "test": 1_903,
            "test positive": 476,
        },
        assign=mgca,
        known=(
            "Drawn by row, not by image: of the 12,047 images of stage 2, 154 are in train and test, 161 in train and "
            "validation, 62 in validation and test, all of them positive.",
            "The released code then gives each part only the mask rows that fell into it; here masks are whole.",
            "The paper gives shares only: the sizes are of this rule on the 12,954 rows of stage 2. The released code "
            "names train-rle.csv of stage 1, which has fewer.",
            "The released trainer sets up its training set twice in one run, so its own negatives may be of a later "
            "draw than the first one used here; its 10 % run has another seed (0).",
            "The released code looks for ' -1' in one place and '-1' in another; with ' -1' in the table it draws no "
            "negatives.",
            NO_PATIENTS,
        ),
    ),
    SplitRecipe(
        name="benchx-2024",
        dataset="siim",
        tasks=("classification", "segmentation"),
        rule="The test set of stage 1 (1,372), as many images for validation stratified with seed 42, and lists of 1 % "
        "(93) and 10 % (930) of the training images; PNG edition only, whose file names give the order.",
        source="https://github.com/yangzhou12/BenchX/blob/main/preprocess/datasets/SIIM/preprocess_siim.py",
        counts={
            "train": 9_303,
            "train positive": 2_073,
            "val": 1_372,
            "val positive": 306,
            "test": 1_372,
            "test positive": 290,
            "1 % of train": 93,
            "10 % of train": 930,
        },
        assign=benchx,
        known=(NO_PATIENTS,),
    ),
    SplitRecipe(
        name="sista-2026",
        dataset="siim",
        tasks=("segmentation",),
        rule="Images sorted by id, 70 / 15 / 15 % with seed 0; the first half of the second draw is the test set.",
        source="https://arxiv.org/abs/2601.08165",
        counts={},
        assign=sista,
        known=(
            "The paper says 12,047 radiographs at 70 / 15 / 15 % and nothing of the draw: images with seed 0 are our "
            "choice.",
            "The paper follows MGCA's settings, so it may have drawn rows and balanced the training images as "
            "mgca-2022 does.",
            NO_PATIENTS,
        ),
    ),
)
