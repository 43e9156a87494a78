"""CLIP: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021.

Section 2.3 and figure 3: v = W_i image and u = W_t text, linear and then of unit length, with a learned logit scale
exp(s), and over the pairs of a batch

    L = 1/2 mean_i { -log [ exp(e^s v_i.u_i) / sum_k exp(e^s v_i.u_k) ]  +  the same with images and texts exchanged }

s starts at log(1 / 0.07) and e^s never exceeds 100 (section 2.5). This is the control that other rows are read
against: one global contrast and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.loss import ClipLoss
from torch import Tensor, nn

from vlpbench.errors import VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.registry import register_method
from vlpbench_methods.contrastive import wide

FIRST_TEMPERATURE = 0.07
LARGEST_SCALE = 100.0


@dataclass(frozen=True)
class ClipOptions(Options):
    """Switches of CLIP.

    Attributes:
        temperature: of the cosines, fixed; 0 to learn it from 0.07 on.
        projected: width of the joint space.
    """

    temperature: float = 0.0
    projected: int = 512

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.temperature < 0:
            raise VlpbenchError(
                f"Option temperature of clip is {self.temperature:g}: expected a number above 0, or 0 to learn it."
            )
        if self.projected < 1:
            raise VlpbenchError(f"Option projected of clip is {self.projected}: expected a width of 1 or more.")


def symmetric_contrast(
    images: Float[Tensor, "b d"], reports: Float[Tensor, "b d"], *, scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of the cosines times the scale, in float32 at least (CLIP figure 3)."""
    with torch.autocast(images.device.type, enabled=False):
        units = (F.normalize(wide(rows), dim=-1) for rows in (images, reports))
        # Features come gathered already, so open_clip's loss is left in its mode of one process.
        loss: Tensor = ClipLoss()(*units, scale)
        return loss


@register_method(
    "clip",
    title="CLIP",
    venue="ICML'21",
    paper="https://arxiv.org/abs/2103.00020",
    licence="MIT",
    architectures=("resnet50", "vit_b16"),
    losses=("InfoNCE",),
    deviations=(
        "The released weights play no part: CLIP's objective is trained on the corpus like every other row, as their "
        "control.",
        "Batch size, learning rate, weight decay and schedule are the shared recipe's, not the paper's for 400 million "
        "pairs, so that what differs between rows is the objective.",
        "The logit scale learns and decays at the recipe's learning rate and weight decay like every other weight; at "
        "the small learning rate of the recipe it stays near where it starts.",
        "A ResNet is pooled by its global average, not by attention, and has no anti-aliasing: the backbone is the one "
        "that all rows share.",
        "Image weights start at random, as in the paper; the text encoder is the recipe's with its class token, not a "
        "causal transformer from scratch with the end-of-text token.",
        "The image view is the recipe's random crop, the only augmentation of the paper too.",
    ),
    version=1,
)
class Clip(Method):
    """CLIP."""

    options_type = ClipOptions

    def __init__(self, parts: Parts) -> None:
        """Add the two linear projections and the logit scale."""
        super().__init__(parts)
        self.switches = cast(ClipOptions, parts.options)
        self.image_projection = _projection(self.backbone.pooled, self.switches.projected)
        self.text_projection = _projection(self.text.width, self.switches.projected)
        self.learned = self.switches.temperature == 0
        first = FIRST_TEMPERATURE if self.learned else self.switches.temperature
        self.log_scale = nn.Parameter(torch.tensor(-math.log(first)), requires_grad=self.learned)

    def encode(self, batch: PairBatch) -> Encoded:
        """Pooled image and report features."""
        return {"image": self.backbone.pool(batch.images), "report": self.text(batch.reports).report}

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The contrast over the batch (figure 3)."""
        if self.learned:
            # In place: a clamp inside the graph would leave a scale beyond the limit without a gradient to return.
            with torch.no_grad():
                self.log_scale.clamp_(max=math.log(LARGEST_SCALE))
        scale = self.log_scale.exp()
        self.diagnostics = {"temperature": 1 / scale.detach()}
        images, reports = self.image_projection(encoded["image"]), self.text_projection(encoded["report"])
        return {"InfoNCE": symmetric_contrast(images, reports, scale=scale)}


def _projection(width: int, projected: int) -> nn.Linear:
    """A linear map without bias, drawn as in the released code (openai/CLIP clip/model.py, initialize_parameters)."""
    projection = nn.Linear(width, projected, bias=False)
    nn.init.normal_(projection.weight, std=width**-0.5)
    return projection
