"""`vlpbench list` and `vlpbench describe`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from vlpbench.cards import APPROXIMATE, EXTRA_SUPERVISION, Card, MethodCard, SourceCard, TaskCard
from vlpbench.commands.protocol_page import print_protocol
from vlpbench.errors import UnknownNameError
from vlpbench.protocol import load_protocol, protocol_names
from vlpbench.registry import REGISTRY
from vlpbench.suite import load_suite, suite_names

KINDS = ("methods", "tasks", "suites", "protocols", "sources")


def list_names(what: str, *, plugins: tuple[Path, ...]) -> None:
    """Print a table per kind.

    Raises:
        UnknownNameError: for a kind that does not exist.
    """
    _take(plugins)
    if what != "all" and what not in KINDS:
        raise UnknownNameError("kind of thing to list", what, [*KINDS, "all"])
    console = Console()
    tables: dict[str, Callable[[], RenderableType]] = {
        "methods": _methods,
        "tasks": _tasks,
        "suites": _suites,
        "protocols": _protocols,
        "sources": _sources,
    }
    for kind in KINDS if what == "all" else (what,):
        console.print(tables[kind]())
    for module, reason in REGISTRY.failures().items():
        console.print(f"plug-in not loaded: {module} ({reason})", style="red", markup=False)


def describe(name: str, *, kind: str, plugins: tuple[Path, ...]) -> None:
    """Print everything known of a name.

    Args:
        name: of a method, task, source, protocol or suite.
        kind: which of them, "" for the first that has the name.
        plugins: files with methods or sources.

    Raises:
        UnknownNameError: if nothing has that name.
    """
    _take(plugins)
    console = Console(soft_wrap=True)
    known = {
        "method": REGISTRY.names("method"),
        "task": REGISTRY.names("task"),
        "source": REGISTRY.names("source"),
        "protocol": protocol_names(),
        "suite": suite_names(),
    }
    if kind and kind not in known:
        raise UnknownNameError("kind of thing to describe", kind, known)
    kinds = [one for one in known if name in known[one] and kind in ("", one)]
    if not kinds and name.endswith(".toml"):
        kinds = ["suite"]
    if not kinds:
        choices = known[kind] if kind else [choice for names in known.values() for choice in names]
        raise UnknownNameError(kind or "method, task, source, protocol or suite", name, choices)
    _describe(console, kinds[0], name)
    for other in kinds[1:]:
        console.print(f"The {other} of this name: vlpbench describe {other} {name}", style="dim", highlight=False)


def _describe(console: Console, kind: str, name: str) -> None:
    if kind == "method":
        from vlpbench.commands.method_page import print_method

        print_method(console, name)
    elif kind == "protocol":
        print_protocol(console, name)
    elif kind == "suite":
        _suite(console, name)
    else:
        _card(console, kind, REGISTRY.card(kind, name))


def _take(plugins: tuple[Path, ...]) -> None:
    for path in plugins:
        REGISTRY.add_file(path)


def _grid(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _methods() -> Group:
    table = _grid("Methods", "name", "title", "venue", "trains", "needs", "backbones")
    table.columns[0].no_wrap = True
    for card in _families():
        row = (
            card.name,
            card.row_title,
            card.venue,
            "yes" if card.trains else "no",
            ", ".join(card.needs) or "-",
            ", ".join(card.architectures),
        )
        table.add_row(*row)
    marks = [f"{mark} {kind}" for kind, mark in EXTRA_SUPERVISION.items()]
    legend = f"{', '.join(marks)} beyond image and report; {APPROXIMATE} stands for the idea only (vlpbench describe)"
    return Group(table, Text(legend, style="dim"))


def _families() -> list[MethodCard]:
    """Cards of methods by name, variants behind the method they are variants of."""
    cards = [REGISTRY.card("method", name) for name in REGISTRY.names("method")]
    methods = [card for card in cards if isinstance(card, MethodCard)]
    return sorted(methods, key=lambda card: (card.variant_of or card.name, bool(card.variant_of), card.name))


def _tasks() -> Table:
    table = _grid("Tasks", "name", "head", "metrics")
    for name in REGISTRY.names("task"):
        card = REGISTRY.card("task", name)
        if isinstance(card, TaskCard):
            table.add_row(name, card.summary, ", ".join(card.metrics))
    return table


def _suites() -> Table:
    table = _grid("Suites", "name", "what it is", "backbone", "dataset-task pairs")
    for name in suite_names():
        suite = load_suite(name)
        pairs = ", ".join(f"{pair.dataset}/{pair.task}" for pair in suite.pairs)
        table.add_row(
            name,
            suite.title + ("; needs --data" if suite.needs_data else ""),
            f"{suite.arch} at {suite.image_size} px",
            pairs,
        )
    return table


def _protocols() -> Table:
    table = _grid("Protocols", "name", "what it is")
    for name in protocol_names():
        table.add_row(name, load_protocol(name).title)
    return table


def _sources() -> Table:
    table = _grid("Data sources", "name", "what it is", "how to get it")
    for name in REGISTRY.names("source"):
        card = REGISTRY.card("source", name)
        if isinstance(card, SourceCard):
            table.add_row(name, card.title, card.how)
    return table


def _card(console: Console, kind: str, card: Card) -> None:
    console.print(f"{kind} {card.name}", style="bold", highlight=False)
    for field in fields(card):
        value = getattr(card, field.name)
        if field.name == "name" or value in ("", (), {}):
            continue
        if isinstance(value, dict):
            value = tuple(f"{key}: {text}" for key, text in value.items())
        if isinstance(value, tuple):
            console.print(f"  {field.name}:", highlight=False)
            for item in value:
                console.print(f"    - {item}", markup=False, highlight=False)
        else:
            console.print(f"  {field.name}: {value}", markup=False, highlight=False)


def _suite(console: Console, name: str) -> None:
    suite = load_suite(name)
    console.print(f"suite {suite.name}: {suite.title}", style="bold", highlight=False)
    console.print(f"  {suite.note}", highlight=False)
    console.print(f"  default: {suite.arch} at {suite.image_size} px, protocol {suite.protocol}", highlight=False)
    console.print(f"  corpus: {suite.corpus.source} {dict(suite.corpus.options)}", markup=False, highlight=False)
    table = _grid("Dataset-task pairs", "dataset", "title", "task", "metric", "labels")
    for pair in suite.pairs:
        table.add_row(pair.dataset, suite.datasets[pair.dataset].title, pair.task, pair.metric, ", ".join(pair.labels))
    console.print(table)
