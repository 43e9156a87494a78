"""Object-CXR: foreign objects in chest radiographs, a challenge of JF Healthcare at MIDL 2020."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageDraw

from vlpbench.box import Box
from vlpbench.data.source import BadAnnotationError, ImageRow, Pixels, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.csv_file import lines
from vlpbench.sources.release import Release

LABEL = "foreign_object"
KINDS = {"0": "rectangle", "1": "ellipse", "2": "polygon"}
POLYGON_BOXES = ("tight", "mgca")
NAME_COLUMNS = ("image_name", "image_path")
CORNERS = 4
SLACK = 1.0
"""Pixels that a shape may reach beyond the edge."""
SHOWN = 60


@dataclass(frozen=True)
class Shape:
    """One annotated object.

    Attributes:
        kind: "rectangle", "ellipse" or "polygon".
        points: x and y in pixels; two opposite corners of the bounding box for rectangles and ellipses.
    """

    kind: str
    points: Float64[np.ndarray, "points 2"]


@register_source(
    "object_cxr",
    title="Object-CXR (JF Healthcare, MIDL 2020): foreign objects in chest radiographs",
    licence="CC BY-NC 4.0",
    how="train and dev from academictorrents.com, or train, dev and test from "
    "https://www.kaggle.com/datasets/raddar/foreign-objects-in-chest-xrays; unpack into one folder.",
    tasks=("detection", "classification", "segmentation"),
    size="train.zip 12.13 GB, dev.zip 1.51 GB",
    known=(
        "Patients are not named: every image counts as its own patient, so splits may share people.",
        "Only objects within the lung field are annotated, and no support devices: other objects count as background.",
        "train.csv and dev.csv alone make dev the test split; with test.csv, dev validates and test tests. Published "
        "tables of MGCA and its followers are on dev.",
    ),
    options={
        "folder": "folder of the release, relative to --src",
        "polygon_box": "box of a polygon: tight, or mgca for the larger one that MGCA centres inside it (tight)",
        "masks": "true fills every shape as the mask of segmentation (false)",
    },
    version=1,
)
class ObjectCXR(Release):
    """Rows of train.csv, dev.csv and, where it is there, test.csv."""

    OPTIONS: ClassVar[Mapping[str, Any]] = {"polygon_box": "tight", "masks": False}

    def __init__(self, request: SourceRequest) -> None:
        """Check the options.

        Raises:
            UnknownNameError: for an option, or a kind of polygon box, that does not exist.
            VlpbenchError: for a folder that is not there, or `masks` other than true or false.
        """
        super().__init__(request)
        if not isinstance(self.options["masks"], bool):
            raise VlpbenchError(f"masks of object_cxr is {self.options['masks']!r}; expected true or false.")
        if self.options["polygon_box"] not in POLYGON_BOXES:
            raise UnknownNameError("polygon_box of object_cxr", str(self.options["polygon_box"]), POLYGON_BOXES)

    def tables(self) -> Sequence[Path]:
        """train.csv and dev.csv, and test.csv where it is there."""
        return [path for _, path in self._tables()]

    def rows(self) -> Sequence[ImageRow]:
        """Every annotated image, in the order of the tables.

        Raises:
            BadInputError: listing every blank or repeated image name and every malformed shape.
            VlpbenchError: if the folder is not the release.
        """
        tables = self._tables()
        tested = any(official == "test" for official, _ in tables)
        split_of = {"train": "train", "dev": "val" if tested else "test", "test": "test"}
        problems: list[str] = []
        first: dict[str, str] = {}
        rows = []
        for official, path in tables:
            for line, name, annotation in self._entries(path):
                where = f"{path.name} row {line}"
                image = PurePosixPath(name).stem
                if not name:
                    problems.append(f"{where}: the image name is blank")
                elif image in first:
                    problems.append(f"{where}: image {name!r} stands in {first[image]} too")
                first.setdefault(image, where)
                shapes = list(_read_shapes(annotation, where, problems))
                rows.append(self._row(official, split_of[official], line, name, annotation, shapes))
        self.refuse(problems)
        return rows

    def read(self, row: ImageRow) -> Pixels:
        """Decode the image and check its shapes against it.

        Raises:
            UnreadableImageError: if it cannot be decoded.
            BadAnnotationError: for a shape that reaches beyond the edge by more than a pixel.
        """
        pixels = super().read(row)
        for shape in shapes_of(row):
            low, high = shape.points.min(axis=0), shape.points.max(axis=0)
            if low.min() < -SLACK or (high > np.array([pixels.width, pixels.height]) + SLACK).any():
                raise BadAnnotationError(
                    f"{row.facts['official']}.csv row {row.facts['row']}: the {shape.kind} from x={low[0]:g}, "
                    f"y={low[1]:g} to x={high[0]:g}, y={high[1]:g} reaches beyond the image of {pixels.width} x "
                    f"{pixels.height} pixels"
                )
        if self.options["polygon_box"] == "mgca":
            return pixels
        return replace(pixels, boxes=tuple(_clipped(box, pixels.height, pixels.width) for box in row.boxes))

    def draw_mask(self, row: ImageRow, height: int, width: int) -> UInt8[np.ndarray, "height width"]:
        """All shapes, filled."""
        canvas = Image.new("L", (width, height))
        draw = ImageDraw.Draw(canvas)
        for shape in shapes_of(row):
            points = [(float(x), float(y)) for x, y in shape.points]
            if shape.kind == "rectangle":
                draw.rectangle(points, fill=1)
            elif shape.kind == "ellipse":
                draw.ellipse(points, fill=1)
            else:
                draw.polygon(points, fill=1)
        return np.asarray(canvas, dtype=np.uint8)

    def _tables(self) -> list[tuple[str, Path]]:
        """Official split and table; the test set is not part of every edition."""
        found = [(name, self.find(f"{name}.csv", f"{name}.csv.gz")) for name in ("train", "dev")]
        test = [path for name in ("test.csv", "test.csv.gz") if (path := self.folder / name).is_file()]
        return found + [("test", path) for path in test[:1]]

    def _entries(self, path: Path) -> Iterator[tuple[int, str, str]]:
        """Line, file name and annotation; the folder in a path says less than the table it stands in."""
        frame = self.table(path, columns=("annotation",))
        column = next((name for name in NAME_COLUMNS if name in frame.columns), None)
        if column is None:
            raise self.wrong(f"{path.name} has neither a column image_name nor image_path")
        for line, entry in lines(frame):
            yield line, PurePosixPath(entry[column]).name, entry["annotation"]

    def _row(
        self, official: str, split: str, line: int, name: str, annotation: str, shapes: Sequence[Shape]
    ) -> ImageRow:
        image = PurePosixPath(name).stem
        box = _box_of_mgca if self.options["polygon_box"] == "mgca" else _tight_box
        return ImageRow(
            image_id=image,
            patient=image,
            study=image,
            split=split,
            labels={LABEL: float(bool(shapes))},
            boxes=tuple(box(shape) for shape in shapes),
            has_mask=bool(self.options["masks"]),
            source_path=f"{official}/{name}",
            facts={"official": official, "row": str(line), "annotation": annotation},
        )


def shapes_of(row: ImageRow) -> tuple[Shape, ...]:
    """Shapes of a row that `ObjectCXR.rows` made."""
    return tuple(_read_shapes(row.facts["annotation"], row.image_id, []))


def _read_shapes(annotation: str, where: str, problems: list[str]) -> Iterator[Shape]:
    """Shapes of a cell; malformed ones are listed instead."""
    for number, text in enumerate(filter(None, (part.strip() for part in annotation.split(";"))), start=1):
        try:
            yield _shape(text)
        except ValueError as error:
            problems.append(f"{where}: shape {number} ({text[:SHOWN]!r}): {error}")


def _shape(text: str) -> Shape:
    code, *cells = text.split()
    if code not in KINDS:
        raise ValueError(f"the type is {code!r}; expected 0 (rectangle), 1 (ellipse) or 2 (polygon)")
    kind = KINDS[code]
    try:
        values = [float(cell) for cell in cells]
    except ValueError as error:
        raise ValueError("a coordinate is not a number") from error
    if not all(map(math.isfinite, values)):
        raise ValueError("a coordinate is not finite")
    if kind == "polygon":
        if len(values) % 2 or len(values) < 2 * 3:
            raise ValueError(f"{len(values)} coordinates; a polygon has pairs of x and y, three or more")
    elif len(values) != CORNERS:
        raise ValueError(f"{len(values)} coordinates; expected x1 y1 x2 y2")
    points = np.array(values, dtype=np.float64).reshape(-1, 2)
    if kind != "polygon" and not (points[0] < points[1]).all():
        raise ValueError("expected x1 below x2 and y1 below y2")
    if not (points.max(axis=0) > points.min(axis=0)).all():
        raise ValueError("the polygon has no area")
    return Shape(kind, points)


def _tight_box(shape: Shape) -> Box:
    (x, y), (right, bottom) = shape.points.min(axis=0), shape.points.max(axis=0)
    return Box(LABEL, float(x), float(y), float(right - x), float(bottom - y))


def _box_of_mgca(shape: Shape) -> Box:
    """Polygons get a box around a centre inside them that reaches the farther side on either axis.

    See https://github.com/HKU-MedAI/MGCA, mgca/preprocess/object_cxr.py: the pole of inaccessibility, to within 10
    pixels, of the outline thickened by 100 pixels.
    """
    if shape.kind != "polygon":
        return _tight_box(shape)
    try:
        geometry: Any = importlib.import_module("shapely.geometry")
        operations: Any = importlib.import_module("shapely.ops")
    except ImportError as error:
        raise VlpbenchError("polygon_box = 'mgca' needs the package shapely: pip install shapely.") from error
    outline = geometry.LineString(np.concatenate([shape.points, shape.points[:1]]))
    centre = np.array(operations.polylabel(outline.buffer(100), tolerance=10).coords[0])
    half = np.maximum(centre - shape.points.min(axis=0), shape.points.max(axis=0) - centre)
    x, y = (centre - half).tolist()
    width, height = (2 * half).tolist()
    return Box(LABEL, x, y, width, height)


def _clipped(box: Box, height: int, width: int) -> Box:
    x, y = max(box.x, 0.0), max(box.y, 0.0)
    right, bottom = min(box.x + box.width, float(width)), min(box.y + box.height, float(height))
    return Box(box.label, x, y, right - x, bottom - y)
