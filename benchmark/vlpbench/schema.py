"""Schemas of record files: what each version holds, and where a file departs from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from types import NoneType
from typing import Any

ROUNDING = 1e-6
JSON_KINDS = {
    list: "a list",
    str: "a text",
    bool: "true or false",
    NoneType: "null",
    int: "a number",
    float: "a number",
}
Kind = tuple[frozenset[type], str]
OBJECT: Kind = (frozenset({dict}), "an object")
TEXT: Kind = (frozenset({str}), "a text")
WHOLE: Kind = (frozenset({int}), "a whole number")
WHOLE_OR_NULL: Kind = (frozenset({int, NoneType}), "a whole number or null")
NUMBER: Kind = (frozenset({int, float}), "a number")

RECORD_1 = {
    "key": TEXT, "spec": OBJECT, "foundations": OBJECT, "metrics": OBJECT, "headline": TEXT, "floors": OBJECT,
    "counts": OBJECT, "selection": OBJECT, "provenance": OBJECT, "predictions": TEXT, "predictions_sha256": TEXT,
    "attempt": WHOLE, "schema": WHOLE, "checksum": TEXT,
}  # fmt: skip
SPEC_1 = {
    "method": TEXT, "arch": TEXT, "image_size": WHOLE, "suite": TEXT, "task": TEXT, "dataset": TEXT,
    "fraction": NUMBER, "seed": WHOLE, "protocol": TEXT, "pretrain_seed": WHOLE, "limit": WHOLE_OR_NULL,
}  # fmt: skip
FOUNDATIONS_1 = {
    "weights_sha256": TEXT, "data_fingerprint": TEXT, "split_hash": TEXT, "settings_hash": TEXT, "task_version": WHOLE,
}  # fmt: skip
PROVENANCE_1 = ("backbone", "data", "protocol", "settings", "settings_sources", "packages")


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    return JSON_KINDS.get(type(value), "an object")


def problems_of_schema_1(raw: Mapping[str, Any]) -> Iterator[str]:
    """What a record of schema 1 should hold and this one does not, each in a few words."""
    shape = [*_misfits(raw, RECORD_1, "")]
    for name, fields in (("spec", SPEC_1), ("foundations", FOUNDATIONS_1)):
        if isinstance(raw.get(name), dict):
            shape += _misfits(raw[name], fields, f"{name}.")
    yield from shape or _misvalues(raw)


def _misfits(raw: Mapping[str, Any], fields: Mapping[str, Kind], place: str) -> Iterator[str]:
    """Fields that are missing, unknown, or of another kind."""
    if raw.keys() != fields.keys():
        yield from (f"the field {place}{name} is missing" for name in fields if name not in raw)
        yield from (f"the field {place}{name} is unknown" for name in raw if name not in fields)
    for name, (kinds, words) in fields.items():
        if name in raw and type(raw[name]) not in kinds:
            yield f"{place}{name} is {kind_of(raw[name])}, not {words}"


def _misvalues(raw: Mapping[str, Any]) -> Iterator[str]:
    """Values that no record has, where every field is of its kind."""
    yield from _outside(raw["metrics"], "metrics")
    for floor, values in raw["floors"].items():
        yield from _outside(values, f"floors.{floor}")
    yield from (
        f"counts.{name} is {value!r}, not a whole number"
        for name, value in raw["counts"].items()
        if type(value) is not int
    )
    for name in PROVENANCE_1:
        if not isinstance(raw["provenance"].get(name, {}), dict):
            yield f"provenance.{name} is {kind_of(raw['provenance'][name])}, not an object"
    if raw["headline"] not in raw["metrics"]:
        yield f"the headline {raw['headline']!r} is not among the metrics"
    if not 0 <= raw["spec"]["fraction"] <= 1:
        yield f"spec.fraction is {raw['spec']['fraction']}, not in [0, 1]"
    if raw["attempt"] < 1:
        yield f"attempt is {raw['attempt']}, not 1 or more"
    path = PurePosixPath(raw["predictions"])
    if path.is_absolute() or ".." in path.parts:
        yield f"predictions is {raw['predictions']!r}, not a path below the results folder"


def _outside(values: object, place: str) -> Iterator[str]:
    """Metrics that are no fractions."""
    if not isinstance(values, dict):
        yield f"{place} is {kind_of(values)}, not an object"
        return
    for name, value in values.items():
        if value is not None and (type(value) not in (int, float) or not -ROUNDING <= value <= 1 + ROUNDING):
            yield f"{place}.{name} is {value!r}, not a fraction in [0, 1] or null"


PROBLEMS: dict[int, Callable[[Mapping[str, Any]], Iterator[str]]] = {1: problems_of_schema_1}
