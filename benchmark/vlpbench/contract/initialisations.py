"""The checks of an initialisation: what every `vlpbench.method.Initialisation` keeps to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from vlpbench.backbone import Backbone
from vlpbench.contract.cards import check_card
from vlpbench.contract.error import ContractError
from vlpbench.contract.sample import SIZE
from vlpbench.method import Initialisation

Check = Callable[[type[Initialisation], str], None]


def check_repetition(kind: type[Initialisation], arch: str) -> None:
    """The same seed gives the same weights, all of them finite.

    Raises:
        ContractError: naming the weights that differ or are no numbers.
        UnavailableError: if weights from elsewhere cannot be had here.
    """
    first, second = (_initialised(kind, arch).state_dict() for _ in range(2))
    for name, tensor in first.items():
        if not torch.equal(tensor, second[name]):
            raise ContractError(
                f"Two initialisations from one seed differ in {name}. Draw from torch's global generator, which the "
                "core seeds, and from nothing else."
            )
        if not torch.isfinite(tensor).all():
            raise ContractError(f"{name} holds values that are no finite numbers.")


def check_input(kind: type[Initialisation], arch: str) -> None:
    """Weights give finite features on the input that `preprocessing` asks for.

    Raises:
        ContractError: if they do not.
        UnavailableError: if weights from elsewhere cannot be had here.
    """
    backbone = _initialised(kind, arch).eval()
    side = backbone.preprocessing.image_size
    pixels = torch.randint(0, 256, (2, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        maps, pooled = backbone.maps_and_pooled(backbone.normalise(pixels))
    if not all(torch.isfinite(features).all() for features in (*maps, pooled)):
        raise ContractError(
            f"Features of an image of {side} pixels are no finite numbers: check mean, std and weights."
        )


def check_saving(kind: type[Initialisation], arch: str) -> None:
    """The backbone comes back from its file as it was.

    Raises:
        ContractError: if it does not.
        UnavailableError: if weights from elsewhere cannot be had here.
    """
    backbone = _initialised(kind, arch)
    with tempfile.TemporaryDirectory() as folder:
        backbone.save(Path(folder), {"method": kind.card.name})
        read = Backbone.load(Path(folder))
    written = backbone.model.state_dict()
    if any(not torch.equal(tensor, written[name]) for name, tensor in read.model.state_dict().items()):
        raise ContractError(
            "The saved backbone is not the initialised one: change weights in place, with torch.no_grad()."
        )
    if read.preprocessing != backbone.preprocessing:
        raise ContractError("The saved backbone has another preprocessing: means and deviations are tuples of floats.")


INITIALISATION_CHECKS: dict[str, Check] = {
    "card is complete": check_card,
    "one seed, the same weights": check_repetition,
    "features are finite": check_input,
    "backbone is saved and read back": check_saving,
}


def _initialised(kind: type[Initialisation], arch: str) -> Backbone:
    """A backbone as the core makes it, at a small size."""
    start = kind(kind.options_type())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = Backbone(arch, start.preprocessing(arch, SIZE))
        start.initialise(backbone)
    return backbone
