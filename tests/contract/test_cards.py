"""What a card lacks is told."""

from dataclasses import dataclass, replace

import pytest

from tests.contract.plain import CARD, Plain
from vlpbench.contract.cards import check_card
from vlpbench.contract.error import ContractError
from vlpbench.method import Options
from vlpbench.registry import REGISTRY


@dataclass(frozen=True)
class SilentOptions(Options):
    """Switches.

    Attributes:
        said: a switch with a line.
    """

    said: int = 1
    silent: int = 2


@dataclass(frozen=True)
class DemandingOptions(Options):
    """Switches.

    Attributes:
        given: what has no default.
    """

    given: int


@pytest.mark.parametrize(
    ("card", "options", "reason"),
    [
        ({"licence": ""}, Options, "The card has no licence"),
        ({"architectures": ()}, Options, "The card has no architectures"),
        ({"trains": False}, Options, "trains=False, and Subject is a Method"),
        ({"needs": ("label",)}, Options, "The card needs 'label'. What a corpus can offer: summaries"),
        ({"supervision": "labels"}, Options, "supervision='labels'"),
        ({"losses": ()}, Options, "The card has no losses"),
        ({"deviations": ()}, Options, "The card has no deviations"),
        ({"approximate": True}, Options, "approximate and has no choices"),
        ({"variant_of": "sist"}, Options, "variant of 'sist', which is no registered method"),
        ({"variant_of": "sista_sia", "version": 2}, Options, "itself a variant of sista"),
        ({"variant_of": "sista", "version": 99}, Options, "version 99, and sista version"),
        ({"recipe": {"epoch": 1}}, Options, "No recipe setting named 'epoch'. Near: epochs"),
        ({"recipe": {"epochs": "many"}}, Options, "expected int"),
        ({"recipe": {"options": {"temprature": 1.0}}}, Options, "No option of plain named 'temprature'"),
        ({}, SilentOptions, "SilentOptions says nothing of silent."),
        ({}, DemandingOptions, "Give every switch a default"),
        ({}, int, "options_type int is no dataclass"),
    ],
)
def test_what_a_card_lacks_is_told(card, options, reason):
    class Subject(Plain):
        options_type = options

    Subject.card = replace(CARD, **card)
    with pytest.raises(ContractError) as caught:
        check_card(Subject)
    assert reason in str(caught.value)


def test_a_variant_needs_no_deviations_of_its_own():
    class Subject(Plain):
        card = replace(CARD, variant_of="sista", version=REGISTRY.card("method", "sista").version, deviations=())

    check_card(Subject)
