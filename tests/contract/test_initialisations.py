"""Every check of an initialisation catches what it is there for."""

from dataclasses import replace

import pytest
import torch

from tests.contract.plain import CARD
from vlpbench.contract.error import ContractError
from vlpbench.contract.initialisations import INITIALISATION_CHECKS
from vlpbench.contract.verdicts import try_method
from vlpbench.errors import UnavailableError
from vlpbench.method import Initialisation


class Start(Initialisation):
    card = replace(CARD, trains=False, losses=())

    def initialise(self, backbone):
        with torch.no_grad():
            backbone.model.conv1.weight.mul_(2)


class Unseeded(Start):
    draws = torch.Generator().manual_seed(0)

    def initialise(self, backbone):
        with torch.no_grad():
            backbone.model.conv1.weight.normal_(generator=self.draws)


class Infinite(Start):
    def initialise(self, backbone):
        with torch.no_grad():
            backbone.model.conv1.weight.fill_(torch.inf)


class Overflowing(Start):
    def initialise(self, backbone):
        with torch.no_grad():
            backbone.model.conv1.weight.fill_(1e38)


class ListedMean(Start):
    def preprocessing(self, arch, image_size):
        return replace(super().preprocessing(arch, image_size), mean=[0.5, 0.5, 0.5])


class Elsewhere(Start):
    def initialise(self, backbone):
        raise UnavailableError("no weights here")


class WithRecipe(Start):
    card = replace(Start.card, recipe={"epochs": 20})


@pytest.mark.parametrize(
    ("kind", "check", "reason"),
    [
        (Unseeded, "one seed, the same weights", "differ in model.conv1.weight"),
        (Infinite, "one seed, the same weights", "model.conv1.weight holds values that are no finite"),
        (Overflowing, "features are finite", "Features of an image of 32 pixels"),
        (ListedMean, "backbone is saved and read back", "another preprocessing"),
        (WithRecipe, "card is complete", "recipe settings (epochs), and an Initialisation trains nothing"),
    ],
)
def test_an_initialisation_that_breaks_the_contract_is_told(kind, check, reason):
    with pytest.raises(ContractError) as caught:
        INITIALISATION_CHECKS[check](kind, "resnet18")
    assert reason in str(caught.value)


def test_weights_that_cannot_be_had_are_no_failure():
    assert {verdict.state for verdict in try_method(Start, "resnet18")} == {"passed"}
    states = [verdict.state for verdict in try_method(Elsewhere, "resnet18")]
    assert states == ["passed", *["not available here"] * 3]
