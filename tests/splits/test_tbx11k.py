from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.releases.tbx11k import write_release, write_simplified
from vlpbench.data.prepared import prepare
from vlpbench.data.source import SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.splits.catalogue import named_split
from vlpbench.splits.recipe import NamedSplit
from vlpbench.splits.tbx11k import RECIPES
from vlpbench.suite import DataSpec

# Of the rows of each list among the sorted names, as 16-bit numbers. The real names have gaps and the made-up ones have
# none, but the draws see only their number and which of them are tuberculous.
PUBLISHED = {
    "train": "d3c2d5256f49a6fe112b5ce1315d3d77a29eb09624809c8f7fad4e7548978b8a",
    "val": "a02d3bb2615e22a227849b1c092ebfee05e60e46b5f559e3a0706c09e18f12ce",
    "test": "048e841dee0d6ed1663311c1b74b4b5472b8d17bcd52bc1b189a048c070cad50",
    0.01: "b86f6bf02fda3401bca2121f4decae0fabb209074a33dd9df259a580364a6dc8",
    0.1: "25d2026dbe44e8310e8604cf6e8733a5ccfdbd58a4e3642ebad733afb1231a30",
}


def manifest() -> pd.DataFrame:
    """As many names of each kind as the simplified edition has, sorted."""
    kinds = (("h", 3800), ("s", 3800), ("tb", 799))
    frame = pd.DataFrame({"image_id": [f"{kind}{n:04d}" for kind, count in kinds for n in range(1, count + 1)]})
    frame["label:tuberculosis"] = frame["image_id"].str.startswith("tb").astype(float)
    frame["boxes_known"] = True
    return frame


def split_of(frame: pd.DataFrame) -> NamedSplit:
    return named_split(frame, dataset="tbx11k", task="segmentation", name="benchx-2024")


def parts_of(found: NamedSplit) -> dict[str | float, np.ndarray]:
    return {"train": found.train, "val": found.val, "test": found.test, **found.fractions}


def test_published_sizes_and_positives() -> None:
    frame = manifest()
    found = split_of(frame)
    positive = frame["label:tuberculosis"].to_numpy()
    counts = RECIPES[0].counts
    for part in ("train", "val", "test"):
        assert len(getattr(found, part)) == counts[part]
        assert positive[getattr(found, part)].sum() == counts[f"{part} positive"]
    assert {share: len(rows) for share, rows in found.fractions.items()} == {0.01: 58, 0.1: 587}
    assert [positive[rows].sum() for rows in found.fractions.values()] == [6, 56]
    everything = np.concatenate([found.train, found.val, found.test])
    assert sorted(everything) == list(range(8399))
    assert set(found.fractions[0.01]) <= set(found.fractions[0.1]) <= set(found.train)


def test_the_lists_are_the_published_ones_in_their_order() -> None:
    hashes = {
        part: hashlib.sha256(rows.astype("<u2").tobytes()).hexdigest()
        for part, rows in parts_of(split_of(manifest())).items()
    }
    assert hashes == PUBLISHED


def test_the_order_of_the_manifest_makes_no_difference() -> None:
    frame = manifest()
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    names, again = frame["image_id"].to_numpy(), shuffled["image_id"].to_numpy()
    one, other = parts_of(split_of(frame)), parts_of(split_of(shuffled))
    for part, rows in one.items():
        assert list(names[rows]) == list(again[other[part]])


def test_the_image_without_boxes_of_the_whole_release_is_left_out() -> None:
    frame = manifest()
    unboxed = pd.DataFrame({"image_id": ["tb1199"], "label:tuberculosis": [1.0], "boxes_known": [False]})
    whole = pd.concat([unboxed, frame], ignore_index=True)
    for part, rows in parts_of(split_of(whole)).items():
        assert list(rows - 1) == list(parts_of(split_of(frame))[part])


@pytest.mark.parametrize("write", [write_release, write_simplified])
def test_it_runs_on_a_prepared_folder_with_few_images(tmp_path: Path, write) -> None:
    write(tmp_path / "release")
    request = SourceRequest(DataSpec("tb", "TBX11K", "tbx11k"), root=tmp_path / "release", image_size=32)
    prepared = prepare(request, tmp_path / "work", jobs=1)
    found = split_of(prepared.manifest)
    assert [len(found.train), len(found.val), len(found.test)] == [37, 8, 9]
    # One image, what 1 % of 37 leaves, cannot be of both classes.
    assert set(found.fractions) == {0.1}


def test_too_few_images_to_stratify() -> None:
    with pytest.raises(VlpbenchError, match="cannot be split 70 : 15 : 15 by tuberculosis"):
        split_of(manifest().iloc[[0, 1, 8000]].reset_index(drop=True))
