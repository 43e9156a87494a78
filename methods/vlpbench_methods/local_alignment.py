"""Local alignment: the patches and words of a pair, each gathering those of the other, contrasted within the pair."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from vlpbench.text import TokenBatch, span_means
from vlpbench_methods.contrastive import wide, word_contrast

Head = Callable[[Tensor], Tensor]
SMALLEST_BATCH = 2
LOGITS_AT_ONCE = 2**19


def project_patches(head: Head, cells: Float[Tensor, "b p c"]) -> Float[Tensor, "b p d"]:
    """Patches through a head, whose batch statistics are over all patches of the batch."""
    return head(cells.flatten(0, 1)).view(*cells.shape[:2], -1)


def project_words(
    head: Head, words: Float[Tensor, "b w c"], mask: Bool[Tensor, "b w"], *, projected: int
) -> Float[Tensor, "b w d"]:
    """Real words through a head, so that padding does not shift its batch statistics; zeros elsewhere.

    Args:
        head: projection to width `projected`.
        words: sums or means of their tokens.
        mask: True for real words.
        projected: width of the result.
    """
    # Batch statistics need two words; with fewer in the whole batch there is nothing to contrast either.
    if mask.sum() < SMALLEST_BATCH:
        return torch.zeros(*mask.shape, projected, device=words.device)
    rows = head(words[mask])
    return rows.new_zeros(*mask.shape, projected).masked_scatter(mask[:, :, None], rows)


def pair_cosines(first: Float[Tensor, "b n d"], second: Float[Tensor, "b m d"]) -> Float[Tensor, "b n m"]:
    """Cosines of all rows of a sample with all rows of the other kind."""
    with torch.autocast(first.device.type, enabled=False):
        return F.normalize(wide(first), dim=2) @ F.normalize(wide(second), dim=2).transpose(1, 2)


def word_patch_cosines(
    word_head: Head, words: Float[Tensor, "b w c"], patch_head: Head, cells: Float[Tensor, "b p c2"]
) -> Float[Tensor, "b w p"]:
    """Cosines of projected words and patches, for heads in evaluation mode, in which padding shifts no statistics."""
    return pair_cosines(project_patches(word_head, words), project_patches(patch_head, cells))


def rows_of_words(sentences: Float[Tensor, "b s p"], reports: TokenBatch) -> Float[Tensor, "b words p"]:
    """For each word the row of the sentence it stands in."""
    where = reports.sentence.clamp(min=0)[:, :, None].expand(-1, -1, sentences.shape[2])
    return span_means(sentences.gather(1, where), reports.word, reports.words)


def gather_attended(
    queries: Float[Tensor, "b q d"],
    candidates: Float[Tensor, "b c d"],
    mask: Bool[Tensor, "b c"],
    *,
    temperature: float,
) -> Float[Tensor, "b q d"]:
    """What each query gathers: its sample's candidates (unit vectors), weighted by softmax of cosines over temperature.

    Zero where a sample has no candidate at all.
    """
    with torch.autocast(queries.device.type, enabled=False):
        unit = F.normalize(wide(candidates), dim=2)
        similarity = F.normalize(wide(queries), dim=2) @ unit.transpose(1, 2) / temperature
        allowed = mask[:, None, :]
        weights = similarity.masked_fill(~allowed, torch.finfo(similarity.dtype).min).softmax(dim=2)
        return (weights * allowed) @ unit


def contrast_words(
    words: Float[Tensor, "b w d"],
    patches: Float[Tensor, "b p d"],
    mask: Bool[Tensor, "b w"],
    importance: Float[Tensor, "b w"],
    *,
    attention_temperature: float,
    temperature: float,
) -> Float[Tensor, ""]:
    """Word side of MGCA's CTA: words against what they gather of the patches, within each report.

    With w^_l = sum_k softmax_k(w_l.p_k / tau_a) p_k and Y_lm = c(w_l, w^_m) / tau over real words l and m, the mean
    over reports of 1/L sum_l u_l [CE(Y_l., l) + CE(Y_.l, l)] / 2.

    Args:
        words: projected; padding is ignored.
        patches: projected.
        mask: True for real words.
        importance: u, with mean 1 over a report's words.
        attention_temperature: tau_a.
        temperature: tau.
    """
    every = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
    gathered = gather_attended(words, patches, every, temperature=attention_temperature)
    return word_contrast(words, gathered, mask, importance, temperature=temperature)


def contrast_patches(
    words: Float[Tensor, "b w d"],
    patches: Float[Tensor, "b p d"],
    mask: Bool[Tensor, "b w"],
    *,
    attention_temperature: float,
    temperature: float,
) -> Float[Tensor, ""]:
    """Patch side of MGCA's CTA: patches against what they gather of the real words, within each image.

    The word side with p^_k = sum_l softmax_l(p_k.w_l / tau_a) w_l and every patch of importance 1. A pair whose report
    has no word adds 0.
    """
    gathered = gather_attended(patches, words, mask, temperature=attention_temperature)
    at_once = max(1, LOGITS_AT_ONCE // patches.shape[1] ** 2)
    with torch.autocast(patches.device.type, enabled=False):
        # Without padding there is nothing to mask, and a few images at a time stay in the processor's cache.
        losses = [
            _matching_losses(patches[start : start + at_once], gathered[start : start + at_once], temperature)
            for start in range(0, len(patches), at_once)
        ]
        return torch.where(mask.any(dim=1), torch.cat(losses), 0.0).mean()


def _matching_losses(
    rows: Float[Tensor, "n p d"], gathered: Float[Tensor, "n p d"], temperature: float
) -> Float[Tensor, " n"]:
    """InfoNCE between rows and what they gather within each sample, mean over rows and both ways."""
    logits = F.normalize(wide(rows), dim=2) @ F.normalize(gathered, dim=2).transpose(1, 2) / temperature
    own = logits.diagonal(dim1=1, dim2=2)
    return (logits.logsumexp(dim=2) + logits.logsumexp(dim=1) - 2 * own).mean(dim=1) / 2
