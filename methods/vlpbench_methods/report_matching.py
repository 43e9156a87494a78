"""Report matching: another pair's report in place of a pair's own, and a network that is to notice."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vlpbench_methods.contrastive import wide


class MatchingHead(nn.Module):
    """A small network that scores whether two unit vectors belong together."""

    def __init__(self, width: int) -> None:
        """Build its two layers."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, first: Float[Tensor, "*rows d"], second: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows"]:
        """Logits, from both vectors and their product, all scaled to components of variance about 1."""
        one, two = (F.normalize(wide(rows), dim=-1) * rows.shape[-1] ** 0.5 for rows in (first, second))
        return wide(self.layers(torch.cat([one, two, one * two], dim=-1))).squeeze(-1)


def hardest_others(
    similarity: Float[Tensor, "b b"], mentioned: Bool[Tensor, "b e"]
) -> tuple[Int[Tensor, " b"], Bool[Tensor, " b"]]:
    """For each image, the most similar report among those that mention other entities than its own; no gradient.

    Args:
        similarity: of images (rows) with reports (columns).
        mentioned: entities of each report.

    Returns:
        Number of that report, and whether there is one; where there is none the number means nothing.
    """
    sets = mentioned.to(torch.float32)
    sizes = sets.sum(dim=1)
    with torch.autocast(sets.device.type, enabled=False):
        differ = sizes[:, None] + sizes[None, :] - 2 * sets @ sets.T > 0
    return similarity.detach().masked_fill(~differ, -torch.inf).argmax(dim=1), differ.any(dim=1)


def matching_decisions(
    own: Float[Tensor, "b n"],
    other: Float[Tensor, "b n"],
    own_shares: Float[Tensor, "b n"],
    other_shares: Float[Tensor, "b n"],
    decided: Bool[Tensor, " b"],
) -> Float[Tensor, ""]:
    """Binary cross-entropy of decisions that should be yes for `own` and no for `other`, half each.

    Args:
        own: logits of what belongs to the pair.
        other: logits of what was put in its place.
        own_shares: weight of each decision, adding up to 1 for each pair.
        other_shares: likewise.
        decided: pairs that take part; the mean is over them, 0 where there is none.
    """
    with torch.autocast(own.device.type, enabled=False):
        missed = (own_shares * F.softplus(-wide(own))).sum(dim=1)
        mistaken = (other_shares * F.softplus(wide(other))).sum(dim=1)
        return ((missed + mistaken) * decided).sum() / decided.sum().clamp(min=1) / 2
