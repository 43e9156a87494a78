"""How far can the embedded suite be learned? A supervised backbone on every dataset-task pair.

Trains a backbone from random initialisation on the labels of freshly drawn studies of the pair's population, through
the very head that evaluates it, freezes it, and runs the task on it as on any method's backbone: the head sees the
pair's own training split. Writes a Markdown table to standard output; the figures in docs/data.md came from

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
from vlpbench.precision import resolve_precision
from vlpbench.protocol import load_protocol
from vlpbench.suite import DataSpec, Suite, TaskSpec, load_suite
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
        maps, _ = mixed(self.encoder, images)
        return tuple(maps[level] for level in self.levels)


def mixed(backbone: Backbone, images: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Maps and pooled feature in float32, computed in bfloat16 where the processor has it, as in pre-training."""
    precision = resolve_precision("auto", images.device)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        maps, pooled = backbone.maps_and_pooled(images.contiguous(memory_format=torch.channels_last))
    return tuple(level.float() for level in maps), pooled.float()


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
        return criterion(layer(mixed(cell.backbone, inputs(cell, rows))[1]), labels)

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
    """Train the cell's backbone on its training rows, with the rate falling along a cosine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cell.seed)
        cell.backbone.to(memory_format=torch.channels_last)
        model, loss = classifier(cell) if cell.dataset.pair.task == "classification" else dense(cell)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    model.train()
    for rows in itertools.islice(batches(cell.train_rows, cell.seed), steps):
        optimiser.zero_grad()
        torch.autograd.backward(loss(rows))
        optimiser.step()
        schedule.step()


def cell_of(suite: Suite, pair: TaskSpec, data: DataSpec, backbone: Backbone, work: Path) -> Cell:
    """The cell of a pair at 100 % of the labels, on the given data and backbone."""
    dataset = Dataset(prepare(SourceRequest(data, None, suite.image_size), work, jobs=2), pair)
    folder = work / "difficulty" / f"{data.name}-{pair.task}"
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
        settings=load_protocol(suite.protocol).for_task(pair.task, suite.evaluation.get(pair.task)),
        seed=0,
        device=torch.device("cpu"),
        workdir=folder,
        report=lambda *_: None,
    )


def measure(suite: Suite, pair: TaskSpec, work: Path, *, studies: int, steps: int) -> float:
    """The pair's headline on a supervised backbone, frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = Backbone(suite.arch, Preprocessing(suite.image_size))
    own = suite.datasets[pair.dataset]
    fresh = {**own.options, "count": studies, "seed": own.options["seed"] + 1000}
    more = replace(own, name=f"{own.name}-fresh", options=fresh, split=(18, 1, 1))
    supervise(cell_of(suite, pair, more, backbone, work), steps)
    result = open_task(pair.task).run(cell_of(suite, pair, own, backbone.freeze(), work))
    return result.metrics[result.headline]


def main() -> None:
    """Print a row per pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--studies", type=int, default=2400)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    suite = load_suite("phantom")
    write = sys.stdout.write
    write("| dataset | task | supervised |\n|---|---|---|\n")
    for pair in suite.pairs:
        found = measure(suite, pair, arguments.work, studies=arguments.studies, steps=arguments.steps)
        write(f"| `{pair.dataset}` | {pair.task} | {found:.1%} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
