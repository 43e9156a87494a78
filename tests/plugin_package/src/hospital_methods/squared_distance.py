"""Squared distance between projected images and their reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.registry import register_method


@dataclass(frozen=True)
class SquaredDistanceOptions(Options):
    """Switches.

    Attributes:
        width: of the joint space.
    """

    width: int = 32


@register_method(
    "hospital_squared_distance",
    title="Squared distance",
    venue="Hospital'26",
    licence="Apache-2.0",
    architectures=("resnet18", "resnet50"),
    losses=("pull",),
    recipe={"learning_rate": 1e-4},
    deviations=("There is no paper.",),
)
class SquaredDistance(Method):
    """Pulls each image towards its report."""

    options_type = SquaredDistanceOptions

    def __init__(self, parts: Parts) -> None:
        """Add a projection per tower."""
        super().__init__(parts)
        width = cast(SquaredDistanceOptions, parts.options).width
        self.image_head = nn.Linear(self.backbone.pooled, width)
        self.report_head = nn.Linear(self.text.width, width)

    def encode(self, batch: PairBatch) -> Encoded:
        """Pooled images and report vectors."""
        return {"image": self.backbone.pool(batch.images), "report": self.text(batch.reports).report}

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """Mean squared distance of the pairs."""
        del batch
        images, reports = self.image_head(encoded["image"]).float(), self.report_head(encoded["report"]).float()
        return {"pull": (images - reports).square().mean()}
