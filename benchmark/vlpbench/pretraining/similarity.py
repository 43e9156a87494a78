"""Report vectors of a frozen text encoder, from which methods tell how alike two reports are."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from vlpbench.encoders import hugging_face_encoder
from vlpbench.pretraining.recipe import SCRATCH, Recipe
from vlpbench.text import TextTower, TokenBatch
from vlpbench.tokens import Tokeniser

TFIDF, TEXT, AUTO = "tfidf", "text", "auto"
TFIDF_WIDTH = 256
ENCODE_AT_ONCE = 64

Vectors = tuple[Float[np.ndarray, "train d"], Float[np.ndarray, "val d"]]


def similarity_model(recipe: Recipe) -> str:
    """Which encoder the recipe means: "tfidf", "text" or a Hugging Face name."""
    if recipe.similarity_model != AUTO:
        return recipe.similarity_model
    # A transformer with random weights tells little of what a report means.
    return TFIDF if recipe.text_model == SCRATCH else TEXT


def report_vectors(
    train: Sequence[str], val: Sequence[str], recipe: Recipe, text: TextTower, tokeniser: Tokeniser
) -> Vectors:
    """Vectors of the reports of both splits.

    A transformer gives the mean of its last-layer token vectors; "tfidf" weighs words by how rare they are among the
    training reports, and keeps the 256 directions that hold most of it.

    Args:
        train: training reports.
        val: validation reports.
        recipe: names the encoder.
        text: the method's text tower before training.
        tokeniser: of that tower.
    """
    name = similarity_model(recipe)
    if name == TFIDF:
        return _tfidf(train, val)
    if name == TEXT:
        tower = copy.deepcopy(text)
    else:
        tower, tokeniser = hugging_face_encoder(name, layers=0, max_tokens=recipe.max_tokens)
        tower.to(next(text.parameters()).device)
    return _mean_tokens(tower, tokeniser, train), _mean_tokens(tower, tokeniser, val)


@torch.no_grad()
def _mean_tokens(tower: TextTower, tokeniser: Tokeniser, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
    tower.eval()
    device = next(tower.parameters()).device
    rows = tokeniser.rows(texts)
    found = []
    for start in range(0, len(texts), ENCODE_AT_ONCE):
        batch: TokenBatch = rows.batch(np.arange(start, min(start + ENCODE_AT_ONCE, len(texts)))).to(device)
        weight = batch.mask[:, :, None].float()
        found.append(((tower(batch).tokens.float() * weight).sum(dim=1) / weight.sum(dim=1)).cpu().numpy())
    return np.concatenate(found).astype(np.float32)


def _tfidf(train: Sequence[str], val: Sequence[str]) -> Vectors:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b")
    counts = vectoriser.fit_transform(train)
    width = min(TFIDF_WIDTH, counts.shape[1])
    reduced = TruncatedSVD(width, algorithm="randomized", random_state=0)
    first, second = reduced.fit_transform(counts), reduced.transform(vectoriser.transform(val))
    return first.astype(np.float32), second.astype(np.float32)
