"""`vlpbench reproduce`: one cell evaluated again, beside its record."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from textwrap import wrap

from rich import box
from rich.console import Console
from rich.table import Table

from vlpbench.commands.agreement import (
    DIFFERS,
    Agreement,
    Foundation,
    compare_predictions,
    compare_records,
    difference,
)
from vlpbench.commands.arguments import Arguments, load_plugins, resolve
from vlpbench.commands.progress import TerminalWatcher
from vlpbench.commands.run import prepared_plan
from vlpbench.commands.show import find_attempt, print_plainly
from vlpbench.errors import StoppedError, UnknownNameError, VlpbenchError
from vlpbench.plan import Plan
from vlpbench.record import Record
from vlpbench.reproduction import named_split, recorded_settings
from vlpbench.run import execute
from vlpbench.store import RecordStore, describe
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


def reproduce(key: str, means: Means) -> None:
    """Evaluate the cell of a record again and print whether the metrics agree; exit code 1 where they do not.

    The new record goes into a folder of its own below `work`, beside those of earlier reproductions.

    Raises:
        UnknownKeyError: if there is no such record.
        VlpbenchError: if its suite, method, data or weights cannot be had, or the cell fails.
        StoppedError: on Ctrl-C.
    """
    if means.weights not in {STORED, RETRAIN}:
        raise UnknownNameError("choice of --weights", means.weights, (STORED, RETRAIN))
    load_plugins(means.plugins)
    store = RecordStore(means.results)
    record, _, _ = find_attempt(store, key)
    scratch = RecordStore(means.work / SCRATCH)
    if scratch.root.resolve() == means.results.resolve():
        raise VlpbenchError(f"{scratch.root} is where reproductions are kept; name another --work.")
    console = Console(soft_wrap=True)
    print_plainly(console, f"{record.key}: {describe(record.spec)}", style="bold")
    again = _evaluate_again(record, scratch, means, console)
    predictions = compare_predictions(record, store, again, scratch)
    agreement = compare_records(record, again, predictions=predictions)
    _print(console, agreement, again, scratch)
    if agreement.verdict == DIFFERS:
        sys.exit(1)


def _evaluate_again(record: Record, scratch: RecordStore, means: Means, console: Console) -> Record:
    """The record of the same cell, made now."""
    request = resolve(_arguments(record, scratch, means))
    method = record.spec.method
    try:
        with TerminalWatcher(console) as watcher:
            plan = prepared_plan(request, watcher)
            if means.weights == RETRAIN:
                _turn_away(plan, method, scratch.root / "backbones")
            watcher.note(_announce(plan, record))
            outcome = execute(plan, watcher, force=True)
    except KeyboardInterrupt as stop:
        raise StoppedError("stopped. What was trained so far stays; the same command carries on from there.") from stop
    if outcome.failed or outcome.refused:
        raise VlpbenchError(f"The cell cannot be evaluated again. {' '.join(outcome.failed + outcome.refused)}")
    (cell,) = plan.cells(method)
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
    import torch

    made_on = str(record.provenance.get("device", "")).partition(" ")[0]
    return "cuda" if made_on == "cuda" and torch.cuda.is_available() else "cpu"


def _turn_away(plan: Plan, method: str, folder: Path) -> None:
    """Point a plan at a folder without a finished backbone, so that it trains one; a run that broke off carries on."""
    for number in count(1):
        plan.request = replace(plan.request, backbones=folder / str(number))
        if plan.backbone_card(method) is None:
            return


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


def _print(console: Console, agreement: Agreement, again: Record, scratch: RecordStore) -> None:
    """The verdict, each metric stored and now, and what they stand on."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("metric", overflow="fold")
    for column in ("stored", "now", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, (stored, now) in agreement.metrics.items():
        gap = difference(stored, now)
        table.add_row(name, _number(stored), _number(now), "–" if gap is None else f"{gap:.2g}")
    console.print(table)
    changed = [one for one in agreement.foundations if not one.same]
    same = [one.name for one in agreement.foundations if one.same and not one.package]
    _paragraph(console, f"same: {', '.join(same)}")
    for one in changed:
        _paragraph(console, f"another {one.name}: {_told(one)}")
    _paragraph(console, f"predictions: {agreement.predictions}")
    _paragraph(console, f"record of this run: {scratch.record_path(again)}")
    count = f"{len(agreement.metrics)} metrics"
    print_plainly(console, f"\n{agreement.verdict}: {count}", style="bold")
    if agreement.reason:
        _paragraph(console, f"probable reason: {agreement.reason}")


def _told(one: Foundation) -> str:
    detail = f" ({one.detail})" if one.detail else ""
    return f"{one.stored}, now {one.now}{detail}"


def _paragraph(console: Console, text: str) -> None:
    for line in wrap(text, max(console.width, 40), subsequent_indent="  ", break_long_words=False):
        print_plainly(console, line)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.9f}"
