"""FaNe: Towards Fine-Grained Cross-Modal Contrast with False-Negative Reduction and Text-Conditioned Sparse Attention.

arXiv 2511.12215, from the released code (Aventador8/FaNe), with cosines c, global features v_i and t_i, and a frozen
text encoder's report vectors r_i:

    S_ij = (c(r_i, r_j) - o) / (1 - o), o the running mean of the reports' cosine with their batch's mean   (mining)
    m_ij = 1 where S_ij > 0.95 or i = j, otherwise -1
    global       1/B sum_ij softplus(-m_ij (k c(v_i, t_j) / 0.1 + b)), k and b learned
    intra-modal  1/B sum_i 1/2 [ sum_j softmax_j(T_ij / 0.07) T_ij + the same with I_ij ] over negatives j,
                 T_ij = c(t_i, t_j) / 0.07, I_ij = c(v_i, v_j) / 0.07
    local        InfoNCE within each report of sentences q_j and what they see of the image, y_j
    sparsity     mean of the attention's mask

L is the sum of the four. y_j and the mask: `sigmoid_contrast.SparseAttention`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.registry import register_method
from vlpbench.text import span_means
from vlpbench_methods.contrastive import word_contrast
from vlpbench_methods.local_alignment import rows_of_words
from vlpbench_methods.patches import cells, is_plain_transformer, local_map
from vlpbench_methods.sentence_alignment import AttentionPooling
from vlpbench_methods.sigmoid_contrast import (
    SparseAttention,
    hard_negative_repulsion,
    mask_size,
    mean_cosine_to_prototype,
    mined_positives,
    sigmoid_contrast,
)

BIAS_SIGNS = {"siglip": 1.0, "released": -1.0}
POOLINGS = ("auto", "attention", "backbone")


@dataclass(frozen=True)
class FaneOptions(Options):
    """Switches of FaNe.

    Attributes:
        positive_threshold: of the centred similarity of reports, above which another pair is a positive.
        centre_momentum: share of the newest batch in the running centre of the similarities.
        temperature: of the global cosines.
        scale: the learned factor k of the global logits at the start, log(1/0.07).
        bias: the learned bias b at the start.
        bias_sign: "siglip" adds b to the logits, so that negatives start near a loss of 0; "released" subtracts it, so
            that they start near 10.
        intra_temperature: of the cosines within a modality.
        negative_temperature: of the weights of hard negatives, over logits that are scaled already.
        local_temperature: of the contrast of sentences.
        global_weight: of the multi-positive sigmoid loss.
        intra_weight: of the repulsion of hard negatives.
        local_weight: of the contrast of sentences.
        sparsity_weight: of the size of the attention's mask.
        image_pooling: global image feature: "attention" over the coarsest map, the pooled feature of the "backbone", or
            "auto" for the latter with plain transformers only.
        projected: width of the joint spaces.
        local_stride: of the feature map whose cells are the patches; 0 for the second coarsest (layer3 of a ResNet), or
            the last one of a plain transformer.
    """

    positive_threshold: float = 0.95
    centre_momentum: float = 0.05
    temperature: float = 0.1
    scale: float = 2.66
    bias: float = -10.0
    bias_sign: str = "siglip"
    intra_temperature: float = 0.07
    negative_temperature: float = 0.07
    local_temperature: float = 0.07
    global_weight: float = 1.0
    intra_weight: float = 1.0
    local_weight: float = 1.0
    sparsity_weight: float = 1.0
    image_pooling: str = "auto"
    projected: int = 128
    local_stride: int = 0

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        for name, known in (("bias_sign", BIAS_SIGNS), ("image_pooling", POOLINGS)):
            if getattr(self, name) not in known:
                raise UnknownNameError(f"{name} of fane", getattr(self, name), known)
        if not 0 < self.centre_momentum <= 1:
            raise VlpbenchError(f"Option centre_momentum of fane is {self.centre_momentum:g}: expected above 0, to 1.")
        for name in ("temperature", "intra_temperature", "negative_temperature", "local_temperature"):
            if getattr(self, name) <= 0:
                raise VlpbenchError(f"Option {name} of fane is {getattr(self, name):g}: expected a number above 0.")


@register_method(
    "fane",
    title="FaNe",
    venue="AAAI'26",
    paper="https://arxiv.org/abs/2511.12215",
    licence="none found",
    needs=("text similarity",),
    architectures=("resnet50", "vit_b16"),
    losses=("global", "intra-modal", "local", "sparsity"),
    recipe={"learning_rate": 4e-4, "weight_decay": 1e-6, "batch_size": 196},
    deviations=(
        "The bias is added to the logits, as SigLIP's code does: the released sign (codes/fane/models/fane.py:242-256) "
        "lets every negative start at a loss of about 10 and every positive near 0; a switch.",
        "Positives, negatives and the centre of the similarities are those of the whole batch of 196; the released "
        "code takes those of one GPU, 98.",
        "The centre of the similarities moves in training only and is saved with the weights.",
        "Similarities are those of the recipe's similarity_model; the released code takes ClinicalBERT's pooler output "
        "(codes/fane/models/fane.py:169-180).",
        "Reports of one sentence add nothing to the local term and are kept, and those of none count as one empty "
        "sentence; the released data has four sentences or more, shuffled.",
        "Patches are the cells of layer3 without up-sampling of the input to 299, and attention pooling learns as many "
        "positions as the coarsest map has cells, not 10 x 10; the class token stands for it in a plain transformer, "
        "as released.",
        "The released global text projection is left out: its output is never used.",
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "The recipe's warm-up and cosine; the released schedule warms up for 40 of 100 epochs and is cut at 50.",
        "The image view is the recipe's random crop, without the released rotation and without the horizontal flip, "
        "which exchanges left and right in reports.",
    ),
)
class Fane(Method):
    """FaNe."""

    options_type = FaneOptions

    def __init__(self, parts: Parts) -> None:
        """Add projections, poolings, the sparse attention, the learned scale and bias, and the running centre."""
        super().__init__(parts)
        self.switches = cast(FaneOptions, parts.options)
        width, backbone = self.switches.projected, self.backbone
        self.local_map = local_map(backbone, self.switches.local_stride)
        auto = "backbone" if is_plain_transformer(backbone) else "attention"
        pooling = auto if self.switches.image_pooling == "auto" else self.switches.image_pooling
        self.pools_by_attention = pooling == "attention"
        if self.pools_by_attention:
            side = math.ceil(backbone.preprocessing.image_size / backbone.strides[-1])
            self.image_pooling = AttentionPooling(backbone.channels[-1], positions=side * side)
        pooled = backbone.channels[-1] if self.pools_by_attention else backbone.pooled
        self.image_projection = _projection(pooled, width)
        self.patch_projection = _projection(backbone.channels[self.local_map], width)
        self.sentence_projection = _projection(self.text.width, width)
        self.sentence_pooling = AttentionPooling(width)
        self.attention = SparseAttention(width)
        self.scale = nn.Parameter(torch.tensor(self.switches.scale))
        self.bias = nn.Parameter(torch.tensor(self.switches.bias))
        self.centre: Tensor
        self.centre_known: Tensor
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("centre_known", torch.zeros((), dtype=torch.bool))

    def encode(self, batch: PairBatch) -> Encoded:
        """Patches, cells of the coarsest map or pooled images, and means of sentences."""
        maps, pooled = self.backbone.maps_and_pooled(batch.images)
        tokens = self.text(batch.reports).tokens
        return {
            "image": cells(maps[-1]) if self.pools_by_attention else pooled,
            "patches": cells(maps[self.local_map]),
            "sentences": span_means(tokens, batch.reports.sentence, batch.reports.sentences),
        }

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The four terms, each with its weight."""
        switches, real = self.switches, batch.reports.sentence_mask
        sentences = self.sentence_projection(encoded["sentences"])
        images, reports = self._global_images(encoded["image"]), self.sentence_pooling(sentences, _some(real))
        positive = mined_positives(
            batch.report_vectors, self._updated_centre(batch.report_vectors), threshold=switches.positive_threshold
        )
        seen, mask = self.attention(sentences, self.patch_projection(encoded["patches"]))
        size = mask_size(mask, real)
        self.diagnostics = {
            "positives per pair": positive.sum(dim=1).float().mean() - 1,
            "attention mask": size.detach(),
        }
        uniform, sign = real.to(mask.dtype), BIAS_SIGNS[switches.bias_sign]
        scale, bias = self.scale / switches.temperature, sign * self.bias
        local = word_contrast(sentences, seen, real, uniform, temperature=switches.local_temperature)
        return {
            "global": switches.global_weight * sigmoid_contrast(images, reports, positive, scale=scale, bias=bias),
            "intra-modal": switches.intra_weight * (self._repel(images, positive) + self._repel(reports, positive)) / 2,
            "local": switches.local_weight * local,
            "sparsity": switches.sparsity_weight * size,
        }

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"] | None:
        """Masked products m_jp q_j.k_p / sqrt(d) of sentences and patches, before the sigmoid."""
        if self.switches.local_weight == 0:
            return None
        sentences, patches = self.sentence_projection(encoded["sentences"]), self.patch_projection(encoded["patches"])
        return rows_of_words(self.attention.scores(sentences, patches), batch.reports)

    def _global_images(self, features: Tensor) -> Float[Tensor, "b d"]:
        """Projected global image features."""
        if self.pools_by_attention:
            features = self.image_pooling(features, features.new_ones(features.shape[:2], dtype=torch.bool))
        projected: Tensor = self.image_projection(features)
        return projected

    def _repel(self, rows: Float[Tensor, "b d"], positive: Bool[Tensor, "b b"]) -> Float[Tensor, ""]:
        switches = self.switches
        return hard_negative_repulsion(
            rows, ~positive, temperature=switches.intra_temperature, sharpness=switches.negative_temperature
        )

    def _updated_centre(self, vectors: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """The running centre, moved by this batch in training; before any training, this batch's own."""
        with torch.no_grad():
            own, share = mean_cosine_to_prototype(vectors), self.switches.centre_momentum
            moved = torch.where(self.centre_known, share * own + (1 - share) * self.centre, own)
            if not self.training:
                return torch.where(self.centre_known, self.centre, own)
            self.centre.copy_(moved)
            self.centre_known.fill_(True)
            return moved


def _projection(width: int, projected: int) -> nn.Linear:
    """A linear layer initialised as released (codes/fane/models/fane.py:138-143)."""
    layer = nn.Linear(width, projected)
    nn.init.normal_(layer.weight, std=width**-0.5)
    return layer


def _some(real: Bool[Tensor, "b s"]) -> Bool[Tensor, "b s"]:
    """The same mask, in which a report without sentences has one empty sentence, to have something to pool."""
    first = torch.zeros_like(real)
    first[:, 0] = True
    return real | (first & ~real.any(dim=1, keepdim=True))
