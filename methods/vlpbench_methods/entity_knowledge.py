"""Entity knowledge: descriptions of entities as vectors, and what features take from those that a report mentions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from vlpbench.text import TextTower, TokenBatch
from vlpbench_methods.contrastive import wide
from vlpbench_methods.local_alignment import gather_attended

DESCRIPTIONS_AT_ONCE = 64


def describe_entities(text: TextTower, texts: TokenBatch) -> Float[Tensor, "e d"]:
    """Mean token vector of each description, less the mean of all, as a unit vector; no gradient, no dropout.

    A single description is its own mean, and becomes 0.
    """
    training = text.training
    text.eval()
    sums = []
    with torch.no_grad():
        for start in range(0, len(texts), DESCRIPTIONS_AT_ONCE):
            part = texts.part(slice(start, start + DESCRIPTIONS_AT_ONCE))
            sums.append((wide(text(part).tokens) * part.mask[:, :, None]).sum(dim=1))
        means = torch.cat(sums) / texts.mask.sum(dim=1, keepdim=True)
        vectors = F.normalize(means - means.mean(dim=0), dim=1)
    text.train(training)
    return vectors


def add_knowledge(
    features: Float[Tensor, "b n d"],
    entities: Float[Tensor, "e d"],
    mentioned: Bool[Tensor, "b e"],
    *,
    temperature: float,
) -> Float[Tensor, "b n d"]:
    """Features x of a report with what they gather of the entities k_e it mentions.

    unit(x + sum_e softmax_e(c(x, k_e) / tau) k_e) over mentioned e; unit(x) where the report mentions none.
    """
    with torch.autocast(features.device.type, enabled=False):
        candidates = entities.expand(len(features), -1, -1)
        gathered = gather_attended(features, candidates, mentioned, temperature=temperature)
        return F.normalize(F.normalize(wide(features), dim=2) + gathered, dim=2)
