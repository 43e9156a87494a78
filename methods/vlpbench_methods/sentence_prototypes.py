"""A memory of sentence prototypes, and the losses of sentences that are drawn from it (PRIOR).

E are the prototypes, q_j the n sentences of a report, g_1..g_m generated ones, m >= n, and pi the assignment of least
cost sum_j |g_pi(j) - q~_j|_1:

    q~_j = softmax((q_j E^T + Gumbel noise) / tau) E            (PRIOR codes/prior/modules/spb.py:30-40)
    memory         mean |q~ - q|                                 (spb.py:37)
    generation     mean_j |g_pi(j) - q~_j|                       (models/prior.py:281-320)
    consistency    KL(softmax(q E^T) || softmax(g_pi E^T))       (spb.py:54-62)

Losses compute in float32 at least, inside autocast too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from vlpbench_methods.contrastive import wide


class PrototypeMemory(nn.Module):
    """Sentences as mixtures of prototypes."""

    def __init__(self, width: int, *, prototypes: int, temperature: float) -> None:
        """Draw the prototypes.

        Args:
            width: of sentences and prototypes.
            prototypes: how many.
            temperature: tau.
        """
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(prototypes, width))
        self.temperature = temperature

    def logits(self, sentences: Float[Tensor, "b s d"]) -> Float[Tensor, "b s k"]:
        """Dot products with the prototypes."""
        with torch.autocast(sentences.device.type, enabled=False):
            return sentences.to(self.prototypes.dtype) @ self.prototypes.T

    def forward(self, sentences: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """q~; without noise in evaluation."""
        with torch.autocast(sentences.device.type, enabled=False):
            logits = self.logits(sentences)
            if self.training:
                return F.gumbel_softmax(logits, tau=self.temperature, dim=2) @ self.prototypes
            return (logits / self.temperature).softmax(dim=2) @ self.prototypes


def memory_loss(
    remembered: Float[Tensor, "b s d"], sentences: Float[Tensor, "b s d"], mask: Bool[Tensor, "b s"]
) -> Float[Tensor, ""]:
    """Mean distance of q~ from q over all real sentences of the batch."""
    distances = (wide(remembered) - wide(sentences)).abs().mean(dim=2)
    return (distances * mask).sum() / mask.sum().clamp(min=1)


def generation_loss(
    matched: Float[Tensor, "b s d"], remembered: Float[Tensor, "b s d"], mask: Bool[Tensor, "b s"]
) -> Float[Tensor, ""]:
    """Mean distance of matched sentences from q~ over the sentences of a report, then over reports."""
    distances = (wide(matched) - wide(remembered)).abs().mean(dim=2)
    return ((distances * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()


def query_consistency(
    logits: Float[Tensor, "b s k"], generated: Float[Tensor, "b s k"], mask: Bool[Tensor, "b s"]
) -> Float[Tensor, ""]:
    """KL divergence of what generated sentences ask of the memory from what real ones ask; mean over all real ones."""
    with torch.autocast(logits.device.type, enabled=False):
        asked, answered = wide(logits).log_softmax(dim=2), wide(generated).log_softmax(dim=2)
        divergences = F.kl_div(answered, asked, reduction="none", log_target=True).sum(dim=2)
        return (divergences * mask).sum() / mask.sum().clamp(min=1)


def matching_order(
    generated: Float[Tensor, "b m d"], targets: Float[Tensor, "b s d"], mask: Bool[Tensor, "b s"]
) -> Int[Tensor, "b s"]:
    """For each real target the generated sentence that the Hungarian method gives it, by L1 distance; 0 elsewhere.

    At least as many sentences are generated as there are targets.
    """
    with torch.no_grad(), torch.autocast(generated.device.type, enabled=False):
        # A diverged run is the trainer's to report; the assignment would refuse NaN before.
        costs = torch.cdist(generated.float(), targets.float(), p=1).nan_to_num().cpu().numpy()
    counts = mask.sum(dim=1).tolist()
    order = torch.zeros(mask.shape, dtype=torch.long)
    for report, (cost, count) in enumerate(zip(costs, counts, strict=True)):
        rows, columns = linear_sum_assignment(cost[:, :count])
        order[report, torch.from_numpy(columns)] = torch.from_numpy(rows)
    return order.to(mask.device)


def in_order(generated: Float[Tensor, "b m d"], order: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
    """The generated sentences that `matching_order` names."""
    return generated[torch.arange(len(order), device=order.device)[:, None], order]
