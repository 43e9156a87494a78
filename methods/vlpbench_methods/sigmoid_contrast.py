"""Sigmoid contrast with mined positives, repulsion of hard negatives and sparse attention, as FaNe has them.

Pure functions of features and one module; they compute in float32 at least, inside autocast too.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlpbench_methods.contrastive import cosine_logits, wide

CENTRE_EPSILON = 1e-6
REPORTS_AT_ONCE = 16


def mean_cosine_to_prototype(vectors: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """Mean cosine of the batch's vectors with the mean of their unit vectors (FaNe utils/semantic_similarity.py)."""
    with torch.autocast(vectors.device.type, enabled=False):
        prototype = F.normalize(wide(vectors), dim=1).mean(dim=0, keepdim=True)
        return cosine_logits(vectors, prototype, temperature=1.0).mean()


def mined_positives(
    vectors: Float[Tensor, "b d"], centre: Float[Tensor, ""], *, threshold: float
) -> Bool[Tensor, "b b"]:
    """Pairs whose reports are alike, every pair with itself included: (cosine - centre) / (1 - centre) > threshold."""
    with torch.no_grad():
        cosines = cosine_logits(vectors, vectors, temperature=1.0)
        centred = (cosines - centre) / (1 - centre + CENTRE_EPSILON)
        return (centred > threshold).fill_diagonal_(True)


def sigmoid_contrast(
    first: Float[Tensor, "b d"],
    second: Float[Tensor, "b d"],
    positive: Bool[Tensor, "b b"],
    *,
    scale: float | Float[Tensor, ""],
    bias: float | Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Each pair of rows judged on its own: sum over all of softplus(-m (scale cosine + bias)), over the batch size.

    m is 1 for positives and -1 for the others (Zhai et al. 2023, Sigmoid Loss for Language Image Pre-Training).
    """
    cosines = cosine_logits(first, second, temperature=1.0)
    signs = torch.where(positive, 1.0, -1.0).to(cosines.dtype)
    with torch.autocast(cosines.device.type, enabled=False):
        return F.softplus(-signs * (scale * cosines + bias)).sum() / len(cosines)


def hard_negative_repulsion(
    rows: Float[Tensor, "b d"], negative: Bool[Tensor, "b b"], *, temperature: float, sharpness: float
) -> Float[Tensor, ""]:
    """Mean over anchors of the similarity with their negatives, the closest weighing most.

    Per anchor sum_j softmax_j(l_j / sharpness) l_j over its negatives, l the cosine over the temperature (FaNe
    models/fane.py:229-239); an anchor without negatives adds 0.

    Args:
        rows: one modality's features.
        negative: whether column j is a negative of row i.
        temperature: of the cosines.
        sharpness: temperature of the weights.
    """
    with torch.autocast(rows.device.type, enabled=False):
        logits = cosine_logits(rows, rows, temperature=temperature)
        # A row without negatives would be a softmax of nothing: it is given all columns here and weighs 0 below.
        some = negative.any(dim=1, keepdim=True)
        weights = (logits / sharpness).masked_fill(~negative & some, -torch.inf).softmax(dim=1)
        return (torch.where(some, weights, 0.0) * logits).sum() / len(rows)


class SparseAttention(nn.Module):
    """What of an image each sentence looks at (FaNe modules/sparse_local_attention.py).

    With queries q of sentences, keys k and values v of patches, and a learnt mask m in (0, 1):

        m_jp = sigmoid(MLP([q_j; k_p])),  a_jp = sigmoid(m_jp q_j.k_p / sqrt(d)),  y_j = LayerNorm(W sum_p a_jp v_p)

    A patch that the mask shuts out still counts, with sigmoid(0) = 1/2, as released.
    """

    def __init__(self, width: int) -> None:
        """Build the linear layers, all of one width."""
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.of_pair, self.to_mask = nn.Linear(2 * width, width), nn.Linear(width, 1)
        self.output = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))

    def forward(
        self, sentences: Float[Tensor, "b s d"], patches: Float[Tensor, "b p d"]
    ) -> tuple[Float[Tensor, "b s d"], Float[Tensor, "b s p"]]:
        """What each sentence sees, and the mask m."""
        queries, keys, values = self.query(sentences), self.key(patches), self.value(patches)
        scores, mask = self._masked(queries, keys)
        with torch.autocast(values.device.type, enabled=False):
            seen = scores.sigmoid() @ wide(values)
        return self.output(seen), mask

    def scores(self, sentences: Float[Tensor, "b s d"], patches: Float[Tensor, "b p d"]) -> Float[Tensor, "b s p"]:
        """m_jp q_j.k_p / sqrt(d)."""
        return self._masked(self.query(sentences), self.key(patches))[0]

    def _masked(
        self, queries: Float[Tensor, "b s d"], keys: Float[Tensor, "b p d"]
    ) -> tuple[Float[Tensor, "b s p"], Float[Tensor, "b s p"]]:
        """Products times the mask, and the mask."""
        # A linear layer on [q; k] is the sum of one on q and one on k, which saves a row for every pair of the two.
        of_query, of_key = self.of_pair.weight.chunk(2, dim=1)
        mask = self._mask_in_parts(F.linear(queries, of_query, self.of_pair.bias), F.linear(keys, of_key))
        with torch.autocast(queries.device.type, enabled=False):
            scores = wide(queries) @ wide(keys).transpose(1, 2) / math.sqrt(queries.shape[2])
            return scores * mask, mask

    def _mask_in_parts(self, queries: Float[Tensor, "b s d"], keys: Float[Tensor, "b p d"]) -> Float[Tensor, "b s p"]:
        """The mask, a few reports at a time: sentence by patch by width is too much to keep for all of them."""
        starts = range(0, len(queries), REPORTS_AT_ONCE)
        parts = [(queries[start : start + REPORTS_AT_ONCE], keys[start : start + REPORTS_AT_ONCE]) for start in starts]
        if len(queries) <= REPORTS_AT_ONCE or not torch.is_grad_enabled():
            masks = [self._mask(*part) for part in parts]
        else:
            # Computed again on the way back instead of being kept; nothing random is in it.
            masks = [checkpoint(self._mask, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
        return torch.cat(masks)

    def _mask(self, queries: Float[Tensor, "n s d"], keys: Float[Tensor, "n p d"]) -> Float[Tensor, "n s p"]:
        hidden = torch.relu(queries[:, :, None] + keys[:, None])
        return wide(self.to_mask(hidden)).squeeze(-1).sigmoid()


def mask_size(mask: Float[Tensor, "b s p"], real: Bool[Tensor, "b s"]) -> Float[Tensor, ""]:
    """Mean of the mask over the real sentences and the patches of each report, then over reports; 0 without any."""
    per_sentence = torch.where(real, mask.mean(dim=2), 0.0).sum(dim=1)
    return (per_sentence / real.sum(dim=1).clamp(min=1)).mean()
