"""One record's evaluation done again, into a folder of its own below the work folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import torch
from rich.console import Console

from vlpbench.commands import aligned_methods
from vlpbench.commands.arguments import Arguments, resolve
from vlpbench.commands.progress import TerminalWatcher
from vlpbench.commands.run import prepared_plan
from vlpbench.device import be_deterministic
from vlpbench.errors import StoppedError, UnknownNameError, VlpbenchError
from vlpbench.plan import Plan, Request
from vlpbench.record import Record
from vlpbench.reproduction import named_split, recorded_settings
from vlpbench.run import execute
from vlpbench.store import RecordStore
from vlpbench.suite import Suite, load_suite, suite_names

SCRATCH = "reproduced"
STORED, RETRAIN = "stored", "retrain"
AUTO = "auto"


@dataclass(frozen=True)
class Means:
    """What a cell is evaluated again with.

    Attributes:
        suite: file of a user's suite, None for one that ships.
        data: folder of real data.
        results: folder of the record.
        work: folder of prepared data, backbones and caches.
        device: "auto" for the kind that the record was made on, where this machine has it.
        jobs: processes that prepare data, None for one per core.
        weights: "stored" for the backbone in `work` where it is there, "retrain" to train another in any case.
        plugins: files with methods or tasks of the user.
    """

    suite: Path | None
    data: Path | None
    results: Path
    work: Path
    device: str
    jobs: int | None
    weights: str
    plugins: tuple[Path, ...]


def evaluate_again(record: Record, means: Means, console: Console) -> tuple[Record, RecordStore]:
    """Evaluate the cell of a record, or score its maps, anew.

    Returns:
        The new record, and where it is kept.

    Raises:
        VlpbenchError: if its suite, method, data or weights cannot be had, or the cell fails.
        StoppedError: on Ctrl-C.
    """
    scratch = RecordStore(means.work / SCRATCH)
    if scratch.root.resolve() == means.results.resolve():
        raise VlpbenchError(f"{scratch.root} is where reproductions are kept; name another --work.")
    try:
        with TerminalWatcher(console) as watcher:
            if record.spec.fraction:
                return _evaluate_cell(record, scratch, means, watcher), scratch
            fresh = RecordStore(_unused(scratch.root / "maps"))
            return _score_maps(record, fresh, means, watcher), fresh
    except KeyboardInterrupt as stop:
        raise StoppedError("stopped. What was trained so far stays; the same command carries on from there.") from stop


def _evaluate_cell(record: Record, scratch: RecordStore, means: Means, watcher: TerminalWatcher) -> Record:
    """The record of the same cell, made now, as `vlpbench run` makes it."""
    plan = _announced(resolve(_arguments(record, scratch, means)), record, means, watcher)
    outcome = execute(plan, watcher, force=True)
    if outcome.failed or outcome.refused:
        raise VlpbenchError(f"The cell cannot be evaluated again. {' '.join(outcome.failed + outcome.refused)}")
    (cell,) = plan.cells(record.spec.method)
    again = None if cell.key is None else scratch.find(cell.spec, cell.key)
    if again is None:
        raise VlpbenchError(f"The evaluation left no record in {scratch.root}.")
    return again


def _arguments(record: Record, scratch: RecordStore, means: Means) -> Arguments:
    """What `vlpbench run` would be told to make the record's cell."""
    spec = record.spec
    suite, name = _suite(record, means.suite)
    return Arguments(
        method=spec.method,
        tasks=spec.task,
        datasets=spec.dataset,
        suite=name,
        arch=spec.arch,
        image_size=spec.image_size,
        fractions=repr(spec.fraction),
        seeds=str(spec.seed),
        pretrain_seed=spec.pretrain_seed,
        protocol=spec.protocol,
        splits=named_split(record) or None,
        limit=spec.limit,
        data=means.data,
        results=scratch.root,
        work=means.work,
        device=_device(record) if means.device == AUTO else means.device,
        jobs=means.jobs if means.jobs is not None else os.cpu_count() or 1,
        settings=recorded_settings(record, suite),
        plugins=(),
    )


def _suite(record: Record, file: Path | None) -> tuple[Suite, str]:
    """The record's suite, and what `--suite` would be given for it."""
    wanted = record.spec.suite
    if file is None and wanted not in suite_names():
        raise VlpbenchError(
            f"The record {record.key} is of the suite {wanted!r}, which does not ship with vlpbench. "
            "Give its file: --suite FILE.toml"
        )
    name = wanted if file is None else str(file)
    suite = load_suite(name)
    if suite.name != wanted:
        raise VlpbenchError(f"{name} is the suite {suite.name!r}; the record {record.key} is of {wanted!r}.")
    return suite, name


def _device(record: Record) -> str:
    """The kind of device that a record was made on, where this machine has it."""
    made_on = str(record.provenance.get("device", "")).partition(" ")[0]
    return "cuda" if made_on == "cuda" and torch.cuda.is_available() else "cpu"


def _score_maps(record: Record, fresh: RecordStore, means: Means, watcher: TerminalWatcher) -> Record:
    """The record of the same maps, made now, as `vlpbench heatmap --score` makes it; such a record has no head."""
    from vlpbench.grounding.run import GroundingBench
    from vlpbench.pretraining.run import pretrain
    from vlpbench.pretraining.trained import load_trained

    spec = record.spec
    suite, name = _suite(record, means.suite)
    settings = recorded_settings(record, suite)
    device = _device(record) if means.device == AUTO else means.device
    asked = aligned_methods.Arguments(
        spec.method, name, spec.arch, spec.image_size, spec.pretrain_seed, settings, means.data, fresh.root,
        means.work, device, (),
    )  # fmt: skip
    request = aligned_methods.resolve_request(asked)
    if spec.dataset not in suite.datasets:
        raise UnknownNameError("dataset", spec.dataset, suite.datasets)
    only = replace(suite, datasets={spec.dataset: suite.datasets[spec.dataset]}, pairs=())
    plan = _announced(replace(request, suite=only), record, means, watcher)
    folder, on = plan.backbone_folder(spec.method), torch.device(request.device)
    if plan.backbone_card(spec.method) is None:
        be_deterministic(on)
        with watcher.stage(f"pre-train {spec.method}") as step:
            pretrain(plan.pretrain_spec(spec.method), plan.corpus, folder=folder, device=on, report=step)
    with watcher.stage(f"score the maps of {spec.method} on {spec.dataset}"):
        made = list(GroundingBench(plan).evaluate(load_trained(folder, plan.corpus, device=on)))
    for one in made:
        if one.headline == record.headline:
            return one
    raise VlpbenchError(f"Maps have no headline {record.headline!r} in this version; the record {record.key} has.")


def _announced(request: Request, record: Record, means: Means, watcher: TerminalWatcher) -> Plan:
    """The plan, its data prepared, after the user was told which weights it takes."""
    plan, method = prepared_plan(request, watcher), record.spec.method
    if means.weights == RETRAIN:
        _turn_away(plan, method, means.work / SCRATCH / "backbones")
    watcher.note(_announce(plan, record))
    return plan


def _turn_away(plan: Plan, method: str, folder: Path) -> None:
    """Point a plan at a folder without a finished backbone, so that it trains one; a run that broke off carries on."""
    for number in count(1):
        plan.request = replace(plan.request, backbones=folder / str(number))
        if plan.backbone_card(method) is None:
            return


def _unused(folder: Path) -> Path:
    """The first numbered folder that is not there yet."""
    return next(path for number in count(1) if not (path := folder / str(number)).exists())


def _announce(plan: Plan, record: Record) -> str:
    """Which weights will be evaluated."""
    method = record.spec.method
    folder, card = plan.backbone_folder(method), plan.backbone_card(method)
    made = record.provenance.get("backbone", {}).get("lineage", {}).get("pretrain_key")
    asked = plan.pretrain_spec(method).key
    other = (
        f"\nThe record's weights were made from another specification ({made}, now {asked})." if made != asked else ""
    )
    if card is None:
        how = "trained" if plan.method_card(method).trains else "initialised"
        return f"weights: will be {how} into {folder}{other}"
    same = "those of the record" if card.sha256 == record.foundations.weights_sha256 else "not those of the record"
    return f"weights: {folder}, {same} by sha256{other}"
