"""ConVIRT: Zhang et al., Contrastive Learning of Medical Visual Representations from Paired Images and Text, MLHC 2022.

The paper's section 3: v = W2 ReLU(W1 pooled image), u = W2 ReLU(W1 max-pooled token vectors); with cosines over the
temperature tau,

    l_i(v->u) = -log [ exp(v_i.u_i / tau) / sum_k exp(v_i.u_k / tau) ]        (equation 2)
    l_i(u->v)   the same with images and reports exchanged                    (equation 3)
    L = mean_i [ lambda l_i(v->u) + (1 - lambda) l_i(u->v) ]                   (equation 4)

No code was released by the authors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.projection import ProjectionHead
from vlpbench.registry import register_method
from vlpbench.text import TextFeatures, TokenBatch
from vlpbench_methods.contrastive import cosine_logits, matching_loss

DEEP_ENCODER = 12


@dataclass(frozen=True)
class ConvirtOptions(Options):
    """Switches of ConVIRT.

    Attributes:
        temperature: tau.
        image_weight: lambda, of the image-to-report direction.
        projected: width of the joint space.
        frozen_layers: lowest text layers that stay as they are, embeddings included; only of encoders with 12 layers or
            more.
    """

    temperature: float = 0.1
    image_weight: float = 0.75
    projected: int = 512
    frozen_layers: int = 6


@register_method(
    "convirt",
    title="ConVIRT",
    venue="PMLR'22",
    paper="https://proceedings.mlr.press/v182/zhang22a.html",
    licence="none found",
    architectures=("resnet50",),
    losses=("image to report", "report to image"),
    published="ConVIRT",
    recipe={"learning_rate": 1e-4, "weight_decay": 1e-6, "batch_size": 32},
    deviations=(
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "AdamW with warm-up and cosine, not Adam with plateaus, so that rows of one table share optimiser and "
        "schedule.",
        "The image view is the recipe's augmentation without the paper's horizontal flip, which exchanges left and "
        "right in reports.",
        "The whole report is encoded, not one sentence drawn from it, since the corpus contract hands out reports.",
        "Hidden widths of the projections are those of their inputs; the paper does not give them.",
        "A text encoder of fewer than 12 layers is trained throughout: freezing six layers of it would leave nothing "
        "to learn.",
    ),
    version=2,
)
class Convirt(Method):
    """ConVIRT."""

    options_type = ConvirtOptions

    def __init__(self, parts: Parts) -> None:
        """Add the two projections and freeze the lower text layers."""
        super().__init__(parts)
        self.switches = cast(ConvirtOptions, parts.options)
        width, pooled = self.switches.projected, self.backbone.pooled
        self.image_head = ProjectionHead(pooled, width, hidden=pooled, norms="none")
        self.text_head = ProjectionHead(self.text.width, width, hidden=self.text.width, norms="none")
        if self.text.layers >= DEEP_ENCODER:
            self.text.freeze_lowest(self.switches.frozen_layers)

    def encode(self, batch: PairBatch) -> Encoded:
        """Pooled image and report features."""
        return {"image": self.backbone.pool(batch.augmented), "report": self._max_pooled(batch.reports)}

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """Equation 4, its two directions apart."""
        images, reports = self.image_head(encoded["image"]), self.text_head(encoded["report"])
        logits = cosine_logits(images, reports, temperature=self.switches.temperature)
        share = self.switches.image_weight
        return {
            "image to report": share * matching_loss(logits),
            "report to image": (1 - share) * matching_loss(logits.T),
        }

    def _max_pooled(self, reports: TokenBatch) -> Float[Tensor, "b d"]:
        """Largest value of each feature over a report's tokens (section 3.2)."""
        features: TextFeatures = self.text(reports)
        tokens = features.tokens
        lowest = torch.finfo(tokens.dtype).min
        return tokens.masked_fill(~reports.mask[:, :, None], lowest).amax(dim=1)
