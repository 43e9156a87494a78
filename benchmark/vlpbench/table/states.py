"""States: what records stand on changes with time; those of one state may be compared, older ones stand apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from vlpbench.protocol import SETTINGS
from vlpbench.record import Record
from vlpbench.settings import later_defaults

Key = TypeVar("Key", bound=Hashable)
SHORT = 8


def grouped(records: Iterable[Record], key: Callable[[Record], Key]) -> dict[Key, list[Record]]:
    """Records by a key, in the order in which they come."""
    groups: dict[Key, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def split_states(records: Sequence[Record]) -> list[list[Record]]:
    """Records by settings and task version, and within these by the state of their data; newest first.

    Where a table has several tasks, their newest states stand together, and so on back in time.
    """
    by_task = [_task_states(alike) for alike in grouped(records, lambda one: one.spec.task).values()]
    return [
        [record for states in by_task if depth < len(states) for record in states[depth]]
        for depth in range(max(map(len, by_task)))
    ]


def without_superseded(records: Sequence[Record]) -> list[Record]:
    """The newest record of each cell and seed: a backbone trained again replaces the one before."""
    kept: dict[tuple[object, ...], Record] = {}
    for record in sorted(records, key=lambda one: (one.started_at, one.key)):
        kept[record.spec, record.recipe, record.headline] = record
    return list(kept.values())


def describe_differences(records: Sequence[Record], newest: Sequence[Record]) -> tuple[str, ...]:
    """What an older state stands on that the newest does not, each with a record of either side."""
    return (*_judged_differently(records, newest), *_other_data(records, newest))


def _task_states(records: Sequence[Record]) -> list[list[Record]]:
    states: list[list[Record]] = []
    for judged in _newest_first(records, lambda one: (one.foundations.settings_hash, one.foundations.task_version)):
        by_column = [
            _newest_first(column, lambda one: (one.foundations.data_fingerprint, one.foundations.split_hash))
            for column in grouped(judged, lambda one: (one.spec.dataset, one.headline)).values()
        ]
        for depth in range(max(map(len, by_column))):
            states.append([record for versions in by_column if depth < len(versions) for record in versions[depth]])
    return states


def _newest_first(records: Iterable[Record], key: Callable[[Record], Hashable]) -> list[list[Record]]:
    groups = grouped(records, key).values()
    return sorted(groups, key=lambda group: max((one.started_at, one.key) for one in group), reverse=True)


def _judged_differently(records: Sequence[Record], newest: Sequence[Record]) -> list[str]:
    """Task version and settings, task by task."""
    lines = []
    for task, old in {record.spec.task: record for record in records}.items():
        new = next((record for record in newest if record.spec.task == task), old)
        told = []
        if old.foundations.task_version != new.foundations.task_version:
            told.append(f"task version {old.foundations.task_version}, not {new.foundations.task_version}")
        if old.foundations.settings_hash != new.foundations.settings_hash:
            told += _changed_settings(old, new) or [f"settings {old.foundations.settings_hash[:SHORT]}"]
        if told:
            lines.append(f"{', '.join(told)} {_named(old, new)}")
    return lines


def _other_data(records: Sequence[Record], newest: Sequence[Record]) -> list[str]:
    """Data and split, dataset by dataset."""
    lines = []
    states = {_pair(record): record for record in newest}
    for pair, old in {_pair(record): record for record in records}.items():
        if (new := states.get(pair)) is None:
            continue
        here, there, told = old.foundations, new.foundations, []
        if here.data_fingerprint != there.data_fingerprint:
            told.append(f"data {here.data_fingerprint[:SHORT]}, not {there.data_fingerprint[:SHORT]}")
        if here.split_hash != there.split_hash:
            told.append(f"split {here.split_hash[:SHORT]}, not {there.split_hash[:SHORT]}")
        if told:
            lines.append(f"{old.spec.dataset}: {', '.join(told)} {_named(old, new)}")
    return lines


def _named(old: Record, new: Record) -> str:
    return f"(record {old.key}, not {new.key})"


def _pair(record: Record) -> tuple[str, str]:
    return record.spec.task, record.spec.dataset


def _changed_settings(old: Record, new: Record) -> list[str]:
    """Settings that differ, and the protocol's version, as far as provenance tells."""
    before, after = _judgement(old), _judgement(new)
    return [
        f"{name} {before.get(name)}, not {after.get(name)}"
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    ]


def _judgement(record: Record) -> dict[str, Any]:
    version = record.provenance.get("protocol", {}).get("version")
    kind = SETTINGS.get(record.spec.task)
    return {
        "protocol version": version,
        **(later_defaults(kind) if kind else {}),
        **record.provenance.get("settings", {}),
    }
