"""MLIP: Enhancing Medical Visual Representation with Divergence Encoder and Knowledge-guided Contrastive Learning.

Li et al., CVPR 2024, arXiv 2402.02045. No code was released, and only the abstract and summaries of the paper were at
hand: which terms there are, that a divergence encoder is the augmentation of the global one, that expert knowledge
guides the local one and the category-level one, and which two proxy tasks there are. How each is built is ours.

In one notation, with projected images v_i, reports t_i, patches p_ik, words w_il and descriptions k_e of entities, all
of unit length; E_i the entities that report i mentions; c the cosine; H the symmetric InfoNCE over the batch, mean of
its two directions; h and h' small networks:

    x + K   unit(x + sum_{e in E_i} softmax_e(c(x, k_e)/tau_a) k_e)           a feature of report i with its knowledge
    x~      unit(x + mu(x) + sigma(x) * noise / sqrt d), noise ~ N(0, 1)      the divergence encoder
    global                  1/3 [H(v, t) + H(v~, t) + H(v, t~)]
    divergence              1/2 mean_i [max(0, c(v~_i, sg v_i) - m) + max(0, c(t~_i, sg t_i) - m)]
    token-knowledge-patch   L_w + L_p of MGCA, with w_il + K in place of w_il
    category                swapped prediction of balanced codes of v_i and of t_i + K among prototypes, as MGCA's CPA
    image-text matching     1/2 mean_i [BCE(h(v_i, t_i), 1) + BCE(h(v_i, t_n(i)), 0)]
    text swapping           the same for each word l, by its importance: h'(w_il + K, w^_il), with w^_il what the word
                            gathers of the patches of image i, against the words of report n(i) in place of its own
    n(i)    the most similar report to image i among those that mention other entities
    L       sum of the terms that are on
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.projection import ProjectionHead
from vlpbench.registry import register_method
from vlpbench.text import TokenBatch, span_sums
from vlpbench_methods.contrastive import cosine_logits, matching_loss, word_importance
from vlpbench_methods.divergence import DivergenceEncoder, near_originals
from vlpbench_methods.entity_knowledge import add_knowledge, describe_entities
from vlpbench_methods.local_alignment import (
    contrast_patches,
    contrast_words,
    gather_attended,
    pair_cosines,
    project_patches,
    project_words,
)
from vlpbench_methods.patches import cells, local_map
from vlpbench_methods.prototypes import prototypes_in_use, swapped_prediction
from vlpbench_methods.report_matching import MatchingHead, hardest_others, matching_decisions

TERMS = ("global", "divergence", "token-knowledge-patch", "category", "image-text matching", "text swapping")
LOCAL_TERMS = {"token-knowledge-patch", "text swapping"}
ABOVE_ZERO = (
    "temperature",
    "attention_temperature",
    "token_temperature",
    "prototype_temperature",
    "sinkhorn_epsilon",
    "sinkhorn_iterations",
    "prototypes",
)


@dataclass(frozen=True)
class MlipOptions(Options):
    """Switches of MLIP.

    Attributes:
        terms: of the loss that are on.
        knowledge: whether features of reports get their knowledge; without it x + K is x.
        divergence_margin: m, cosine with the original below which a perturbed feature is far enough.
        temperature: of H.
        attention_temperature: tau_a, with which words gather patches and entities, and patches words.
        token_temperature: of the contrasts of words and of patches.
        prototype_temperature: of the predictions of codes.
        prototypes: number of prototypes.
        sinkhorn_epsilon: smoothness of the codes.
        sinkhorn_iterations: of the codes.
        local_stride: of the feature map whose cells are the patches; 0 for the second coarsest (layer3 of a ResNet), or
            the last one of a plain transformer.
        projected: width of the joint spaces, d.
        hidden: width between the layers of a projection.
    """

    terms: tuple[str, ...] = TERMS
    knowledge: bool = True
    divergence_margin: float = 0.7
    temperature: float = 0.07
    attention_temperature: float = 0.1
    token_temperature: float = 0.1
    prototype_temperature: float = 0.2
    prototypes: int = 500
    sinkhorn_epsilon: float = 0.05
    sinkhorn_iterations: int = 3
    local_stride: int = 0
    projected: int = 128
    hidden: int = 2048

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        for term in self.terms:
            if term not in TERMS:
                raise UnknownNameError("term of mlip", term, TERMS)
        if not self.terms:
            raise VlpbenchError(f"Option terms of mlip is empty: expected some of {', '.join(TERMS)}.")
        for name in ABOVE_ZERO:
            if not getattr(self, name) > 0:
                raise VlpbenchError(f"Option {name} of mlip is {getattr(self, name)}: expected more than 0.")


@register_method(
    "mlip",
    title="MLIP",
    venue="CVPR'24",
    paper="https://arxiv.org/abs/2402.02045",
    licence="none found",
    needs=("entities",),
    supervision="external knowledge",
    architectures=("resnet50", "vit_b16"),
    losses=("global", "divergence", "token-knowledge-patch", "category", "image-text matching", "text swapping"),
    published="MLIP",
    deviations=(
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "Knowledge is the corpus' list of entities with their descriptions, not UMLS, which has a licence of its own.",
        "Optimisation and views are the recipe's: what was at hand names none, and no code was released "
        "(gentlefress/MLIP holds a README alone).",
    ),
    approximate=True,
    choices=(
        "The divergence encoder predicts a shift and a spread of projected features and draws around them; one for "
        "images, one for reports, no noise in evaluation.",
        "Perturbed features are pushed from their originals until their cosine is 0.7, and kept to their meaning by "
        "being contrasted with the other modality.",
        "An entity is the mean of the token vectors of its description under the text encoder before training, frozen "
        "and centred on the mean of all entities; a projection without batch normalisation is learned.",
        "A word, or a report, takes knowledge by attending to the entities that its report mentions and adding what it "
        "gathers; a report that mentions none stays as it is.",
        "Whether an entity is affirmed or denied plays no part: both are mentions.",
        "Alignment of tokens, knowledge and patches is MGCA's, words and patches attending to each other within a "
        "pair, with words that carry knowledge; words weigh by clipped class-token attention.",
        "Categories are 500 learned prototypes with codes by Sinkhorn's iterations, as in MGCA, swapped between the "
        "image and the report with its knowledge.",
        "Image-text matching is decided by a small network on two projected global features and their product.",
        "Text swapping sets the words of another report in place of a report's own, and a small network decides word "
        "by word, from the word and the patches it gathers, whether it belongs.",
        "Both proxy tasks take the hardest other report of the global batch among those that mention other entities; a "
        "pair without one takes no part.",
        "Temperatures, prototypes and projections are MGCA's, and all terms weigh 1.",
    ),
)
class Mlip(Method):
    """MLIP, as far as its abstract goes."""

    options_type = MlipOptions

    def __init__(self, parts: Parts) -> None:
        """Add the projections, divergence encoders, prototypes and matching heads, and encode the entities.

        Raises:
            VlpbenchError: if the corpus knows of no entities.
        """
        super().__init__(parts)
        self.switches = cast(MlipOptions, parts.options)
        if not len(parts.knowledge.entity_texts):
            raise VlpbenchError("The method mlip needs entities, and the corpus knows of none: choose another corpus.")
        width, hidden, words = self.switches.projected, self.switches.hidden, self.text.width
        self.local_map = local_map(self.backbone, self.switches.local_stride)
        self.image_head = ProjectionHead(self.backbone.pooled, width, hidden=hidden)
        self.text_head = ProjectionHead(words, width, hidden=hidden)
        self.patch_head = ProjectionHead(self.backbone.channels[self.local_map], width, hidden=hidden)
        self.word_head = ProjectionHead(words, width, hidden=hidden)
        self.knowledge_head = ProjectionHead(words, width, hidden=hidden, norms="none")
        self.image_divergence, self.text_divergence = DivergenceEncoder(width), DivergenceEncoder(width)
        self.matching, self.swapping = MatchingHead(width), MatchingHead(width)
        self.prototypes = nn.Parameter(F.normalize(torch.randn(self.switches.prototypes, width), dim=1))
        self.entities: Tensor
        self.register_buffer("entities", describe_entities(self.text, parts.knowledge.entity_texts))

    def encode(self, batch: PairBatch) -> Encoded:
        """Global features, and patches and words where a local term is on."""
        text = self.text(batch.reports)
        maps, pooled = self.backbone.maps_and_pooled(batch.images)
        encoded = {"image": pooled, "report": text.report}
        if LOCAL_TERMS & set(self.switches.terms):
            encoded["patches"] = cells(maps[self.local_map])
            encoded["words"] = span_sums(text.tokens, batch.reports.word, batch.reports.words)
            encoded["word attention"] = text.word_attention
        return encoded

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The terms that are on."""
        switches, terms = self.switches, set(self.switches.terms)
        images, reports = self.image_head(encoded["image"]), self.text_head(encoded["report"])
        entities = self.knowledge_head(self.entities)
        mentioned = batch.entities & switches.knowledge
        similarity = cosine_logits(images, reports, temperature=switches.temperature)
        negatives, decided = hardest_others(similarity, batch.entities)
        self.diagnostics = {
            "entities per report": batch.entities.sum(dim=1).float().mean(),
            "pairs with another report": decided.float().mean(),
        }
        losses: dict[str, Tensor] = {}
        if {"global", "divergence"} & terms:
            losses |= self._global(images, reports)
        if LOCAL_TERMS & terms:
            losses |= self._local(encoded, batch.reports, (entities, mentioned), (negatives, decided))
        if "category" in terms:
            informed = self._informed(reports[:, None], entities, mentioned).squeeze(1)
            losses["category"] = self._category(images, informed)
        if "image-text matching" in terms:
            own, other = self.matching(images, reports), self.matching(images, reports[negatives])
            ones = torch.ones_like(own)[:, None]
            losses["image-text matching"] = matching_decisions(own[:, None], other[:, None], ones, ones, decided)
        return {term: losses[term] for term in TERMS if term in terms}

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"] | None:
        """Cosines of words that carry their knowledge with patches, whose softmax is their attention, as in MGCA."""
        if not LOCAL_TERMS & set(self.switches.terms):
            return None
        words = project_patches(self.word_head, encoded["words"])
        words = self._informed(words, self.knowledge_head(self.entities), batch.entities & self.switches.knowledge)
        return pair_cosines(words, project_patches(self.patch_head, encoded["patches"]))

    def _global(self, images: Float[Tensor, "b d"], reports: Float[Tensor, "b d"]) -> dict[str, Float[Tensor, ""]]:
        """Contrast of images and reports, as they are and perturbed, and how far the perturbed ones are."""
        other_images, other_reports = self.image_divergence(images), self.text_divergence(reports)
        contrasts = []
        for first, second in ((images, reports), (other_images, reports), (images, other_reports)):
            logits = cosine_logits(first, second, temperature=self.switches.temperature)
            contrasts.append((matching_loss(logits) + matching_loss(logits.T)) / 2)
        margin = self.switches.divergence_margin
        near = near_originals(other_images, images, margin=margin) + near_originals(
            other_reports, reports, margin=margin
        )
        return {"global": torch.stack(contrasts).mean(), "divergence": near / 2}

    def _local(
        self,
        encoded: Encoded,
        reports: TokenBatch,
        known: tuple[Float[Tensor, "e d"], Bool[Tensor, "b e"]],
        others: tuple[Int[Tensor, " b"], Bool[Tensor, " b"]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Alignment of words and patches, and swapped words."""
        mask, (negatives, decided) = reports.word_mask, others
        among, contrasted = self.switches.attention_temperature, self.switches.token_temperature
        patches = project_patches(self.patch_head, encoded["patches"])
        words = project_words(self.word_head, encoded["words"], mask, projected=self.switches.projected)
        words = self._informed(words, *known)
        importance = word_importance(encoded["word attention"], mask)
        aligned = contrast_words(
            words, patches, mask, importance, attention_temperature=among, temperature=contrasted
        ) + contrast_patches(words, patches, mask, attention_temperature=among, temperature=contrasted)
        shares = importance / mask.sum(dim=1, keepdim=True).clamp(min=1)
        swapped = matching_decisions(
            self._word_decisions(words, patches),
            self._word_decisions(words[negatives], patches),
            shares,
            shares[negatives],
            decided,
        )
        return {"token-knowledge-patch": aligned, "text swapping": swapped}

    def _word_decisions(self, words: Float[Tensor, "b w d"], patches: Float[Tensor, "b p d"]) -> Float[Tensor, "b w"]:
        """Whether each word belongs to the image."""
        every = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
        seen = gather_attended(words, patches, every, temperature=self.switches.attention_temperature)
        decisions: Tensor = self.swapping(words, seen)
        return decisions

    def _informed(
        self, features: Float[Tensor, "b n d"], entities: Float[Tensor, "e d"], mentioned: Bool[Tensor, "b e"]
    ) -> Float[Tensor, "b n d"]:
        """Features of reports with their knowledge, x + K."""
        return add_knowledge(features, entities, mentioned, temperature=self.switches.attention_temperature)

    def _category(self, images: Float[Tensor, "b d"], reports: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Swapped prediction of codes."""
        switches = self.switches
        scores, other = (cosine_logits(rows, self.prototypes, temperature=1.0) for rows in (images, reports))
        self.diagnostics["prototypes in use"] = prototypes_in_use(torch.cat([scores, other]))
        return swapped_prediction(
            scores,
            other,
            epsilon=switches.sinkhorn_epsilon,
            iterations=switches.sinkhorn_iterations,
            temperature=switches.prototype_temperature,
        )
