"""A made-up TBX11K: the official layout, and the simplified edition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CATEGORIES = ("ActiveTuberculosis", "ObsoletePulmonaryTuberculosis", "PulmonaryTuberculosis")
TYPES = ("active_tb", "latent_tb", "uncertain_tb")
KINDS = {"health": "healthy", "sick": "sick_but_no_tb", "tb": "tb"}


def write_release(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write `patients` training images of each class and half as many of val; one tuberculous image has no box."""
    for name in (*KINDS, "extra", "test"):
        (folder / "imgs" / name).mkdir(parents=True)
    (folder / "annotations" / "json").mkdir(parents=True)
    _picture(0, side, []).save(folder / "imgs" / "test" / "test0001.png")
    _picture(0, side, []).save(folder / "imgs" / "extra" / "CHNCXR_0001_0.png")
    for split in ("train", "val"):
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for name, boxes in _listed(split, patients, side):
            _picture(len(images), side, [box for _, box in boxes]).save(folder / "imgs" / name)
            images.append({"id": len(images) + 1, "file_name": name, "width": side, "height": side})
            annotations += [
                {
                    "id": len(annotations) + index,
                    "image_id": len(images),
                    "category_id": category + 1,
                    "bbox": [float(value) for value in box],
                    "area": float(box[2] * box[3]),
                    "iscrowd": 0,
                }
                for index, (category, box) in enumerate(boxes, start=1)
            ]
        categories = [
            {"id": number, "name": name, "supercategory": "Tuberculosis"} for number, name in enumerate(CATEGORIES, 1)
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations" / "json" / f"TBX11K_{split}.json").write_text(json.dumps(content), encoding="utf-8")


def write_simplified(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write the same images as the simplified edition has them: one folder, one table, no image without its boxes."""
    (folder / "images").mkdir(parents=True)
    rows = ["fname,image_height,image_width,source,bbox,target,tb_type,image_type"]
    for split in ("train", "val"):
        for number, (name, boxes) in enumerate(_listed(split, patients, side)):
            kind, _, fname = name.partition("/")
            if kind == "tb" and not boxes:
                continue
            _picture(number, side, [box for _, box in boxes]).save(folder / "images" / fname)
            start = f"{fname},{side},{side},{split}"
            if not boxes:
                rows.append(f"{start},none,no_tb,none,{KINDS[kind]}")
            for category, box in boxes:
                cell = str(dict(zip(("xmin", "ymin", "width", "height"), box, strict=True)))
                rows.append(f'{start},"{cell}",tb,{TYPES[category]},tb')
    (folder / "data.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _listed(split: str, patients: int, side: int) -> list[tuple[str, list[tuple[int, tuple[int, int, int, int]]]]]:
    """Names in the order of the lists, each with the categories and corners of its boxes."""
    first, count = (1, patients) if split == "train" else (patients + 1, patients // 2)
    found: list[tuple[str, list[tuple[int, tuple[int, int, int, int]]]]] = []
    for kind in KINDS:
        for number in range(first, first + count):
            unit = side // 8
            boxes = [
                # Some images have both active and latent tuberculosis.
                ((number + index) % 2, (unit * (1 + 3 * index), unit * (1 + number % 4), 2 * unit, 3 * unit))
                for index in range(1 + number % 2)
            ]
            found.append((f"{kind}/{kind[0] if kind != 'tb' else 'tb'}{number:04d}.png", boxes if kind == "tb" else []))
    if split == "train":
        found.append(("tb/tb1199.png", []))
    return found


def _picture(number: int, side: int, boxes: list[tuple[int, int, int, int]]) -> Image.Image:
    generator = np.random.default_rng(number)
    picture = Image.fromarray(generator.integers(50, 90, size=(side, side), dtype=np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse([side // 4, side // 4, 3 * side // 4, side - 2], fill=120)
    for x, y, width, height in boxes:
        draw.rectangle([x, y, x + width, y + height], fill=240)
    return picture
