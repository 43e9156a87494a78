"""A made-up COVID-19 Image Data Collection, as its repository lies after a clone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLUMNS = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count,"
    "view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
)
HEADER = COLUMNS.split(",")
"""With the column without a name that the trailing comma makes."""
COVID = "Pneumonia/Viral/COVID-19"
LATER = ("No Finding", "Pneumonia/Bacterial/Streptococcus")
"""What a patient has at the second visit; every part of a split by patient then has both classes of `covid`."""
NOTES = {
    COVID: "A patient with fever and cough. Ground-glass opacities in both lower lobes.",
    "Pneumonia/Bacterial/Streptococcus": "Consolidation of the right lower lobe,\n with air bronchograms.",
    "No Finding": "The chest radiograph shows no abnormality.",
}
LICENCES = ("CC BY-NC-SA", "", "CC BY 4.0", "Apache 2.0")


def write_release(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write three radiographs a patient, one of them lateral, and rows of every odd kind that the collection has."""
    (folder / "images").mkdir(parents=True)
    (folder / "volumes").mkdir()
    rows = []
    for patient in range(patients):
        for shot, view in enumerate(("PA", ("AP", "AP Supine")[patient % 2], "L")):
            finding = COVID if shot == 0 else LATER[patient % 2]
            name = f"case-{patient:03d}-{shot}.{('jpg', 'png', 'jpeg')[shot]}"
            draw(folder / "images" / name, patient * 3 + shot, side, bright=finding != "No Finding")
            note = NOTES[finding] if patient % 5 != 4 else ""
            rows.append(row(patientid=str(patient + 2), view=view, filename=name, finding=finding, clinical_notes=note))
            rows[-1]["license"] = LICENCES[patient % len(LICENCES)]
            rows[-1]["offset"] = str(shot)
    odd = (
        # Blanks around a finding and a file name, as they stand there.
        row(patientid="900", filename="herpes.jpg ", finding="Pneumonia/Viral/Herpes "),
        row(patientid="901", filename="plain.jpg", finding="Pneumonia"),
        row(patientid="902", filename="open.jpg", finding="todo"),
        row(patientid="903", filename="unknown.jpg", finding="Unknown"),
        row(patientid="904", filename="erect.jpg", view="AP Erect"),
    )
    for number, entry in enumerate(odd):
        draw(folder / "images" / entry["filename"].strip(), 900 + number, side, bright=True)
    (folder / "volumes" / "coronacases_001.nii.gz").write_bytes(b"not read")
    volumes = (
        row(patientid="905", filename="coronacases_001.nii.gz", folder="volumes", modality="CT", view="Axial"),
        row(patientid="906", filename="slice.jpg", modality="CT", view="Coronal"),
    )
    write_table(folder, [*rows, *odd, *volumes])


def row(**cells: str) -> dict[str, str]:
    """A row of the table; cells that are not given are those of an ordinary radiograph, or blank."""
    usual = {
        "finding": COVID,
        "RT_PCR_positive": "Y",
        "view": "PA",
        "modality": "X-ray",
        "date": "January 22, 2020",
        "location": "A hospital, a town",
        "folder": "images",
        "url": "https://example.org/case",
    }
    return {**dict.fromkeys(HEADER, ""), **usual, **cells}


def write_table(folder: Path, rows: list[dict[str, str]]) -> None:
    """Write `metadata.csv`."""
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEADER, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(path: Path, number: int, side: int, *, bright: bool) -> None:
    """A radiograph, in colour as many of the collection are, with opacities where `bright` says so."""
    generator = np.random.default_rng(number)
    picture = Image.fromarray(generator.integers(40, 60, size=(side, side + side // 8), dtype=np.uint8)).convert("RGB")
    pencil = ImageDraw.Draw(picture)
    for left in (side // 8, side // 2 + side // 8):
        pencil.ellipse([left, side // 8, left + side // 3, side - side // 8], fill=(20, 20, 20))
        if bright:
            pencil.ellipse([left + 4, side // 2, left + side // 4, side - side // 6], fill=(170, 170, 170))
    picture.save(path, format="PNG" if path.suffix == ".png" else "JPEG")
