"""GLoRIA's local scores written out: loops over words and regions, every context built."""

from __future__ import annotations

import math

import torch

ATTENTION, POOLING = 4.0, 5.0


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ragged(*lengths: int, words: int) -> torch.Tensor:
    return torch.arange(words)[None, :] < torch.tensor(lengths)[:, None]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def cosine(one: list[float], other: list[float]) -> float:
    return dot(one, other) / math.sqrt(dot(one, one) * dot(other, other))


def naive_score(words: list[list[float]], regions: list[list[float]]) -> float:
    """One image and one report, every context built."""
    over_words = [softmax([dot(region, word) for word in words]) for region in regions]
    total = 0.0
    for place, word in enumerate(words):
        attention = softmax([ATTENTION * weights[place] for weights in over_words])
        context = [dot(attention, list(column)) for column in zip(*regions, strict=True)]
        total += math.exp(POOLING * cosine(word, context))
    return math.log(total)
