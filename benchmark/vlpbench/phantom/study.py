"""The nouns of the phantom: a study, its findings, and what rendering gives back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from vlpbench.box import Box

GENERATOR_VERSION = 1

KINDS: tuple[str, ...] = (
    "pleural_effusion",
    "edema",
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "pneumothorax",
    "foreign_object",
    "covid",
)
"""What a study can be labelled with. A chest tube is drawn and reported too, but is a device and no label."""

Meaning = tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class Finding:
    """One finding of one study: what the report says, and what drawing it needs.

    Attributes:
        kind: One of `KINDS`, or "chest_tube".
        side: The patient's side: "left", "right", "bilateral" or "none". Left is on the right of the image.
        severity: The grade the report gives; the words depend on the kind.
        location: The lung zone; for foreign objects the sort of object, or "mixed".
        extent: The size within the grade, in [0, 1].
        count: How many objects or foci are drawn.
        seed: Of the details (outline, exact place) that no report would mention.
    """

    kind: str
    side: str
    severity: str
    location: str
    extent: float
    count: int
    seed: int


@dataclass(frozen=True)
class Study:
    """One examination of one patient. Small, picklable, and all that `render` needs besides a size.

    Attributes:
        site: Index of the hospital, which sets exposure, noise, blur and markers.
        age: In years.
        labels: 0.0 or 1.0 for each label of the population.
        seed: Of the acquisition: pose, exposure and noise.
        patient_seed: Of the anatomy, which all studies of a patient share.
    """

    study_id: str
    patient_id: str
    population: str
    site: int
    view: str
    age: int
    sex: str
    findings: tuple[Finding, ...]
    report_findings: str
    report_impression: str
    summary: str
    labels: dict[str, float]
    seed: int
    patient_seed: int

    @property
    def report(self) -> str:
        """Both sections under their headings."""
        return f"FINDINGS: {self.report_findings} IMPRESSION: {self.report_impression}"

    @property
    def meaning(self) -> Meaning:
        """What the report asserts, whatever its wording; two studies with equal meaning are each other's match."""
        return tuple(sorted((f.kind, f.side, f.severity, f.location) for f in self.findings))


@dataclass(frozen=True)
class Rendered:
    """The pixels of a study.

    Attributes:
        image: Bright is dense, as on a film viewer.
        masks: "lung", one mask for each finding kind drawn, and "lung_opacity", the filled boxes of that label.
        boxes: One for each finding, focus or object; consolidations are labelled "lung_opacity", others by kind.
    """

    image: UInt8[np.ndarray, "size size"]
    masks: dict[str, Bool[np.ndarray, "size size"]]
    boxes: tuple[Box, ...]


def same_meaning_share(studies: Sequence[Study]) -> float:
    """Share of the studies, in [0, 1], that mean the same as a study of another patient; 0 for no studies."""
    patients: dict[Meaning, dict[str, None]] = {}
    for study in studies:
        patients.setdefault(study.meaning, {})[study.patient_id] = None
    return sum(len(patients[study.meaning]) > 1 for study in studies) / len(studies) if studies else 0.0
