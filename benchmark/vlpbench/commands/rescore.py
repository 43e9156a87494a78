"""`vlpbench rescore`: metrics again from stored predictions."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vlpbench.errors import NothingToShowError, VlpbenchError
from vlpbench.provenance import git_state
from vlpbench.record import Record, latest_attempts
from vlpbench.registry import REGISTRY
from vlpbench.rescoring import Rescored, rescore_records, write
from vlpbench.store import RecordStore

JOBS = 2


def rescore(*, suite: str | None, task: str | None, results: Path, plugins: tuple[Path, ...]) -> None:
    """Compute the metrics of every record again from its predictions and write those that are new in further records.

    Exit code 1 where a stored metric differs, or predictions are missing or damaged; nothing is written for those.

    Args:
        suite: only this one, None for all.
        task: only this one, None for all.
        results: folder of records and predictions.
        plugins: files with tasks of the user.

    Raises:
        NothingToShowError: if there are no records.
    """
    for path in plugins:
        REGISTRY.add_file(path)
    store, console = RecordStore(results), Console(soft_wrap=True)
    found, damaged = store.load_all(suite)
    records = _in_order(one for one in latest_attempts(found) if task in (None, one.spec.task))
    if not records and not damaged:
        raise _nothing(suite, task, results)
    for problem in damaged:
        _say(console, f"left out: {problem}")
    scored = list(_watched(store, records, plugins))
    complaints, written = _settle(store, scored)
    for complaint in complaints:
        _say(console, complaint)
    for (name, added), count in sorted(written.items()):
        _say(console, f"{name}: {count:,} further record(s), with {added}")
    _say(console, _summary(scored, written.total(), len(complaints) + len(damaged)))
    if complaints or damaged:
        sys.exit(1)


def _in_order(records: Iterable[Record]) -> list[Record]:
    """By task, and the newest version of it first: what two versions would be scored anew as, the newer one becomes."""
    return sorted(
        records, key=lambda one: (one.spec.task, -one.foundations.task_version, one.spec.suite, one.spec.dataset)
    )


def _watched(store: RecordStore, records: Sequence[Record], plugins: Sequence[Path]) -> Iterator[Rescored]:
    """Each record scored again, with a bar."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        scored = rescore_records(store, records, jobs=JOBS, plugins=plugins)
        yield from progress.track(scored, total=len(records), description="scoring predictions again")


def _settle(store: RecordStore, scored: Iterable[Rescored]) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Write what is new; lines on what is wrong, and how many records of a task got which metrics."""
    complaints: list[str] = []
    written: Counter[tuple[str, str]] = Counter()
    git, keys = git_state(), set[str]()
    for one in scored:
        wrong = [one.problem] if one.problem else [_difference(one, name) for name in one.differing]
        if not wrong and one.added and one.becomes not in keys:
            try:
                keys.add(write(store, one, git=git).key)
                written[one.record.spec.task, ", ".join(one.added)] += 1
            except VlpbenchError as error:
                wrong = [str(error)]
        complaints += wrong
    return complaints, written


def _difference(scored: Rescored, metric: str) -> str:
    record = scored.record
    spec = record.spec
    return (
        f"{record.key} ({spec.method} {spec.dataset} {spec.task}): {metric} is stored as {record.metrics[metric]}, and "
        f"its predictions give {scored.metrics[metric]}. Nothing was written for it; see which of the two is right, "
        "and run the cell again with --force."
    )


def _summary(scored: Sequence[Rescored], written: int, wrong: int) -> str:
    current = [one for one in scored if not one.superseded]
    count = f"{len(current):,} record{'' if len(current) == 1 else 's'}"
    if wrong:
        return f"{count}: {wrong:,} line(s) above say what is wrong; {written:,} further record(s) written."
    if written:
        return f"{count}: {written:,} further record(s) written; every metric that was there already agrees."
    largest = max((one.largest_difference for one in current), default=0.0)
    return f"{count}: every metric is there already and agrees (largest difference {largest:.1g})."


def _nothing(suite: str | None, task: str | None, results: Path) -> NothingToShowError:
    """What to run for there to be records."""
    asked = [f" of the {kind} {name}" for kind, name in (("suite", suite), ("task", task)) if name is not None]
    options = (f" --suite {suite}" if suite else "") + f" --tasks {task if task else 'all'}"
    return NothingToShowError(
        f"No records{''.join(asked)} under {results / 'records'}. "
        f"Run: vlpbench run --method sista{options} --results {results}"
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)
