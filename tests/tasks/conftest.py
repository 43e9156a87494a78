"""A prepared folder of bright blobs, small enough to train on in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench.data.dataset import Dataset
from vlpbench.data.prepared import Prepared
from vlpbench.features import FrozenFeatures
from vlpbench.protocol import load_protocol
from vlpbench.settings import amend
from vlpbench.suite import TaskSpec
from vlpbench.task import Cell

SIZE = 64
COUNT = 60
METRICS = {"classification": "auroc", "segmentation": "dice", "detection": "map"}
SHORT: dict[str, dict[str, Any]] = {
    "classification": {"min_steps": 60, "max_epochs": 5},
    "segmentation": {
        "decoder_channels": (32, 16, 16, 8, 8),
        "batch_size": 8,
        "max_steps": 40,
        "validate_every": 10,
        "learning_rate": 5e-3,
    },
    "detection": {
        "neck_channels": (32, 16, 16),
        "batch_size": 8,
        "max_steps": 160,
        "validate_every": 40,
        "learning_rate": 5e-3,
    },
}
# fewer channels, images a batch and epochs than the released procedure has; its rules are all there
SHORT_RELEASED: dict[str, dict[str, Any]] = {
    "classification": {"batch_size": 12, "max_epochs": 2, "learning_rate": 0.05},
    "segmentation": {
        "decoder_channels": (16, 16, 8, 8, 8),
        "batch_size": 8,
        "metric_batch": 8,
        "max_epochs": 2,
        "learning_rate": 5e-3,
    },
    "detection": {"neck_channels": (16, 16, 8), "batch_size": 8, "max_epochs": 2, "learning_rate": 5e-3},
}
SCHEDULES = {"clean": SHORT, "mgca": SHORT_RELEASED}


def draw(folder: Path) -> Prepared:
    """Noise with a bright square in two images of three; masks, boxes and labels say where; the top is ignored."""
    rng = np.random.default_rng(7)
    images = rng.integers(0, 60, (COUNT, SIZE, SIZE), dtype=np.uint8)
    masks = np.zeros((COUNT, SIZE, SIZE), dtype=np.uint8)
    rows = []
    for number in range(COUNT):
        boxes = []
        if number % 3:
            side = int(rng.integers(16, 33))
            left, top = (int(value) for value in rng.integers(0, SIZE - side, 2))
            images[number, top : top + side, left : left + side] += 180
            masks[number, top : top + side, left : left + side] = 1
            boxes.append({"label": "blob", "x": left, "y": top, "width": side, "height": side})
        masks[number, :2] = 255
        rows.append(
            {
                "image_id": f"image{number:02d}",
                "patient": f"patient{number:02d}",
                "study": f"study{number:02d}",
                "split": ("train", "train", "train", "val", "test")[number // 12],
                "report": "",
                "summary": "",
                "label:blob": float(number % 3 > 0),
                "label:odd": float(number % 2) if number % 5 else np.nan,
                "label:none": float(number % 3 == 0),
                "boxes": json.dumps(boxes),
                "boxes_known": True,
                "mask_row": number,
                "source_path": "",
                "content": "",
                "height": SIZE,
                "width": SIZE,
            }
        )
    folder.mkdir()
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet", index=False)
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", masks)
    (folder / "prepared.json").write_text('{"fingerprint": "blobs"}', encoding="utf-8")
    return Prepared(folder)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return draw(tmp_path_factory.mktemp("prepared") / "blobs")


@pytest.fixture(scope="session")
def build_backbone() -> Callable[[str], Backbone]:
    built: dict[str, Backbone] = {}

    def build(arch: str) -> Backbone:
        if arch not in built:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                built[arch] = Backbone(arch, Preprocessing(SIZE)).freeze()
        return built[arch]

    return build


MakeCell = Callable[..., Cell]


@pytest.fixture
def make_cell(
    prepared: Prepared,
    build_backbone: Callable[[str], Backbone],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeCell:
    def make(
        task: str,
        *,
        arch: str = "resnet18",
        metric: str = "",
        labels: tuple[str, ...] = (),
        rows: np.ndarray | None = None,
        cache_gb: float = 1.0,
        seed: int = 0,
        protocol: str = "clean",
        **overrides: Any,
    ) -> Cell:
        backbone = build_backbone(arch)
        dataset = Dataset(prepared, TaskSpec("blobs", task, metric or METRICS[task], labels))
        features = FrozenFeatures(
            backbone,
            prepared.images,
            folder=tmp_path_factory.getbasetemp() / "features",
            identity=arch,
            device=torch.device("cpu"),
            budget_gb=cache_gb,
        )
        settings = load_protocol(protocol).for_task(task, SCHEDULES[protocol][task] | overrides)
        return Cell(
            backbone=backbone,
            dataset=dataset,
            features=features,
            train_rows=dataset.splits["train"] if rows is None else rows,
            val_rows=dataset.splits["val"],
            test_rows=dataset.splits["test"],
            settings=amend(settings, dataset=dataset.name, fraction=1.0),
            seed=seed,
            device=torch.device("cpu"),
            workdir=tmp_path / "work",
            report=lambda step, steps, note: None,
        )

    return make
