"""CheXpert Plus: the radiographs of CheXpert with their reports."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.confined import confined
from vlpbench.sources.csv_file import FIRST_LINE
from vlpbench.sources.image_tree import find_suffixes
from vlpbench.sources.release import Release
from vlpbench.sources.report_labels import LABELS, UNKNOWN
from vlpbench.sources.report_sections import report_text
from vlpbench.sources.report_store import UNDECODABLE, read_texts

TABLES = ("df_chexpert_plus_240401.csv", "df_chexpert_plus_240401.csv.gz")
TEXTS = {"impression": "section_impression", "findings": "section_findings"}
COLUMNS = ("path_to_image", "frontal_lateral", "ap_pa", "deid_patient_id", "split", *TEXTS.values())
IMAGE = re.compile(
    r"^(?P<study>(?:train|valid)/(?P<folder>patient[0-9]+)/study[0-9]+)/(?P<name>view[0-9]+_(?:frontal|lateral))\.\w+$"
)
SPLITS = {"train": "train", "valid": "val"}
VIEWS = ("frontal", "lateral")
IMAGE_PLACES = (
    ".",
    "PNG",
    "PNG/PNG",
    "PNGs",
    "DICOM",
    "DICOM/DICOM",
    "images",
    "CheXpert-v1.0",
    "CheXpert-v1.0-small",
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm")
LABELLERS = ("report", "impression", "findings")
VALUES: Mapping[float | None, float] = {1: 1.0, 0: 0.0, -1: math.nan, None: math.nan}


@register_source(
    "chexpert_plus",
    title="CheXpert Plus: 223,228 training radiographs of CheXpert with their reports",
    licence="Stanford AIMI research use agreement: no redistribution, nothing shown to third parties",
    how="Account and agreement at https://aimi.stanford.edu/datasets/chexpert-plus; df_chexpert_plus_240401.csv, the "
    "PNG or DICOM images and, if labels are wanted, chexbert_labels.",
    tasks=("pre-training",),
    size="as the dataset's page says; the DICOM files are several terabytes",
    third_parties=False,
    known=(
        "Its images are those of CheXpert: what is pre-trained on it has seen CheXpert's training images and reports, "
        "and, unless exclude_valid stays true, the validation patients that the paper suite tests on.",
        "Labels were read off the reports by CheXbert, not off the images.",
        "Several images of a study share its report.",
        "section_summary is a code of the reading, such as 2-ABNORMAL, PREVIOUSLY REPORTED, and no shorter wording of "
        "the report; it is not used.",
    ),
    options={
        "images": "folder that holds train/, relative to the release; found by itself in the usual places",
        "labels": "report, impression or findings: which of the chexbert_labels; by default the report's where they "
        "are there",
        "views": "'frontal', or 'all' with laterals (frontal)",
        "exclude_valid": "whether the patients of the official validation set are left out, since the paper suite "
        "tests on them (true); patients are then dealt into train, val and test",
    },
    version=1,
)
class CheXpertPlus(Release):
    """Frontal images with impression and findings; PNG, DICOM or the JPEG files of CheXpert."""

    OPTIONS: ClassVar[Mapping[str, Any]] = {"images": "", "labels": "", "views": "frontal", "exclude_valid": True}

    def __init__(self, request: SourceRequest) -> None:
        """Check the options.

        Raises:
            UnknownNameError: for an option, or a value of one, that does not exist.
            VlpbenchError: for `exclude_valid` other than true and false, and without a folder.
        """
        super().__init__(request)
        for name, known in (("views", ("frontal", "all")), ("labels", ("", *LABELLERS))):
            if self.options[name] not in known:
                raise UnknownNameError(
                    f"value of the option {name!r} of chexpert_plus", str(self.options[name]), filter(None, known)
                )
        if not isinstance(self.options["exclude_valid"], bool):
            given = repr(self.options["exclude_valid"])
            raise VlpbenchError(f"The option exclude_valid of chexpert_plus is {given}; expected true or false.")
        self._counts: dict[str, int] | None = None

    def tables(self) -> Sequence[Path]:
        """The table, and the labels where there are any.

        Raises:
            VlpbenchError: if the table, or labels that an option asks for, are missing.
        """
        labels = self._labels_file()
        return [self.find(*TABLES), *([labels] if labels else [])]

    def require(self) -> None:
        """Find the tables and the images."""
        super().require()
        self._images()

    def counts(self) -> dict[str, int]:
        """Images by what became of them, and what the kept ones lack."""
        if self._counts is None:
            self.rows()
        return dict(self._counts or {})

    def rows(self) -> Sequence[ImageRow]:
        """Images of the wanted views whose report has impression or findings, in the order of the table.

        Raises:
            BadInputError: listing malformed or repeated paths, unknown splits and views, and bad lines of labels.
            VlpbenchError: if no image is left.
        """
        problems: list[str] = []
        frame = self._frame(problems)
        root = self._images()
        labels_file = self._labels_file()
        labels = read_label_lines(labels_file, problems) if labels_file else None
        self.refuse(problems)
        kept = self._filtered(frame)
        self._counts = {
            **(self._counts or {}),
            "texts not all UTF-8": int(kept["text"].str.contains(UNDECODABLE, regex=False).sum()),
            "kept without labels": int((~kept["stem"].isin(list(labels or {}))).sum()),
        }
        if kept.empty:
            listed = ", ".join(f"{count} {name}" for name, count in self._counts.items())
            raise VlpbenchError(f"No image of {self.folder} has a report to train on: {listed}.")
        return list(self._rows(root, kept, labels))

    def _labels_file(self) -> Path | None:
        path = self.folder / "chexbert_labels" / f"{self.options['labels'] or LABELLERS[0]}_fixed.json"
        if path.is_file():
            return path
        if self.options["labels"]:
            raise self.wrong(f"the option labels asks for chexbert_labels/{path.name}, which is not there")
        return None

    def _images(self) -> Path:
        given = str(self.options["images"])
        for place in (given,) if given else IMAGE_PLACES:
            folder = confined(self.folder, given) if given else self.folder / place
            if (folder / "train").is_dir():
                return folder
        raise self.wrong(f"expected the folder train/ in {given or ' or '.join(IMAGE_PLACES)}")

    def _frame(self, problems: list[str]) -> pd.DataFrame:
        """The table with what its paths say: stem, study and patient."""
        path = self.find(*TABLES)
        frame = read_texts(path, columns=COLUMNS)
        parts = frame["path_to_image"].str.extract(IMAGE)
        frame["study"] = parts["study"]
        frame["stem"] = parts["study"] + "/" + parts["name"]
        frame["patient"] = frame["deid_patient_id"].where(frame["deid_patient_id"] != "", parts["folder"])
        frame["frontal_lateral"] = frame["frontal_lateral"].str.lower()
        checks = (
            (
                "path_to_image",
                frame["stem"].notna().tolist(),
                "train/patient42142/study5/view1_frontal.jpg or the like",
            ),
            ("split", frame["split"].isin(list(SPLITS)).tolist(), "train or valid"),
            ("frontal_lateral", frame["frontal_lateral"].isin(list(VIEWS)).tolist(), "Frontal or Lateral"),
        )
        for column, good, expected in checks:
            problems += [
                f"{path.name} row {row + FIRST_LINE}: {column} is {value!r}; expected {expected}"
                for row, value in enumerate(frame[column].tolist())
                if not good[row]
            ]
        again = (frame["stem"].notna() & frame["stem"].duplicated()).tolist()
        problems += [
            f"{path.name} row {row + FIRST_LINE}: {stem} stands in an earlier row too"
            for row, stem in enumerate(frame["stem"].tolist())
            if again[row]
        ]
        return frame

    def _filtered(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows that are kept, with their text; the others are counted."""
        official = frame["study"].str.startswith("valid/") | (frame["split"] == "valid")
        held = frame["patient"].isin(frame.loc[official, "patient"]) & bool(self.options["exclude_valid"])
        turned = ~held & (frame["frontal_lateral"] != "frontal") & bool(self.options["views"] == "frontal")
        wanted = frame[~held & ~turned]
        cells = zip(*(wanted[column] for column in TEXTS.values()), strict=True)
        wanted = wanted.assign(text=[report_text(dict(zip(TEXTS, texts, strict=True))) for texts in cells])
        kept = wanted[wanted["text"] != ""]
        self._counts = {
            "images": len(frame),
            "official validation": int(held.sum()),
            "not frontal": int(turned.sum()),
            "without findings and impression": len(wanted) - len(kept),
            "kept": len(kept),
        }
        return kept

    def _rows(
        self, root: Path, kept: pd.DataFrame, labels: Mapping[str, Mapping[str, float]] | None
    ) -> Iterator[ImageRow]:
        base = "" if root == self.folder else f"{root.relative_to(self.folder).as_posix()}/"
        suffixes = find_suffixes(root, kept["study"].unique(), suffixes=SUFFIXES)
        columns = ("stem", "patient", "study", "split", "text", "frontal_lateral", "ap_pa", *TEXTS.values())
        for stem, patient, study, split, text, view, position, *texts in zip(
            *(kept[column] for column in columns), strict=True
        ):
            told = [name for name, cell in zip(TEXTS, texts, strict=True) if cell]
            yield ImageRow(
                image_id=stem,
                patient=patient,
                study=study,
                split="" if self.options["exclude_valid"] else SPLITS[split],
                report=text,
                labels={} if labels is None else labels.get(stem, UNKNOWN),
                boxes_known=False,
                source_path=f"{base}{stem}{suffixes.get(stem, SUFFIXES[0])}",
                facts={"view": view, "position": position, "sections": " and ".join(told)},
            )


def read_label_lines(path: Path, problems: list[str]) -> dict[str, Mapping[str, float]]:
    """Labels by image path without suffix, from JSON lines: 1, 0, or NaN for uncertain (-1) and not mentioned (null).

    Args:
        path: such as chexbert_labels/report_fixed.json, an object a line with path_to_image and the fourteen labels.
        problems: to which every bad line is added.
    """
    found: dict[str, Mapping[str, float]] = {}
    known: dict[tuple[str, ...], Mapping[str, float]] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                stem, values = _label_line(line)
            except ValueError as error:
                problems.append(f"{path.parent.name}/{path.name} line {number}: {error}")
                continue
            if stem in found:
                problems.append(f"{path.parent.name}/{path.name} line {number}: {stem} stands in an earlier line too")
            # Third of a million rows share a few thousand combinations.
            found[stem] = known.setdefault(tuple(map(str, values.values())), values)
    return found


def _label_line(line: str) -> tuple[str, dict[str, float]]:
    """Image and labels of one line; ValueError says what is wrong with it."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error}); expected one object a line") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("path_to_image"), str):
        raise ValueError("expected an object with path_to_image and fourteen labels")
    match = IMAGE.match(entry["path_to_image"])
    if match is None:
        raise ValueError(f"path_to_image is {entry['path_to_image']!r}; expected a path such as in {TABLES[0]}")
    values: dict[str, float] = {}
    for column, name in LABELS.items():
        if column not in entry:
            raise ValueError(f"no label {column!r}")
        value = entry[column]
        if not (value is None or isinstance(value, int | float)) or (value not in VALUES and value == value):
            raise ValueError(f"{column} is {value!r}; expected 1.0, 0.0, -1.0 or null")
        values[name] = VALUES.get(value, math.nan)
    return f"{match['study']}/{match['name']}", values
