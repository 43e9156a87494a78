"""The contract of a pre-training method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor, nn

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench.cards import MethodCard
from vlpbench.text import TextTower, TokenBatch

Encoded = dict[str, Tensor]
"""What the towers say about a batch: tensors by name, a row per pair."""


@dataclass(frozen=True)
class PairBatch:
    """Image-report pairs, with whatever else the corpus knows of them.

    Attributes:
        images: normalised input.
        augmented: a second, more strongly augmented view of the same images.
        reports: tokenised reports.
        summaries: tokenised shorter wordings of the same reports.
        labels: 0, 1 or NaN for unknown, in the order of `Knowledge.labels`.
        triplets: for each entity and position, 1 present, 0 absent, -1 not mentioned.
        entities: whether the report mentions each of `Knowledge.entities`.
        report_vectors: of a frozen text encoder that never sees an image; no column unless the method's `needs` name
            "text similarity".
    """

    images: Float[Tensor, "b 3 h w"]
    augmented: Float[Tensor, "b 3 h w"]
    reports: TokenBatch
    summaries: TokenBatch
    labels: Float[Tensor, "b labels"]
    triplets: Int8[Tensor, "b triplet_entities positions"]
    entities: Bool[Tensor, "b entities"]
    report_vectors: Float[Tensor, "b d"]

    def __len__(self) -> int:
        return len(self.images)

    def part(self, rows: slice) -> PairBatch:
        """Some of the pairs, with texts padded as in the whole batch."""
        cut = {
            name: getattr(self, name)[rows]
            for name in ("images", "augmented", "labels", "triplets", "entities", "report_vectors")
        }
        return replace(self, reports=self.reports.part(rows), summaries=self.summaries.part(rows), **cut)


@dataclass(frozen=True)
class Knowledge:
    """The vocabulary of what a corpus knows beyond images and reports; empty where it knows nothing.

    Attributes:
        labels: names of the image labels.
        triplet_entities: what triplets are about, such as findings.
        positions: where triplets place them.
        entities: what reports are searched for.
        triplet_entity_texts: a description of each triplet entity, or its name where there is none.
        position_texts: a phrase for each position.
        entity_texts: a description of each entity, or its name.
    """

    labels: tuple[str, ...] = ()
    triplet_entities: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    triplet_entity_texts: TokenBatch = field(default_factory=TokenBatch.empty)
    position_texts: TokenBatch = field(default_factory=TokenBatch.empty)
    entity_texts: TokenBatch = field(default_factory=TokenBatch.empty)


@dataclass(frozen=True)
class Options:
    """Switches of a method; a method with switches has a frozen dataclass of its own derived from this."""


@dataclass(frozen=True)
class Parts:
    """What a method is built from.

    Attributes:
        backbone: the image tower, whose weights are what the method is there to make.
        text: the text tower.
        options: switches, an instance of the method's `options_type`.
        knowledge: vocabulary of the corpus.
    """

    backbone: Backbone
    text: TextTower
    options: Options
    knowledge: Knowledge = field(default_factory=Knowledge)


class Method(nn.Module, ABC):
    """One pre-training paper: towers, heads and a loss. Subclass, decorate with `register_method`, and it runs.

    A step has two halves. `encode` runs the towers, pair by pair; `loss` runs heads and terms on the features of the
    whole batch. Between the two the features of all chunks and processes are put together, so that contrasts, and batch
    statistics of heads, see the global batch however small the memory of one device is.

    Attributes:
        card: put there by the decorator.
        options_type: dataclass of the method's switches; each can be set in a recipe.
        diagnostics: what the last call of `loss` measured beside the loss, detached; averages over training go into the
            lineage.
    """

    card: ClassVar[MethodCard]
    options_type: ClassVar[type[Options]] = Options

    def __init__(self, parts: Parts) -> None:
        """Take the towers; subclasses add their heads."""
        super().__init__()
        self.backbone = parts.backbone
        self.text = parts.text
        self.options = parts.options
        self.diagnostics: dict[str, Float[Tensor, ""]] = {}

    @property
    def needs(self) -> tuple[str, ...]:
        """What batches must hold beyond images and reports; a switch may add to what the card says."""
        return self.card.needs

    @abstractmethod
    def encode(self, batch: PairBatch) -> Encoded:
        """Run the towers on some pairs: features by name, a row per pair, as wide for every part of a batch."""

    @abstractmethod
    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The terms of the loss by name, weights included: their sum is what is minimised.

        Args:
            encoded: features of all pairs of the batch.
            batch: the same pairs; of its images and texts only masks and labels are of use here.
        """

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"] | None:
        """How alike each word of a report and each patch of its image are, in the method's own local alignment.

        Words are those of `TokenBatch.word`; what stands beyond the last one means nothing. A method that aligns
        tokens gives a word the mean of its tokens; one that aligns sentences, or entities, gives all their words one
        row. Patches are the cells of a square map, row by row. Similarities are those that the paper takes its softmax,
        sigmoid or threshold of: the higher the more alike, on a scale of the method's own.

        Args:
            encoded: features of some pairs, of a method in evaluation mode.
            batch: the same pairs.

        Returns:
            NaN for words of which the method knows nothing; None where it has no local alignment, by its paper or by
            its switches.
        """
        del encoded, batch
        return None


class Initialisation(ABC):
    """A method that trains nothing: it only chooses the weights a backbone starts from.

    Attributes:
        card: put there by the decorator.
        options_type: dataclass of the switches.
        origin: where the weights came from, filled by `initialise` for the lineage; empty for weights that are drawn.
    """

    card: ClassVar[MethodCard]
    options_type: ClassVar[type[Options]] = Options

    def __init__(self, options: Options) -> None:
        """Take the switches, an instance of `options_type`."""
        self.options = options
        self.origin: dict[str, str] = {}

    def stamp(self) -> str:
        """Content hash of any file the weights come from, "" for none; part of the backbone's key."""
        return ""

    def preprocessing(self, arch: str, image_size: int) -> Preprocessing:
        """Input that the weights expect."""
        del arch
        return Preprocessing(image_size)

    @abstractmethod
    def initialise(self, backbone: Backbone) -> None:
        """Set the weights of a freshly built backbone in place.

        Raises:
            UnavailableError: if weights from elsewhere cannot be had here.
        """


def total(terms: dict[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
    """Sum of the terms of a loss, in float32 at least."""
    return torch.stack([term.float() if term.dtype != torch.float64 else term for term in terms.values()]).sum()
