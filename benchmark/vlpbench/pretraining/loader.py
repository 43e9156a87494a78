"""Batches of a corpus, in an order that is a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vlpbench.data.corpus import Corpus
from vlpbench.text import TokenBatch
from vlpbench.tokens import Tokeniser

ORDER, VIEW, VALIDATION = range(3)


@dataclass(frozen=True)
class Draw:
    """Which pairs make a batch, and the seed of everything random about it."""

    pairs: Int[np.ndarray, " b"]
    seed: int


@dataclass(frozen=True)
class RawBatch:
    """A batch before it is put on the device.

    Attributes:
        images: grey pixels.
        reports: tokenised reports.
        summaries: tokenised shorter wordings.
        labels: of the images, as `PairBatch` has them.
        triplets: likewise.
        entities: likewise.
        report_vectors: likewise.
        seed: of the views and of dropout.
    """

    images: UInt8[Tensor, "b h w"]
    reports: TokenBatch
    summaries: TokenBatch
    labels: Float[Tensor, "b labels"]
    triplets: Int8[Tensor, "b triplet_entities positions"]
    entities: Bool[Tensor, "b entities"]
    report_vectors: Float[Tensor, "b d"]
    seed: int


class Pairs(Dataset[RawBatch]):
    """Pairs of one split; texts are tokenised once, images read when drawn."""

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        tokeniser: Tokeniser,
        report_vectors: Float[np.ndarray, "n d"] | None = None,
    ) -> None:
        """Tokenise the split.

        Args:
            corpus: pairs.
            split: "train" or "val".
            tokeniser: of the text tower.
            report_vectors: of a frozen text encoder, a row per pair of the split; None where nobody needs them.
        """
        self._corpus = corpus
        self._rows = corpus.rows(split)
        self._reports = tokeniser.rows(corpus.reports(self._rows))
        self._summaries = tokeniser.rows(corpus.summaries(self._rows))
        none = np.zeros((len(self._rows), 0), dtype=np.float32)
        self._vectors = none if report_vectors is None else report_vectors

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, draw: Draw) -> RawBatch:
        rows = self._rows[draw.pairs]
        return RawBatch(
            images=torch.from_numpy(self._corpus.images(rows)),
            reports=self._reports.batch(draw.pairs),
            summaries=self._summaries.batch(draw.pairs),
            labels=torch.from_numpy(self._corpus.labels(rows)),
            triplets=torch.from_numpy(self._corpus.triplets(rows)),
            entities=torch.from_numpy(self._corpus.entities(rows)),
            report_vectors=torch.from_numpy(self._vectors[draw.pairs]),
            seed=draw.seed,
        )


class TrainingOrder(Sampler[Draw]):
    """Shuffled batches of an epoch; pairs that fill no batch wait for another epoch."""

    def __init__(self, pairs: int, *, batch_size: int, seed: int) -> None:
        """Fix what all epochs have in common; a batch is never larger than the corpus."""
        self._pairs = pairs
        self._size = min(batch_size, pairs)
        self._seed = seed
        self._epoch = 0
        self._batches = pairs // self._size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[Draw]:
        order = np.random.default_rng((self._seed, ORDER, self._epoch)).permutation(self._pairs)
        for step in range(self._batches):
            seed = _seed(self._seed, VIEW, self._epoch, step)
            yield Draw(order[step * self._size : (step + 1) * self._size], seed)


class ValidationOrder(Sampler[Draw]):
    """All pairs in their own order, in batches of nearly equal size, the same views every time."""

    def __init__(self, pairs: int, *, batch_size: int, seed: int) -> None:
        """Fix order and views."""
        parts = np.array_split(np.arange(pairs), -(-pairs // batch_size))
        self._draws = [Draw(part, _seed(seed, VALIDATION, number)) for number, part in enumerate(parts)]

    def __len__(self) -> int:
        return len(self._draws)

    def __iter__(self) -> Iterator[Draw]:
        return iter(self._draws)


def batches(pairs: Pairs, order: Sampler[Draw], *, workers: int) -> DataLoader[Any]:
    """A loader whose sampler yields whole batches."""
    return DataLoader(
        pairs,
        sampler=order,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


def _as_it_is(batch: Any) -> Any:
    """What the data set hands out is a whole batch already."""
    return batch


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
