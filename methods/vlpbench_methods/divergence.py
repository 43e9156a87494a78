"""Divergence of features: a learned augmentation, and how near it stays to the originals."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vlpbench_methods.contrastive import wide


class DivergenceEncoder(nn.Module):
    """A learned augmentation of unit vectors x: unit(x + mu(x) + sigma(x) * noise / sqrt d), noise ~ N(0, 1)."""

    def __init__(self, width: int) -> None:
        """Build the two layers that predict shift mu and spread sigma."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * width))

    def forward(self, rows: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Perturbed unit vectors; without noise in evaluation."""
        shift, spread = wide(self.layers(rows)).chunk(2, dim=1)
        noise = torch.randn_like(shift) if self.training else torch.zeros_like(shift)
        return F.normalize(rows + shift + F.softplus(spread) * noise / rows.shape[1] ** 0.5, dim=1)


def near_originals(
    perturbed: Float[Tensor, "b d"], originals: Float[Tensor, "b d"], *, margin: float
) -> Float[Tensor, ""]:
    """Mean of max(0, cosine with the original - margin); originals get no gradient."""
    with torch.autocast(perturbed.device.type, enabled=False):
        cosines = F.cosine_similarity(wide(perturbed), wide(originals).detach(), dim=1)
        return (cosines - margin).clamp(min=0).mean()
