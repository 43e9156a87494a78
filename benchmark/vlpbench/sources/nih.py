"""NIH ChestX-ray14: 112,120 frontal radiographs with labels mined from reports."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vlpbench.box import Box
from vlpbench.data.source import BadAnnotationError, ImageRow, Pixels
from vlpbench.errors import VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.csv_file import lines
from vlpbench.sources.release import Release, index_images

ENTRIES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
BOXES = "BBox_List_2017.csv"
COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "View Position")
CORNER = ("Bbox [x", "y", "w", "h]")
"""Columns of a box: the commas inside the brackets of the header split it."""
SIDE = 1024
"""Side of the released images, in whose pixels boxes are given."""
SLACK = 1.0
FINDINGS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural_effusion",
    "Infiltration": "infiltration",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Emphysema": "emphysema",
    "Fibrosis": "fibrosis",
    "Pleural_Thickening": "pleural_thickening",
    "Hernia": "hernia",
}
NORMAL = "No Finding"
VOCABULARY = frozenset({*FINDINGS, NORMAL})
BOX_FINDINGS = {**FINDINGS, "Infiltrate": "infiltration"}
NAME = re.compile(r"(\d{8})_\d{3}\.png")
AGE = re.compile(r"0*(\d+)([YMD]?)")
PER_YEAR = {"": 1, "Y": 1, "M": 12, "D": 365}


@register_source(
    "nih",
    title="NIH ChestX-ray14: 14 findings mined from reports",
    licence="free use with credit and a link to the download page",
    how="https://nihcc.app.box.com/v/ChestXray-NIHCC; unpack images_001 to images_012 beside the tables.",
    tasks=("classification",),
    size="about 42 to 45 GB",
    known=(
        "Labels were mined from reports by a program, and the 2017 and 2020 tables differ in some of them.",
        "Boxes are known for 880 images, all of them in the official test list: nothing can be trained on them.",
        "A box is given for some findings of an image, not for all of them.",
        "RSNA Pneumonia and SIIM-ACR Pneumothorax take their images from here, ChestX-Det and a part of COVIDx too: "
        "do not pre-train on one and evaluate on another.",
    ),
    options={"folder": "folder of the release, relative to --src"},
    version=1,
)
class NIHChestXray14(Release):
    """Rows of Data_Entry_2017_v2020.csv, or of the first edition where that is missing."""

    def tables(self) -> Sequence[Path]:
        """Labels, the two official lists, and the boxes where they are there."""
        if not any(self.folder.glob("images*/")):
            raise self.wrong("expected folders images_001 to images_012, or images")
        boxes = [path for name in (BOXES, f"{BOXES}.gz") if (path := self.folder / name).is_file()]
        return [self._labels(), *(self.find(name) for name in LISTS.values()), *boxes[:1]]

    def rows(self) -> Sequence[ImageRow]:
        """Every image of the table, in its order.

        Raises:
            BadInputError: listing every malformed or repeated image, unknown finding, image in none or both of the
                lists, and bad box.
            VlpbenchError: if the folder is not the release.
        """
        table, *_ = self.tables()
        problems: list[str] = []
        official = self._official(problems)
        frame = self.table(table, columns=COLUMNS)
        boxes = self._boxes(set(frame["Image Index"]), problems)
        files = self._files()
        seen: set[str] = set()
        rows = []
        for line, entry in lines(frame):
            where, name = f"{table.name} row {line}", entry["Image Index"]
            if name in seen:
                problems.append(f"{where}: image {name!r} stands in an earlier row too")
            seen.add(name)
            problems.extend(f"{where}: {problem}" for problem in _problems_of(entry, official))
            rows.append(_row(entry, official.get(name, ""), boxes.get(name), files.get(name, f"images/{name}")))
        self.refuse(problems)
        return rows

    def read(self, row: ImageRow) -> Pixels:
        """Decode the image; boxes follow the size of a resized copy.

        Raises:
            UnreadableImageError: if it cannot be decoded.
            BadAnnotationError: if it has boxes and is not square.
        """
        pixels = super().read(row)
        if not row.boxes or (pixels.height, pixels.width) == (SIDE, SIDE):
            return pixels
        if pixels.height != pixels.width:
            raise BadAnnotationError(
                f"boxes are in pixels of {SIDE} x {SIDE}, but the image is {pixels.width} x {pixels.height}: not a "
                "resized copy of the released one"
            )
        scale = pixels.width / SIDE
        boxes = (
            Box(box.label, box.x * scale, box.y * scale, box.width * scale, box.height * scale) for box in row.boxes
        )
        return replace(pixels, boxes=tuple(boxes))

    def _labels(self) -> Path:
        return self.find(*(f"{name}{suffix}" for name in ENTRIES for suffix in ("", ".gz")))

    def _official(self, problems: list[str]) -> dict[str, str]:
        """Official split by image name."""
        split_of: dict[str, str] = {}
        for split, name in LISTS.items():
            path = self.find(name)
            try:
                listed = path.read_text(encoding="utf-8-sig").splitlines()
            except UnicodeDecodeError as error:
                raise VlpbenchError(f"{path} is not a text file in UTF-8: {error}") from error
            for line, image in enumerate(map(str.strip, listed), start=1):
                if image and split_of.setdefault(image, split) != split:
                    problems.append(f"{name} line {line}: {image} is in {LISTS[split_of[image]]} too")
        return split_of

    def _boxes(self, known: set[str], problems: list[str]) -> dict[str, list[Box]]:
        """Boxes by image name, in pixels of the released image."""
        boxes: dict[str, list[Box]] = {}
        for path in self.tables()[1 + len(LISTS) :]:
            for line, entry in lines(self.table(path, columns=("Image Index", "Finding Label", *CORNER))):
                where, name, label = f"{path.name} row {line}", entry["Image Index"], entry["Finding Label"]
                if name not in known:
                    problems.append(f"{where}: image {name!r} is not in {self._labels().name}")
                if label not in BOX_FINDINGS:
                    problems.append(f"{where}: the finding is {label!r}; expected one of {', '.join(BOX_FINDINGS)}")
                try:
                    box = _box(BOX_FINDINGS.get(label, ""), [entry[column] for column in CORNER])
                except ValueError as error:
                    problems.append(f"{where}: {error}")
                    continue
                boxes.setdefault(name, []).append(box)
        return boxes

    def _files(self) -> dict[str, str]:
        """Where each image lies, relative to the folder: in images_001/images and so on, or all in one place."""
        found: dict[str, str] = {}
        for folder in sorted(self.folder.glob("images*/")):
            for paths in index_images(folder, (".png",)).values():
                found.setdefault(paths[0].name, str(paths[0].relative_to(self.folder)))
        return found


def _problems_of(entry: Mapping[str, str], official: Mapping[str, str]) -> Iterable[str]:
    """What is wrong with a row of the label table."""
    name, patient = entry["Image Index"], entry["Patient ID"]
    parts = NAME.fullmatch(name)
    if parts is None:
        yield f"the image is {name!r}; expected a name such as 00000001_000.png"
    elif not patient.isdecimal() or int(patient) != int(parts[1]):
        yield f"the patient is {patient!r}, but the image {name} is of patient {int(parts[1])}"
    if name not in official:
        yield f"image {name!r} is neither in {LISTS['train']} nor in {LISTS['test']}"
    findings = _findings(entry)
    unknown = [finding for finding in findings if finding not in VOCABULARY]
    if unknown:
        yield f"the finding is {unknown[0]!r}; expected {NORMAL}, {', '.join(FINDINGS)}, joined by |"
    elif NORMAL in findings and len(findings) > 1:
        yield f"{NORMAL} together with another finding: {entry['Finding Labels']!r}"


def _findings(entry: Mapping[str, str]) -> list[str]:
    return [finding.strip() for finding in entry["Finding Labels"].split("|")]


def _row(entry: Mapping[str, str], split: str, boxes: Sequence[Box] | None, source_path: str) -> ImageRow:
    name, patient = entry["Image Index"], entry["Patient ID"]
    findings = _findings(entry)
    labels = {label: float(finding in findings) for finding, label in FINDINGS.items()}
    return ImageRow(
        image_id=name,
        patient=patient.zfill(8),
        study=name.removesuffix(".png"),
        split=split,
        labels={**labels, "no_finding": float(NORMAL in findings)},
        boxes=tuple(boxes or ()),
        boxes_known=boxes is not None,
        source_path=source_path,
        facts={
            "view": entry["View Position"],
            "sex": entry.get("Patient Gender", ""),
            "age": _years(entry.get("Patient Age", "")),
        },
    )


def _years(age: str) -> str:
    """Whole years; the first edition writes 058Y, 010M or 013D."""
    parts = AGE.fullmatch(age)
    return "" if parts is None else str(int(parts[1]) // PER_YEAR[parts[2]])


def _box(label: str, cells: Sequence[str]) -> Box:
    try:
        x, y, width, height = map(float, cells)
    except ValueError as error:
        raise ValueError(f"x, y, w and h must be numbers; got {list(cells)}") from error
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise ValueError(f"the box has no area ({width:g} x {height:g})")
    if min(x, y) < -SLACK or max(x + width, y + height) > SIDE + SLACK:
        raise ValueError(f"the box reaches beyond the image of {SIDE} x {SIDE} pixels")
    left, top = max(x, 0.0), max(y, 0.0)
    return Box(label, left, top, min(x + width, float(SIDE)) - left, min(y + height, float(SIDE)) - top)
