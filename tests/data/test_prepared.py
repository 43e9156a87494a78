from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.data.folders import request, table_folder
from vlpbench.canonical import content_hash
from vlpbench.data import manifest
from vlpbench.data.manifest import manifest_hash
from vlpbench.data.prepared import FORMAT_VERSION, Prepared, prepare
from vlpbench.data.source import ImageRow, Pixels, Source
from vlpbench.registry import register_source
from vlpbench.sources.table import TableSource


def hashed_at_once(prepared: Prepared) -> str:
    """The fingerprint as it is defined, with everything in one text."""
    told = prepared.manifest.drop(columns=["split", "source_path"]).to_dict(orient="records")
    rows = [{name: None if pd.isna(value) else value for name, value in row.items()} for row in told]
    content = {"format": FORMAT_VERSION, "size": 32, "rows": rows, "descriptions": dict(prepared.descriptions)}
    return content_hash(content, 32)


@pytest.mark.parametrize("part", [1, 7, 24, 4096])
def test_the_fingerprint_does_not_depend_on_how_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    table = table_folder(tmp_path)
    (tmp_path / "words.csv").write_text('name,description\neffusion,"Flüssigkeit, ""pleural""."\n', encoding="utf-8")
    assert len(table) == 24
    monkeypatch.setattr(manifest, "PART", part)
    prepared = prepare(request(tmp_path, descriptions="words.csv"), tmp_path / "work", jobs=1)
    assert prepared.fingerprint == hashed_at_once(prepared)


def test_the_fingerprint_changes_with_rows_descriptions_size_and_format() -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "split": "train", "source_path": "x", "label:n": [1.0, np.nan]})
    first = manifest_hash(table, {}, size=8, version=2)
    assert first == manifest_hash(table.assign(split="val", source_path="y"), {}, size=8, version=2)
    others = [
        manifest_hash(table.assign(image_id=["a", "c"]), {}, size=8, version=2),
        manifest_hash(table, {"n": "a nodule"}, size=8, version=2),
        manifest_hash(table, {}, size=9, version=2),
        manifest_hash(table, {}, size=8, version=3),
    ]
    assert len({first, *others}) == 5


class Counting(TableSource):
    """A table whose source says what it left out."""

    def rows(self) -> list[ImageRow]:
        rows = list(super().rows())
        self._left_out = 24 - len(rows[::2])
        return rows[::2]

    def counts(self) -> dict[str, int]:
        return {"left out": self._left_out}


def test_what_the_source_counts_is_kept(tmp_path: Path) -> None:
    table_folder(tmp_path)
    plain = prepare(request(tmp_path), tmp_path / "work", jobs=1)
    assert plain.facts["counts"] == {}
    register_source("counting", title="Counting", licence="none", how="Drawn.", options={}, version=1)(Counting)
    asked = request(tmp_path)
    counted = prepare(replace(asked, data=replace(asked.data, source="counting")), tmp_path / "work", jobs=1)
    assert counted.facts["counts"] == {"left out": 12}
    assert counted.facts["source"] == "counting"


class Odd(Source):
    """Numbers of NumPy, and files that cannot be opened."""

    def stamp(self) -> object:
        return 0

    def rows(self) -> list[ImageRow]:
        return [ImageRow(f"i{number}", f"p{number}", "s", labels={"n": np.float32(0.5)}) for number in range(10)]

    def read(self, row: ImageRow) -> Pixels:
        if row.image_id == "i3":
            raise PermissionError(13, "Permission denied")
        height, width = np.array([5, 7])
        return Pixels(np.zeros((5, 7), dtype=np.uint8), None, height, width)


def test_numbers_of_numpy_and_files_without_permission_stop_nothing(tmp_path: Path) -> None:
    register_source("odd", title="Odd", licence="none", how="Drawn.", options={}, version=1)(Odd)
    asked = request(tmp_path)
    data = replace(asked.data, source="odd", options={}, split=(1, 1, 1), max_unreadable=0.2)
    prepared = prepare(replace(asked, data=data), tmp_path / "work", jobs=1)
    assert prepared.facts["unreadable"] == ["i3: [Errno 13] Permission denied"]
    assert set(prepared.manifest["height"]) == {5}
    assert set(prepared.manifest["label:n"]) == {0.5}


@pytest.fixture
def radiographs(tmp_path: Path) -> Iterator[Path]:
    """A folder of large JPEGs, each with a box and its mask."""
    rows, boxes = [], []
    for number in range(10):
        height, width = (1201, 903) if number % 2 else (903, 1201)
        pixels = np.zeros((height, width), dtype=np.uint8)
        pixels[300:600, 200:500] = 255
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg")
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.jpg", "patient": str(number), "mask": f"{number}.png"})
        boxes.append({"image": f"{number}.jpg", "label": "patch", "x": 200, "y": 300, "width": 300, "height": 300})
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    pd.DataFrame(boxes).to_csv(tmp_path / "boxes.csv", index=False)
    return tmp_path


def test_pixels_masks_and_boxes_agree_after_a_reduced_decode(radiographs: Path) -> None:
    asked = request(radiographs, size=96, labels=[], report="", classes={})
    prepared = prepare(asked, radiographs / "work", jobs=1)
    for row, text in enumerate(prepared.manifest["boxes"]):
        (box,) = json.loads(text)
        expected = (box["x"], box["x"] + box["width"], box["y"], box["y"] + box["height"])
        for shown in (prepared.images[row] > 127, prepared.masks[row] == 1):
            rows, columns = np.nonzero(shown)
            found = (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1)
            assert found == pytest.approx(expected, abs=1)
