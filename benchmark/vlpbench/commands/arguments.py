"""From what was typed to a request with every name resolved."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlpbench.canonical import writable_folder
from vlpbench.commands.to_do import require_data
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.plan import Request
from vlpbench.pretraining.recipe import METHODS, OPTIONS
from vlpbench.protocol import load_protocol
from vlpbench.registry import REGISTRY
from vlpbench.splits import CLEAN
from vlpbench.splits.catalogue import find_recipe
from vlpbench.suite import Suite, load_suite
from vlpbench.tracking.trackers import require_trackers


@dataclass(frozen=True)
class Arguments:
    """The options of `vlpbench run` and `vlpbench plan` as typed."""

    method: str
    tasks: str
    suite: str
    arch: str | None
    image_size: int | None
    fractions: str | None
    seeds: str | None
    pretrain_seed: int
    protocol: str | None
    splits: str | None
    limit: int | None
    data: Path | None
    results: Path
    work: Path
    device: str
    jobs: int | None
    settings: tuple[str, ...]
    plugins: tuple[Path, ...]
    datasets: str = "all"
    trackers: tuple[str, ...] = ()


def resolve(arguments: Arguments) -> Request:
    """Check every name and number before any work starts.

    Raises:
        UnknownNameError: for a method, task, suite or protocol that does not exist.
        VlpbenchError: for a fraction, seed, setting or folder that cannot be.
    """
    from vlpbench.device import resolve_device

    load_plugins(arguments.plugins)
    require_trackers(arguments.trackers)
    suite = _only(load_suite(arguments.suite), arguments)
    protocol = arguments.protocol if arguments.protocol is not None else suite.protocol
    load_protocol(protocol)
    if arguments.data is not None and not arguments.data.is_dir():
        raise VlpbenchError(f"--data {arguments.data} is not a folder.")
    request = Request(
        suite=suite,
        methods=_names("method", arguments.method, REGISTRY.names("method")),
        every_method=arguments.method.strip() == "all",
        tasks=tuple(dict.fromkeys(pair.task for pair in suite.pairs)),
        arch=arguments.arch if arguments.arch is not None else suite.arch,
        image_size=arguments.image_size if arguments.image_size is not None else suite.image_size,
        fractions=suite.fractions if arguments.fractions is None else parse_fractions(arguments.fractions, suite),
        seeds=suite.seeds if arguments.seeds is None else parse_seeds(arguments.seeds),
        pretrain_seed=arguments.pretrain_seed,
        protocol=protocol,
        splits=arguments.splits,
        recipe=parse_settings(arguments.settings),
        limit=arguments.limit,
        data=arguments.data,
        results=writable_folder(arguments.results),
        work=writable_folder(arguments.work),
        device=resolve_device(arguments.device),
        jobs=arguments.jobs if arguments.jobs is not None else os.cpu_count() or 1,
        trackers=tuple(dict.fromkeys(arguments.trackers)),
    )
    _check_splits(request)
    require_data(request)
    return request


def load_plugins(paths: tuple[Path, ...]) -> None:
    """Take the `--plugin` files."""
    for path in paths:
        REGISTRY.add_file(path)


def parse_fractions(text: str, suite: Suite) -> tuple[float, ...]:
    """Fractions from "0.01,0.1,1" or "1%,10%,100%".

    Raises:
        VlpbenchError: for anything that is not a fraction in (0, 1], with the suite's own as examples.
    """
    usual = ", ".join(f"{fraction:g}" for fraction in suite.fractions)
    found = []
    for part in text.split(","):
        word = part.strip()
        try:
            value = float(word.removesuffix("%")) / 100 if word.endswith("%") else float(word)
        except ValueError as error:
            raise VlpbenchError(
                f"{word!r} is not a fraction of the training labels. Near: {usual}, or 1%,10%,100%."
            ) from error
        if not 0 < value <= 1:
            hint = f" Did you mean {word}%?" if 1 < value <= 100 else ""
            raise VlpbenchError(f"A fraction of the training labels lies in (0, 1]; got {word}.{hint} Near: {usual}.")
        found.append(value)
    return tuple(dict.fromkeys(found))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from "0,1,2".

    Raises:
        VlpbenchError: for anything that is not a whole number from 0.
    """
    words = [part.strip() for part in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise VlpbenchError(f"Seeds are whole numbers from 0, separated by commas, such as 0,1,2; got {text!r}.")
    return tuple(dict.fromkeys(int(word) for word in words))


def parse_settings(texts: tuple[str, ...]) -> dict[str, Any]:
    """Recipe settings from "name=value" and "options.name=value", and of one method alone from "method.name=value".

    Values are JSON, or text where they are not.

    Raises:
        VlpbenchError: for text without an equals sign.
        UnknownNameError: for a method that does not exist.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, sign, word = text.partition("=")
        if not sign:
            raise VlpbenchError(f"--set takes name=value, such as --set epochs=20; got {text!r}.")
        try:
            value = json.loads(word)
        except ValueError:
            value = word
        method, dot, rest = name.partition(".")
        place = settings
        if dot and method != OPTIONS:
            REGISTRY.card("method", method)  # raises with near names
            place = settings.setdefault(METHODS, {}).setdefault(method, {})
            name = rest
        if name.startswith(f"{OPTIONS}."):
            place.setdefault(OPTIONS, {})[name.removeprefix(f"{OPTIONS}.")] = value
        else:
            place[name] = value
    return settings


def _names(kind: str, text: str, known: list[str]) -> tuple[str, ...]:
    if text.strip() == "all":
        return tuple(known)
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise VlpbenchError(f"Name at least one {kind}, or all. Known: {', '.join(known)}.")
    for name in names:
        if name not in known:
            if kind == "method":
                REGISTRY.card(kind, name)  # raises with near names and the plug-ins that failed to load
            raise UnknownNameError(kind, name, known)
    return names


def _only(suite: Suite, arguments: Arguments) -> Suite:
    """The suite with the pairs of the tasks and datasets that were asked for."""
    tasks = _names("task", arguments.tasks, list(dict.fromkeys(pair.task for pair in suite.pairs)))
    datasets = _names("dataset", arguments.datasets, list(dict.fromkeys(pair.dataset for pair in suite.pairs)))
    pairs = tuple(pair for pair in suite.pairs if pair.task in tasks and pair.dataset in datasets)
    if not pairs:
        known = "; ".join(f"{pair.dataset} {pair.task}" for pair in suite.pairs)
        raise VlpbenchError(
            f"The suite {suite.name!r} has no {' or '.join(tasks)} of {' or '.join(datasets)}. It has: {known}."
        )
    return replace(suite, pairs=pairs)


def _check_splits(request: Request) -> None:
    """Refuse a split that a pair does not have, before its data is prepared for hours."""
    for pair in request.pairs:
        data = request.suite.datasets[pair.dataset]
        name = request.splits if request.splits is not None else data.splits
        if name.endswith(".csv"):
            if not Path(name).is_file():
                raise VlpbenchError(f"No split file at {name}. Expected a CSV with the columns image_id and split.")
        elif name != CLEAN:
            find_recipe(data.source, pair.task, name)
