"""A made-up Object-CXR: the layout, the tables and the three kinds of shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FIRST = {"train": 1, "dev": 8001, "test": 9001}


def write_release(folder: Path, *, patients: int = 12, side: int = 96, test: bool = True) -> None:
    """Write `patients` training images, half as many of dev and, with `test`, of test; every second one is positive."""
    generator = np.random.default_rng(6)
    for split in ("train", "dev", "test") if test else ("train", "dev"):
        (folder / split).mkdir(parents=True)
        rows = []
        for number in range(patients if split == "train" else patients // 2):
            name = f"{FIRST[split] + number:05d}.jpg"
            height, width = (side, side * 5 // 4) if number % 3 else (side * 5 // 4, side)
            picture = Image.fromarray(generator.integers(60, 120, size=(height, width), dtype=np.uint8))
            annotation = _draw(picture, number) if number % 2 == 0 else ""
            picture.save(folder / split / name, quality=90)
            # Kaggle's test.csv has another column name, and the folder in the cell.
            rows.append(f"{f'test/{name}' if split == 'test' else name},{annotation}")
        header = "image_path,annotation" if split == "test" else "image_name,annotation"
        (folder / f"{split}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def _draw(picture: Image.Image, number: int) -> str:
    """Draw one to three bright objects and return their annotation."""
    draw = ImageDraw.Draw(picture)
    unit = min(picture.size) // 12
    shapes = []
    for index in range(1 + number // 2 % 3):
        left, top = unit * (1 + 3 * index), unit * (2 + (number + 2 * index) % 6)
        corners = [left, top, left + 2 * unit, top + 3 * unit]
        kind = (number // 2 + index) % 3
        if kind == 0:
            draw.rectangle(corners, fill=250)
        elif kind == 1:
            draw.ellipse(corners, fill=250)
        else:
            corners = [left, top, left + 2 * unit, top + unit, left + unit, top + 3 * unit]
            draw.polygon(corners, fill=250)
        shapes.append(" ".join(map(str, [kind, *corners])))
    return ";".join(shapes)
