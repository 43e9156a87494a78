"""M-FLAG: Liu et al., Medical Vision-Language Pre-training with Frozen Language Models ..., MICCAI 2023.

As released (cheliu-computation/M-FLAG-MICCAI2023 utils/utils_trainer.py:41-60,139-142): the text encoder is frozen;
with Z the B x D image features as the encoder pools them, neither centred nor normalised, a = proj_v(Z),
b = proj_t(class token), K = Z^T Z / B and c the cosine,

    L_align = mean_i [ 4 - 4 c(a_i, b_i) ]
    L_orth  = 1/2 [ sum_d (K_dd - 1)^2 + 0.0051 sum_{d != e} K_de^2 ]
    L       = L_align + L_orth

There are no negatives: it is L_orth that keeps the features from collapsing. The paper's text was not at hand; where it
differs from the code, this is the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vlpbench.errors import VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.projection import ProjectionHead
from vlpbench.registry import register_method
from vlpbench_methods.contrastive import wide


@dataclass(frozen=True)
class MFlagOptions(Options):
    """Switches of M-FLAG.

    Attributes:
        alignment_weight: of L_align.
        orthogonality_weight: of L_orth.
        off_diagonal: weight of the off-diagonal elements within L_orth.
        projected: width of the joint space.
        hidden: width between the layers of a projection.
    """

    alignment_weight: float = 1.0
    orthogonality_weight: float = 1.0
    off_diagonal: float = 0.0051
    projected: int = 1024
    hidden: int = 2048

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("alignment_weight", "orthogonality_weight", "off_diagonal"):
            if getattr(self, name) < 0:
                raise VlpbenchError(f"Option {name} of m_flag is {getattr(self, name):g}: expected 0 or more.")
        for name in ("projected", "hidden"):
            if getattr(self, name) < 1:
                raise VlpbenchError(f"Option {name} of m_flag is {getattr(self, name)}: expected a width of 1 or more.")


def alignment_loss(images: Float[Tensor, "b d"], reports: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """L_align: 4 - 4 cos of each pair, in [0, 8], mean over pairs (utils_trainer.py:54-60)."""
    with torch.autocast(images.device.type, enabled=False):
        return (4 - 4 * F.cosine_similarity(wide(images), wide(reports), dim=1)).mean()


def orthogonality_loss(features: Float[Tensor, "b d"], *, off_diagonal: float) -> Float[Tensor, ""]:
    """L_orth of raw features: their second moments K against the identity (utils_trainer.py:41-52).

    The sum of all squares of K is that of Z Z^T / B, so that the smaller of the two matrices is enough.
    """
    with torch.autocast(features.device.type, enabled=False):
        rows = wide(features)
        count, width = rows.shape
        diagonal = rows.square().sum(dim=0) / count
        products = (rows @ rows.T if count < width else rows.T @ rows) / count
        others = products.square().sum() - diagonal.square().sum()
        return ((diagonal - 1).square().sum() + off_diagonal * others) / 2


@register_method(
    "m_flag",
    title="M-FLAG",
    venue="MICCAI'23",
    paper="https://arxiv.org/abs/2307.08347",
    licence="MIT",
    architectures=("resnet50",),
    losses=("alignment", "orthogonality"),
    published="M-FLAG",
    recipe={"batch_size": 512, "max_tokens": 512},
    deviations=(
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "The frozen text encoder is the recipe's, not CXR-BERT-general. Where the recipe trains its text encoder from "
        "scratch, as the embedded suite does, it is random here and stays so: a fixed random code of the reports.",
        "There are no negatives, as in the released code; neither batch size nor report duplicates act as they do in "
        "contrastive rows.",
        "K is divided by the number of pairs of the global batch; the released code divides by the configured 512 of "
        "one process (utils/utils_trainer.py:48), which is the same for its whole batches.",
        "AdamW with warm-up and one cosine, not cosine restarts without warm-up (utils/utils_trainer.py:100-106), so "
        "that rows of one table share optimiser and schedule.",
        "The image view is the recipe's augmentation, not rotation by up to 90 degrees, perspective, grey and "
        "auto-contrast (utils/utils_dataset.py:60-70).",
        "Reports are joined from their sections by the corpus; the released code glues the findings to the impression "
        "without a space (utils/utils_dataset.py:29-35).",
        "Pixels come as the suite prepares them; the released preparation lets the brightest ones, 256, wrap to 0 "
        "(ext_data.py:42-50).",
        "Only training pairs are seen; the released code reads all splits (utils/utils_dataset.py:29-35).",
    ),
    version=1,
)
class MFlag(Method):
    """M-FLAG."""

    options_type = MFlagOptions

    def __init__(self, parts: Parts) -> None:
        """Freeze the text tower and add the two projections (utils/utils_builder.py:24-36)."""
        super().__init__(parts)
        self.switches = cast(MFlagOptions, parts.options)
        self.text.freeze()
        projected, hidden = self.switches.projected, self.switches.hidden
        self.image_head = ProjectionHead(self.backbone.pooled, projected, hidden=hidden, norms="both")
        self.text_head = ProjectionHead(self.text.width, projected, hidden=hidden, norms="both")

    def encode(self, batch: PairBatch) -> Encoded:
        """Pooled image features, and report features without a gradient."""
        with torch.no_grad():
            report = self.text(batch.reports).report
        return {"image": self.backbone.pool(batch.augmented), "report": report}

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """Alignment of the projected pairs and orthogonality of the raw image features."""
        switches = self.switches
        alignment = alignment_loss(self.image_head(encoded["image"]), self.text_head(encoded["report"]))
        orthogonality = orthogonality_loss(encoded["image"], off_diagonal=switches.off_diagonal)
        self.diagnostics = {"cosine of pairs": 1 - alignment.detach() / 4}
        return {
            "alignment": switches.alignment_weight * alignment,
            "orthogonality": switches.orthogonality_weight * orthogonality,
        }
