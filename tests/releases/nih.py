"""A made-up NIH ChestX-ray14: tables, official lists, boxes and two image folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

# Every patient has every finding in one of four images, so that any deal of patients has both classes of each.
FINDINGS = (
    "No Finding",
    "Atelectasis|Cardiomegaly|Effusion|Infiltration|Mass",
    "Nodule|Pneumonia|Pneumothorax|Consolidation|Edema",
    "Emphysema|Fibrosis|Pleural_Thickening|Hernia",
)
BOXED = {1: ("Infiltrate", "Mass"), 2: ("Pneumothorax",)}
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def write_release(folder: Path, *, patients: int = 12, side: int = 96, edition: int = 2020) -> None:
    """Write four images a patient; the last quarter of the patients is the official test list.

    Images are copies of `side` pixels, boxes are in the 1024 of the released ones. `edition` is 2020 or 2017.
    """
    generator = np.random.default_rng(8)
    for part in (1, 2):
        (folder / f"images_{part:03d}" / "images").mkdir(parents=True)
    entries, boxes = [], []
    names: dict[bool, list[str]] = {False: [], True: []}
    for patient in range(1, patients + 1):
        tested = patient > patients - max(1, patients // 4)
        for follow_up, findings in enumerate(FINDINGS):
            name = f"{patient:08d}_{follow_up:03d}.png"
            names[tested].append(name)
            age, end = (f"{40 + patient:03d}Y", ",") if edition == 2017 else (f"{40 + patient}", "")
            view = "PA" if follow_up % 2 else "AP"
            entries.append(f"{name},{findings},{follow_up},{patient},{age},M,{view},2894,2729,0.143,0.143{end}")
            found = BOXED.get(follow_up, ()) if tested else ()
            corners = [(200.5 + 300 * index, 310.25, 240.5, 180.0) for index in range(len(found))]
            boxes += [
                f"{name},{label},{','.join(map(str, corner))},,," for label, corner in zip(found, corners, strict=True)
            ]
            pixels = generator.integers(50, 90, size=(side, side), dtype=np.uint8)
            # A few of the released files are RGBA.
            rgba = patient % 5 == 0 and follow_up == 0
            picture = _picture(pixels, corners, bright=40 * follow_up, mode="RGBA" if rgba else "L")
            picture.save(folder / f"images_{1 + patient % 2:03d}" / "images" / name)
    header, table = (HEADER, "Data_Entry_2017_v2020.csv") if edition == 2020 else (f"{HEADER},", "Data_Entry_2017.csv")
    (folder / table).write_text("\n".join([header, *entries]) + "\n", encoding="utf-8")
    header = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    (folder / "BBox_List_2017.csv").write_text("\n".join([header, *boxes]) + "\n", encoding="utf-8")
    for listed, name in ((names[False], "train_val_list.txt"), (names[True], "test_list.txt")):
        (folder / name).write_text("\n".join(listed), encoding="utf-8")


def _picture(
    pixels: np.ndarray, corners: list[tuple[float, float, float, float]], *, bright: int, mode: str
) -> Image.Image:
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    side = picture.width
    draw.ellipse([side // 4, side // 4, 3 * side // 4, side - 2], fill=60 + bright)
    for x, y, width, height in corners:
        draw.rectangle([round(value * side / 1024) for value in (x, y, x + width, y + height)], fill=250)
    return picture.convert(mode)
