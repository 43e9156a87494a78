"""RSNA Pneumonia Detection Challenge 2018: boxes around lung opacities, from Kaggle's files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from vlpbench.box import Box
from vlpbench.data.source import BadAnnotationError, ImageRow, SourceRequest
from vlpbench.registry import register_source
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.csv_file import lines
from vlpbench.sources.nih_cross_reference import NihImage, read_cross_reference
from vlpbench.sources.release import Release

SIDE = 1024
"""Every image of the release is a square of this side, pixels."""
STAGES = ("stage_2", "stage_1")
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
FINDING = "lung_opacity"
CLASSES = {
    "Normal": "normal",
    "No Lung Opacity / Not Normal": "not_normal_no_opacity",
    "Lung Opacity": FINDING,
}
CORNER = ("x", "y", "width", "height")


@register_source(
    "rsna",
    title="RSNA Pneumonia Detection Challenge 2018",
    licence="Rules of the Kaggle competition: non-commercial and academic use",
    how="Accept the rules at https://www.kaggle.com/competitions/rsna-pneumonia-detection-challenge, download and "
    "unzip; give the folder that holds stage_2_train_labels.csv. Put "
    "https://s3.amazonaws.com/east1.public.rsna.org/AI/2018/pneumonia-challenge-dataset-mappings_2018.json beside it "
    "to keep patients together.",
    tasks=("classification", "segmentation", "detection"),
    size="about 3.7 GB",
    known=(
        "patientId names an image, not a patient: without the cross-reference to NIH ChestX-ray14 each image counts as "
        "a patient of its own, and the images of one person fall on both sides of a split. The 26,585 images that "
        "could be matched to NIH are of 11,410 patients.",
        "Papers say 29,700 images; 26,684 have public labels (the other 3,000 are the test set of stage 2).",
        "Every image comes from NIH ChestX-ray14, 7,170 of them from its official test set; 13,588 also stand in the "
        "training list of COVIDx 9A.",
        "Masks are filled boxes, not outlines.",
        "77 % of the images have no box: predicting no opacity anywhere is right for them.",
    ),
    options={
        "folder": "folder of the release, relative to --src",
        "cross_reference": "JSON or CSV in that folder with the NIH image or patient of each image; by default "
        "pneumonia-challenge-dataset-mappings_2018.json where it is there",
        "cross_reference_image": "its key or column of the image id (subset_img_id or patientId)",
        "cross_reference_nih": "its key or column of the NIH image, such as 00000001_000.png, or of the patient "
        "(img_id, orig_img_id, nih_image_id, Image Index or nih_patient_id)",
    },
    version=1,
)
class RsnaSource(Release):
    """A row per image; both tables have a row per box."""

    OPTIONS: ClassVar = {"cross_reference": "", "cross_reference_image": "", "cross_reference_nih": ""}

    def __init__(self, request: SourceRequest) -> None:
        """Resolve options and folder."""
        super().__init__(request)
        self._counts: dict[str, int] = {}

    def tables(self) -> Sequence[Path]:
        """Labels, classes and, where there is one, the cross-reference."""
        labels = self.find(*(f"{stage}_train_labels.csv{end}" for stage in STAGES for end in ("", ".gz")))
        stage = _stage(labels)
        self.find(f"{stage}_train_images")
        classes = self.find(f"{stage}_detailed_class_info.csv", f"{stage}_detailed_class_info.csv.gz")
        given = str(self.options["cross_reference"])
        if given:
            confined(self.folder, given)
            return [labels, classes, self.find(given)]
        usual = self.folder / MAPPING
        return [labels, classes, *([usual] if usual.is_file() else [])]

    def counts(self) -> dict[str, int]:
        """Images by class, boxes, and images whose patient is known."""
        if not self._counts:
            self.rows()
        return dict(self._counts)

    def rows(self) -> Sequence[ImageRow]:
        """One row per image, in the order of the labels.

        Raises:
            BadInputError: listing every bad box, contradiction and duplicate.
        """
        labels, classes, *others = self.tables()
        problems: list[str] = []
        boxes, targets = self._boxes(labels, problems)
        named = self._classes(classes, targets, problems)
        problems.extend(
            f"{labels.name}: image {image!r} has no row in {classes.name}" for image in targets if image not in named
        )
        nih = self._patients(others, targets, problems)
        self.refuse(problems)
        rows = [self._row(_stage(labels), image, boxes[image], named[image], nih.get(image)) for image in targets]
        totals = Counter(CLASSES[name] for name in named.values())
        self._counts = {
            "images": len(rows),
            **{label: totals[label] for label in CLASSES.values()},
            "boxes": sum(map(len, boxes.values())),
            "images of a known patient": len(nih.keys() & targets.keys()),
        }
        return rows

    def draw_mask(self, row: ImageRow, height: int, width: int) -> UInt8[np.ndarray, "height width"]:
        """The union of the boxes, filled.

        Raises:
            BadAnnotationError: if a box reaches beyond the image.
        """
        mask = np.zeros((height, width), dtype=np.uint8)
        for box in row.boxes:
            left, top, right, bottom = (round(edge) for edge in (box.x, box.y, box.x + box.width, box.y + box.height))
            if left < 0 or top < 0 or right > width or bottom > height:
                raise BadAnnotationError(
                    f"the box at x={box.x:g}, y={box.y:g}, {box.width:g} x {box.height:g}, reaches beyond the image "
                    f"of {width} x {height} pixels"
                )
            mask[top:bottom, left:right] = 1
        return mask

    def _boxes(self, path: Path, problems: list[str]) -> tuple[dict[str, list[Box]], dict[str, str]]:
        """Boxes and Target of every image of the labels."""
        boxes: dict[str, list[Box]] = {}
        targets: dict[str, str] = {}
        for line, entry in lines(self.table(path, columns=("patientId", *CORNER, "Target"))):
            where = f"{path.name} row {line}"
            image, target = entry["patientId"], entry["Target"]
            if image not in targets:
                problems.extend(self._bad_path(where, _source_path(_stage(path), image), image))
            elif targets[image] != target:
                problems.append(f"{where}: image {image!r} has Target {target!r}, in an earlier row {targets[image]!r}")
            elif target == "0":
                problems.append(f"{where}: image {image!r} stands in an earlier row too; only boxes may have several")
            targets.setdefault(image, target)
            box = _box(where, entry, problems)
            earlier = boxes.setdefault(image, [])
            if box in earlier:
                problems.append(f"{where}: the box stands in an earlier row of image {image!r} too")
            elif box is not None:
                earlier.append(box)
        return boxes, targets

    def _bad_path(self, where: str, path: str, image: str) -> list[str]:
        """What is wrong with an id that a file is named after."""
        if not image:
            return [f"{where}: the patientId is blank"]
        try:
            confined(self.folder, path)
        except PathError as error:
            return [f"{where}: {error}"]
        return []

    def _classes(self, path: Path, targets: Mapping[str, str], problems: list[str]) -> dict[str, str]:
        """Class of every image, checked against its Target."""
        named: dict[str, str] = {}
        for line, entry in lines(self.table(path, columns=("patientId", "class"))):
            where = f"{path.name} row {line}"
            image, name = entry["patientId"], entry["class"]
            if name not in CLASSES:
                problems.append(f"{where}: class is {name!r}; expected one of {', '.join(CLASSES)}")
            elif image not in targets:
                problems.append(f"{where}: image {image!r} is not in the labels")
            elif named.get(image, name) != name:
                problems.append(f"{where}: image {image!r} is {name!r}, in an earlier row {named[image]!r}")
            elif image not in named and (CLASSES[name] == FINDING) != (targets[image] == "1"):
                problems.append(f"{where}: image {image!r} is {name!r}, but its Target is {targets[image]!r}")
            named.setdefault(image, name)
        return named

    def _patients(
        self, paths: Sequence[Path], targets: Mapping[str, str], problems: list[str]
    ) -> Mapping[str, NihImage]:
        """The NIH image of every image that has one, from the cross-reference where there is one."""
        for path in paths:
            image, nih = self.options["cross_reference_image"], self.options["cross_reference_nih"]
            found = read_cross_reference(path, image=image, nih=nih, problems=problems)
            if not found.keys() & targets.keys():
                problems.append(f"{path.name}: none of its images is in the labels; expected ids such as patientId")
            return found
        return {}

    def _row(self, stage: str, image: str, boxes: Sequence[Box], name: str, nih: NihImage | None) -> ImageRow:
        return ImageRow(
            image_id=image,
            patient=image if nih is None else nih.patient,
            study=image,
            labels={label: float(label == CLASSES[name]) for label in CLASSES.values()},
            boxes=tuple(boxes),
            has_mask=True,
            source_path=_source_path(stage, image),
            facts={"stage": stage, "class": name, "nih_image": "" if nih is None else nih.name},
        )


def _stage(path: Path) -> str:
    """Edition that a table belongs to, "stage_1" or "stage_2"."""
    return path.name[: len(STAGES[0])]


def _source_path(stage: str, image: str) -> str:
    return f"{stage}_train_images/{image}.dcm"


def _box(where: str, entry: Mapping[str, str], problems: list[str]) -> Box | None:
    """The box of one row; None where it has none, or a bad one that was listed."""
    target, cells = entry["Target"], [entry[name] for name in CORNER]
    if target not in ("0", "1"):
        problems.append(f"{where}: Target is {target!r}; expected 0 or 1")
        return None
    if target == "0":
        if any(cells):
            problems.append(f"{where}: Target is 0, but there is a box; expected {', '.join(CORNER)} to be blank")
        return None
    try:
        x, y, width, height = map(float, cells)
    except ValueError:
        problems.append(f"{where}: Target is 1, so {', '.join(CORNER)} must be numbers; got {cells}")
        return None
    if not all(map(math.isfinite, (x, y, width, height))):
        problems.append(f"{where}: {', '.join(CORNER)} must be finite; got {cells}")
    elif width <= 0 or height <= 0:
        problems.append(f"{where}: the box has no area ({width:g} x {height:g})")
    elif min(x, y) < 0 or max(x + width, y + height) > SIDE:
        problems.append(
            f"{where}: the box at x={x:g}, y={y:g}, {width:g} x {height:g}, reaches beyond the image of {SIDE} x {SIDE}"
        )
    else:
        return Box(FINDING, x, y, width, height)
    return None
