"""The contract of a pre-training method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vlpbench.backbone import Backbone
from vlpbench.cards import MethodCard
from vlpbench.text import TextTower


@dataclass(frozen=True)
class TokenBatch:
    """Tokenised reports, padded to the longest of the batch.

    Attributes:
        ids: token ids.
        mask: True for real tokens, special ones included.
        word: number of the word each token belongs to, counted from 0 within its report; -1 for special tokens and
            padding.
    """

    ids: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    word: Int[Tensor, "b t"]


@dataclass(frozen=True)
class PairBatch:
    """Image-report pairs.

    Attributes:
        images: normalised input.
        augmented: a second, more strongly augmented view of the same images.
        reports: tokenised reports.
        summaries: tokenised shorter wordings of the same reports.
    """

    images: Float[Tensor, "b 3 h w"]
    augmented: Float[Tensor, "b 3 h w"]
    reports: TokenBatch
    summaries: TokenBatch


@dataclass(frozen=True)
class Options:
    """Switches of a method; a method with switches has a frozen dataclass of its own derived from this."""


class Method(nn.Module, ABC):
    """One pre-training paper: towers, heads and a loss. Subclass, decorate with `register_method`, and it runs.

    Attributes:
        card: put there by the decorator.
        options_type: dataclass of the method's switches; each can be set in a recipe.
        diagnostics: what the last call of `loss` measured beside the loss, detached; averages over training go into the
            lineage.
    """

    card: ClassVar[MethodCard]
    options_type: ClassVar[type[Options]] = Options

    def __init__(self, backbone: Backbone, text: TextTower, options: Options) -> None:
        """Take the towers; subclasses add their heads."""
        super().__init__()
        self.backbone = backbone
        self.text = text
        self.options = options
        self.diagnostics: dict[str, Float[Tensor, ""]] = {}

    @abstractmethod
    def loss(self, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The terms of the loss by name, weights included: their sum is what is minimised."""


class Initialisation(ABC):
    """A method that trains nothing: it only chooses the weights a backbone starts from."""

    card: ClassVar[MethodCard]

    @abstractmethod
    def initialise(self, backbone: Backbone) -> None:
        """Set the weights of a freshly built backbone in place."""
