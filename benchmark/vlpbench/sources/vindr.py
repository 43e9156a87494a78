"""VinDr-CXR: chest radiographs read by three of seventeen radiologists, as PhysioNet and as Kaggle give it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from vlpbench.box import Box
from vlpbench.data.source import BadAnnotationError, ImageRow, Pixels, SourceRequest
from vlpbench.errors import UnknownNameError
from vlpbench.registry import register_source
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.csv_file import lines, read_csv
from vlpbench.sources.noticed import Noticed
from vlpbench.sources.reader_fusion import FUSIONS, Reading, fuse
from vlpbench.sources.release import Release
from vlpbench.sources.vindr_tables import (
    CLASSES,
    KAGGLE_CLASSES,
    NO_FINDING,
    READERS,
    Mark,
    Told,
    label_name,
    majority,
    notice_readers,
    read_marks,
    read_votes,
)

SUFFIXES = (".dicom", ".dcm", ".png")
TABLES = ("train.csv", "train.csv.gz")
SIZES = "train_meta.csv"
UNTOLD = Told(dict.fromkeys(map(label_name, CLASSES), math.nan), finding=True)
"""Of an image without a row of labels."""


@register_source(
    "vindr",
    title="VinDr-CXR: chest radiographs from two hospitals in Hanoi, labels and boxes by radiologists",
    licence="PhysioNet Credentialed Health Data License 1.5.0; on Kaggle, the rules of the VinBigData competition",
    how="https://physionet.org/content/vindr-cxr/1.0.0/ (credentialed; 15,000 + 3,000 images), or "
    "https://www.kaggle.com/c/vinbigdata-chest-xray-abnormalities-detection (the 15,000 training images, 14 findings)",
    tasks=("classification", "detection"),
    size="18,000 DICOM files",
    third_parties=False,
    known=(
        "No table names the patient: each image is taken for one, so images of a person may stand on both sides of a "
        "split.",
        "Readers disagree: a label is what at least two of three say, while the default fusion of boxes keeps those "
        "that one reader drew.",
        "Test images of PhysioNet were read by five who had to agree, training images by three who had not.",
        "The test images of the Kaggle competition have no public labels, so that edition has no test split.",
    ),
    options={
        "folder": "folder of the release, relative to --src or --data (.)",
        "fusion": "boxes of the three readers of a training image: weighted (boxes of a class that overlap by more "
        "than half become their mean, single ones stay), majority (only where two readers agree) or all (weighted)",
    },
    version=1,
)
class VinDr(Release):
    """Labels by majority of the readers, boxes by fusion."""

    OPTIONS: ClassVar[Mapping[str, Any]] = {"fusion": "weighted"}

    def __init__(self, request: SourceRequest) -> None:
        """Check the options.

        Raises:
            UnknownNameError: for an option or a fusion that does not exist.
            VlpbenchError: without a folder, or where there is none.
        """
        super().__init__(request)
        self.fusion = str(self.options["fusion"])
        if self.fusion not in FUSIONS:
            raise UnknownNameError("value of the option fusion", self.fusion, FUSIONS)
        # The rows themselves are not kept: the source is sent to other processes with every image.
        self._counts: Counter[str] = Counter()
        self._noticed = Noticed()

    def tables(self) -> Sequence[Path]:
        """Labels and annotations of the edition.

        Raises:
            VlpbenchError: if neither edition lies there.
        """
        if (self.folder / "annotations").is_dir():
            return [
                self._annotations(kind, part) for part in ("train", "test") for kind in ("image_labels", "annotations")
            ]
        if not any((self.folder / name).is_file() for name in TABLES):
            raise self.wrong(f"expected annotations/ (PhysioNet) or {TABLES[0]} (Kaggle)")
        sizes = self.folder / SIZES
        return [self.find(*TABLES), *([sizes] if sizes.is_file() else [])]

    def rows(self) -> Sequence[ImageRow]:
        """Every image of the tables.

        Raises:
            BadInputError: listing every bad row.
        """
        problems: list[str] = []
        self._counts, self._noticed = Counter(), Noticed()
        tables = self.tables()
        if (self.folder / "annotations").is_dir():
            rows = [*self._part("train", tables[:2], problems), *self._part("test", tables[2:], problems)]
        else:
            rows = self._kaggle(tables[0], tables[1] if len(tables) > 1 else None, problems)
        self.refuse(problems)
        return rows

    def counts(self) -> dict[str, int]:
        """Images, and boxes before and after fusion.

        Raises:
            BadInputError: as `rows`.
        """
        if not self._counts:
            self.rows()
        return dict(self._counts)

    def noticed(self) -> Sequence[str]:
        """Rows that stand twice, images of one table only, other than three readers, and classes without a box."""
        return self._noticed.lines()

    def read(self, row: ImageRow) -> Pixels:
        """Decode an image; boxes up to a pixel beyond its edge are clipped.

        Raises:
            UnreadableImageError: if it cannot be decoded.
            BadAnnotationError: for a box further beyond the edge.
        """
        pixels = super().read(row)
        # Boxes are in pixels of the DICOM image, which the PNG may have been shrunk from.
        height = int(row.facts["native_height"] or pixels.height)
        width = int(row.facts["native_width"] or pixels.width)
        boxes = tuple(_clipped(box, height, width) for box in row.boxes)
        return replace(pixels, height=height, width=width, boxes=boxes)

    def _annotations(self, kind: str, part: str) -> Path:
        name = f"annotations/{kind}_{part}.csv"
        return self.find(name, f"{name}.gz")

    def _part(self, part: str, tables: Sequence[Path], problems: list[str]) -> list[ImageRow]:
        """Rows of PhysioNet's training or test part; the test part is what its readers agreed on."""
        labels, annotations = tables
        several = part == "train"
        told = read_votes(labels, readers=READERS if several else 1, problems=problems, noticed=self._noticed)
        marks = _by_image(read_marks(annotations, several_readers=several, class_ids=False, problems=problems))
        if told and marks and told.keys().isdisjoint(marks):
            problems.append(f"{labels.name} and {annotations.name} have no image in common")
        place = _Place(part, annotations, self._files(part), {})
        rows = []
        for image in dict.fromkeys([*told, *marks]):
            if image not in told:
                self._noticed.add(f"{labels.name}: no row for images of {annotations.name}; labels unknown", image)
            rows.append(self._row(place, image, told.get(image, UNTOLD), marks.get(image, ()), problems))
        return [row for row in rows if row is not None]

    def _kaggle(self, table: Path, sizes: Path | None, problems: list[str]) -> list[ImageRow]:
        """Rows of the Kaggle edition: its labels are the classes that readers named."""
        marks = _by_image(read_marks(table, several_readers=True, class_ids=True, problems=problems))
        place = _Place("", table, self._files("train"), _sizes(table, sizes, problems))
        rows = []
        for image, found in marks.items():
            readers = sorted({mark.reader for mark in found})
            notice_readers(table, image, len(readers), readers=READERS, noticed=self._noticed)
            said = {(mark.reader, mark.name) for mark in found}
            labels = {
                label_name(name): majority([(reader, name) in said for reader in readers], readers=READERS)
                for name in KAGGLE_CLASSES
            }
            told = Told(labels, any(mark.name != NO_FINDING for mark in found))
            rows.append(self._row(place, image, told, found, problems))
        return [row for row in rows if row is not None]

    def _row(
        self, place: _Place, image: str, told: Told, marks: Sequence[Mark], problems: list[str]
    ) -> ImageRow | None:
        """One image, or None after its problem was listed."""
        try:
            confined(self.folder, place.path(image))
        except PathError as error:
            problems.append(str(error))
            return None
        readings = [Reading(mark.reader, mark.box) for mark in marks if mark.box is not None]
        boxes = fuse(readings, "all" if place.part == "test" else self.fusion)
        width, height = place.sizes.get(image, ("", ""))
        self._counts.update({"images": 1, "boxes as drawn": len(readings), "boxes after fusion": len(boxes)})
        return ImageRow(
            image_id=image,
            patient=image,
            study=image,
            split=place.part,
            labels=told.labels,
            boxes=boxes,
            boxes_known=self._boxes_known(place.annotations, image, told, marks),
            source_path=place.path(image),
            facts={
                "official": place.part,
                "finding": str(int(any(mark.name != NO_FINDING for mark in marks) if marks else told.finding)),
                "readers": " ".join(sorted({mark.reader for mark in marks})),
                "native_width": width,
                "native_height": height,
            },
        )

    def _boxes_known(self, table: Path, image: str, told: Told, marks: Sequence[Mark]) -> bool:
        """Whether the boxes are all there are; what speaks against it is noticed."""
        if not marks and not told.finding:
            self._noticed.add(f"{table.name}: no row for images without a finding; taken to have no box", image)
        elif not marks:
            self._noticed.add(f"{table.name}: no row for images with a finding; boxes unknown", image)
            return False
        elif any(mark.lacks_box for mark in marks):
            names = sorted({mark.name for mark in marks if mark.lacks_box})
            kind = f"{table.name}: images with a class of a place and no box to it; boxes unknown"
            self._noticed.add(kind, f"{image}: {', '.join(names)}")
            return False
        return True

    def _files(self, part: str) -> dict[str, str]:
        """File names of a part by image id, DICOM before PNG."""
        names = sorted(
            (path for path in self.find(part).iterdir() if path.suffix.lower() in SUFFIXES),
            key=lambda path: -SUFFIXES.index(path.suffix.lower()),
        )
        # The last one counts.
        return {path.stem: path.name for path in names}


@dataclass(frozen=True)
class _Place:
    """Where the images of a part lie: "train", "test" or "", their table of boxes, file names, native sizes if told."""

    part: str
    annotations: Path
    files: Mapping[str, str]
    sizes: Mapping[str, tuple[str, str]]

    def path(self, image: str) -> str:
        """Path of an image relative to the release; where it would be if it is missing."""
        return f"{self.part or 'train'}/{self.files.get(image, image + SUFFIXES[0])}"


def _by_image(marks: Sequence[Mark]) -> dict[str, list[Mark]]:
    found: dict[str, list[Mark]] = {}
    for mark in marks:
        found.setdefault(mark.image, []).append(mark)
    return found


def _sizes(table: Path, sizes: Path | None, problems: list[str]) -> dict[str, tuple[str, str]]:
    """Width and height of the DICOM images, from `train_meta.csv` or from columns of the table; none where unsaid."""
    if sizes is not None:
        # The page that gives the shrunk images calls height and width so.
        renamed = {"dim0": "height", "dim1": "width"}
        frame = read_csv(sizes, columns=("image_id", *renamed)).rename(columns=renamed)
    else:
        frame = read_csv(table, columns=("image_id",))
        if not {"width", "height"} <= set(frame.columns):
            return {}
    name = (table if sizes is None else sizes).name
    found = {}
    for line, entry in lines(frame):
        if not (entry["width"].isdigit() and entry["height"].isdigit() and int(entry["width"]) * int(entry["height"])):
            problems.append(f"{name} row {line}: the size is {entry['width']!r} x {entry['height']!r}; expected pixels")
        found[entry["image_id"]] = (entry["width"], entry["height"])
    return found


def _clipped(box: Box, height: int, width: int) -> Box:
    """A box within the image; one pixel of rounding is forgiven."""
    right, bottom = box.x + box.width, box.y + box.height
    if right > width + 1 or bottom > height + 1:
        raise BadAnnotationError(
            f"box {box.label!r} from x={box.x:g}, y={box.y:g} to x={right:g}, y={bottom:g} reaches beyond the image of "
            f"{width} x {height} pixels; images that were shrunk need {SIZES} with image_id, dim0 (height) and dim1"
        )
    left, top = max(box.x, 0.0), max(box.y, 0.0)
    return Box(box.label, left, top, min(right, float(width)) - left, min(bottom, float(height)) - top)
