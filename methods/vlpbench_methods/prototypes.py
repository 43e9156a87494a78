"""Prototypes: balanced codes by Sinkhorn's iterations, and swapped prediction of them; no modules, only features.

Scores are cosines of features with prototypes. Rows are those given: with features gathered from several processes the
codes are balanced over the global batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vlpbench_methods.contrastive import wide


def sinkhorn_codes(scores: Float[Tensor, "b k"], *, epsilon: float, iterations: int) -> Float[Tensor, "b k"]:
    """Soft assignments of samples to prototypes that use all prototypes alike; detached, each row adding up to 1.

    Each iteration scales the matrix exp(scores / epsilon) so that all prototypes hold the same mass, then so that all
    samples do (Cuturi 2013; SwAV, Caron et al. 2020, section 3.2). It computes in logarithms, so that no epsilon
    overflows.

    Args:
        scores: of samples with prototypes.
        epsilon: smoothness; the smaller, the harder the codes.
        iterations: 1 or more.
    """
    with torch.no_grad(), torch.autocast(scores.device.type, enabled=False):
        logs = wide(scores) / epsilon
        for _ in range(iterations):
            logs = logs - logs.logsumexp(dim=0, keepdim=True)
            logs = logs - logs.logsumexp(dim=1, keepdim=True)
        return logs.exp()


def swapped_prediction(
    first: Float[Tensor, "b k"],
    second: Float[Tensor, "b k"],
    *,
    epsilon: float,
    iterations: int,
    temperature: float,
) -> Float[Tensor, ""]:
    """Cross-entropy of the code of one view with the prediction of the other, mean of both ways.

    L = 1/2 mean_i [ - sum_k q_ik log softmax_k(second_i / tau) - sum_k r_ik log softmax_k(first_i / tau) ], where q and
    r are the codes of `first` and `second` (SwAV, equations 1 and 2).

    Args:
        first: scores of one view with the prototypes.
        second: scores of the other.
        epsilon: of the codes.
        iterations: of the codes.
        temperature: tau, of the predictions.
    """
    with torch.autocast(first.device.type, enabled=False):
        codes, swapped = (sinkhorn_codes(view, epsilon=epsilon, iterations=iterations) for view in (first, second))
        predicted = F.cross_entropy(wide(second) / temperature, codes)
        return (predicted + F.cross_entropy(wide(first) / temperature, swapped)) / 2


def prototypes_in_use(scores: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """How many prototypes are the nearest one of some sample; detached."""
    nearest = F.one_hot(scores.detach().argmax(dim=1), scores.shape[1])
    return nearest.any(dim=0).sum().float()
