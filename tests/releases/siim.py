"""A small SIIM-ACR Pneumothorax in the layouts of its editions; every pixel and mask is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.releases.rsna import write_dicom

ROOT = "1.2.276.0.7230010.3.1"


def write_release(folder: Path, *, patients: int = 12, side: int = 96, edition: str = "stage_2") -> None:
    """Write two images a patient, half of them positive; a quarter is the test set of stage 1.

    `edition` is stage_2, stage_1 (whose test set has no labels) or png.
    """
    generator = np.random.default_rng(9)
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(2 * patients):
        part, positive = "test" if number % 8 >= 6 else "train", number % 2
        image = f"{ROOT}.4.8323329.{31000 - 37 * number}.1517875{201 + number}.{850819 - number}"
        pixels = generator.integers(50, 90, size=(side, side), dtype=np.uint8)
        masks = _masks(number, side) if positive else []
        for mask in masks:
            pixels[mask == 1] -= 40
        if edition == "png":
            name = f"{len(rows[part])}_{part}_{positive}_.png"
            _write_pictures(folder, name, pixels, sum(masks, np.zeros((side, side), dtype=np.uint8)))
            rows[part].append(f"{name},{image},{positive}")
            continue
        study = folder / f"dicom-images-{part}" / f"{ROOT}.2.{number}"
        (study / f"{ROOT}.3.{number}").mkdir(parents=True)
        write_dicom(study / f"{ROOT}.3.{number}" / f"{image}.dcm", pixels, patient=image, uid=image)
        rows[part] += [f"{image}, {encode_runs(mask)}" for mask in masks] or [f"{image}, -1"]
    if edition == "png":
        for part, listed in rows.items():
            _write_table(folder / f"stage_1_{part}_images.csv", "new_filename,ImageId,has_pneumo", listed)
    elif edition == "stage_1":
        _write_table(folder / "train-rle.csv", "ImageId, EncodedPixels", rows["train"])
    else:
        _write_table(folder / "stage_2_train.csv", "ImageId, EncodedPixels", rows["train"] + rows["test"])


def encode_runs(mask: np.ndarray) -> str:
    """Pairs of gap and run down the columns, the slow and obvious way."""
    cells, gap, run = [], 0, 0
    for value in mask.T.reshape(-1).tolist():
        if value:
            run += 1
        elif run:
            cells += [gap, run]
            gap, run = 1, 0
        else:
            gap += 1
    return " ".join(map(str, [*cells, gap, run] if run else cells))


def _masks(number: int, side: int) -> list[np.ndarray]:
    """One or two parts of the mask of an image."""
    first, second = np.zeros((2, side, side), dtype=np.uint8)
    top = side // 8 + number % 7
    first[top : top + side // 2, side // 10 : side // 5] = 1
    second[side // 6 : side // 3, side // 2 : side // 2 + side // 4] = 1
    return [first, second] if number % 3 == 0 else [first]


def _write_pictures(folder: Path, name: str, pixels: np.ndarray, mask: np.ndarray) -> None:
    for kind, values in (("png_images", pixels), ("png_masks", mask * 255)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(folder / kind / name)


def _write_table(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
