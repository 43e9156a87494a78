"""How hard is the embedded suite? Random against supervised backbones, both frozen, on every dataset-task pair.

Trains a backbone from random initialisation on each pair's own labels, through the very head that evaluates it,
freezes it, and runs the task on it as on any method's backbone. Writes a Markdown table to standard output; the
figures in docs/data.md came from

    uv run python benchmark/difficulty/phantom.py --work work
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench.data.dataset import Dataset
from vlpbench.data.prepared import prepare
from vlpbench.data.source import SourceRequest
from vlpbench.features import FrozenFeatures
from vlpbench.plan import open_task
from vlpbench.protocol import load_protocol
from vlpbench.registry import REGISTRY
from vlpbench.suite import Suite, TaskSpec, load_suite
from vlpbench.task import Cell
from vlpbench_tasks.linear import masked_bce, softmax_cross_entropy

Loss = Callable[[np.ndarray], Tensor]
BATCH = 32
LEARNING_RATE = 1e-3


class LiveMaps(nn.Module):
    """The backbone slot of an OpenMMLab model, with a backbone that learns."""

    def __init__(self, encoder: Backbone, levels: tuple[int, ...]) -> None:
        """Keep the encoder and the positions of the maps that are wanted."""
        super().__init__()
        self.encoder, self.levels = encoder, levels

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Chosen maps of normalised images."""
        maps = self.encoder(images)
        return tuple(maps[level] for level in self.levels)


def batches(rows: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Endless shuffled batches."""
    generator = np.random.default_rng(seed)
    while True:
        order = generator.permutation(rows)
        yield from (order[start : start + BATCH] for start in range(0, len(order) - BATCH + 1, BATCH))


def inputs(cell: Cell, rows: np.ndarray) -> Tensor:
    """Normalised images."""
    return cell.backbone.normalise(torch.from_numpy(cell.dataset.images(rows)))


def classifier(cell: Cell) -> tuple[nn.Module, Loss]:
    """A linear layer on the pooled feature, and its loss on some rows."""
    layer = nn.Linear(cell.backbone.pooled, len(cell.dataset.label_names))
    criterion = softmax_cross_entropy if cell.dataset.pair.metric == "accuracy" else masked_bce

    def loss(rows: np.ndarray) -> Tensor:
        labels = torch.from_numpy(cell.dataset.labels(rows)).float()
        return criterion(layer(cell.backbone.pool(inputs(cell, rows))), labels)

    return nn.ModuleList([cell.backbone, layer]), loss


def dense(cell: Cell) -> tuple[nn.Module, Loss]:
    """The segmentor or detector that evaluates the cell, with a live backbone, and its loss on some rows."""
    name = "openmm_segmentation" if cell.dataset.pair.task == "segmentation" else "openmm_detection"
    openmm: Any = importlib.import_module(f"vlpbench_tasks.{name}")
    build = openmm.build_segmentor if cell.dataset.pair.task == "segmentation" else openmm.build_detector
    model = build(cell, cell.settings)
    model.backbone = LiveMaps(cell.backbone, model.backbone.levels)

    def loss(rows: np.ndarray) -> Tensor:
        losses = model(inputs(cell, rows), openmm._samples(cell, rows), mode="loss")
        total: Tensor = model.parse_losses(losses)[0]
        return total

    return model, loss


def supervise(cell: Cell, steps: int) -> None:
    """Train the cell's backbone on its labels, with the rate falling along a cosine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cell.seed)
        model, loss = classifier(cell) if cell.dataset.pair.task == "classification" else dense(cell)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    model.train()
    for rows in itertools.islice(batches(cell.train_rows, cell.seed), steps):
        optimiser.zero_grad()
        torch.autograd.backward(loss(rows))
        optimiser.step()
        schedule.step()


def cell_of(suite: Suite, pair: TaskSpec, work: Path, tag: str) -> Cell:
    """The cell of a pair at 100 % of the labels, on a freshly initialised backbone."""
    request = SourceRequest(suite.datasets[pair.dataset], None, suite.image_size)
    dataset = Dataset(prepare(request, work, jobs=2), pair)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = Backbone(suite.arch, Preprocessing(suite.image_size))
    settings = load_protocol(suite.protocol).for_task(pair.task, suite.evaluation.get(pair.task))
    folder = work / "difficulty" / f"{pair.dataset}-{pair.task}-{tag}"
    features = FrozenFeatures(
        backbone,
        dataset.prepared.images,
        folder=folder,
        identity=time.time_ns(),
        device=torch.device("cpu"),
        budget_gb=suite.feature_cache_gb,
    )
    rows = dataset.splits
    return Cell(
        backbone=backbone,
        dataset=dataset,
        features=features,
        train_rows=rows["train"],
        val_rows=rows["val"],
        test_rows=rows["test"],
        settings=settings,
        seed=0,
        device=torch.device("cpu"),
        workdir=folder,
        report=lambda *_: None,
    )


def measure(suite: Suite, pair: TaskSpec, work: Path, steps: int) -> tuple[float, float]:
    """The pair's headline on a random and on a supervised backbone, both frozen."""
    found = []
    for tag in ("random", "supervised"):
        cell = cell_of(suite, pair, work, tag)
        if tag == "supervised":
            supervise(cell, steps)
        else:
            REGISTRY.target("method", "random")().initialise(cell.backbone)
        result = open_task(pair.task).run(replace(cell, backbone=cell.backbone.freeze()))
        found.append(result.metrics[result.headline])
    return found[0], found[1]


def main() -> None:
    """Print a row per pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--steps", type=int, default=250)
    arguments = parser.parse_args()
    suite = load_suite("phantom")
    write = sys.stdout.write
    write("| dataset | task | random | supervised |\n|---|---|---|---|\n")
    for pair in suite.pairs:
        random, supervised = measure(suite, pair, arguments.work, arguments.steps)
        write(f"| `{pair.dataset}` | {pair.task} | {random:.1%} | {supervised:.1%} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
