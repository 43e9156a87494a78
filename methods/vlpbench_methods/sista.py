"""SISTA: Semantics-aware Instance and Sparse Token Alignment, arXiv 2601.08165.

Section III, with cosines phi and temperature tau:

    L_nce(a_i, b_i) = -log [ u_ii exp(phi(a_i, b_i)/tau) / sum_k u_ik exp(phi(a_i, b_k)/tau) ]          (III.B)
    L_SIA    on images and reports, L_SIA^a on augmented images and summaries                          (III.B)
    L_SIVA   on the two views of an image, L_SILA on a report and its summary                          (III.C)
    L_STA    on words and the patches sparsely gathered for them, within each report                   (III.D)
    L_total = L_SIA + L_SIA^a + L_SIVA + L_SILA + L_STA                                                (III.E)

No code was released. Where the text leaves a choice, the card names the one taken; what has a second credible reading
is a switch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.projection import ProjectionHead
from vlpbench.registry import register_method
from vlpbench.text import TokenBatch, span_means, span_sums
from vlpbench_methods.contrastive import (
    attenuated_contrast,
    pseudo_positives,
    soft_target_contrast,
    sparse_grouping,
    word_contrast,
    word_importance,
)
from vlpbench_methods.local_alignment import project_patches, project_words, word_patch_cosines
from vlpbench_methods.patches import cells, local_map

TERMS = ("SIA", "SIA^a", "SIVA", "SILA", "STA")
READINGS = {"weights": attenuated_contrast, "targets": soft_target_contrast}
WORD_VECTORS = {"sum": span_sums, "mean": span_means}


@dataclass(frozen=True)
class SistaOptions(Options):
    """Switches of SISTA.

    Attributes:
        terms: of the loss that are on.
        reading: of the similarity matrix: "weights" of negatives in InfoNCE, or soft "targets" of a cross-entropy.
        pseudo_positive_threshold: cosine of reports above which another pair is a pseudo-positive.
        soft_weight: of a pseudo-positive.
        similarity: where pseudo-positives are found: in the model's "own" report features, or in those of a "frozen"
            text encoder, as FaNe and SAT have it.
        similarity_from_summaries: whether SIA^a finds its pseudo-positives among the summaries.
        local_negatives: pairs among which negatives are sought, 0 for the whole global batch; MGCA's code takes those
            of one GPU, 72.
        temperature: tau of all terms.
        sta_threshold: smallest min-max scaled similarity of a patch that is kept; 0 for one over the number of patches,
            as in SPARC.
        word_weights: "attention" of the class token, or "uniform".
        word_vectors: "sum" or "mean" of a word's sub-words.
        local_stride: of the feature map whose cells are the patches; 0 for the second coarsest (layer3 of a ResNet), or
            the last one of a plain transformer.
        local_input_size: side that images are up-sampled to inside the network, 0 for none; MGCA has 299.
        final_norm: whether projections end in a BatchNorm without scale and shift, as MGCA's do; SimCLR's do not.
        projected: width of the joint spaces, d.
        hidden: width between the layers of a projection.
    """

    terms: tuple[str, ...] = TERMS
    reading: str = "weights"
    pseudo_positive_threshold: float = 0.9
    soft_weight: float = 0.1
    similarity: str = "own"
    similarity_from_summaries: bool = False
    local_negatives: int = 0
    temperature: float = 0.2
    sta_threshold: float = 0.3
    word_weights: str = "attention"
    word_vectors: str = "sum"
    local_stride: int = 0
    local_input_size: int = 0
    final_norm: bool = True
    projected: int = 128
    hidden: int = 2048

    def __post_init__(self) -> None:
        """Refuse words that mean nothing."""
        known = {
            "reading": READINGS,
            "similarity": ("own", "frozen"),
            "word_weights": ("attention", "uniform"),
            "word_vectors": WORD_VECTORS,
        }
        for name, words in known.items():
            if getattr(self, name) not in words:
                raise UnknownNameError(f"{name} of sista", getattr(self, name), words)
        for term in self.terms:
            if term not in TERMS:
                raise UnknownNameError("term of sista", term, TERMS)
        if not self.terms:
            raise VlpbenchError(f"Option terms of sista is empty: expected some of {', '.join(TERMS)}.")
        if self.local_negatives < 0 or self.local_negatives == 1:
            raise VlpbenchError(
                f"Option local_negatives of sista is {self.local_negatives}: expected 0, or 2 pairs or more."
            )


@register_method(
    "sista",
    title="SISTA",
    paper="https://arxiv.org/abs/2601.08165",
    licence="none found",
    needs=("summaries",),
    architectures=("resnet50", "vit_b16"),
    losses=("SIA", "SIA^a", "SIVA", "SILA", "STA"),
    published="SISTA",
    deviations=(
        "u_ik is 1 for the pair and for ordinary negatives and 0.1 for pseudo-positives: with the printed 0 for "
        "ordinary pairs the denominator would hold no negative at all. Soft targets are the other reading, a switch.",
        "Normalising u is left out: it cancels in the printed fraction.",
        "u comes from the projected report features of the batch, detached, and serves all four instance terms; the "
        "text says so for SIVA and SILA and is silent on SIA^a.",
        "Means are over the batch: the printed N is the size of the training set.",
        "Word importance u_il is not defined in the text: MGCA's clipped class-token attention is used, with mean 1 "
        "over a report's words and each word its own attention (the released MGCA code is one token off).",
        "Words are runs of letters or digits, their sub-words summed as in MGCA; padding and separators take no part, "
        "and only real words pass through the projection, so that padding does not shift its batch statistics.",
        "Where all patches are equally similar to a word, 0/0 in the text, all count alike.",
        "Patches are the cells of layer3 without MGCA's up-sampling of the input to 299; a switch.",
        "Both views of the images, and reports with their summaries, pass through shared batch statistics; the text is "
        "silent.",
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "The strength of the image augmentations is not given in the text: see the recipe.",
        "Summaries are the corpus' own, written by vlpbench data summarize, or made without a language model: the text "
        "names neither model nor prompt.",
    ),
    version=2,
)
class Sista(Method):
    """SISTA."""

    options_type = SistaOptions

    def __init__(self, parts: Parts) -> None:
        """Add global and local projections of both towers (section III.A)."""
        super().__init__(parts)
        self.switches = cast(SistaOptions, parts.options)
        self.local_map = local_map(self.backbone, self.switches.local_stride)
        self.image_head = self._head(self.backbone.pooled)
        self.text_head = self._head(self.text.width)
        if "STA" in self.switches.terms:
            self.patch_head = self._head(self.backbone.channels[self.local_map])
            self.word_head = self._head(self.text.width)

    @property
    def needs(self) -> tuple[str, ...]:
        """Summaries, and report vectors where the similarity is not the model's own."""
        return (*self.card.needs, *(("text similarity",) if self.switches.similarity == "frozen" else ()))

    def encode(self, batch: PairBatch) -> Encoded:
        """Global features of what the terms contrast, and patches and words for STA."""
        terms = set(self.switches.terms)
        text = self.text(batch.reports)
        encoded = {"report": text.report}
        if {"SIA^a", "SILA"} & terms or self.switches.similarity_from_summaries:
            encoded["summary"] = self.text(batch.summaries).report
        both = {"SIA^a", "SIVA"} & terms
        maps, pooled = self._image_tower(torch.cat([batch.images, batch.augmented]) if both else batch.images)
        encoded["image"] = pooled[: len(batch)]
        if both:
            encoded["other image"] = pooled[len(batch) :]
        if "STA" in terms:
            encoded["patches"] = cells(maps[self.local_map][: len(batch)])
            words = WORD_VECTORS[self.switches.word_vectors]
            encoded["words"] = words(text.tokens, batch.reports.word, batch.reports.words)
            encoded["word attention"] = text.word_attention
        return encoded

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The terms that are on, each with weight 1 (section III.E)."""
        terms = self.switches.terms
        image, other_image = self._projected(self.image_head, encoded, "image", "other image")
        report, summary = self._projected(self.text_head, encoded, "report", "summary")
        alike = self._alike(report if self.switches.similarity == "own" else batch.report_vectors)
        alike_augmented = self._alike(summary) if self.switches.similarity_from_summaries else alike
        self.diagnostics = {"pseudo-positives per pair": alike.sum(dim=1).float().mean()}
        pairs = {
            "SIA": (image, report, alike),
            "SIA^a": (other_image, summary, alike_augmented),
            "SIVA": (image, other_image, alike),
            "SILA": (report, summary, alike),
        }
        losses = {name: self._contrast(*pair) for name, pair in pairs.items() if name in terms}
        if "STA" in terms:
            losses["STA"] = self._token_alignment(encoded, batch.reports)
        return losses

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"] | None:
        """Cosines of words and patches, of which STA scales and keeps the highest (section III.D)."""
        del batch
        if "STA" not in self.switches.terms:
            return None
        return word_patch_cosines(self.word_head, encoded["words"], self.patch_head, encoded["patches"])

    def _head(self, width: int) -> ProjectionHead:
        switches = self.switches
        norms: Literal["both", "hidden"] = "both" if switches.final_norm else "hidden"
        return ProjectionHead(width, switches.projected, hidden=switches.hidden, norms=norms)

    def _image_tower(
        self, images: Float[Tensor, "n 3 h w"]
    ) -> tuple[tuple[Float[Tensor, "n _c _h _w"], ...], Float[Tensor, "n c"]]:
        """Maps and pooled features, of both views in one pass of shared batch statistics."""
        if self.switches.local_input_size:
            side = (self.switches.local_input_size, self.switches.local_input_size)
            images = F.interpolate(images, side, mode="bilinear", align_corners=True)
        return self.backbone.maps_and_pooled(images)

    def _projected(
        self, head: ProjectionHead, encoded: Encoded, first: str, second: str
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """Two kinds of global features through one head, in one pass of shared batch statistics."""
        if second not in encoded:
            projected = head(encoded[first])
            return projected, projected
        one, two = head(torch.cat([encoded[first], encoded[second]])).chunk(2)
        return one, two

    def _alike(self, reports: Float[Tensor, "b d"]) -> Bool[Tensor, "b b"]:
        return pseudo_positives(reports, threshold=self.switches.pseudo_positive_threshold)

    def _contrast(
        self, first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], alike: Bool[Tensor, "b b"]
    ) -> Float[Tensor, ""]:
        """L_nce both ways, averaged (section III.B), among local negatives if so switched."""
        reading: Callable[..., Tensor] = READINGS[self.switches.reading]
        size = self.switches.local_negatives if self.switches.local_negatives else len(first)
        losses = [
            len(one) * reading(one, two, own, temperature=self.switches.temperature, weight=self.switches.soft_weight)
            for one, two, own in zip(_runs(first, size), _runs(second, size), _blocks(alike, size), strict=True)
        ]
        return torch.stack(losses).sum() / len(first)

    def _token_alignment(self, encoded: Encoded, reports: TokenBatch) -> Float[Tensor, ""]:
        """L_STA (section III.D)."""
        mask = reports.word_mask
        patches = project_patches(self.patch_head, encoded["patches"])
        words = project_words(self.word_head, encoded["words"], mask, projected=self.switches.projected)
        uniform = self.switches.word_weights == "uniform"
        importance = mask.float() if uniform else word_importance(encoded["word attention"], mask)
        threshold = self.switches.sta_threshold if self.switches.sta_threshold > 0 else 1 / patches.shape[1]
        grouped, kept = sparse_grouping(words, patches, threshold=threshold)
        self.diagnostics["kept patch share"] = kept[mask].float().mean()
        return word_contrast(words, grouped, mask, importance, temperature=self.switches.temperature)


@dataclass(frozen=True)
class SiaOptions(SistaOptions):
    """Switches of SISTA with SIA and SIA^a alone."""

    terms: tuple[str, ...] = ("SIA", "SIA^a")


@register_method(
    "sista_sia",
    title="SISTA: SIA + SIA^a",
    paper="https://arxiv.org/abs/2601.08165",
    licence="none found",
    needs=("summaries",),
    architectures=("resnet50", "vit_b16"),
    losses=("SIA", "SIA^a"),
    published="sia+sia_a",
    variant_of="sista",
    version=2,
)
class SistaSia(Sista):
    """First row of Table IV."""

    options_type = SiaOptions


@dataclass(frozen=True)
class SiaStaOptions(SistaOptions):
    """Switches of SISTA without SIVA and SILA."""

    terms: tuple[str, ...] = ("SIA", "SIA^a", "STA")


@register_method(
    "sista_sia_sta",
    title="SISTA: SIA + SIA^a + STA",
    paper="https://arxiv.org/abs/2601.08165",
    licence="none found",
    needs=("summaries",),
    architectures=("resnet50", "vit_b16"),
    losses=("SIA", "SIA^a", "STA"),
    published="sia+sia_a+sta",
    variant_of="sista",
    version=2,
)
class SistaSiaSta(Sista):
    """Second row of Table IV."""

    options_type = SiaStaOptions


@dataclass(frozen=True)
class SiaSivaSilaOptions(SistaOptions):
    """Switches of SISTA without STA."""

    terms: tuple[str, ...] = ("SIA", "SIA^a", "SIVA", "SILA")


@register_method(
    "sista_sia_siva_sila",
    title="SISTA: SIA + SIA^a + SIVA + SILA",
    paper="https://arxiv.org/abs/2601.08165",
    licence="none found",
    needs=("summaries",),
    architectures=("resnet50", "vit_b16"),
    losses=("SIA", "SIA^a", "SIVA", "SILA"),
    published="sia+sia_a+siva+sila",
    variant_of="sista",
    version=2,
)
class SistaSiaSivaSila(Sista):
    """Third row of Table IV."""

    options_type = SiaSivaSilaOptions


def _runs(rows: Float[Tensor, "b d"], size: int) -> list[Float[Tensor, "n d"]]:
    """Rows in runs of a size, the last one shorter where the size does not divide the batch."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _blocks(alike: Bool[Tensor, "b b"], size: int) -> list[Bool[Tensor, "n n"]]:
    """Square blocks along the diagonal, for the same runs."""
    return [alike[start : start + size, start : start + size] for start in range(0, len(alike), size)]
