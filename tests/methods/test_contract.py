"""Every registered method keeps the contract; tests/contract has the checks themselves under test."""

import pytest

from vlpbench.cards import MethodCard
from vlpbench.contract.checks import METHOD_CHECKS
from vlpbench.contract.initialisations import INITIALISATION_CHECKS
from vlpbench.errors import UnavailableError
from vlpbench.registry import REGISTRY

CARDS = [REGISTRY.card("method", name) for name in REGISTRY.names("method")]
TRAINED = [card.name for card in CARDS if isinstance(card, MethodCard) and card.trains]
STARTS = [card.name for card in CARDS if isinstance(card, MethodCard) and not card.trains]
STAND_INS = {"resnet50": "resnet50", "vit_b16": "vit_tiny_patch16_224"}
OTHERS = [
    (card.name, STAND_INS[arch])
    for card in CARDS
    if isinstance(card, MethodCard) and card.trains
    for arch in card.architectures
    if arch in STAND_INS
]


@pytest.mark.parametrize("check", METHOD_CHECKS)
@pytest.mark.parametrize("name", TRAINED)
def test_every_method_keeps_the_contract(name, check):
    METHOD_CHECKS[check](REGISTRY.target("method", name), "resnet18")


@pytest.mark.parametrize("check", ["terms are finite scalars", "gradient reaches the backbone"])
@pytest.mark.parametrize(("name", "arch"), OTHERS)
def test_methods_run_on_the_architectures_of_their_cards(name, arch, check):
    """ViT-B/16 is stood in for by the smallest transformer of its kind."""
    METHOD_CHECKS[check](REGISTRY.target("method", name), arch)


@pytest.mark.parametrize("check", INITIALISATION_CHECKS)
@pytest.mark.parametrize("name", STARTS)
def test_every_initialisation_keeps_the_contract(name, check):
    try:
        INITIALISATION_CHECKS[check](REGISTRY.target("method", name), "resnet18")
    except UnavailableError as error:
        pytest.skip(str(error))
