"""Reproduction: the commands that make a record again, and the settings of its recipe that they must name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from vlpbench.cards import MethodCard
from vlpbench.errors import VlpbenchError
from vlpbench.pretraining.recipe import METHODS, OPTIONS, Recipe, resolve_recipe
from vlpbench.record import Record
from vlpbench.registry import REGISTRY
from vlpbench.suite import Suite, load_suite, suite_names

LEFT_OUT = ("workers", "stamp")
"""What lineages hold beside settings: loading processes change no number, a stamp is read off files."""


def reproduce_command(record: Record) -> str:
    """The short command: it reads the record, evaluates its cell again and compares."""
    return f"vlpbench reproduce {record.key}"


def run_command(record: Record, suite: Suite | None = None) -> str:
    """The full command, every choice spelled out; settings of the recipe only where they are not the suite's own.

    A record that no labels were used for has no head, but scored maps, which are made for all datasets of a suite.

    Args:
        record: of the cell.
        suite: the suite it is of; None for the one that ships under its name. Where none does, the command names a
            file `SUITE.toml` after it, which is yours; and `DATA` stands for the folder of real data.
    """
    spec = record.spec
    known = suite if suite is not None else _shipped(spec.suite)
    weights = [
        "--suite", spec.suite if known is not None else f"{spec.suite}.toml", "--arch", spec.arch,
        "--image-size", str(spec.image_size),
    ]  # fmt: skip
    seed = ["--pretrain-seed", str(spec.pretrain_seed)]
    given = ["--data", "DATA"] if known is not None and known.needs_data else []
    given += [word for text in recorded_settings(record, known) for word in ("--set", text)]
    if not spec.fraction:
        return shlex.join(["vlpbench", "heatmap", "--score", "--method", spec.method, *weights, *seed, *given])
    words = [
        "vlpbench", "run", "--method", spec.method, "--tasks", spec.task, "--datasets", spec.dataset, *weights,
        "--fractions", json.dumps(spec.fraction).removesuffix(".0"), "--seeds", str(spec.seed), *seed,
        "--protocol", spec.protocol,
    ]  # fmt: skip
    split = named_split(record)
    if split and not (known and spec.dataset in known.datasets and known.datasets[spec.dataset].splits == split):
        words += ["--splits", split]
    if spec.limit is not None:
        words += ["--limit", str(spec.limit)]
    return shlex.join([*words, *given])


def named_split(record: Record) -> str:
    """Name of the split a record was evaluated on; "" where it does not say."""
    split = record.provenance.get("data", {}).get("split") or {}
    return str(split.get("name", ""))


def recorded_settings(record: Record, suite: Suite | None = None) -> tuple[str, ...]:
    """Settings of the recorded recipe that method and suite do not give by themselves, as `--set` takes them.

    Args:
        record: of the cell.
        suite: as for `run_command`.
    """
    method = record.spec.method
    lineage = record.provenance.get("backbone", {}).get("lineage", {})
    recorded: Mapping[str, Any] = lineage.get("recipe") or {}
    known = suite if suite is not None else _shipped(record.spec.suite)
    card = _card(method)
    layer: Mapping[str, Any] = {} if known is None else known.pretraining
    if card is not None and not card.trains:  # its lineage holds switches alone, and only those with its name
        layer = {METHODS: layer.get(METHODS, {})}
    usual = _plain(_resolved(card, layer, method))
    found = {
        name: value
        for name, value in recorded.items()
        if name not in {OPTIONS, *LEFT_OUT} and (name not in usual or usual[name] != value)
    }
    for name, value in (recorded.get(OPTIONS) or {}).items():
        if name not in usual[OPTIONS] or usual[OPTIONS][name] != value:
            found[f"{OPTIONS}.{name}"] = value
    return tuple(f"{method}.{name}={_word(value)}" for name, value in sorted(found.items()))


def _resolved(card: MethodCard | None, layer: Mapping[str, Any], method: str) -> Recipe:
    try:
        return resolve_recipe({} if card is None else card.recipe, layer, method=method)
    except VlpbenchError:  # a suite or a card of another version; then every setting is named
        return Recipe()


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as a lineage holds it."""
    plain: dict[str, Any] = json.loads(recipe.canonical())
    return plain


def _word(value: object) -> str:
    """A value as `--set` reads it: text as it stands where it would not be taken for anything else."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)


def _card(method: str) -> MethodCard | None:
    try:
        card = REGISTRY.card("method", method)
    except VlpbenchError:
        return None
    return card if isinstance(card, MethodCard) else None


@cache
def _shipped(name: str) -> Suite | None:
    return load_suite(name) if name in suite_names() else None
