"""Published ways to split the RSNA Pneumonia Detection Challenge, all by image id."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from vlpbench.errors import VlpbenchError
from vlpbench.splits.draw import Rows, draw_fractions, draw_two
from vlpbench.splits.recipe import NamedSplit, SplitRecipe

IMAGES = 26_684
HELD_OUT = 2 * 5_337
"""Validation and test images of MGCA's detection and segmentation, of all `IMAGES`."""
SHARES = (0.01, 0.1)
LABEL = "label:lung_opacity"


def mgca_classification(manifest: pd.DataFrame) -> NamedSplit:
    """70 / 15 / 15 % drawn with seed 0, and its own 1 % and 10 % of the training images, drawn with seed 42.

    Args:
        manifest: prepared, of stage 2.

    Raises:
        VlpbenchError: for another edition.
    """
    split = _mgca(manifest, held_out=0.15 * 2)
    train, labels = pd.Series(split.train), manifest[LABEL].to_numpy()
    listed = {share: train.sample(frac=share, random_state=42).to_numpy() for share in SHARES}
    # Of a handful of images, a fraction may lack a class or be empty.
    shown = {share: rows for share, rows in listed.items() if len(np.unique(labels[rows])) > 1}
    return NamedSplit(split.train, split.val, split.test, shown)


def mgca_dense(manifest: pd.DataFrame) -> NamedSplit:
    """16,010 / 5,337 / 5,337 drawn with seed 0; the same shares where images are missing.

    Args:
        manifest: prepared, of stage 2.

    Raises:
        VlpbenchError: for another edition.
    """
    return _mgca(manifest, held_out=round(len(manifest) * HELD_OUT / IMAGES))


def benchx(manifest: pd.DataFrame) -> NamedSplit:
    """70 / 15 / 15 % stratified with seed 42, and its own 1 % and 10 % of the training images.

    Args:
        manifest: prepared, of stage 2.

    Raises:
        VlpbenchError: for another edition.
    """
    rows = _sorted_rows(manifest)
    labels = manifest[LABEL].to_numpy()
    train, held_out = draw_two(rows, 0.3, seed=42, labels=labels)
    val, test = draw_two(held_out, 0.5, seed=42, labels=labels)
    return NamedSplit(train, val, test, draw_fractions(train, seed=42, labels=labels))


def _mgca(manifest: pd.DataFrame, *, held_out: float) -> NamedSplit:
    """Two draws with seed 0; of the second, the first part is the test set."""
    train, rest = draw_two(_sorted_rows(manifest), held_out, seed=0)
    test, val = draw_two(rest, 0.5, seed=0)
    return NamedSplit(train, val, test)


def _sorted_rows(manifest: pd.DataFrame) -> Rows:
    """Rows in the order of the image ids, which the draws depend on."""
    stages = sorted(set(manifest["fact:stage"]))
    if stages != ["stage_2"]:
        raise VlpbenchError(
            f"The published splits of rsna are of stage 2; this folder was prepared from {' and '.join(stages)}. "
            "Prepare it from stage_2_train_labels.csv, or use the split 'clean'."
        )
    return np.argsort(manifest["image_id"].to_numpy(dtype=str), kind="stable")


MGCA = "https://github.com/HKU-MedAI/MGCA/blob/main/mgca/preprocess/rsna.py"
SISTA = "https://arxiv.org/abs/2601.08165"
BY_IMAGE = (
    "Drawn by image id: images of one person fall into different parts. Nothing in the release says so; its "
    "cross-reference to NIH ChestX-ray14 does."
)
UNSTRATIFIED = "Not stratified: the share of positives differs between the parts."
PAPER = (
    "The paper publishes neither lists nor seeds; it follows MGCA, whose draw this is.",
    "The paper counts 29,700 images; 26,684 have public labels.",
)
CLASSIFICATION: Mapping[str, int] = {
    "train": 18_678,
    "train positive": 4_162,
    "val": 4_003,
    "val positive": 928,
    "test": 4_003,
    "test positive": 922,
}
DENSE: Mapping[str, int] = {
    "train": 16_010,
    "train positive": 3_579,
    "val": 5_337,
    "val positive": 1_182,
    "test": 5_337,
    "test positive": 1_251,
}

RECIPES: tuple[SplitRecipe, ...] = (
    SplitRecipe(
        name="mgca-2022",
        dataset="rsna",
        tasks=("classification",),
        rule="Images sorted by id, 70 / 15 / 15 % with seed 0; the first half of the second draw is the test set. The "
        "1 % and 10 % are drawn from the training images with seed 42.",
        source=MGCA,
        counts=CLASSIFICATION,
        assign=mgca_classification,
        known=(BY_IMAGE, UNSTRATIFIED),
    ),
    SplitRecipe(
        name="mgca-2022",
        dataset="rsna",
        tasks=("segmentation", "detection"),
        rule="Images sorted by id, 10,674 held out with seed 0 and halved; the first half is the test set.",
        source=MGCA,
        counts=DENSE,
        assign=mgca_dense,
        known=(
            BY_IMAGE,
            UNSTRATIFIED,
            "Other parts than for classification: test images of one task are training images of another.",
        ),
    ),
    SplitRecipe(
        name="benchx-2024",
        dataset="rsna",
        tasks=("classification", "segmentation"),
        rule="Images sorted by id, 70 / 15 / 15 % stratified by label with seed 42, with lists of 1 % (186) and 10 % "
        "(1,867) of the training images.",
        source="https://github.com/yangzhou12/BenchX/blob/main/preprocess/datasets/RSNA/preprocess_rsna.py",
        counts={
            "train": 18_678,
            "train positive": 4_208,
            "val": 4_003,
            "val positive": 902,
            "test": 4_003,
            "test positive": 902,
            "1 % of train": 186,
            "10 % of train": 1_867,
        },
        assign=benchx,
        known=(BY_IMAGE + " 2,715 of the 4,003 test images are of people who are in the training part too.",),
    ),
    SplitRecipe(
        name="sista-2026",
        dataset="rsna",
        tasks=("classification",),
        rule="70 / 15 / 15 %, drawn as MGCA does for classification.",
        source=SISTA,
        counts={},
        assign=mgca_classification,
        known=(BY_IMAGE, UNSTRATIFIED, *PAPER),
    ),
    SplitRecipe(
        name="sista-2026",
        dataset="rsna",
        tasks=("segmentation", "detection"),
        rule="16,010 / 5,337 / 5,337 images, drawn as MGCA does; for detection the paper only says the standard split.",
        source=SISTA,
        counts={"train": 16_010, "val": 5_337, "test": 5_337},
        assign=mgca_dense,
        known=(BY_IMAGE, UNSTRATIFIED, *PAPER),
    ),
)
