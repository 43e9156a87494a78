"""Contrastive losses as pure functions of features; they compute in float32 at least, inside autocast too.

Batch-wise losses see the rows they are given: with features gathered from several processes they are losses over the
global batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from vlpbench.errors import UnknownNameError

EQUAL_WITHIN = 1e-6
IMPORTANCE_QUANTILES = (0.1, 0.9)
REDUCTIONS = ("report", "word")

Temperature = float | Float[Tensor, ""]
"""A number, or a tensor where it is learned."""


def cosine_logits(
    anchors: Float[Tensor, "b d"], candidates: Float[Tensor, "c d"], *, temperature: Temperature
) -> Float[Tensor, "b c"]:
    """Cosines of anchors with candidates, over the temperature."""
    with torch.autocast(anchors.device.type, enabled=False):
        return _unit(anchors) @ _unit(candidates).T / temperature


def matching_loss(logits: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    """InfoNCE of each row, whose own column is the positive, mean over rows (van den Oord et al. 2018, equation 4)."""
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def pseudo_positives(reports: Float[Tensor, "b d"], *, threshold: float) -> Bool[Tensor, "b b"]:
    """Other pairs of the batch whose reports are alike: cosine above the threshold (SISTA section III.B)."""
    with torch.no_grad():
        alike = cosine_logits(reports, reports, temperature=1.0) > threshold
        return alike.fill_diagonal_(False)


def attenuated_contrast(
    first: Float[Tensor, "b d"],
    second: Float[Tensor, "b d"],
    alike: Bool[Tensor, "b b"],
    *,
    temperature: float,
    weight: float,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE in which pseudo-positives weigh less as negatives.

    SISTA's L_nce (section III.B) with u = 1, and u = `weight` for pseudo-positives: u enters as log u added to the
    logits. The row of u is the anchor's in both directions; the result is the mean of the two.
    """
    logits = cosine_logits(first, second, temperature=temperature)
    log_weights = torch.zeros_like(logits).masked_fill(alike, weight).masked_fill(~alike, 1.0).log()
    return (matching_loss(logits + log_weights) + matching_loss(logits.T + log_weights)) / 2


def soft_target_contrast(
    first: Float[Tensor, "b d"],
    second: Float[Tensor, "b d"],
    alike: Bool[Tensor, "b b"],
    *,
    temperature: float,
    weight: float,
) -> Float[Tensor, ""]:
    """Symmetric cross-entropy with soft targets: 1 for the pair, `weight` for pseudo-positives, rows adding up to 1."""
    logits = cosine_logits(first, second, temperature=temperature)
    targets = torch.eye(len(logits), dtype=logits.dtype, device=logits.device) + weight * alike.to(logits.dtype)
    targets = targets / targets.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def word_importance(attention: Float[Tensor, "b w"], mask: Bool[Tensor, "b w"]) -> Float[Tensor, "b w"]:
    """Attention as importance: clipped to its 10-90 percentile within the report, scaled to mean 1 over its words.

    MGCA (mgca/models/mgca/mgca_module.py:128-168) clips alike and scales to sum 1; its loss has no 1/L.
    """
    real = torch.where(mask & (attention > 0), attention, torch.nan)
    low, high = torch.nanquantile(real, real.new_tensor(IMPORTANCE_QUANTILES), dim=1, keepdim=True).nan_to_num()
    clipped = torch.where(real.isnan(), 0.0, attention.clamp(low, high))
    mean = clipped.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(mean > 0, clipped / torch.where(mean > 0, mean, 1.0), mask.to(clipped.dtype))


def sparse_grouping(
    words: Float[Tensor, "b w d"], patches: Float[Tensor, "b p d"], *, threshold: float, normalised: bool = True
) -> tuple[Float[Tensor, "b w d"], Bool[Tensor, "b w p"]]:
    """Patches gathered for each word, and which were kept (SISTA section III.D).

    Similarities of a word with the patches are min-max scaled to [0, 1]; those not below the threshold are kept and
    divided by their sum. Where all similarities are equal, 0/0, all patches count alike. Min-max scaling does not see
    the length of a word, so that words are always taken as unit vectors.

    Args:
        words: vectors of words or tokens.
        patches: vectors of patches.
        threshold: smallest scaled similarity that is kept; at most 1.
        normalised: whether patches are compared and summed as unit vectors, or as they are (SPARC).
    """
    with torch.autocast(words.device.type, enabled=False):
        values = _unit(patches) if normalised else wide(patches)
        similarity = _unit(words) @ values.transpose(1, 2)
        low, high = similarity.aminmax(dim=2, keepdim=True)
        equal = high - low < EQUAL_WITHIN * (1.0 if normalised else _longest(values))
        scaled = torch.where(equal, 1.0, (similarity - low) / torch.where(equal, 1.0, high - low))
        kept = scaled >= threshold
        weights = scaled * kept
        return weights / weights.sum(dim=2, keepdim=True) @ values, kept


def word_contrast(
    words: Float[Tensor, "b w d"],
    grouped: Float[Tensor, "b w d"],
    mask: Bool[Tensor, "b w"],
    importance: Float[Tensor, "b w"],
    *,
    temperature: Temperature,
    reduction: str = "report",
) -> Float[Tensor, ""]:
    """InfoNCE between words and their grouped patches within each report, both ways (SISTA section III.D, L_STA).

    A report of fewer than two words has nothing to contrast and adds 0.

    Args:
        words: vectors of words or tokens.
        grouped: what of the image belongs to each.
        mask: True for real words.
        importance: weight of each word.
        temperature: of the cosines.
        reduction: "report", the mean over the L words of a report, then over reports; or "word", the mean over all
            words of the batch, in which a report weighs as much as it is long.

    Raises:
        UnknownNameError: for another reduction.
    """
    if reduction not in REDUCTIONS:
        raise UnknownNameError("reduction of a contrast of words", reduction, REDUCTIONS)
    with torch.autocast(words.device.type, enabled=False):
        logits = _unit(words) @ _unit(grouped).transpose(1, 2) / temperature
        padded_diagonal = torch.diag_embed(~mask)
        logits = logits.masked_fill(~(mask[:, :, None] & mask[:, None, :]), -torch.inf).masked_fill(
            padded_diagonal, 0.0
        )
        own = logits.diagonal(dim1=1, dim2=2)
        losses = logits.logsumexp(dim=2) + logits.logsumexp(dim=1) - 2 * own
        lengths = mask.sum(dim=1)
        summed = (importance * losses * mask).sum(dim=1) * (lengths > 1)
        if reduction == "word":
            return summed.sum() / lengths.sum().clamp(min=1) / 2
        return (summed / lengths.clamp(min=1)).mean() / 2


def wide(rows: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """The same, half precision as float32."""
    return rows.float() if rows.dtype in {torch.bfloat16, torch.float16} else rows


def _unit(rows: Tensor) -> Tensor:
    """Unit vectors, of half-precision input in float32."""
    return F.normalize(wide(rows), dim=-1)


def _longest(patches: Float[Tensor, "b p d"]) -> Float[Tensor, "b 1 1"]:
    """Length of the longest patch of each image, never quite 0."""
    longest: Tensor = torch.linalg.vector_norm(patches.detach(), dim=2).amax(dim=1)
    return longest.clamp(min=EQUAL_WITHIN)[:, None, None]
