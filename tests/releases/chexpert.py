"""A small CheXpert in the layout of CheXpert-v1.0-small; every pixel and label is made up."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
HEADER = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *COLUMNS)
PREFIX = "CheXpert-v1.0-small"


def write_release(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write train.csv with `patients` patients and valid.csv with half as many, and their images.

    A training patient has a study with a frontal and a lateral view, and a second study with a frontal view only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train = [entry for number in range(1, patients + 1) for entry in _patient(number, "train")]
    valid = [entry for number in range(64541, 64541 + max(4, patients // 2)) for entry in _patient(number, "valid")]
    write_table(folder / "train.csv", train)
    write_table(folder / "valid.csv", valid)
    for entry in (*train, *valid):
        _draw(folder / entry[0].removeprefix(PREFIX + "/"), entry, side)


def write_table(path: Path, entries: Sequence[Sequence[str]], *, header: Sequence[str] = HEADER) -> None:
    """One of the release's tables."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(entries)


def _patient(number: int, part: str) -> Iterator[tuple[str, ...]]:
    """Rows of one patient; classes alternate between patients, so that half of them show each."""
    shown = [(number + place) % 2 == 0 for place in range(len(COLUMNS))]
    absent = "0.0" if part == "valid" or number % 3 else ""
    cells = ["1.0" if present else absent for present in shown]
    where = f"{PREFIX}/{part}/patient{number:05d}"
    sex = "Female" if number % 4 < 2 else "Male"
    yield (f"{where}/study1/view1_frontal.jpg", sex, "68", "Frontal", "AP", *cells)
    if part == "train":
        yield (f"{where}/study1/view2_lateral.jpg", sex, "68", "Lateral", "", *cells)
        doubtful = [
            "-1.0" if name in ("Edema", "Cardiomegaly", "Fracture") else cell
            for name, cell in zip(COLUMNS, cells, strict=True)
        ]
        yield (
            f"{where}/study2/view1_frontal.jpg",
            sex,
            "70",
            "Frontal",
            "PA",
            *(doubtful if number % 4 == 1 else cells),
        )


def _draw(path: Path, entry: Sequence[str], side: int) -> None:
    """A grey wedge with a bright square per class that is present."""
    height, width = side, side + side // 4
    pixels = np.tile(np.linspace(30, 120, width, dtype=np.uint8), (height, 1))
    step = width // len(COLUMNS)
    for place, cell in enumerate(entry[-len(COLUMNS) :]):
        if cell == "1.0":
            pixels[height // 4 : height // 2, place * step : (place + 1) * step] = 230
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)
