"""The registry of methods, tasks and data sources.

Plug-ins come in through the entry-point group `vlpbench.plugins`; each entry names a module or a package, and every
module
directly inside a package counts. A module says what it offers by decorating a class with `register_method`,
`register_task` or
`register_source`. The decorator's arguments are literals, so the cards are read from the source text, and listing a
hundred
methods imports none of them; a module is imported when one of its names is asked for. A module whose cards are computed
is imported at once instead.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from vlpbench.cards import Card, MethodCard, SourceCard, TaskCard
from vlpbench.errors import UnknownNameError, VlpbenchError

GROUP = "vlpbench.plugins"
PLUGIN_VARIABLE = "VLPBENCH_PLUGINS"
DECORATORS = {"register_method": "method", "register_task": "task", "register_source": "source"}
CARDS: dict[str, type[Card]] = {"method": MethodCard, "task": TaskCard, "source": SourceCard}

Registered = TypeVar("Registered", bound=type)


@dataclass(frozen=True)
class Entry:
    """A name, the card it was registered with, the module it stands in and, once imported, the class."""

    kind: str
    card: Card
    module: str
    target: type | None = None


class Registry:
    """Names by kind. One instance, `REGISTRY`, serves the process; tests make their own."""

    def __init__(self) -> None:
        """Start empty; plug-ins are looked for once, on the first question."""
        self._entries: dict[tuple[str, str], Entry] = {}
        self._failures: dict[str, str] = {}
        self._files: list[Path] = []
        self._discovered = False

    def add(self, kind: str, card: Card, module: str, target: type | None) -> None:
        """Register a name; a second module claiming it is an error.

        Raises:
            VlpbenchError: naming both modules.
        """
        key = (kind, card.name)
        known = self._entries.get(key)
        if known is not None and known.module != module:
            raise VlpbenchError(
                f"The {kind} {card.name!r} is registered twice: by {known.module} and by {module}. Rename one of them."
            )
        if target is None and known is not None and known.target is not None:
            return
        self._entries[key] = Entry(kind, card, module, target)

    def add_file(self, path: Path) -> None:
        """Take one Python file as a plug-in, as `--plugin` does.

        Raises:
            VlpbenchError: if there is no such file, or it fails to import.
        """
        if not path.is_file():
            raise VlpbenchError(f"No plug-in file at {path}. Expected a Python file with an @register_method class.")
        if path.resolve() in self._files:
            return
        self._files.append(path.resolve())
        name = f"vlpbench_plugin_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise VlpbenchError(f"{path} is not a Python file; a plug-in ends in .py.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except VlpbenchError:
            raise
        except Exception as error:
            raise VlpbenchError(f"The plug-in {path} fails to import: {type(error).__name__}: {error}") from error

    def names(self, kind: str) -> list[str]:
        """Names of one kind, sorted."""
        self._discover()
        return sorted(name for entry_kind, name in self._entries if entry_kind == kind)

    def card(self, kind: str, name: str) -> Card:
        """The card of a name, without importing its module.

        Raises:
            UnknownNameError: with near names and the plug-ins that failed to import.
        """
        return self._entry(kind, name).card

    def target(self, kind: str, name: str) -> type:
        """The registered class; imports its module.

        Raises:
            UnknownNameError: for an unknown name.
            VlpbenchError: if the module fails to import.
        """
        entry = self._entry(kind, name)
        if entry.target is None:
            try:
                importlib.import_module(entry.module)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise VlpbenchError(
                    f"The {kind} {name!r} stands in {entry.module}, which fails to import: {reason}"
                ) from error
            entry = self._entries[kind, name]
        if entry.target is None:
            raise VlpbenchError(f"{entry.module} was imported but did not register the {kind} {name!r}.")
        return entry.target

    def failures(self) -> dict[str, str]:
        """Plug-ins that could not be read or imported, with the reason."""
        self._discover()
        return dict(self._failures)

    def _entry(self, kind: str, name: str) -> Entry:
        self._discover()
        entry = self._entries.get((kind, name))
        if entry is None:
            broken = "; ".join(f"{module} ({reason})" for module, reason in sorted(self._failures.items()))
            hint = f"Plug-ins that failed to load: {broken}." if broken else ""
            raise UnknownNameError(kind, name, self.names(kind), hint)
        return entry

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            try:
                specs = list(_modules(point.value.partition(":")[0]))
            except Exception as error:  # a broken plug-in must not take the others down
                self._failures[point.value] = f"{type(error).__name__}: {error}"
                continue
            for spec in specs:
                self._read(spec)
        for path in filter(None, os.environ.get(PLUGIN_VARIABLE, "").split(os.pathsep)):
            self.add_file(Path(path))

    def _read(self, spec: ModuleSpec) -> None:
        try:
            try:
                found = list(_static_cards(Path(spec.origin))) if spec.origin else []
            except ValueError:  # a card that is computed
                importlib.import_module(spec.name)
                return
            for kind, card in found:
                self.add(kind, card, spec.name, None)
        except VlpbenchError:
            raise
        except Exception as error:
            self._failures[spec.name] = f"{type(error).__name__}: {error}"


def _modules(name: str) -> Iterator[ModuleSpec]:
    """The module called `name` and, if it is a package, the modules directly inside it; only parents are executed."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"no module named {name}")
    yield spec
    for info in pkgutil.iter_modules(spec.submodule_search_locations or []):
        inner = importlib.util.find_spec(f"{name}.{info.name}")
        if inner is not None:
            yield inner


def _static_cards(path: Path) -> Iterator[tuple[str, Card]]:
    """Read cards from decorator literals; ValueError where an argument is not a literal."""
    text = path.read_text(encoding="utf-8")
    if "register_" not in text:
        return
    for node in ast.parse(text).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if not (isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name)):
                continue
            kind = DECORATORS.get(decorator.func.id)
            if kind is None:
                continue
            (name,) = (ast.literal_eval(argument) for argument in decorator.args)
            if any(keyword.arg is None for keyword in decorator.keywords):
                raise ValueError("a card with ** cannot be read from the source text")
            fields = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in decorator.keywords}
            yield kind, replace(CARDS[kind](name=name), **fields)


REGISTRY = Registry()


def _register(kind: str, card: Card) -> Callable[[Registered], Registered]:
    def decorate(target: Registered) -> Registered:
        target.card = card  # type: ignore[attr-defined]
        REGISTRY.add(kind, card, target.__module__, target)
        return target

    return decorate


def register_method(
    name: str,
    *,
    title: str = "",
    venue: str = "-",
    paper: str = "",
    licence: str = "",
    trains: bool = True,
    needs: tuple[str, ...] = (),
    supervision: str = "",
    architectures: tuple[str, ...] = ("resnet50",),
    losses: tuple[str, ...] = (),
    published: str = "",
    recipe: dict[str, Any] | None = None,
    deviations: tuple[str, ...] = (),
    approximate: bool = False,
    choices: tuple[str, ...] = (),
    variant_of: str = "",
    version: int = 1,
) -> Callable[[Registered], Registered]:
    """Register a pre-training method under `name`; the arguments are the fields of `MethodCard`, as literals."""
    card = MethodCard(
        name=name,
        title=title,
        venue=venue,
        paper=paper,
        licence=licence,
        trains=trains,
        needs=needs,
        supervision=supervision,
        architectures=architectures,
        losses=losses,
        published=published,
        recipe={} if recipe is None else recipe,
        deviations=deviations,
        approximate=approximate,
        choices=choices,
        variant_of=variant_of,
        version=version,
    )
    return _register("method", card)


def register_task(
    name: str, *, title: str = "", summary: str = "", metrics: dict[str, str] | None = None, version: int = 1
) -> Callable[[Registered], Registered]:
    """Register an evaluation task under `name`; the arguments are the fields of `TaskCard`, as literals."""
    named = {} if metrics is None else metrics
    return _register("task", TaskCard(name=name, title=title, summary=summary, metrics=named, version=version))


def register_source(
    name: str,
    *,
    title: str = "",
    licence: str = "",
    how: str = "",
    tasks: tuple[str, ...] = (),
    size: str = "",
    third_parties: bool = True,
    known: tuple[str, ...] = (),
    options: dict[str, str] | None = None,
    version: int = 1,
) -> Callable[[Registered], Registered]:
    """Register a data source under `name`; the arguments are the fields of `SourceCard`, as literals."""
    card = SourceCard(
        name=name,
        title=title,
        licence=licence,
        how=how,
        tasks=tasks,
        size=size,
        third_parties=third_parties,
        known=known,
        options={} if options is None else options,
        version=version,
    )
    return _register("source", card)
