"""Maps: where in an image a trained method places phrases, on its grid of patches and on pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from vlpbench.backbone import Backbone
from vlpbench.errors import VlpbenchError
from vlpbench.grounding.phrases import Phrase, is_named, tokenise_phrases
from vlpbench.method import Knowledge, PairBatch
from vlpbench.pretraining.trained import Trained
from vlpbench.text import TokenBatch

PAIRS_AT_ONCE = 144
EQUAL_WITHIN = 1e-6
PRESENT, UNSAID = 1, -1


class NoAlignmentError(VlpbenchError):
    """A method that says nothing of words and patches."""


def align_phrases(
    trained: Trained, images: UInt8[np.ndarray, "n h w"], phrases: Sequence[Phrase]
) -> Float[np.ndarray, "n phrases side side"]:
    """Similarity of each phrase with each patch of each image: the mean over its words, on the method's own scale.

    The whole image is looked at, not the central crop of pre-training. NaN where the method knows nothing of a phrase.

    Raises:
        NoAlignmentError: if the method, or these switches of it, has no local alignment.
        VlpbenchError: if what it aligns is no square grid of patches.
    """
    device = next(trained.method.parameters()).device
    tokens, asked = tokenise_phrases(trained.tokeniser, phrases)
    at_once = max(1, PAIRS_AT_ONCE // len(phrases))
    parts = []
    with torch.inference_mode(), equal_images_once(trained.method.backbone):
        for start in range(0, len(images), at_once):
            pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + at_once])).to(device)
            count = len(pixels)
            batch = pair_batch(
                trained.knowledge,
                trained.method.backbone.normalise(pixels).repeat_interleave(len(phrases), dim=0),
                _repeated(tokens, count).to(device),
                list(phrases) * count,
            )
            similarity = trained.method.align(trained.method.encode(batch), batch)
            if similarity is None:
                raise NoAlignmentError(
                    f"The method {trained.method.card.name} compares whole images with whole reports here, and says "
                    "nothing of words and patches."
                )
            wanted = asked.repeat(count, 1)[:, :, None].to(device)
            mean = torch.where(wanted, similarity.float(), 0.0).sum(dim=1) / wanted.sum(dim=1)
            parts.append(mean.view(count, len(phrases), -1).cpu().numpy())
    return _as_grid(np.concatenate(parts), trained.method.card.name)


def pair_batch(
    knowledge: Knowledge, images: Float[Tensor, "n 3 h w"], texts: TokenBatch, phrases: Sequence[Phrase]
) -> PairBatch:
    """Images with phrases as their reports, as a corpus would hand them out.

    A phrase affirms the entities that it names, at every position, and says nothing of others.

    Args:
        knowledge: vocabulary of the method.
        images: normalised.
        texts: tokenised texts of the phrases.
        phrases: one per image.
    """
    count, device = len(images), images.device
    triplets = torch.full((count, len(knowledge.triplet_entities), len(knowledge.positions)), UNSAID, dtype=torch.int8)
    triplets[_named(phrases, knowledge.triplet_entities)] = PRESENT
    return PairBatch(
        images=images,
        augmented=images,
        reports=texts,
        summaries=texts,
        labels=torch.full((count, len(knowledge.labels)), torch.nan, device=device),
        triplets=triplets.to(device),
        entities=_named(phrases, knowledge.entities).to(device),
        report_vectors=torch.zeros(count, 0, device=device),
    )


def scale_maps(maps: Float[np.ndarray, "*n h w"]) -> Float[np.ndarray, "*n h w"]:
    """Each map from 0 at its lowest patch to 1 at its highest; 1 everywhere where all patches are alike, or NaN."""
    low, high = maps.min(axis=(-2, -1), keepdims=True), maps.max(axis=(-2, -1), keepdims=True)
    largest = np.maximum(np.abs(low), np.abs(high))
    flat = ~(high - low > EQUAL_WITHIN * largest)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled: Float[np.ndarray, "*n h w"] = np.where(flat, 1.0, (maps - low) / np.where(flat, 1.0, high - low))
    return scaled


def upsample_maps(maps: Float[np.ndarray, "*n side side"], size: int) -> Float[np.ndarray, "*n size size"]:
    """Bilinear interpolation between the centres of the patches, and the nearest patch beyond the outer ones."""
    flat = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32)).reshape(-1, 1, *maps.shape[-2:])
    larger = F.interpolate(flat, (size, size), mode="bilinear", align_corners=False)
    return larger.reshape(*maps.shape[:-2], size, size).numpy()


@contextmanager
def equal_images_once(backbone: Backbone) -> Iterator[None]:
    """Let the image tower see an image once that stands several times in a row."""
    original = backbone.maps_and_pooled

    def once(images: Float[Tensor, "b 3 h w"]) -> tuple[tuple[Tensor, ...], Tensor]:
        first = torch.ones(len(images), dtype=torch.bool, device=images.device)
        first[1:] = (images[1:] != images[:-1]).flatten(1).any(dim=1)
        maps, pooled = original(images[first])
        rows = first.cumsum(dim=0) - 1
        return tuple(level[rows] for level in maps), pooled[rows]

    backbone.maps_and_pooled = once  # type: ignore[method-assign]
    try:
        yield
    finally:
        del backbone.maps_and_pooled


def _named(phrases: Sequence[Phrase], names: Sequence[str]) -> Tensor:
    """Which phrase names which thing, phrases by names."""
    named = [[is_named(phrase.words, name) for name in names] for phrase in phrases]
    return torch.tensor(named, dtype=torch.bool).view(len(phrases), len(names))


def _repeated(tokens: TokenBatch, times: int) -> TokenBatch:
    """The same texts several times over."""
    whole = {name: getattr(tokens, name).repeat(times, 1) for name in ("ids", "mask", "word", "sentence")}
    return TokenBatch(**whole, words=tokens.words, sentences=tokens.sentences)


def _as_grid(similarity: Float[np.ndarray, "n phrases patches"], method: str) -> Float[np.ndarray, "n phrases h w"]:
    patches = similarity.shape[2]
    side = math.isqrt(patches)
    if side * side != patches:
        raise VlpbenchError(f"The method {method} aligns {patches} patches, which are no square grid.")
    return similarity.reshape(*similarity.shape[:2], side, side)
