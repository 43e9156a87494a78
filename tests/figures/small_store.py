"""A small store of fabricated records with predictions on drawn images. No number in it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask

from vlpbench.data.prepared import open_source
from vlpbench.data.source import Pixels, SourceRequest
from vlpbench.data.squares import read_square
from vlpbench.record import Record
from vlpbench.specs import Foundations, RunSpec, run_key
from vlpbench.store import RecordStore
from vlpbench.suite import load_suite

SIZE = 32
IMAGES = 12
METRIC = {"classification": "auroc", "segmentation": "dice_positive", "detection": "map_40_75"}
FLOOR = {"classification": "majority", "segmentation": "always_empty", "detection": "no_boxes"}
DATASET = {"classification": "chexpert", "segmentation": "siim", "detection": "rsna"}
LABELS = ("atelectasis", "edema")
SKILL = {"sista": 0.9, "convirt": 0.6, "clip": 0.5, "random": 0.2, "sista_sia": 0.7, "sista_sia_sta": 0.8}


def make_record(
    value: float | None,
    *,
    method: str = "sista",
    task: str = "segmentation",
    dataset: str | None = None,
    fraction: float = 1.0,
    seed: int = 0,
    history: list[dict[str, Any]] | None = None,
    metrics: dict[str, float | None] | None = None,
    **spec: Any,
) -> Record:
    """A record whose headline is `value`; anything else that a test does not name is the same for all."""
    cell = RunSpec(
        **{
            "arch": "resnet18", "image_size": SIZE, "suite": "phantom", "protocol": "clean", "task": task, "seed": seed,
            "method": method, "dataset": DATASET[task] if dataset is None else dataset, "fraction": fraction, **spec,
        }
    )  # fmt: skip
    on = Foundations(f"{method[:2].encode().hex()}0000", f"da1a{task[:4]}", "5911700059117", "5e7500005e75", 1)
    lineage = {} if history is None else {"history": history, "best_epoch": len(history)}
    return Record(
        key=run_key(cell, on),
        spec=cell,
        foundations=on,
        metrics={METRIC[task]: value, **(metrics or {})},
        headline=METRIC[task],
        floors={FLOOR[task]: {METRIC[task]: 0.1}},
        counts={"train images": round(600 * fraction), "test_positives:edema": 5, "test_negatives:edema": 7},
        selection={},
        provenance={
            "started_at": "2026-01-01T00:00:00+00:00",
            "protocol": {"name": "clean", "version": 1},
            "suite": {"title": "Drawn", "note": "", "synthetic": True},
            "data": {"labels": list(LABELS)},
            "backbone": {"recipe_hash": f"{method}-recipe", "lineage": lineage},
            "note": "fabricated for a test, never measured",
        },
    )


def make_history(start: float, epochs: int = 3) -> list[dict[str, Any]]:
    """Losses of two terms that fall."""
    losses = [{"loss": 1.5 * start / epoch, "one": start / epoch, "two": 0.5 * start / epoch} for epoch in (1, 2, 3)]
    return [
        {"epoch": number, "train": loss, "validation": {name: value + 0.1 for name, value in loss.items()}}
        for number, loss in enumerate(losses[:epochs], start=1)
    ]


def read_truths(dataset: str) -> dict[str, Pixels]:
    """The first images of a drawn dataset that have a mask or a box, by id."""
    source = open_source(SourceRequest(load_suite("phantom").datasets[dataset], None, SIZE))
    found: dict[str, Pixels] = {}
    for row in source.rows():
        pixels = read_square(source, row, SIZE)
        assert isinstance(pixels, Pixels)
        if pixels.boxes and (pixels.mask is None or pixels.mask.any()):
            found[row.image_id] = pixels
        if len(found) == IMAGES:
            break
    return found


def masks_table(truths: dict[str, Pixels], skill: float) -> pd.DataFrame:
    """Stored predictions of masks: the truth moved down, the less skill the further, and by another pixel an image."""
    rows = []
    for number, (image, pixels) in enumerate(truths.items()):
        truth = pixels.mask == 1
        moved = np.roll(truth, round(10 * (1 - skill)) + number // 3, axis=0)
        rows.append((image, SIZE, SIZE, encode(moved), encode(truth), encode(np.zeros_like(truth))))
    return pd.DataFrame(rows, columns=["image_id", "height", "width", "rle_prediction", "rle_target", "rle_ignored"])


def boxes_table(truths: dict[str, Pixels], skill: float) -> pd.DataFrame:
    """Stored predictions of boxes: one per annotated box, moved like the masks, and one of nothing on each image."""
    rows: list[tuple[object, ...]] = []
    for number, (image, pixels) in enumerate(truths.items()):
        boxes = [box for box in pixels.boxes or () if box.label == "lung_opacity"]
        down = 4 * (1 - skill) + number // 3
        rows.append((image, "image", "", *[np.nan] * 5))
        rows += [
            (image, "prediction", "lung_opacity", skill, box.x, box.y + down, box.width, box.height) for box in boxes
        ]
        rows.append((image, "prediction", "lung_opacity", 0.05, 0.0, 0.0, 2.0, 2.0))
        rows += [(image, "target", "lung_opacity", np.nan, box.x, box.y, box.width, box.height) for box in boxes]
    return pd.DataFrame(rows, columns=["image_id", "kind", "label", "score", "x", "y", "width", "height"])


def labels_table(skill: float, seed: int) -> pd.DataFrame:
    """Stored probabilities of two labels."""
    drawn = np.random.default_rng(seed)
    table: dict[str, object] = {"image_id": [f"image-{number:02}" for number in range(IMAGES)]}
    for label in LABELS:
        truth = np.arange(IMAGES) % 2
        table[f"p:{label}"] = np.clip(skill * truth + (1 - skill) * drawn.random(IMAGES), 0, 1)
        table[f"y:{label}"] = truth.astype(float)
    return pd.DataFrame(table)


def fill_store(
    root: Path, *, methods: Sequence[str] = tuple(SKILL), tasks: Sequence[str] = tuple(METRIC)
) -> RecordStore:
    """Methods, ablations and random initialisation on a dataset of each task; two fractions and two seeds."""
    store = RecordStore(root)
    siim, rsna = read_truths("siim"), read_truths("rsna")
    for number, method in enumerate(methods):
        skill = SKILL[method]
        history = None if method == "random" else make_history(3.0 + number)
        for task in tasks:
            for fraction in (0.1, 1.0):
                for seed in (0, 1):
                    value = skill * (0.5 + 0.5 * fraction) - 0.02 * seed
                    classes = {f"auroc_{label}": value - 0.05 * place for place, label in enumerate(LABELS)}
                    record = make_record(
                        value, method=method, task=task, fraction=fraction, seed=seed, history=history,
                        metrics=classes if task == "classification" else None,
                    )  # fmt: skip
                    table = {
                        "classification": lambda skill=skill, seed=seed: labels_table(skill, seed),
                        "segmentation": lambda skill=skill: masks_table(siim, skill),
                        "detection": lambda skill=skill: boxes_table(rsna, skill),
                    }[task]()
                    store.add(record, table)
    return store


def without_predictions(record: Record) -> Record:
    """The same record as one that keeps none."""
    return replace(record, predictions="", predictions_sha256="")


def encode(mask: np.ndarray) -> str:
    """COCO run-length code of a mask."""
    code: Any = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return str(code["counts"].decode("ascii"))
