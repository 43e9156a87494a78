"""MGCA: Wang et al., Multi-Granularity Cross-modal Alignment for Generalized Medical Visual Representation Learning.

NeurIPS 2022; as the released code has it (mgca/models/mgca/mgca_module.py). v_i and t_i are projected images and
reports, p_ik patches, w_il words, all of unit length; c is the cosine, CE_row(Z) = mean_i [-Z_ii + log sum_k exp Z_ik],
CE_col(Z) = CE_row(Z^T).

    ITA = CE_row(c(v,t)/tau_1) + CE_col(c(v,t)/tau_1)                                                       (:104-109)
    CTA = L_w + L_p                                                                                        (:121-205)
      w^_il = sum_k softmax_k(w_il.p_ik/tau_2) p_ik,   Y_lm = c(w_il, w^_im)/tau_3
      L_w = mean_i sum_l a_il [CE(Y_l., l) + CE(Y_.l, l)]/2,   sum_l a_il = 1
      L_p   the same with patches and words exchanged and equal weights
    CPA = 1/2 mean_i [ - sum_k q_ik log softmax_k(C.t_i/tau_4) - sum_k r_ik log softmax_k(C.v_i/tau_4) ]   (:235-262)
      q, r: Sinkhorn codes of exp(C.v/epsilon), exp(C.t/epsilon)
    L = lambda_1 ITA + lambda_2 CTA + lambda_3 CPA                                                         (:428-430)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.projection import ProjectionHead
from vlpbench.registry import register_method
from vlpbench.text import TokenBatch, span_sums
from vlpbench_methods.contrastive import cosine_logits, matching_loss, word_importance
from vlpbench_methods.local_alignment import (
    contrast_patches,
    contrast_words,
    project_patches,
    project_words,
    word_patch_cosines,
)
from vlpbench_methods.patches import cells, local_map
from vlpbench_methods.prototypes import prototypes_in_use, swapped_prediction

WORD_WEIGHTS = ("attention", "uniform")
WEIGHTS = ("instance_weight", "token_weight", "prototype_weight")
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
class MgcaOptions(Options):
    """Switches of MGCA.

    Attributes:
        instance_weight: lambda_1, of ITA; a term of weight 0 is left out.
        token_weight: lambda_2, of CTA.
        prototype_weight: lambda_3, of CPA.
        temperature: tau_1, of ITA.
        attention_temperature: tau_2, with which words gather patches, and patches words.
        token_temperature: tau_3, of CTA's contrasts.
        prototype_temperature: tau_4, of CPA's predictions.
        prototypes: number of prototypes.
        sinkhorn_epsilon: smoothness of the codes.
        sinkhorn_iterations: of the codes.
        bidirectional: whether CTA has its patch side too.
        word_weights: a_il, from the "attention" of the class token, or "uniform".
        local_stride: of the feature map whose cells are the patches; 0 for the second coarsest (layer3 of a ResNet), or
            the last one of a plain transformer.
        local_input_size: side that images are up-sampled to inside the network, 0 for none; the released code has 299
            for a ResNet.
        projected: width of the joint spaces.
        hidden: width between the layers of a projection.
    """

    instance_weight: float = 1.0
    token_weight: float = 1.0
    prototype_weight: float = 1.0
    temperature: float = 0.07
    attention_temperature: float = 0.1
    token_temperature: float = 0.1
    prototype_temperature: float = 0.2
    prototypes: int = 500
    sinkhorn_epsilon: float = 0.05
    sinkhorn_iterations: int = 3
    bidirectional: bool = True
    word_weights: str = "attention"
    local_stride: int = 0
    local_input_size: int = 0
    projected: int = 128
    hidden: int = 2048

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.word_weights not in WORD_WEIGHTS:
            raise UnknownNameError("word_weights of mgca", self.word_weights, WORD_WEIGHTS)
        weights = [getattr(self, name) for name in WEIGHTS]
        if min(weights) < 0 or max(weights) == 0:
            raise VlpbenchError(f"Options {', '.join(WEIGHTS)} of mgca are {weights}: expected 0 or more, not all 0.")
        for name in ABOVE_ZERO:
            if not getattr(self, name) > 0:
                raise VlpbenchError(f"Option {name} of mgca is {getattr(self, name)}: expected more than 0.")


@register_method(
    "mgca",
    title="MGCA",
    venue="NeurIPS'22",
    paper="https://arxiv.org/abs/2210.06044",
    licence="none found",
    architectures=("resnet50", "vit_b16"),
    losses=("ITA", "CTA", "CPA"),
    published="MGCA",
    recipe={"batch_size": 144, "warmup_epochs": 20, "text_layers": 6},
    deviations=(
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "All negatives and the balance of the codes are over the global batch; the released code contrasts the 72 "
        "pairs of each of two GPUs (mgca/models/mgca/mgca_module.py:101-109,77-80).",
        "A word has the attention of its own sub-words; the released code gives it its successor's "
        "(mgca/models/backbones/encoder.py:329,382,388).",
        "Padding is masked in the word softmax, in rows and columns; in the released code its zero vectors are "
        "negatives, the mask being commented out (mgca/models/mgca/mgca_module.py:130).",
        "Only real words pass through the projection, so that padding does not shift its batch statistics; in the "
        "released code padding does.",
        "[SEP] is no word, and a report of full length keeps its last word; in the released code [SEP] is one and the "
        "last word is lost (mgca/models/backbones/encoder.py:329-361).",
        "Patches weigh alike for a transformer too; the released code takes the clipped class-token attention of its "
        "last block (mgca/models/mgca/mgca_module.py:185-205), which backbones of the benchmark do not hand out.",
        "What a patch gathers has unit length for a transformer too; the released code normalises it for a ResNet only "
        "(mgca/models/mgca/mgca_module.py:185-186).",
        "Patches of a transformer are those of its last block before the final normalisation, which is what backbones "
        "of the benchmark hand out.",
        "A pair whose report has no word adds 0 to the patch side; the released corpus holds no such report.",
        "Prototypes are normalised where they are used, not in place at every step "
        "(mgca/models/mgca/mgca_module.py:230-233); only their direction counts in both.",
        "Prototypes learn from the first step; the released code holds them still for one epoch "
        "(mgca/models/mgca/mgca_module.py:340-343), and a method of the benchmark is not told the epoch.",
        "ITA is the sum of its two directions and CTA that of its two sides, with weights 1, 1, 1, as in the released "
        "command line (mgca/models/mgca/mgca_module.py:104-109,428-430); the constructor has 1, 0.7, 0.5.",
        "Patches are the cells of layer3 without the up-sampling of the input to 299; a switch.",
        "Words are split by the text encoder's own tokenizer from reports as the corpus has them, periods included.",
    ),
)
class Mgca(Method):
    """MGCA."""

    options_type = MgcaOptions

    def __init__(self, parts: Parts) -> None:
        """Add global and local projections of both towers, and the prototypes."""
        super().__init__(parts)
        self.switches = cast(MgcaOptions, parts.options)
        self.local_map = local_map(self.backbone, self.switches.local_stride)
        self.image_head = self._head(self.backbone.pooled)
        self.text_head = self._head(self.text.width)
        if self.switches.token_weight > 0:
            self.patch_head = self._head(self.backbone.channels[self.local_map])
            self.word_head = self._head(self.text.width)
        if self.switches.prototype_weight > 0:
            self.prototypes = nn.Parameter(
                F.normalize(torch.randn(self.switches.prototypes, self.switches.projected), dim=1)
            )

    def encode(self, batch: PairBatch) -> Encoded:
        """Global features of images and reports, and patches and words where CTA is on."""
        text = self.text(batch.reports)
        images, side = batch.images, self.switches.local_input_size
        if side:
            images = F.interpolate(images, (side, side), mode="bilinear", align_corners=True)
        maps, pooled = self.backbone.maps_and_pooled(images)
        encoded = {"image": pooled, "report": text.report}
        if self.switches.token_weight > 0:
            encoded["patches"] = cells(maps[self.local_map])
            encoded["words"] = span_sums(text.tokens, batch.reports.word, batch.reports.words)
            encoded["word attention"] = text.word_attention
        return encoded

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The terms whose weight is not 0."""
        switches = self.switches
        self.diagnostics = {}
        images, reports = self.image_head(encoded["image"]), self.text_head(encoded["report"])
        losses = {}
        if switches.instance_weight > 0:
            logits = cosine_logits(images, reports, temperature=switches.temperature)
            losses["ITA"] = switches.instance_weight * (matching_loss(logits) + matching_loss(logits.T))
        if switches.token_weight > 0:
            losses["CTA"] = switches.token_weight * self._token_alignment(encoded, batch.reports)
        if switches.prototype_weight > 0:
            losses["CPA"] = switches.prototype_weight * self._prototype_alignment(images, reports)
        return losses

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"] | None:
        """Cosines of words and patches, whose softmax over the patches is CTA's attention (:121-150)."""
        del batch
        if self.switches.token_weight == 0:
            return None
        return word_patch_cosines(self.word_head, encoded["words"], self.patch_head, encoded["patches"])

    def _head(self, width: int) -> ProjectionHead:
        return ProjectionHead(width, self.switches.projected, hidden=self.switches.hidden)

    def _token_alignment(self, encoded: Encoded, reports: TokenBatch) -> Float[Tensor, ""]:
        """CTA: its word side, and its patch side if so switched."""
        switches, mask = self.switches, reports.word_mask
        patches = project_patches(self.patch_head, encoded["patches"])
        words = project_words(self.word_head, encoded["words"], mask, projected=switches.projected)
        uniform = switches.word_weights == "uniform"
        importance = mask.float() if uniform else word_importance(encoded["word attention"], mask)
        among, contrasted = switches.attention_temperature, switches.token_temperature
        word_side = contrast_words(
            words, patches, mask, importance, attention_temperature=among, temperature=contrasted
        )
        self.diagnostics["CTA, word side"] = word_side.detach()
        if not switches.bidirectional:
            return word_side
        return word_side + contrast_patches(words, patches, mask, attention_temperature=among, temperature=contrasted)

    def _prototype_alignment(self, images: Float[Tensor, "b d"], reports: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """CPA: each code predicted from the other's features."""
        scores, other = (cosine_logits(rows, self.prototypes, temperature=1.0) for rows in (images, reports))
        self.diagnostics["prototypes in use"] = prototypes_in_use(torch.cat([scores, other]))
        return swapped_prediction(
            scores,
            other,
            epsilon=self.switches.sinkhorn_epsilon,
            iterations=self.switches.sinkhorn_iterations,
            temperature=self.switches.prototype_temperature,
        )
