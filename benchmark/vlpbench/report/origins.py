"""Origins: software, machines, data and settings behind all records, each value with how many records it made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vlpbench.record import Record
from vlpbench.report.methods import duration, shown

SHORT = 12


@dataclass(frozen=True)
class Sheet:
    """A small table.

    Attributes:
        title: as printed.
        head: names of the columns.
        rows: as printed.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def origin_sheets(records: Sequence[Record]) -> list[Sheet]:
    """Everything about where the numbers come from, in tables."""
    sheets = [_software(records), _data(records), *_settings(records)]
    return [sheet for sheet in sheets if sheet.rows]


def code_versions(records: Iterable[Record]) -> str:
    """Version of vlpbench and commits, newest record's first."""
    newest_first = sorted(records, key=lambda one: (one.started_at, one.key), reverse=True)
    versions = ", ".join(dict.fromkeys(str(one.provenance.get("vlpbench", "?")) for one in newest_first))
    commits = ", ".join(dict.fromkeys(commit for one in newest_first if (commit := _commit(one))))
    return f"vlpbench {versions}{f' (commit {commits})' if commits else ''}"


def newest_date(records: Iterable[Record]) -> str:
    """When the newest record was begun, as printed; "unknown" where none says."""
    newest = max((one.started_at for one in records), default="")
    return f"{newest[:10]} {newest[11:16]} UTC" if newest else "unknown"


def total_time(records: Iterable[Record]) -> str:
    """Time that all cells took together, as printed."""
    return duration(sum(float(one.provenance.get("wall_seconds") or 0) for one in records))


def _software(records: Sequence[Record]) -> Sheet:
    """Code, packages and machines; where records disagree, how many have each value."""
    rows = [
        ("vlpbench", _told(records, lambda one: str(one.provenance.get("vlpbench", "?")))),
        ("git commit", _told(records, _commit)),
        ("Python", _told(records, lambda one: str(one.provenance.get("python", "?")))),
        ("platform", _told(records, lambda one: str(one.provenance.get("platform", "?")))),
        ("device", _told(records, lambda one: str(one.provenance.get("device", "?")))),
        ("precision of heads", _told(records, lambda one: str(one.provenance.get("precision", "float32")))),
    ]
    packages = sorted({name for one in records for name in one.provenance.get("packages", {})})
    rows += [(name, _told(records, _package(name))) for name in packages]
    return Sheet("Software and machines", ("what", "value (records)"), tuple(rows))


def _package(name: str) -> Callable[[Record], str]:
    return lambda one: str(one.provenance.get("packages", {}).get(name) or "not installed")


def _commit(record: Record) -> str:
    git = record.provenance.get("git") or {}
    return f"{str(git['commit'])[:SHORT]}{' with changes' if git.get('dirty') else ''}" if git.get("commit") else ""


def _told(records: Sequence[Record], value: Callable[[Record], str]) -> str:
    counts = Counter(value(record) or "unknown" for record in records)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _data(records: Sequence[Record]) -> Sheet:
    """Each state of each dataset that numbers stand on."""
    rows: dict[tuple[str, ...], None] = {}
    for record in records:
        spec, base, data = record.spec, record.foundations, record.provenance.get("data", {})
        sizes = [str(data.get("splits", {}).get(name, "?")) for name in ("train", "val", "test")]
        labels = ", ".join(str(label).replace("_", " ") for label in data.get("labels", []))
        title = str(data.get("title", spec.dataset))
        where = (spec.suite, spec.task, title, " / ".join(sizes), labels)
        rows[(*where, base.data_fingerprint[:SHORT], base.split_hash[:SHORT])] = None
    head = ("suite", "task", "dataset", "train / validation / test images", "labels", "data", "split")
    return Sheet("Data", head, tuple(sorted(rows)))


def _settings(records: Sequence[Record]) -> list[Sheet]:
    """How backbones were judged: one sheet for each resolved state of a task's settings."""
    states: dict[tuple[str, str, str], Record] = {}
    for record in records:
        states.setdefault((record.spec.task, record.spec.protocol, record.foundations.settings_hash), record)
    sheets = []
    for (task, protocol, digest), record in sorted(states.items()):
        sources = record.provenance.get("settings_sources", {})
        settings = sorted(record.provenance.get("settings", {}).items())
        version = record.provenance.get("protocol", {}).get("version")
        named = f"protocol {protocol}{f' version {version}' if version is not None else ''}"
        rows = tuple((name, shown(value), str(sources.get(name, ""))) for name, value in settings)
        title = f"Settings of {task}, {named} ({digest[:SHORT]})"
        sheets.append(Sheet(title, ("setting", "value", "source"), rows))
    return sheets
