"""A made-up CheXpert Plus: the table of reports, PNG images where the table says JPEG, and CheXbert's labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

TABLE = "df_chexpert_plus_240401.csv"
COLUMNS = (
    "",
    "path_to_image",
    "path_to_dcm",
    "frontal_lateral",
    "ap_pa",
    "deid_patient_id",
    "patient_report_date_order",
    "report",
    "section_narrative",
    "section_clinical_history",
    "section_history",
    "section_comparison",
    "section_technique",
    "section_procedure_comments",
    "section_findings",
    "section_impression",
    "section_end_of_impression",
    "section_summary",
    "section_accession_number",
    "age",
    "sex",
    "race",
    "ethnicity",
    "interpreter_needed",
    "insurance_type",
    "recent_bmi",
    "deceased",
    "split",
)
LABELS = (
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
    "No Finding",
)
SUMMARY = "2-ABNORMAL, PREVIOUSLY REPORTED"


def write_release(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write two studies a patient, the first with a lateral image too; the last two patients are the official valid.

    The first patient's second study has neither findings nor impression, the second's has findings alone and the
    third's an impression alone.
    """
    entries: list[dict[str, object]] = []
    labels: list[str] = []
    for number in range(patients):
        part, patient = ("valid" if number >= patients - 2 else "train"), f"patient{42142 + number}"
        for visit in range(2):
            ill = (number + visit) % 2 == 1
            for view in ("frontal", "lateral") if visit == 0 else ("frontal",):
                path = f"{part}/{patient}/study{visit + 1}/view{1 + (view == 'lateral')}_{view}"
                entries.append(_entry(number, visit, ill, path) | {"": len(entries), "split": part})
                labels.append(json.dumps({"path_to_image": f"{path}.jpg"} | _labels(number, ill)))
                image = folder / "PNG" / f"{path}.png"
                image.parent.mkdir(parents=True, exist_ok=True)
                _image(number, ill=ill, side=side).save(image)
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(entries)
    (folder / "chexbert_labels").mkdir()
    for part in ("findings", "impression", "report"):
        (folder / "chexbert_labels" / f"{part}_fixed.json").write_text("\n".join([*labels, ""]), encoding="utf-8")


def _entry(number: int, visit: int, ill: bool, path: str) -> dict[str, object]:
    """Cells run over lines, as in the released table."""
    seen = f"There is a pleural\neffusion in patient {number}" if ill else f"The lungs are\nclear in patient {number}"
    findings, impression = (
        f"\n1.  {seen},\nvisit {visit}.",
        f"\n1.  {'EFFUSION' if ill else 'NORMAL'} ON\nVISIT {visit}.",
    )
    if visit == 1:
        findings = "" if number in (0, 2) else findings
        impression = {0: "\n", 1: ""}.get(number, impression)
    frontal = "frontal" in path
    return {
        "path_to_image": f"{path}.jpg",
        "path_to_dcm": f"{path}.dcm",
        "frontal_lateral": "Frontal" if frontal else "Lateral",
        "ap_pa": "AP" if frontal else "",
        "deid_patient_id": path.split("/")[1],
        "patient_report_date_order": visit + 1,
        "report": f"NARRATIVE: CHEST\n{findings}\n{impression}",
        "section_findings": findings,
        "section_impression": impression,
        "section_summary": SUMMARY,
        "age": 60 + number,
        "sex": "Female",
    }


def _labels(number: int, ill: bool) -> dict[str, float | None]:
    """Effusion follows the image; edema is uncertain, all else not mentioned."""
    known = {"Pleural Effusion": float(ill), "Cardiomegaly": float(number % 3 == 0), "Edema": -1.0}
    return {name: known.get(name) for name in LABELS}


def _image(number: int, *, ill: bool, side: int) -> Image.Image:
    pixels = np.random.default_rng(300 + number).integers(30, 70, size=(side, side), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    draw.ellipse([side // 4, side // 8, 3 * side // 4, 7 * side // 8], fill=120)
    if ill:
        draw.rectangle([side // 8, 5 * side // 8, side // 2, 7 * side // 8], fill=240)
    return picture
