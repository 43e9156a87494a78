"""The check of what a method says about itself."""

from __future__ import annotations

from dataclasses import is_dataclass

from vlpbench.cards import EXTRA_SUPERVISION, NEEDS, MethodCard
from vlpbench.contract.error import ContractError
from vlpbench.contract.switches import read_switches
from vlpbench.errors import VlpbenchError
from vlpbench.method import Initialisation, Method, Options
from vlpbench.pretraining.recipe import resolve_options, resolve_recipe
from vlpbench.registry import REGISTRY

AnyMethod = type[Method] | type[Initialisation]


def check_card(kind: AnyMethod, arch: str = "") -> None:
    """The card is complete, and everything it names exists.

    Raises:
        ContractError: saying which field lacks what.
    """
    del arch
    card = kind.card
    if not card.licence:
        raise ContractError(
            'The card has no licence. Say which one the released code has, or licence="none found"; for an idea of '
            "your own, the licence of your file."
        )
    if not card.architectures:
        raise ContractError('The card has no architectures. Name those it is meant for, such as ("resnet50",).')
    if card.trains != issubclass(kind, Method):
        raise ContractError(
            f"The card says trains={card.trains}, and {kind.__name__} is "
            f"{'a Method' if issubclass(kind, Method) else 'an Initialisation'}: trains=False belongs to an "
            "Initialisation, and only there."
        )
    _check_names(card)
    _check_honesty(card)
    _check_switches(kind)
    _check_recipe(kind)


def _check_names(card: MethodCard) -> None:
    """Needs and supervision are words that the core knows."""
    for need in card.needs:
        if need not in NEEDS:
            raise ContractError(f"The card needs {need!r}. What a corpus can offer: {', '.join(NEEDS)}.")
    if card.supervision and card.supervision not in EXTRA_SUPERVISION:
        known = ", ".join(f"{name} ({mark})" for name, mark in EXTRA_SUPERVISION.items())
        raise ContractError(f'The card has supervision={card.supervision!r}. Expected "" for none, or one of {known}.')
    if card.trains and not card.losses:
        raise ContractError("The card has no losses. Name the terms that `loss` returns, in the paper's words.")


def _check_honesty(card: MethodCard) -> None:
    """What departs from the paper is said, by the method or by the one it is a variant of."""
    if card.variant_of:
        if card.variant_of not in REGISTRY.names("method"):
            raise ContractError(f"The card is a variant of {card.variant_of!r}, which is no registered method.")
        parent = REGISTRY.card("method", card.variant_of)
        if isinstance(parent, MethodCard) and parent.variant_of:
            raise ContractError(f"The card is a variant of {card.variant_of}, itself a variant of {parent.variant_of}.")
        if parent.version != card.version:
            raise ContractError(
                f"The card has version {card.version}, and {card.variant_of} version {parent.version}. A variant "
                "shares its parent's code: raise both together."
            )
    elif not card.deviations:
        raise ContractError(
            "The card has no deviations. Say in a sentence each what departs from paper or released code, and why: "
            'readers compare your row with the published one. For an idea of your own: deviations=("No paper.",).'
        )
    if card.approximate and not card.choices:
        raise ContractError("The card is approximate and has no choices. Say what paper and code left for you to set.")


def _check_switches(kind: AnyMethod) -> None:
    """Options are a frozen, documented dataclass with a default for each field."""
    options = kind.options_type
    if not (is_dataclass(options) and issubclass(options, Options)):
        raise ContractError(f"options_type {options.__name__} is no dataclass derived from vlpbench.method.Options.")
    try:
        options()
    except TypeError as error:
        raise ContractError(f"{options.__name__}() fails: {error}. Give every switch a default.") from error
    silent = [switch.name for switch in read_switches(options) if not switch.meaning]
    if silent:
        raise ContractError(
            f"The docstring of {options.__name__} says nothing of {', '.join(silent)}. `vlpbench describe` prints its "
            "Attributes section: a line for each switch."
        )


def _check_recipe(kind: AnyMethod) -> None:
    """The paper's own settings are settings of the recipe, of the right kind and in range."""
    try:
        recipe = resolve_recipe(kind.card.recipe)
        resolve_options(kind.card.name, kind.options_type, recipe.options)
    except VlpbenchError as error:
        raise ContractError(f"The card's recipe: {error}") from error
    if kind.card.recipe and not kind.card.trains:
        listed = ", ".join(kind.card.recipe)
        raise ContractError(f"The card has recipe settings ({listed}), and an Initialisation trains nothing.")
