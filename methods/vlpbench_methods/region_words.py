"""How well the words of a report fit the regions of an image, without building what each word attends to.

GLoRIA's local score as the released code has it (gloria/loss/gloria_loss.py:18-137), for words w_l of one report and
regions r of one image:

    s_lr = w_l.r,   beta_lr = softmax_l(s_lr),   alpha_lr = softmax_r(lambda_1 beta_lr)
    c_l = sum_r alpha_lr r
    score = log sum_l exp(lambda_2 cos(w_l, c_l))

The released code builds every c_l, for each word of each report over each image, and keeps them for the backward pass.
The cosine needs no more than

    w_l.c_l = sum_r alpha_lr s_lr,   |c_l|^2 = alpha_l G alpha_l',   G = R R'

with one Gram matrix G per image. Attention is computed block by block and again in the backward pass, from products
kept as far as a fixed allowance goes, so that only a few numbers for each word and image grow with the square of the
batch. For the gradient, with a_l and b_l for those of w_l.c_l and |c_l|^2:

    d alpha_lr = a_l s_lr + 2 b_l (alpha_l G)_r
    d (lambda_1 beta_lr) = alpha_lr d alpha_lr    since the cosine does not see the length of c_l:
                                                  sum_r alpha_lr d alpha_lr = 0
    d s_lr = a_l alpha_lr + beta_lr (d beta_lr - sum_m beta_mr d beta_mr)
    d r = sum_l d s_lr w_l + 2 sum_q (alpha' diag(b) alpha)_rq q,   d w_l = sum_r d s_lr r - (cosine's share of |w_l|)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from vlpbench_methods.contrastive import wide

AT_ONCE = 2**20
KEPT = 2**26
FILLED = 0.75
SHORTEST = 1e-8


def region_word_scores(
    words: Float[Tensor, "texts w d"],
    mask: Bool[Tensor, "texts w"],
    regions: Float[Tensor, "images r d"],
    *,
    attention_scale: float,
    pooling_scale: float,
    at_once: int = AT_ONCE,
    kept: int = KEPT,
) -> Float[Tensor, "images texts"]:
    """GLoRIA's score of every image with every report, before its logit scale.

    Args:
        words: of the reports, in any place of their rows.
        mask: True for real words; what stands elsewhere does not matter. A report without any scores -inf, and gets no
            gradient.
        regions: of the images.
        attention_scale: lambda_1 (temp1 of the released code).
        pooling_scale: lambda_2 (temp2).
        at_once: attention weights computed at a time, or those of one report on one image where these are more.
        kept: attention weights whose matrix products are kept for the backward pass, of two numbers each; those of the
            others are computed again.
    """
    with torch.autocast(words.device.type, enabled=False):
        lengths = mask.sum(dim=1)
        # Longest reports first, so that those of a block are about as long.
        order = lengths.argsort(descending=True, stable=True)
        front = mask[order].int().argsort(dim=1, descending=True, stable=True)
        packed = wide(words).masked_fill(~mask[:, :, None], 0.0)[order[:, None], front]
        settings = _Settings(attention_scale, pooling_scale, at_once, kept if torch.is_grad_enabled() else 0)
        scores: Tensor = _Scores.apply(packed, lengths[order], wide(regions), settings)
        return scores[:, order.argsort()]


Products = tuple[Float[Tensor, "n r"], Float[Tensor, "n r"]]
"""Similarities of words and regions, and the attention times the Gram matrix: what takes most of the time."""


@dataclass(frozen=True)
class _Settings:
    attention_scale: float
    pooling_scale: float
    at_once: int
    kept: int


@dataclass(frozen=True)
class _Block:
    """Words of some reports, cut to the longest of them, one under the other."""

    rows: slice
    longest: int
    words: Float[Tensor, "rows*longest d"]
    padding: Bool[Tensor, "rows longest 1"]

    def of(self, values: Float[Tensor, "texts w"]) -> Float[Tensor, "rows*longest 1"]:
        """Values of the block's words, in a column."""
        return values[self.rows, : self.longest].reshape(-1, 1)


@dataclass(frozen=True)
class _Attention:
    """What the words of a block and the regions of one image have to do with each other."""

    over_words: Float[Tensor, "n r"]
    over_regions: Float[Tensor, "n r"]
    products: Products


class _Scores(torch.autograd.Function):
    """Scores and their gradient; the attention is computed in each pass."""

    @staticmethod
    def forward(
        ctx: Any,
        words: Float[Tensor, "texts w d"],
        lengths: Int[Tensor, " texts"],
        regions: Float[Tensor, "images r d"],
        settings: _Settings,
    ) -> Float[Tensor, "images texts"]:
        """Cosines block by block, then the scores."""
        inner, squares = (words.new_zeros(len(regions), *words.shape[:2]) for _ in range(2))
        blocks = _blocks(words, lengths, regions.shape[1], settings.at_once)
        ctx.kept, room = {}, settings.kept
        for image, own in enumerate(regions):
            gram = own @ own.T
            for number, block in enumerate(blocks):
                found = _attend(block, own, gram, settings.attention_scale)
                for sums, product in zip((inner, squares), found.products, strict=True):
                    of_words = (found.over_regions * product).sum(dim=1)
                    sums[image, block.rows, : block.longest] = of_words.view(-1, block.longest)
                if found.over_words.numel() <= room:
                    ctx.kept[image, number] = found.products
                    room -= found.over_words.numel()
        squares.clamp_(min=SHORTEST**2)
        cosines = inner.div_(_denominators(words, squares))
        ctx.save_for_backward(words, lengths, regions, cosines, squares)
        ctx.settings = settings
        real = _real(lengths, words.shape[1])
        return (settings.pooling_scale * cosines).masked_fill(~real, -torch.inf).logsumexp(dim=2)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Float[Tensor, "images texts"]
    ) -> tuple[Float[Tensor, "texts w d"], None, Float[Tensor, "images r d"], None]:
        """Gradients of words and regions, the attention computed once more."""
        words, lengths, regions, cosines, squares = ctx.saved_tensors
        settings: _Settings = ctx.settings
        with torch.autocast(words.device.type, enabled=False):
            of_cosines = gradient[:, :, None] * _shares(cosines, lengths, settings.pooling_scale)
            of_inner = of_cosines / _denominators(words, squares)
            of_squares = -of_cosines * cosines / (2 * squares)
            of_regions = torch.zeros_like(regions)
            blocks = _blocks(words, lengths, regions.shape[1], settings.at_once)
            parts = [torch.zeros_like(block.words) for block in blocks]
            for image, own in enumerate(regions):
                gram = own @ own.T
                of_gram = torch.zeros_like(gram)
                for number, (block, part) in enumerate(zip(blocks, parts, strict=True)):
                    found = _attend(block, own, gram, settings.attention_scale, ctx.kept.pop((image, number), None))
                    by_inner, by_square = block.of(of_inner[image]), block.of(of_squares[image])
                    of_gram.addmm_(found.over_regions.T, found.over_regions * by_square)
                    of_similarity = _of_similarity(block, found, by_inner, by_square, settings.attention_scale)
                    of_regions[image].addmm_(of_similarity.T, block.words)
                    part.addmm_(of_similarity, own)
                of_regions[image].addmm_(of_gram, own, alpha=2)
            lengthwise = (of_cosines * cosines).sum(dim=0) / words.square().sum(dim=2).clamp(min=SHORTEST**2)
            of_words = -lengthwise[:, :, None] * words
            for block, part in zip(blocks, parts, strict=True):
                of_words[block.rows, : block.longest] += part.view(-1, block.longest, part.shape[1])
        return of_words, None, of_regions, None


def _blocks(words: Tensor, lengths: Tensor, regions: int, at_once: int) -> Sequence[_Block]:
    """Reports, longest first, in blocks of at most so many attention weights and little padding."""
    counts, blocks, start = lengths.tolist(), [], 0
    while start < len(counts):
        longest = max(1, counts[start])
        candidates = counts[start : start + max(1, at_once // (longest * regions))]
        rows = slice(start, start + max(1, sum(count >= FILLED * counts[start] for count in candidates)))
        padding = ~_real(lengths[rows], longest)[:, :, None]
        blocks.append(_Block(rows, longest, words[rows, :longest].flatten(0, 1), padding))
        start = rows.stop
    return blocks


def _attend(
    block: _Block, regions: Tensor, gram: Tensor, attention_scale: float, kept: Products | None = None
) -> _Attention:
    """Both softmaxes of the attention, over the words of each report and over the regions."""
    similarity = block.words @ regions.T if kept is None else kept[0]
    by_report = similarity.view(-1, block.longest, len(regions))
    lowest = torch.finfo(similarity.dtype).min
    over_words = by_report.masked_fill(block.padding, lowest).softmax(dim=1).view_as(similarity)
    over_regions = (attention_scale * over_words).softmax(dim=1)
    return _Attention(over_words, over_regions, (similarity, over_regions @ gram if kept is None else kept[1]))


def _of_similarity(
    block: _Block, found: _Attention, by_inner: Tensor, by_square: Tensor, attention_scale: float
) -> Float[Tensor, "n r"]:
    """Gradient of the similarities, in the memory of the similarities themselves."""
    similarity, through_gram = found.products
    of_weights = similarity.mul_(by_inner).addcmul_(through_gram, by_square, value=2)
    weighted = of_weights.mul_(found.over_regions).mul_(attention_scale).mul_(found.over_words)
    by_report = weighted.view(-1, block.longest, weighted.shape[1])
    by_report.addcmul_(found.over_words.view_as(by_report), by_report.sum(dim=1, keepdim=True), value=-1)
    return weighted.addcmul_(found.over_regions, by_inner)


def _shares(cosines: Tensor, lengths: Tensor, pooling_scale: float) -> Float[Tensor, "images texts w"]:
    """Derivative of the scores by the cosines; 0 for the padding of a report that has words."""
    real = _real(lengths, cosines.shape[2])
    lowest = torch.finfo(cosines.dtype).min
    return pooling_scale * (pooling_scale * cosines).masked_fill(~real, lowest).softmax(dim=2)


def _denominators(words: Tensor, squares: Tensor) -> Float[Tensor, "images texts w"]:
    lengths: Tensor = torch.linalg.vector_norm(words, dim=2)
    return (lengths * squares.sqrt()).clamp(min=SHORTEST)


def _real(lengths: Tensor, count: int) -> Bool[Tensor, "texts w"]:
    return torch.arange(count, device=lengths.device) < lengths[:, None]
