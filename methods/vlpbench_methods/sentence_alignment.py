"""Alignment of the sentences of a report with the patches of an image, as PRIOR has it.

q_j are the sentences of a report and p_k the patches of its image, both d wide, c(., .) a cosine, sg a stop-gradient:

    x_j = sum_k sigmoid(Q q_j . K p_k / sqrt d) V p_k         what sentence j sees
    y_k = sum_j sigmoid(Q' p_k . K' q_j / sqrt d) V' q_j      what patch k is told
    text side     InfoNCE between the q_j and the x_j of one report, both ways
    image side    -1/2 mean_k [ c(h(p_k), sg y_k) + c(h(y_k), sg p_k) ], h a small network

(PRIOR codes/prior/modules/local_attention.py:26-59, models/prior.py:170-224). The text side is `word_contrast`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlpbench_methods.contrastive import wide

HEADS = 8


class AttentionPooling(nn.Module):
    """One vector for a set: attention whose query is the mean, over the mean and the members, as in CLIP's ResNets."""

    def __init__(self, width: int, *, positions: int = 0) -> None:
        """Build the pooling.

        Args:
            width: of members and result.
            positions: members that a set has, each with a learnt position; 0 for sets of any size without order.
        """
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads_of(width, most=HEADS), batch_first=True)
        drawn = torch.randn(positions + 1, width) / width**0.5
        self.positions = nn.Parameter(drawn) if positions else None

    def forward(self, members: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None) -> Float[Tensor, "b d"]:
        """Pool the members for which the mask is True, at least one of each set, or all where there is no mask."""
        if mask is None:
            mask = torch.ones(members.shape[:2], dtype=torch.bool, device=members.device)
        real = mask[:, :, None]
        mean = (members * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
        sequence = torch.cat([mean, members], dim=1)
        if self.positions is not None:
            sequence = sequence + self.positions
        padding = F.pad(~mask, (1, 0), value=False)
        pooled: Tensor = self.attention(
            sequence[:, :1], sequence, sequence, key_padding_mask=padding, need_weights=False
        )[0]
        return pooled.squeeze(1)


class ConditionalAttention(nn.Module):
    """What sentences see and patches are told: sigmoids instead of a softmax, so that a patch may be of no interest."""

    def __init__(self, width: int) -> None:
        """Build queries, keys and values of both sides."""
        super().__init__()
        self.of_patches = nn.Linear(width, 3 * width)
        self.of_sentences = nn.Linear(width, 3 * width)

    def forward(
        self, patches: Float[Tensor, "b p d"], sentences: Float[Tensor, "b s d"], mask: Bool[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b s d"], Float[Tensor, "b p d"]]:
        """The x of the sentences and the y of the patches; sentences beyond the mask are told to nobody."""
        patch_queries, patch_keys, patch_values = self.of_patches(patches).chunk(3, dim=2)
        queries, keys, values = self.of_sentences(sentences).chunk(3, dim=2)
        root = patches.shape[2] ** 0.5
        seen = (queries @ patch_keys.transpose(1, 2) / root).sigmoid() @ patch_values
        told = ((patch_queries @ keys.transpose(1, 2) / root).sigmoid() * mask[:, None, :]) @ values
        return seen, told

    def scores(self, patches: Float[Tensor, "b p d"], sentences: Float[Tensor, "b s d"]) -> Float[Tensor, "b s p"]:
        """Q q_j . K p_k / sqrt d, whose sigmoid is what sentence j sees of patch k."""
        _, keys, _ = self.of_patches(patches).chunk(3, dim=2)
        queries, _, _ = self.of_sentences(sentences).chunk(3, dim=2)
        with torch.autocast(patches.device.type, enabled=False):
            products: Tensor = wide(queries) @ wide(keys).transpose(1, 2)
            return products / math.sqrt(patches.shape[2])


def patch_agreement(
    patches: Float[Tensor, "b p d"],
    told: Float[Tensor, "b p d"],
    predicted_patches: Float[Tensor, "b p d"],
    predicted_told: Float[Tensor, "b p d"],
) -> Float[Tensor, ""]:
    """SimSiam's loss, in [-1, 1]: negative cosine of each prediction with the other side, which gets no gradient.

    Args:
        patches: p.
        told: y.
        predicted_patches: h(p).
        predicted_told: h(y).
    """
    with torch.autocast(patches.device.type, enabled=False):
        one = F.cosine_similarity(wide(predicted_patches), wide(told).detach(), dim=2)
        other = F.cosine_similarity(wide(predicted_told), wide(patches).detach(), dim=2)
        return -(one + other).mean() / 2


def heads_of(width: int, *, most: int) -> int:
    """The largest number of attention heads, not above `most`, that divides the width."""
    return max(heads for heads in range(1, most + 1) if width % heads == 0)


def linear_projection(width: int, projected: int) -> nn.Linear:
    """A linear layer, its weights drawn as in CLIP (PRIOR codes/prior/models/prior.py:113-119)."""
    layer = nn.Linear(width, projected)
    nn.init.normal_(layer.weight, std=width**-0.5)
    return layer
