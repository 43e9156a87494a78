"""Protocols: how a frozen backbone is judged. Every field carries its source or the word `unknown`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from vlpbench.canonical import content_hash
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.settings import (
    AMENDMENTS,
    Amendment,
    ClassificationSettings,
    DetectionSettings,
    SegmentationSettings,
    Settings,
    check_choices,
    judged,
    override,
    setting_fields,
)

__all__ = [
    "SETTINGS",
    "ClassificationSettings",
    "DetectionSettings",
    "Protocol",
    "SegmentationSettings",
    "Settings",
    "load_protocol",
    "protocol_names",
]

SETTINGS: dict[str, type[Settings]] = {
    "classification": ClassificationSettings,
    "segmentation": SegmentationSettings,
    "detection": DetectionSettings,
}
DATASETS, FRACTIONS = "datasets", "fractions"


@dataclass(frozen=True)
class Protocol:
    """A named way to judge backbones.

    Attributes:
        name: key.
        title: one line.
        version: raised whenever a number may change.
        settings: resolved settings per task.
        sources: where each field comes from, "task.field" to text; "task.datasets.NAME.field" and
            "task.datasets.NAME.fractions.FRACTION.field" for what is amended.
    """

    name: str
    title: str
    version: int
    settings: Mapping[str, Settings]
    sources: Mapping[str, str]

    def for_task(self, task: str, overrides: Mapping[str, Any] | None = None) -> Settings:
        """Settings of one task, with a suite's own schedule put over them and over their amendments.

        Raises:
            VlpbenchError: if the protocol does not cover the task, or an override names no field or no value of it.
        """
        if task not in self.settings:
            raise VlpbenchError(
                f"Protocol {self.name!r} says nothing about the task {task!r}; it covers {list(self.settings)}."
            )
        settings = self.settings[task]
        if not overrides:
            return settings
        unknown = sorted(set(overrides) - {field.name for field in setting_fields(settings)})
        if unknown:
            raise UnknownNameError(f"{task} setting", unknown[0], (field.name for field in setting_fields(settings)))
        resolved = override(settings, {name: _tupled(value) for name, value in overrides.items()})
        check_choices(resolved, f"[{task}]")
        return resolved

    def settings_hash(self, settings: Settings) -> str:
        """Hash of a task's settings, what is amended for its datasets included, together with the protocol's version.

        It is one for all datasets of a task, since they are columns of one table.
        """
        return content_hash({"version": self.version, "settings": judged(settings)}, 16)

    def source_of(self, task: str, name: str, value: object) -> str:
        """Where a cell's value of a setting comes from: the protocol, what it amends, or the suite."""
        settings = self.settings[task]
        if name == AMENDMENTS or value == getattr(settings, name):
            return self.sources[f"{task}.{name}"]
        for amendment in settings.amendments:
            if (name, value) in amendment.values:
                return self.sources[_place(task, amendment, name)]
        return "the suite, over the protocol"


def protocol_names() -> list[str]:
    """Names of the protocols that ship with vlpbench."""
    folder = files("vlpbench_configs") / "protocols"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@cache
def load_protocol(name: str) -> Protocol:
    """Read a protocol.

    Raises:
        UnknownNameError: for a name that does not ship.
        VlpbenchError: for a field without value or source, or a value it does not take.
    """
    if name not in protocol_names():
        raise UnknownNameError("protocol", name, protocol_names())
    return parse_protocol(
        (files("vlpbench_configs") / "protocols" / f"{name}.toml").read_text(encoding="utf-8"),
        f"protocols/{name}.toml",
    )


def parse_protocol(text: str, where: str) -> Protocol:
    """Read a protocol from TOML text.

    Args:
        text: of the file.
        where: its name, for errors.

    Raises:
        VlpbenchError: for a field without value or source, or a value it does not take.
    """
    raw = tomllib.loads(text)
    settings: dict[str, Settings] = {}
    sources: dict[str, str] = {}
    for task, kind in SETTINGS.items():
        table = dict(raw.get(task, {}))
        amendments = tuple(_amendments(kind, task, table.pop(DATASETS, {}), sources, where))
        values: dict[str, Any] = {}
        for field in setting_fields(kind):
            values[field.name], sources[f"{task}.{field.name}"] = _sourced(table, field.name, f"{where}: [{task}]")
        sources[f"{task}.{AMENDMENTS}"] = "each where it is made" if amendments else "none is made"
        settings[task] = kind(**values, amendments=amendments)
        for amended in ((), *(amendment.values for amendment in amendments)):
            check_choices(replace(settings[task], **dict(amended)), f"{where}: [{task}]")
    return Protocol(raw["name"], raw["title"], raw["version"], settings, sources)


def _amendments(
    kind: type[Settings], task: str, datasets: Mapping[str, Any], sources: dict[str, str], where: str
) -> Iterator[Amendment]:
    """What a task's `datasets` tables say, sorted into `sources` on the way."""
    for dataset, given in datasets.items():
        table = dict(given)
        shares = table.pop(FRACTIONS, {})
        parts: list[tuple[float | None, Mapping[str, Any]]] = [(None, table)]
        parts += [(float(share), part) for share, part in shares.items()]
        for fraction, part in parts:
            known = {field.name for field in setting_fields(kind)}
            if unknown := sorted(set(part) - known):
                raise UnknownNameError(f"{task} setting in {where}", unknown[0], known)
            sourced = {name: _sourced(part, name, f"{where}: [{task}.{DATASETS}.{dataset}]") for name in part}
            amendment = Amendment(dataset, fraction, tuple((name, value) for name, (value, _) in sourced.items()))
            sources.update({_place(task, amendment, name): source for name, (_, source) in sourced.items()})
            if sourced:
                yield amendment


def _sourced(table: Mapping[str, Any], name: str, where: str) -> tuple[Any, str]:
    """Value and source of a field."""
    entry = table.get(name)
    if not isinstance(entry, dict) or set(entry) != {"value", "source"}:
        raise VlpbenchError(f"{where} {name} needs a value and a source.")
    return _tupled(entry["value"]), str(entry["source"])


def _place(task: str, amendment: Amendment, name: str) -> str:
    """Key of an amended field in `Protocol.sources`."""
    share = "" if amendment.fraction is None else f"{FRACTIONS}.{amendment.fraction:g}."
    return f"{task}.{DATASETS}.{amendment.dataset}.{share}{name}"


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
