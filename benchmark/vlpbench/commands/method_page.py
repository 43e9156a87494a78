"""The page of a method that `vlpbench describe` prints; it imports the method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from rich.console import Console

from vlpbench.cards import EXTRA_SUPERVISION, NEEDS, MethodCard
from vlpbench.contract.switches import attribute_meanings, read_switches
from vlpbench.errors import UnknownNameError
from vlpbench.pretraining.recipe import OPTIONS, Recipe, resolve_recipe
from vlpbench.registry import REGISTRY


def print_method(console: Console, name: str) -> None:
    """Print the card, the losses, the switches, the recipe and what departs from the paper.

    Raises:
        UnknownNameError: if no method has that name.
    """
    card = _card(name)
    console.print(f"method {card.name}: {card.row_title}", style="bold", highlight=False, markup=False)
    if card.variant_of:
        _line(console, f"variant of {card.variant_of}: shares its file, its code and its deviations")
    for field in ("venue", "paper", "licence", "published", "version"):
        if getattr(card, field) not in ("", "-"):
            _line(console, f"{field}: {getattr(card, field)}")
    _line(console, f"trains: {'yes' if card.trains else 'no, it only sets the weights a backbone starts from'}")
    _line(console, f"architectures: {', '.join(card.architectures)}")
    if card.supervision:
        _line(console, f"extra supervision: {card.supervision} {EXTRA_SUPERVISION.get(card.supervision, '')}".rstrip())
    _section(console, "needs, beyond image and report", (f"{need}: {NEEDS.get(need, '')}" for need in card.needs))
    _section(console, "losses, added up", card.losses)
    _switches(console, card)
    if card.trains:
        _recipe(console, card)
    _departures(console, card)


def _card(name: str) -> MethodCard:
    card = REGISTRY.card("method", name)
    if not isinstance(card, MethodCard):
        raise UnknownNameError("method", name, REGISTRY.names("method"))
    return card


def _switches(console: Console, card: MethodCard) -> None:
    """Switches with their values; of a variant, beside those of its parent where they differ."""
    defaults = _defaults(card.variant_of) if card.variant_of else {}
    lines = []
    for switch in read_switches(REGISTRY.target("method", card.name).options_type):  # type: ignore[attr-defined]
        value = card.recipe.get(OPTIONS, {}).get(switch.name, switch.default)
        differs = switch.name in defaults and defaults[switch.name] != value
        parent = f" ({card.variant_of}: {defaults[switch.name]!r})" if differs else ""
        lines.append(f"{switch.name} = {value!r}{parent}: {switch.meaning}")
    how = f"--set options.NAME=VALUE for all methods of a call, --set {card.name}.options.NAME=VALUE for this one"
    if not card.trains:
        how = f"--set {card.name}.options.NAME=VALUE"
    _section(console, f"switches ({how})", lines)


def _defaults(name: str) -> Mapping[str, Any]:
    switches = read_switches(REGISTRY.target("method", name).options_type)  # type: ignore[attr-defined]
    own: Mapping[str, Any] = _card(name).recipe.get(OPTIONS, {})
    return {**{switch.name: switch.default for switch in switches}, **own}


def _recipe(console: Console, card: MethodCard) -> None:
    """Every setting, the paper's own marked."""
    recipe, meanings = resolve_recipe(card.recipe, method=card.name), attribute_meanings(Recipe)
    lines = []
    for field in fields(Recipe):
        if field.name != OPTIONS:
            own = " (the paper's own)" if field.name in card.recipe else ""
            lines.append(f"{field.name} = {getattr(recipe, field.name)!r}{own}: {meanings[field.name]}")
    _section(
        console,
        "recipe (unmarked: the defaults; a suite puts its own settings over these, and "
        f"--set NAME=VALUE or --set {card.name}.NAME=VALUE over both)",
        lines,
    )


def _departures(console: Console, card: MethodCard) -> None:
    """Choices of an approximate method, and deviations, its own and its parent's."""
    if card.approximate:
        _line(console, "approximate: paper and code leave out so much that its numbers stand for the idea only")
    _section(console, "choices that were ours", card.choices)
    _section(console, "deviations from paper or released code", card.deviations)
    if card.variant_of:
        parent = _card(card.variant_of)
        _section(console, f"choices of {parent.name}", parent.choices)
        _section(console, f"deviations of {parent.name}", parent.deviations)


def _section(console: Console, title: str, lines: Iterable[str]) -> None:
    """A heading and its lines, nothing where there are none."""
    shown = list(lines)
    if shown:
        _line(console, f"{title}:")
        for line in shown:
            console.print(f"    - {line}", markup=False, highlight=False)


def _line(console: Console, text: str) -> None:
    console.print(f"  {text}", markup=False, highlight=False)
