"""A small COVIDx 9A in the layout of its Kaggle archive and label files; every pixel and line is made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("normal", "pneumonia", "COVID-19")
SOURCES = {"normal": "rsna", "pneumonia": "cohen", "COVID-19": "sirm", "positive": "sirm"}


def write_release(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write train_COVIDx9A.txt with `patients` patients of each class, test_COVIDx9A.txt with half as many; the images.

    A training patient has two images, a test patient one. There are as many patients of each class as a deal into eight
    folds needs to show all classes in validation.
    """
    train = [line for number in range(3 * patients) for line in _patient(number)]
    test = [
        f"t{number} {number:08x}.png {CLASSES[number % 3]} {SOURCES[CLASSES[number % 3]]}"
        for number in range(3 * max(2, patients // 2))
    ]
    write_images(folder / "train", train, side=side)
    write_images(folder / "test", test, side=side)
    write_lines(folder / "train_COVIDx9A.txt", train)
    write_lines(folder / "test_COVIDx9A.txt", test)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """A label file: no header, lines end as on Unix."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_images(folder: Path, lines: Iterable[str], *, side: int) -> None:
    """An image per line, brighter at the place of its class; of a name with blanks only the last word counts."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, line in enumerate(lines):
        words = line.split()
        place = next(place for place, word in enumerate(words) if word in SOURCES)
        name = words[place - 1] if not words[place - 1].startswith("(") else " ".join(words[place - 2 : place])
        third = min(2, list(SOURCES).index(words[place]))
        pixels = np.full((side + number, side), 40 + number % 50, dtype=np.uint8)
        pixels[side // 4 : side // 2, third * side // 3 : (third + 1) * side // 3] = 220
        Image.fromarray(pixels).save(folder / name)


def _patient(number: int) -> Iterator[str]:
    """Lines of one patient; some names hold dots, a blank or capitals, as real ones do."""
    name = CLASSES[number % 3]
    if name == "COVID-19":
        yield f"COVID_{number} COVID({number}).png COVID-19 sirm"
        yield f"COVID_{number} COVID ({number}).png positive sirm"
    elif name == "pneumonia":
        yield f"{number} 1-s2.0-S{number}-gr1_lrg-a.jpg pneumonia cohen"
        yield f"{number} 1-s2.0-S{number}-gr1_lrg-b.JPG pneumonia cohen"
    else:
        yield f"{number:08x}-41ad {number:08x}-41ad.png normal rsna"
        yield f"{number:08x}-41ad {number:08x}-41ad-2.png normal rnsa"
