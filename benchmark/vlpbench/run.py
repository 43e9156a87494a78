"""Carry out a plan: pre-train what is missing, evaluate what is missing, keep every result."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from vlpbench.backbone import Backbone, BackboneCard
from vlpbench.canonical import cannot_write
from vlpbench.data.dataset import Dataset
from vlpbench.errors import UnavailableError, VlpbenchError
from vlpbench.features import FrozenFeatures
from vlpbench.patients import patients_file, write_patients
from vlpbench.plan import Plan, PlannedCell, open_task
from vlpbench.precision import precision_name, resolve_precision
from vlpbench.pretraining.recipe import Recipe
from vlpbench.provenance import collect_provenance, peak_memory_bytes
from vlpbench.settings import amend
from vlpbench.specs import run_key
from vlpbench.store import make_record
from vlpbench.task import Cell, TaskResult

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
Step = Callable[[int, int, str], None]


class Watcher(Protocol):
    """What a run tells the outside while it works."""

    def stage(self, title: str) -> AbstractContextManager[Step]:
        """A long piece of work; the context hands out a function to call with step, steps and a note."""
        ...

    def cell(self, number: int, count: int, cell: PlannedCell) -> AbstractContextManager[Step]:
        """Cell `number` of `count`."""
        ...

    def note(self, text: str) -> None:
        """A line the user should read."""


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        done: cells evaluated now.
        kept: cells that were there already.
        refused: cells a task refuses, with the reason.
        failed: cells or methods that failed, with the reason; the others went on.
    """

    done: int = 0
    kept: int = 0
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def execute(plan: Plan, watcher: Watcher, *, force: bool = False) -> Outcome:
    """Run every cell of a plan that has no record yet.

    A cell that fails for a reason in its data is reported and the others go on. What is done stays done: every record
    is written
    as soon as its cell ends.

    Args:
        plan: what to do.
        watcher: told of progress.
        force: evaluate anew what has a record; the new record stands beside the old one.

    Raises:
        VlpbenchError: for bad input data, an unknown name, or a results folder that cannot be written.
    """
    try:
        return _execute(plan, watcher, force=force)
    except OSError as error:
        # A disk that is full, or closed to us, fails every cell that follows as well.
        if error.errno not in UNWRITABLE:
            raise
        raise cannot_write(Path(error.filename or plan.request.work), error) from error


def _execute(plan: Plan, watcher: Watcher, *, force: bool) -> Outcome:
    device = torch.device(plan.request.device)
    _note_data(plan, watcher)
    _keep_patients(plan)
    outcome = Outcome()
    total = sum(len(plan.cells(method)) for method in plan.request.methods)
    number = 0
    for method in plan.request.methods:
        states = {cell.state for cell in plan.cells(method)}
        if plan.backbone_card(method) is None and ("to do" in states or (force and "done" in states)):
            try:
                _pretrain(plan, method, device, watcher)
            except VlpbenchError as error:
                # Where every method was asked for, one whose weights this machine cannot get is no failure.
                spared = plan.request.every_method and isinstance(error, UnavailableError)
                (outcome.refused if spared else outcome.failed).append(f"{method}: {error}")
                number += len(plan.cells(method))
                continue
        number = _evaluate(plan, method, device, watcher, outcome, force=force, number=number, total=total)
    return outcome


def _note_data(plan: Plan, watcher: Watcher) -> None:
    for name, prepared in plan.prepared.items():
        unreadable = prepared.facts["unreadable"]
        if isinstance(unreadable, list) and unreadable:
            listed = "\n".join(f"  - {problem}" for problem in unreadable)
            watcher.note(f"{name}: {len(unreadable)} image(s) could not be read and are left out:\n{listed}")
    if "corpus" in plan.prepared:
        watcher.note("corpus: " + ", ".join(f"{count} {what}" for what, count in plan.corpus.counts.items()))


def _keep_patients(plan: Plan) -> None:
    """Keep who the test patients are beside the results, for results that were there before as well."""
    for pair, dataset in plan.datasets.items():
        file = patients_file(
            plan.request.results,
            suite=plan.request.suite.name,
            task=pair.task,
            dataset=pair.dataset,
            fingerprint=dataset.fingerprint,
            split_hash=dataset.split_hash,
        )
        rows = dataset.splits["test"]
        write_patients(file, dataset.image_ids(rows), dataset.prepared.manifest["patient"].to_numpy()[rows].tolist())


def _pretrain(plan: Plan, method: str, device: torch.device, watcher: Watcher) -> None:
    from vlpbench.pretraining.run import pretrain  # MMEngine takes seconds, which a call with nothing to train saves

    card = plan.method_card(method)
    if card.trains:
        plan.corpus.require_pairs()
        watcher.note(describe_batch(method, plan.recipe(method), len(plan.corpus.rows("train"))))
    _be_deterministic(device)
    with watcher.stage(f"pre-train {method}" if card.trains else f"initialise {method}") as step:
        corpus = plan.corpus if card.trains else None
        pretrain(plan.pretrain_spec(method), corpus, folder=plan.backbone_folder(method), device=device, report=step)


def describe_batch(method: str, recipe: Recipe, pairs: int) -> str:
    """How many pairs a step contrasts, and how many pass through the towers at once."""
    size = min(recipe.batch_size, pairs)
    text = f"{method}: the loss sees all {size} pairs of a step"
    if not 0 < recipe.chunk < size:
        return text
    return f"{text}; the towers take {recipe.chunk} at a time, and their batch statistics are of as many"


def _evaluate(
    plan: Plan,
    method: str,
    device: torch.device,
    watcher: Watcher,
    outcome: Outcome,
    *,
    force: bool,
    number: int,
    total: int,
) -> int:
    """Evaluate the cells of one method; return how many cells have been dealt with in all."""
    bench: _Bench | None = None
    for cell in plan.cells(method):
        number += 1
        title = (
            f"{method}: {cell.spec.dataset} {cell.spec.task} at {100 * cell.spec.fraction:g}%, seed {cell.spec.seed}"
        )
        if cell.state == "refused":
            outcome.refused.append(f"{title}: {cell.reason}")
        elif cell.state == "done" and not force:
            outcome.kept += 1
        else:
            bench = bench or _Bench(plan, method, device)
            try:
                with watcher.cell(number, total, cell) as step:
                    bench.evaluate(cell, step)
                outcome.done += 1
            except VlpbenchError as error:
                outcome.failed.append(f"{title}: {error}")
    return number


class _Bench:
    """One frozen backbone on the bench, with features shared by its cells."""

    def __init__(self, plan: Plan, method: str, device: torch.device) -> None:
        _be_deterministic(device)
        self.plan = plan
        self.device = device
        folder = plan.backbone_folder(method)
        card = plan.backbone_card(method)
        if card is None:
            raise VlpbenchError(f"No backbone at {folder}.")
        self.card: BackboneCard = card
        self.backbone = Backbone.load(folder).to(device).freeze()
        self._features: tuple[str, FrozenFeatures] | None = None

    def evaluate(self, planned: PlannedCell, step: Step) -> None:
        """Run one cell and keep its record."""
        started = time.time()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        plan, spec = self.plan, planned.spec
        dataset = plan.datasets[planned.pair]
        foundations = plan.foundations(planned.pair, self.card)
        key = run_key(spec, foundations)
        workdir = plan.request.work / "cells" / key
        workdir.mkdir(parents=True, exist_ok=True)
        settings = amend(plan.settings(planned.pair), dataset=spec.dataset, fraction=spec.fraction)
        cell = Cell(
            backbone=self.backbone,
            dataset=dataset,
            features=self._shared(dataset, step),
            train_rows=dataset.train_fraction(spec.fraction, seed=spec.seed, sampling=settings.sampling),
            val_rows=dataset.splits["val"],
            test_rows=dataset.splits["test"],
            settings=settings,
            seed=spec.seed,
            device=self.device,
            workdir=workdir,
            report=step,
        )
        result = open_task(spec.task).run(cell)
        provenance = collect_provenance(
            device=self.device,
            started=started,
            peak_memory=peak_memory_bytes(self.device),
            plan_settings=cell.settings,
            protocol=plan.protocol,
            data=dataset,
            backbone=self.card,
            suite=plan.request.suite,
            precision=precision_name(resolve_precision(getattr(cell.settings, "precision", "float32"), self.device)),
        )
        record = make_record(spec, foundations, result, self._counts(cell, result), provenance)
        plan.store.add(record, result.predictions)

    def _shared(self, dataset: Dataset, step: Step) -> FrozenFeatures:
        """Features of a dataset, shared by its tasks, fractions and seeds.

        Only those of one dataset are held at a time: mapped files count as memory, and opening them anew is free.
        """
        if self._features is None or self._features[0] != dataset.name:
            self._features = None
            features = FrozenFeatures(
                self.backbone,
                dataset.prepared.images[: len(dataset.prepared.manifest)],
                folder=self.plan.request.work / "features",
                identity={"weights": self.card.sha256, "images": dataset.prepared.fingerprint, "on": self.device.type},
                device=self.device,
                budget_gb=self.plan.request.suite.feature_cache_gb,
                progress=lambda done, count: step(done, count, "encoding images"),
            )
            self._features = (dataset.name, features)
        return self._features[1]

    def _counts(self, cell: Cell, result: TaskResult) -> dict[str, int]:
        splits = {"train images": cell.train_rows, "val images": cell.val_rows, "test images": cell.test_rows}
        seen = self._seen_in_pretraining(cell)
        named = {name: len(rows) for name, rows in splits.items()}
        return {**named, **({} if seen is None else {"test images seen in pre-training": seen}), **result.counts}

    def _seen_in_pretraining(self, cell: Cell) -> int | None:
        """Test images that are among the pairs the backbone was trained on; None for one that was trained on none."""
        if not self.plan.method_card(str(self.card.lineage["method"])).trains:
            return None
        corpus = self.plan.corpus
        contents = corpus.prepared.manifest["content"].to_numpy()
        used = set(contents[np.concatenate([corpus.rows("train"), corpus.rows("val")])])
        return int(
            sum(content in used for content in cell.dataset.prepared.manifest["content"].to_numpy()[cell.test_rows])
        )


def _be_deterministic(device: torch.device) -> None:
    """Same command, same seed, same numbers, on the CPU; called late, since torch imports its compiler for it."""
    torch.use_deterministic_algorithms(device.type == "cpu")
    # Writing to memory that is about to be overwritten took a seventh of a segmentation cell.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def resolve_device(name: str) -> str:
    """The device to compute on: "auto" takes a GPU where there is one.

    Raises:
        VlpbenchError: for a device this machine does not have.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise VlpbenchError(f"No device {name!r}; use auto, cpu, cuda or cuda:N.") from error
    if device.type not in {"cpu", "cuda"}:
        raise VlpbenchError(f"No device {name!r}; use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise VlpbenchError(
            f"No device {name!r} on this machine: torch sees {torch.cuda.device_count()} GPU(s). Use --device cpu."
        )
    return name
