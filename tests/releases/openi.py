"""A made-up Open-i: the editions of the National Library of Medicine, of Kaggle and of R2Gen."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.releases.vindr import write_dicom

FINDINGS = (
    "The heart is normal in size. The mediastinum is unremarkable. The lungs are clear.",
    "The heart is enlarged. There are XXXX of a pleural effusion on the left. No pneumothorax.",
    "Patchy opacity in the right lower lobe, XXXX, XXXX pneumonia. XXXX XXXX are intact.",
)
IMPRESSIONS = ("Normal chest x-XXXX.", "Cardiomegaly with small effusion.", "Right lower lobe opacity.")
MESH = ("normal", "Cardiomegaly/mild", "Opacity/lung/base/right")
XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
   <meta type="rr"/>
   <uId id="CXR{uid}"/>
   <licenseType>open-access</licenseType>
   <licenseURL>http://creativecommons.org/licenses/by-nc-nd/4.0/</licenseURL>
   <MedlineCitation Owner="Indiana University" Status="supplied by publisher">
      <Article PubModel="Electronic">
         <Abstract>
            <AbstractText Label="COMPARISON">None.</AbstractText>
            <AbstractText Label="INDICATION">Chest pain</AbstractText>
            <AbstractText Label="FINDINGS">{findings}</AbstractText>
            <AbstractText Label="IMPRESSION">{impression}</AbstractText>
         </Abstract>
      </Article>
   </MedlineCitation>
   <MeSH>
      <major>{mesh}</major>
      <automatic>heart</automatic>
   </MeSH>
{images}</eCitation>
"""


def write_release(folder: Path, *, patients: int = 12, side: int = 96, dicom: bool = False) -> None:
    """Write NLM's edition: a report each, a frontal and a lateral image; the last report but one has no image."""
    (folder / "ecgen-radiology").mkdir(parents=True)
    images = folder / ("NLMCXR_dcm" if dicom else "NLMCXR_png")
    images.mkdir()
    for uid in range(1, patients + 1):
        names = image_ids(uid) if uid != patients - 1 else ()
        (folder / "ecgen-radiology" / f"{uid}.xml").write_text(report(uid, names), encoding="utf-8")
        for place, name in enumerate(names):
            values = _draw(uid, side, lateral=place == 1)
            if dicom:
                path = images / str(uid) / f"{dicom_stem(uid, name)}.dcm"
                path.parent.mkdir(exist_ok=True)
                # Nearly half of the real ones are inverted.
                write_dicom(path, values.astype(np.uint16) * 16, inverted=uid % 2 == 1)
            else:
                Image.fromarray(values).save(images / f"{name}.png")


def write_kaggle(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write Kaggle's edition: only reports with images."""
    images = folder / "images" / "images_normalized"
    images.mkdir(parents=True)
    reports, projections = [], []
    for uid in range(1, patients + 1):
        findings, impression, mesh = _told(uid)
        reports.append((uid, mesh, mesh.split("/")[0], "Xray Chest PA and Lateral", "", "None.", findings, impression))
        for place, name in enumerate(image_ids(uid)):
            filename = f"{dicom_stem(uid, name)}.dcm.png"
            Image.fromarray(_draw(uid, side, lateral=place == 1)).save(images / filename)
            projections.append((uid, filename, ("Frontal", "Lateral")[place]))
    header = ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression")
    _table(folder / "indiana_reports.csv", [header, *reports])
    write_projections(folder, projections)


def write_projections(folder: Path, rows: list[tuple[int, str, str]]) -> None:
    """Write `indiana_projections.csv`."""
    _table(folder / "indiana_projections.csv", [("uid", "filename", "projection"), *rows])


def write_r2gen(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write R2Gen's edition: findings only, two numbered images each, split 7 : 1 : 2 by patient."""
    content: dict[str, list[dict[str, object]]] = {"train": [], "val": [], "test": []}
    for uid in range(1, patients + 1):
        name = f"CXR{uid}_IM-{uid:04d}"
        (folder / "images" / name).mkdir(parents=True)
        for place in (0, 1):
            Image.fromarray(_draw(uid, side, lateral=place == 1)).save(folder / "images" / name / f"{place}.png")
        part = "val" if uid % 10 == 0 else "test" if uid % 10 in (4, 8) else "train"
        paths = [f"{name}/0.png", f"{name}/1.png"]
        report = FINDINGS[uid % len(FINDINGS)]
        content[part].append({"id": name, "report": report, "image_path": paths, "split": part})
    (folder / "annotation.json").write_text(json.dumps(content), encoding="utf-8")


def report(uid: int, images: tuple[str, ...]) -> str:
    """A report as XML."""
    findings, impression, mesh = _told(uid)
    listed = "".join(
        f'   <parentImage id="{name}">\n      <figureId>F{place}</figureId>\n      <panel type="single"/>\n'
        "   </parentImage>\n"
        for place, name in enumerate(images, start=1)
    )
    return XML.format(uid=uid, findings=findings, impression=impression, mesh=mesh, images=listed)


def image_ids(uid: int) -> tuple[str, ...]:
    """Ids of a frontal and a lateral image; those of the first report are odd in the real release too."""
    if uid == 1:
        return ("CXR1_1_IM-0001-4001", "CXR1_1_IM-0001-3001")
    return (f"CXR{uid}_IM-{uid:04d}-1001", f"CXR{uid}_IM-{uid:04d}-2001")


def dicom_stem(uid: int, name: str) -> str:
    """Name of the DICOM file of an image: 1_IM-0001-3001, 7_IM-2263-1001."""
    return name.removeprefix("CXR1_") if uid == 1 else name.removeprefix("CXR")


def _told(uid: int) -> tuple[str, str, str]:
    """Findings, impression and MeSH term; some reports lack one section."""
    kind = uid % len(FINDINGS)
    return FINDINGS[kind] if uid % 7 else "", IMPRESSIONS[kind] if uid % 9 else "", MESH[kind]


def _draw(uid: int, side: int, *, lateral: bool) -> np.ndarray:
    generator = np.random.default_rng(uid)
    values = generator.integers(70, 90, size=(side + side // 6, side), dtype=np.uint8)
    picture = Image.fromarray(values)
    pencil = ImageDraw.Draw(picture)
    if lateral:
        pencil.ellipse([side // 4, side // 8, 3 * side // 4, side], fill=40)
        return np.array(picture)
    for left in (side // 8, side // 2 + side // 16):
        pencil.ellipse([left, side // 8, left + side // 3, side], fill=30)
    if uid % 3 == 1:
        pencil.ellipse([side // 4, side // 2, 3 * side // 4, side], fill=200)
    if uid % 3 == 2:
        pencil.ellipse([side // 8, 3 * side // 4, side // 3, side], fill=180)
    return np.array(picture)


def _table(path: Path, rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
