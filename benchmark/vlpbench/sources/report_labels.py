"""The fourteen labels that CheXpert's labellers read off reports."""

from __future__ import annotations

import math
from collections.abc import Mapping

LABELS: Mapping[str, str] = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Enlarged Cardiomediastinum": "enlarged_cardiomediastinum",
    "Fracture": "fracture",
    "Lung Lesion": "lung_lesion",
    "Lung Opacity": "lung_opacity",
    "No Finding": "no_finding",
    "Pleural Effusion": "pleural_effusion",
    "Pleural Other": "pleural_other",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Support Devices": "support_devices",
}
"""Names in vlpbench by column of the official tables."""

CELLS: Mapping[str, float] = {
    "1.0": 1.0,
    "1": 1.0,
    "0.0": 0.0,
    "0": 0.0,
    "-1.0": math.nan,
    "-1": math.nan,
    "": math.nan,
}
"""Values by cell: what a report leaves open (-1) or does not mention (blank) is unknown."""

UNKNOWN: Mapping[str, float] = dict.fromkeys(LABELS.values(), math.nan)
"""Labels of a study that no labeller has seen."""
