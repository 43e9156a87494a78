"""Carry out a plan: pre-train what is missing, evaluate what is missing, keep every result."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from vlpbench.backbone import Backbone, BackboneCard, read_card
from vlpbench.canonical import cannot_write
from vlpbench.data.dataset import Dataset
from vlpbench.device import be_deterministic
from vlpbench.errors import UnavailableError, VlpbenchError
from vlpbench.features import FrozenFeatures
from vlpbench.patients import patients_file, write_patients
from vlpbench.plan import Plan, PlannedCell, open_task
from vlpbench.precision import precision_name, resolve_precision
from vlpbench.pretraining.recipe import Recipe
from vlpbench.provenance import collect_provenance, peak_memory_bytes
from vlpbench.settings import amend
from vlpbench.specs import run_key
from vlpbench.store import Record, make_record
from vlpbench.task import Cell, TaskResult
from vlpbench.tracking.trackers import FOLDER, Tracking

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
    is written as soon as its cell ends.

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
    tracking = Tracking(plan.request.trackers, folder=plan.request.work / FOLDER, warn=watcher.note)
    _note_data(plan, watcher)
    _keep_patients(plan)
    outcome = Outcome()
    total = sum(len(plan.cells(method)) for method in plan.request.methods)
    number = 0
    for method in plan.request.methods:
        states = {cell.state for cell in plan.cells(method)}
        if plan.backbone_card(method) is None and ("to do" in states or (force and "done" in states)):
            try:
                _pretrain(plan, method, device, watcher, tracking)
            except VlpbenchError as error:
                # Where every method was asked for, one whose weights this machine cannot get is no failure.
                spared = plan.request.every_method and isinstance(error, UnavailableError)
                (outcome.refused if spared else outcome.failed).append(f"{method}: {error}")
                number += len(plan.cells(method))
                continue
        bench = _Bench(plan, method, device, tracking)
        number = _evaluate(bench, watcher, outcome, force=force, number=number, total=total)
    return outcome


def _note_data(plan: Plan, watcher: Watcher) -> None:
    for name, prepared in plan.prepared.items():
        unreadable = prepared.facts["unreadable"]
        if isinstance(unreadable, list) and unreadable:
            listed = "\n".join(f"  - {problem}" for problem in unreadable)
            watcher.note(f"{name}: {len(unreadable)} image(s) could not be read and are left out:\n{listed}")
        noticed = prepared.facts.get("noticed")
        if isinstance(noticed, list) and noticed:
            listed = "\n".join(f"  - {remark}" for remark in noticed)
            watcher.note(f"{name}: noticed in the release:\n{listed}")
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


def _pretrain(plan: Plan, method: str, device: torch.device, watcher: Watcher, tracking: Tracking) -> None:
    from vlpbench.pretraining.run import pretrain  # MMEngine takes seconds, which a call with nothing to train saves

    card = plan.method_card(method)
    if card.trains:
        plan.corpus.require_pairs()
        watcher.note(describe_batch(method, plan.recipe(method), len(plan.corpus.rows("train"))))
    be_deterministic(device)
    spec, folder = plan.pretrain_spec(method), plan.backbone_folder(method)
    with watcher.stage(f"pre-train {method}" if card.trains else f"initialise {method}") as step:
        if not card.trains:
            pretrain(spec, None, folder=folder, device=device, report=step)
            return
        config = {**asdict(spec), "recipe": json.loads(spec.recipe)}
        with tracking.follow("pre-training", folder.name, config) as log:
            pretrain(spec, plan.corpus, folder=folder, device=device, report=step, log=log)


def describe_batch(method: str, recipe: Recipe, pairs: int) -> str:
    """How many pairs a step contrasts, and how many pass through the towers at once."""
    size = min(recipe.batch_size, pairs)
    text = f"{method}: the loss sees all {size} pairs of a step"
    if not 0 < recipe.chunk < size:
        return text
    return f"{text}; the towers take {recipe.chunk} at a time, and their batch statistics are of as many"


def _evaluate(bench: _Bench, watcher: Watcher, outcome: Outcome, *, force: bool, number: int, total: int) -> int:
    """Evaluate the cells of one method; return how many cells have been dealt with in all."""
    for cell in bench.plan.cells(bench.method):
        number += 1
        spec = cell.spec
        title = f"{spec.method}: {spec.dataset} {spec.task} at {100 * spec.fraction:g}%, seed {spec.seed}"
        if cell.state == "refused":
            outcome.refused.append(f"{title}: {cell.reason}")
        elif cell.state == "done" and not force:
            outcome.kept += 1
        else:
            bench.load()
            try:
                with watcher.cell(number, total, cell) as step:
                    bench.evaluate(cell, step)
                outcome.done += 1
            except VlpbenchError as error:
                outcome.failed.append(f"{title}: {error}")
    return number


class _Bench:
    """One frozen backbone on the bench, with features shared by its cells."""

    card: BackboneCard
    backbone: Backbone

    def __init__(self, plan: Plan, method: str, device: torch.device, tracking: Tracking) -> None:
        self.plan, self.method, self.device, self.tracking = plan, method, device, tracking
        self._features: tuple[str, FrozenFeatures] | None = None
        self._loaded = False

    def load(self) -> None:
        """Load the backbone for its first cell."""
        if not self._loaded:
            be_deterministic(self.device)
            folder = self.plan.backbone_folder(self.method)
            self.card = read_card(folder)
            self.backbone = Backbone.load(folder).to(self.device).freeze()
            self._loaded = True

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
        stored = plan.store.add(record, result.predictions)
        self._tell(stored)

    def _tell(self, record: Record) -> None:
        """Tell trackers of a record: every metric, and what trivial predictors get in the headline."""
        values = {f"metrics/{name}": value for name, value in record.metrics.items()}
        floors = {f"floors/{name}": found.get(record.headline) for name, found in record.floors.items()}
        config = {**asdict(record.spec), "key": record.key, "attempt": record.attempt, "headline": record.headline}
        name = f"{record.spec.method}-{record.spec.dataset}-{record.spec.task}-{record.key}.{record.attempt}"
        with self.tracking.follow("cells", name, config) as log:
            log({"headline": record.metrics[record.headline], **values, **floors}, 0)

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
