"""Projection heads: from the width of a tower to the width in which image and text are compared."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Two linear layers with a ReLU between them; the output has unit length.

    With batch normalisation after both layers, the last without scale and shift, this is MGCA's head
    (mgca/models/backbones/encoder.py:17-54); after the first only, SimCLR's; without any, and without biases, ConVIRT's
    W2 ReLU(W1 h) (Zhang et al. 2022, section 3.2).
    """

    def __init__(
        self, width: int, projected: int, *, hidden: int = 2048, norms: Literal["both", "hidden", "none"] = "both"
    ) -> None:
        """Build the head.

        Args:
            width: of the input.
            projected: width of the output.
            hidden: width between the layers.
            norms: where batch normalisation stands.
        """
        super().__init__()
        normed = norms != "none"
        self.layers = nn.Sequential(
            nn.Linear(width, hidden, bias=normed),
            nn.BatchNorm1d(hidden) if normed else nn.Identity(),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, projected, bias=normed),
            nn.BatchNorm1d(projected, affine=False) if norms == "both" else nn.Identity(),
        )

    def forward(self, rows: Float[Tensor, "n width"]) -> Float[Tensor, "n projected"]:
        """Project rows to unit vectors in float32 at least; batch statistics are over exactly these rows."""
        projected: Tensor = self.layers(rows)
        return F.normalize(projected if projected.dtype == torch.float64 else projected.float(), dim=-1)
