"""Metrics of records computed again from their predictions: they agree, differ, or bring something new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vlpbench import __version__
from vlpbench.canonical import finite_or_none
from vlpbench.cards import TaskCard
from vlpbench.errors import VlpbenchError
from vlpbench.record import ROUNDING, Record
from vlpbench.registry import REGISTRY
from vlpbench.specs import run_key
from vlpbench.statistics.resampler import judged_by, open_task
from vlpbench.store import RecordStore

AGREE = 1e-9
BATCH = 16
Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Rescored:
    """What came of one record.

    Attributes:
        record: as it is stored.
        metrics: from its predictions, None where undefined; empty where they could not be computed.
        problem: why they could not, or "".
        superseded: it is of another version of its task, and a record of the version of now is there already.
        becomes: key of the record under the version that its task has now.
    """

    record: Record
    metrics: Metrics
    problem: str = ""
    superseded: bool = False
    becomes: str = ""

    @property
    def judged_anew(self) -> bool:
        """Whether the task has another version than when the record was made, so that its numbers may differ."""
        return self.becomes != self.record.key

    @property
    def differing(self) -> list[str]:
        """Metrics that are stored with another value under the same version of the task."""
        stored = self.record.metrics
        return [
            name
            for name, value in self.metrics.items()
            if not self.judged_anew and name in stored and not _agree(stored[name], value)
        ]

    @property
    def added(self) -> list[str]:
        """Metrics that the record lacks; all of them for another version of the task."""
        return [name for name in self.metrics if self.judged_anew or name not in self.record.metrics]

    @property
    def largest_difference(self) -> float:
        """Over the metrics that are stored under the same version of the task."""
        pairs = [(value, self.record.metrics.get(name)) for name, value in self.metrics.items()]
        if self.judged_anew:
            return 0.0
        return max((abs(new - old) for new, old in pairs if new is not None and old is not None), default=0.0)


def rescore_records(
    store: RecordStore, records: Sequence[Record], *, jobs: int = 2, plugins: Sequence[Path] = ()
) -> Iterator[Rescored]:
    """Compute the metrics of records again from their predictions; nothing is written.

    Args:
        store: of the predictions.
        records: those to look at; sorted by task they come faster, since a process then opens fewer tasks.
        jobs: processes.
        plugins: files with tasks that those processes must know.

    Yields:
        One for each record, in order.
    """
    batches = [records[start : start + BATCH] for start in range(0, len(records), BATCH)]
    if jobs > 1 and len(batches) > 1:
        from joblib import Parallel, delayed

        many = delayed(_rescore_many)
        pool: Any = Parallel(n_jobs=jobs, return_as="generator")
        parts = pool(many(store.root, batch, tuple(plugins)) for batch in batches)
    else:
        parts = (_rescore_many(store.root, batch, ()) for batch in batches)
    for part in parts:
        yield from part


def write(store: RecordStore, scored: Rescored, *, git: Mapping[str, Any] | None) -> Record:
    """Write what a record lacks in a further record beside it, with the same predictions.

    Under the same version of its task this is a further attempt at the same key: what is stored, and the new metrics.
    Under another it has a key of its own, and nothing of the old metrics. Trivial predictors have no predictions to
    compute from, so their new metrics are missing, and under another version all of them are.

    Args:
        store: to write to.
        scored: from `rescore_records`, without a problem and without differing metrics.
        git: state of the code, from `vlpbench.provenance.git_state`.

    Raises:
        VlpbenchError: if a metric lies outside [0, 1], the headline is not among them, or the folder cannot be written.
    """
    old = scored.record
    metrics = dict(scored.metrics) if scored.judged_anew else {**scored.metrics, **old.metrics}
    if old.headline not in metrics:
        raise VlpbenchError(f"The record {old.key}: its headline {old.headline!r} is not among {', '.join(metrics)}.")
    for name, value in metrics.items():
        if value is not None and not -ROUNDING <= value <= 1 + ROUNDING:
            raise VlpbenchError(f"The record {old.key}: {name} = {value}; metrics are fractions in [0, 1].")
    origin = {
        "from_key": old.key,
        "from_attempt": old.attempt,
        "from_task_version": old.foundations.task_version,
        "vlpbench": __version__,
        "git": git,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "added": scored.added,
    }
    floors: Mapping[str, Metrics] = {} if scored.judged_anew else old.floors
    fresh = replace(_successor(old), metrics=metrics, floors=floors, provenance={**old.provenance, "rescored": origin})
    return store.add(fresh)


def _rescore_many(root: Path, records: Sequence[Record], plugins: Sequence[Path]) -> list[Rescored]:
    """Runs in a process of its own, or in this one."""
    for path in plugins:
        REGISTRY.add_file(path)
    store = RecordStore(root)
    return [_rescore_one(store, record) for record in records]


def _rescore_one(store: RecordStore, record: Record) -> Rescored:
    try:
        fresh = _successor(record)
        if fresh.key != record.key and store.has(fresh.spec, fresh.key):
            return Rescored(record, {}, superseded=True, becomes=fresh.key)
        predictions = store.read_predictions(record)
        metrics = open_task(record.spec.task).score(predictions, judged_by(record), record.headline)
    except VlpbenchError as problem:
        return Rescored(record, {}, str(problem))
    except Exception as error:  # a task may stumble in any way over a table that it did not write
        told = f"{type(error).__name__}: {error}"
        return Rescored(record, {}, f"The task {record.spec.task} cannot score predictions of {record.key} ({told}).")
    return Rescored(record, {name: finite_or_none(float(value)) for name, value in metrics.items()}, becomes=fresh.key)


def _successor(record: Record) -> Record:
    """The record under the version that its task has now; itself where it was made by that."""
    card, made = REGISTRY.card("task", record.spec.task), record.foundations.task_version
    if not isinstance(card, TaskCard) or card.version == made:
        return record
    if card.version < made:
        raise VlpbenchError(
            f"The record {record.key} was made by version {made} of the task {card.name}, and this is version "
            f"{card.version}. Upgrade vlpbench."
        )
    foundations = replace(record.foundations, task_version=card.version)
    return replace(record, foundations=foundations, key=run_key(record.spec, foundations))


def _agree(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return abs(old - new) <= AGREE
