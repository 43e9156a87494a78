"""A small corpus, made by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vlpbench.data.corpus import Corpus
from vlpbench.data.prepared import Prepared

SIZE = 32
SIDES = ("left", "right", "upper", "lower", "central")
FINDINGS = ("opacity", "effusion", "nodule", "pneumothorax")


def write_corpus(folder: Path, *, train: int, val: int) -> Corpus:
    """Random images whose brightness follows the report."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(5)
    count = train + val
    images = draw.integers(0, 120, (count, SIZE, SIZE)).astype(np.uint8)
    rows = []
    for number in range(count):
        side, finding = SIDES[number % len(SIDES)], FINDINGS[number % len(FINDINGS)]
        images[number, number % SIZE :, : SIZE // 2] += np.uint8(20 * (number % 5))
        rows.append(
            {
                "image_id": f"image{number}",
                "patient": f"patient{number}",
                "split": "train" if number < train else "val",
                "report": f"FINDINGS: There is a {side} {finding}, small-sized. IMPRESSION: {side.title()} {finding}.",
                "summary": f"{finding} on the {side}",
            }
        )
    np.save(folder / "images.npy", images)
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet", index=False)
    facts = {"fingerprint": f"hand-made {train} {val}", "image_size": SIZE}
    (folder / "prepared.json").write_text(json.dumps(facts), encoding="utf-8")
    return Corpus(Prepared(folder))


@pytest.fixture
def few_pairs(tmp_path: Path) -> Callable[..., Corpus]:
    return lambda *, train, val: write_corpus(tmp_path / f"{train}-{val}", train=train, val=val)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("data") / "corpus", train=18, val=5)
