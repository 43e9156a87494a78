"""How many prepared images a second does one core bring to pre-training?

Writes a prepared folder of random images with reports of some sixty words, and goes through it as pre-training does: in
shuffled batches of `vlpbench.pretraining.loader` from the memory-mapped array, images as 8-bit values beside tokens.
What follows a batch is measured on top of it: a random crop of the 8-bit values at whole pixels, and the views that
pre-training makes of a batch where its device is a processor. Ways take turns; the least processor time of all turns
counts. The array is in the system's cache, as it is from the second epoch on where memory allows. Writes Markdown to
standard output:

    uv run python benchmark/speed/batches.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vlpbench.data.corpus import Corpus
from vlpbench.data.prepared import Prepared
from vlpbench.pretraining.loader import Pairs, TrainingOrder, batches
from vlpbench.pretraining.recipe import Recipe
from vlpbench.pretraining.views import Views
from vlpbench.tokens import Tokeniser, wordpiece_tokenizer

BOUND = 5000
VIEWED = 2
"""Batches whose views are made: they take hundreds of times as long as the rest."""
WORDS = ("lung", "opacity", "effusion", "small", "left", "right", "no", "heart", "normal", "basal", "hilar", "edema")


def write_corpus(folder: Path, *, count: int, size: int) -> Corpus:
    """Random images with random reports, as a prepared folder."""
    generator = np.random.default_rng(0)
    shape = (count, size, size)
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    for row in range(count):
        images[row] = generator.integers(0, 256, size=(size, size), dtype=np.uint8)
    images.flush()
    rows = []
    for number in range(count):
        report = " ".join(generator.choice(WORDS, size=60))
        split = "val" if number < 2 else "train"
        rows.append({"image_id": str(number), "patient": str(number), "split": split, "report": report, "summary": ""})
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet", index=False)
    facts = {"fingerprint": "random", "image_size": size}
    (folder / "prepared.json").write_text(json.dumps(facts), encoding="utf-8")
    return Corpus(Prepared(folder))


def crop(images: Tensor, share: float, seed: int) -> Tensor:
    """Random crops of 8-bit values at whole pixels, one for each image, not brought back to full size."""
    count, size = len(images), images.shape[-1]
    side = round(share * size)
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, size - side + 1, (count, 2), generator=generator).tolist()
    cropped = torch.empty((count, side, side), dtype=images.dtype)
    for number, (top, left) in enumerate(corners):
        cropped[number] = images[number, top : top + side, left : left + side]
    return cropped


def ways(corpus: Corpus, pairs: Pairs, order: TrainingOrder) -> dict[str, Callable[[], int]]:
    """What is measured, by name; each returns the images it went through."""
    recipe = Recipe()
    views = Views(recipe)
    rows = corpus.rows("train")

    def read_images() -> int:
        return sum(len(corpus.images(rows[draw.pairs])) for draw in order)

    def go_through(then: Callable[[Any], Any], count: int) -> int:
        images = 0
        for batch in islice(batches(pairs, order, workers=0), count):
            then(batch)
            images += len(batch.images)
        return images

    def both_views(batch: Any) -> None:
        views.plain(batch.images, batch.seed)
        views.augmented(batch.images, batch.seed)

    return {
        "images alone": read_images,
        "whole batches": lambda: go_through(lambda one: one, len(order)),
        "whole batches and 8-bit crop": lambda: go_through(
            lambda one: crop(one.images, recipe.crop, one.seed), len(order)
        ),
        "whole batches and first view": lambda: go_through(lambda one: views.plain(one.images, one.seed), VIEWED),
        "whole batches and both views": lambda: go_through(both_views, VIEWED),
    }


def main() -> int:
    """Measure, and say where the bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=4098, help="of the corpus (4098)")
    parser.add_argument("--size", type=int, default=224, help="side of the square, pixels (224)")
    parser.add_argument("--batch", type=int, default=256, help="pairs of a batch (256)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (3)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        corpus = write_corpus(Path(folder), count=given.images, size=given.size)
        recipe = Recipe()
        texts = corpus.reports(corpus.rows("train"))
        tokeniser = Tokeniser(wordpiece_tokenizer(texts, vocabulary=recipe.vocabulary), recipe.max_tokens)
        pairs = Pairs(corpus, "train", tokeniser)
        order = TrainingOrder(len(pairs), batch_size=given.batch, seed=0)
        found = ways(corpus, pairs, order)
        best = dict.fromkeys(found, float("inf"))
        for turn in range(given.rounds):
            for name in list(found)[:: 1 if turn % 2 == 0 else -1]:
                begun = time.process_time()
                images = found[name]()
                best[name] = min(best[name], (time.process_time() - begun) / images)
    sys.stdout.write(f"{given.images} images of {given.size} pixels, batches of {given.batch}, {given.rounds} turns, ")
    sys.stdout.write(f"torch {torch.__version__}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n\n")
    sys.stdout.write(f"| what | images a second of one core | of the bound of {BOUND:,} |\n|---|---:|---:|\n")
    for name, spent in best.items():
        sys.stdout.write(f"| {name} | {1 / spent:,.0f} | {1 / spent / BOUND:.2f} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
