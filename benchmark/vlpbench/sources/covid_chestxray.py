"""The COVID-19 Image Data Collection of Cohen et al.: radiographs from publications, with a note on most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.csv_file import lines
from vlpbench.sources.noticed import Noticed
from vlpbench.sources.release import Release

TABLES = ("metadata.csv", "metadata.csv.gz")
COLUMNS = (
    "patientid",
    "offset",
    "finding",
    "RT_PCR_positive",
    "view",
    "modality",
    "folder",
    "filename",
    "url",
    "license",
    "clinical_notes",
    "other_notes",
)
COVID = "Pneumonia/Viral/COVID-19"
AGENTS: Mapping[str, tuple[str, ...]] = {
    "Viral": ("COVID-19", "SARS", "MERS-CoV", "Influenza", "Influenza/H1N1", "Varicella", "Herpes"),
    "Bacterial": (
        "Streptococcus",
        "Staphylococcus/MRSA",
        "Klebsiella",
        "Legionella",
        "Mycoplasma",
        "E.Coli",
        "Chlamydophila",
        "Nocardia",
    ),
    "Fungal": ("Pneumocystis", "Aspergillosis"),
    "Lipoid": (),
    "Aspiration": (),
}
"""Kinds of pneumonia and what causes them, as the findings spell them."""
UNSAID = ("todo", "Unknown", "")
FINDINGS = frozenset(
    (
        *UNSAID,
        "No Finding",
        "Tuberculosis",
        "Pneumonia",
        *(f"Pneumonia/{kind}" for kind in AGENTS),
        *(f"Pneumonia/{kind}/{agent}" for kind, agents in AGENTS.items() for agent in agents),
    )
)
LABELS = ("no_finding", "pneumonia", "tuberculosis", "covid", *(kind.lower() for kind in AGENTS))


@register_source(
    "covid_chestxray",
    title="COVID-19 Image Data Collection (Cohen et al.): radiographs from publications with clinical notes",
    licence="one for each image (column license), unknown where blank; metadata CC BY-NC-SA 4.0",
    how="git clone https://github.com/ieee8023/covid-chestxray-dataset",
    tasks=("pre-training", "classification"),
    size="not stated on its page",
    known=(
        "Nearly every image is abnormal, and source and label go together: images of one finding often come from one "
        "journal or hospital, so that a number on it says little about the finding.",
        "Many images have no licence in the table; the option licences keeps those that do.",
        "A note often tells of the patient, the course or a figure with several panels, not of the one image.",
        "The collection is part of COVIDx and of other COVID-19 sets: do not pre-train here and evaluate there.",
        "Some images are marked todo or Unknown; their labels are unknown here.",
    ),
    options={
        "folder": "folder of the clone, relative to --src or --data (.)",
        "views": "views to keep, as the column view spells them (['PA', 'AP', 'AP Supine'])",
        "licences": "beginnings of the licences to keep, such as ['CC']; by default every image is kept ([])",
    },
    version=1,
)
class CovidChestXray(Release):
    """X-rays of the chosen views; the clinical note stands for a report."""

    OPTIONS: ClassVar[Mapping[str, Any]] = {"views": ("PA", "AP", "AP Supine"), "licences": ()}

    def __init__(self, request: SourceRequest) -> None:
        """Resolve the options; a single name stands for a list of one.

        Raises:
            UnknownNameError: for an option that does not exist.
            VlpbenchError: without a folder, or where there is none.
        """
        super().__init__(request)
        self.views, self.licences = (_names(self.options[name]) for name in ("views", "licences"))
        # The rows themselves are not kept: the source is sent to other processes with every image.
        self._counts: Counter[str] = Counter()
        self._noticed = Noticed()

    def tables(self) -> Sequence[Path]:
        """`metadata.csv`.

        Raises:
            VlpbenchError: if it is not there.
        """
        return [self.find(*TABLES)]

    def rows(self) -> Sequence[ImageRow]:
        """Every X-ray of the chosen views and licences.

        Raises:
            BadInputError: listing every unknown finding and path out of the folder.
            VlpbenchError: if views and licences leave no image.
        """
        (table,) = self.tables()
        self._counts, self._noticed = Counter(), Noticed()
        problems: list[str] = []
        kept: dict[str, ImageRow] = {}
        entries = list(lines(self.table(table, columns=COLUMNS)))
        views = Counter(entry["view"] for _, entry in entries if entry["modality"] == "X-ray")
        contradicting = _contradicting([entry for _, entry in entries])
        for line, entry in entries:
            reason, odd = self._left_out(entry), _unusable(entry, kept, contradicting)
            problem = "" if reason or odd else self._wrong(entry)
            if problem:
                problems.append(f"{table.name} row {line}: {problem}")
            elif reason:
                self._counts[reason] += 1
            elif odd:
                self._counts[f"{odd} left out"] += 1
                self._noticed.add(f"{table.name}: {odd}, left out", f"row {line}")
            else:
                kept[entry["filename"]] = self._row(entry)
        self.refuse(problems)
        rows = list(kept.values())
        if not rows:
            listed = ", ".join(f"{view or 'blank'} ({count})" for view, count in views.items() if count)
            raise VlpbenchError(
                f"{table}: no X-ray is left by the options views {list(self.views)} and licences "
                f"{list(self.licences)}. Views of its X-rays: {listed or 'none'}."
            )
        return rows

    def counts(self) -> dict[str, int]:
        """Images, what was left out by reason, images without a note and with an unknown finding.

        Raises:
            BadInputError: as `rows`.
        """
        if not self._counts:
            self.rows()
        return {name: count for name, count in self._counts.items() if count}

    def noticed(self) -> Sequence[str]:
        """Rows without an id, repeated and contradicting ones."""
        return self._noticed.lines()

    def _left_out(self, entry: Mapping[str, str]) -> str:
        """Why a row is left out, "" where it is kept."""
        if entry["filename"].lower().endswith(".gz"):
            return "volumes left out"
        if entry["modality"] != "X-ray":
            return "other modalities left out"
        if entry["view"] not in self.views:
            return "other views left out"
        if self.licences and not entry["license"].startswith(self.licences):
            return "other licences left out"
        return ""

    def _wrong(self, entry: Mapping[str, str]) -> str:
        """What is wrong with a row, "" where nothing is."""
        if _finding(entry) not in FINDINGS:
            return (
                f"finding is {entry['finding']!r}; expected one such as {COVID}, Pneumonia, Tuberculosis or No Finding "
                "(older editions spell it differently: take the newest)"
            )
        try:
            confined(self.folder, f"{entry['folder']}/{entry['filename']}")
        except PathError as error:
            return str(error)
        return ""

    def _row(self, entry: Mapping[str, str]) -> ImageRow:
        labels = finding_labels(_finding(entry))
        self._counts["images"] += 1
        self._counts["images without a clinical note"] += not entry["clinical_notes"]
        self._counts["images with an unknown finding"] += all(map(math.isnan, labels.values()))
        return ImageRow(
            image_id=entry["filename"],
            patient=entry["patientid"],
            study=entry["filename"],
            report=" ".join(entry["clinical_notes"].split()),
            labels=labels,
            boxes_known=False,
            source_path=f"{entry['folder']}/{entry['filename']}",
            facts={
                "licence": entry["license"],
                "view": entry["view"],
                "finding": entry["finding"],
                "offset": entry["offset"],
                "rt_pcr_positive": entry["RT_PCR_positive"],
                "url": entry["url"],
                "credit": entry["other_notes"],
            },
        )


def finding_labels(finding: str) -> dict[str, float]:
    """Labels of a finding: 0 or 1, NaN where the finding does not say.

    "Pneumonia" alone leaves its kind open, and with it whether it is COVID-19; so does "Pneumonia/Viral" for COVID-19.

    Args:
        finding: one of `FINDINGS`.
    """
    if finding in UNSAID:
        return dict.fromkeys(LABELS, math.nan)
    root, _, rest = finding.partition("/")
    kind = rest.partition("/")[0]
    open_kind = finding == "Pneumonia"
    labels = {
        "no_finding": float(root == "No Finding"),
        "pneumonia": float(root == "Pneumonia"),
        "tuberculosis": float(root == "Tuberculosis"),
        "covid": math.nan if finding in ("Pneumonia", "Pneumonia/Viral") else float(finding == COVID),
    }
    return {**labels, **{name.lower(): math.nan if open_kind else float(name == kind) for name in AGENTS}}


def _unusable(entry: Mapping[str, str], kept: Collection[str], contradicting: Collection[str]) -> str:
    """Why a row is of no use although the others are, "" where it is."""
    blank = next((name for name in ("filename", "patientid", "folder") if not entry[name]), "")
    if blank:
        return f"rows with a blank {blank}"
    if entry["filename"] in contradicting:
        return "rows of one image that differ in patient, finding or view"
    return "rows that repeat an image" if entry["filename"] in kept else ""


def _contradicting(entries: Iterable[Mapping[str, str]]) -> set[str]:
    """Images whose rows do not say the same."""
    said: dict[str, set[tuple[str, ...]]] = {}
    for entry in entries:
        said.setdefault(entry["filename"], set()).add((entry["patientid"], _finding(entry), entry["view"]))
    return {name for name, found in said.items() if len(found) > 1}


def _finding(entry: Mapping[str, str]) -> str:
    """The finding without blanks around its parts: the table has `Pneumonia/Viral/Herpes `."""
    return "/".join(part.strip() for part in entry["finding"].split("/"))


def _names(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value)) if isinstance(value, Sequence) else ()
