"""TBX11K: tuberculosis in chest radiographs, with boxes."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from vlpbench.box import Box
from vlpbench.data.source import BadAnnotationError, ImageRow, Pixels, SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.csv_file import lines
from vlpbench.sources.release import Release

ANNOTATIONS = {"train": "annotations/json/TBX11K_train.json", "val": "annotations/json/TBX11K_val.json"}
SIMPLIFIED = "data.csv"
SPLIT_OF = {"train": "train", "val": "test"}
"""The boxes of the official test set are not public, so the official validation images test."""
KIND_OF_FOLDER = {"health": "healthy", "sick": "sick", "tb": "tuberculosis"}
KIND_OF_TYPE = {"healthy": "healthy", "sick_but_no_tb": "sick", "tb": "tuberculosis"}
BOX_OF_CATEGORY = {
    "ActiveTuberculosis": "active_tuberculosis",
    "ObsoletePulmonaryTuberculosis": "obsolete_pulmonary_tuberculosis",
    "PulmonaryTuberculosis": "pulmonary_tuberculosis",
}
BOX_OF_TYPE = {
    "active_tb": "active_tuberculosis",
    "latent_tb": "obsolete_pulmonary_tuberculosis",
    "uncertain_tb": "pulmonary_tuberculosis",
}
LABELS = ("tuberculosis", "healthy", "sick")
COLUMNS = ("fname", "image_height", "image_width", "source", "bbox", "target", "tb_type", "image_type")
CORNER = ("xmin", "ymin", "width", "height")
SLACK = 1.0
"""Pixels that a box may reach beyond the edge."""
SKEW = 0.01
"""Share by which a copy may be resized differently along its two axes."""


@dataclass
class Entry:
    """What a table says of one image."""

    where: str
    path: str
    official: str
    kind: str
    size: tuple[float, float]
    boxes: list[Box] = field(default_factory=list)


@register_source(
    "tbx11k",
    title="TBX11K: tuberculosis in chest radiographs, with boxes",
    licence="non-commercial research",
    how="https://github.com/yun-liu/Tuberculosis (the whole release), or "
    "https://www.kaggle.com/datasets/vbookshelf/tbx11k-simplified (train and val only, one table).",
    tasks=("classification", "detection", "segmentation"),
    known=(
        "Labels and boxes of the official test set are not public: the official val is the test split here.",
        "38 images of the official val, all sick without tuberculosis, are byte for byte in the official train too "
        "(MD5 lists in https://github.com/kwang311/tbx11k-cross-cohort-eval).",
        "Patients are not named: every image counts as its own patient, so splits may share people.",
        "tb1199.png shows tuberculosis and has no box; the simplified edition leaves it out.",
        "imgs/extra (Montgomery, Shenzhen and others) is left out: those are other people and other machines.",
    ),
    options={
        "folder": "folder of the release, relative to --src",
        "masks": "true fills every box as the mask of segmentation (false)",
    },
    version=1,
)
class TBX11K(Release):
    """Rows of the official annotations, or of the table of the simplified edition where those are missing."""

    OPTIONS: ClassVar[Mapping[str, Any]] = {"masks": False}

    def __init__(self, request: SourceRequest) -> None:
        """Check the options.

        Raises:
            UnknownNameError: for an option that does not exist.
            VlpbenchError: for a folder that is not there, or `masks` other than true or false.
        """
        super().__init__(request)
        if not isinstance(self.options["masks"], bool):
            raise VlpbenchError(f"masks of tbx11k is {self.options['masks']!r}; expected true or false.")

    def tables(self) -> Sequence[Path]:
        """The two official annotation files, or the one table of the simplified edition."""
        official = [self.folder / name for name in ANNOTATIONS.values()]
        if all(path.is_file() for path in official):
            return official
        table = [path for name in (SIMPLIFIED, f"{SIMPLIFIED}.gz") if (path := self.folder / name).is_file()]
        if not table:
            raise self.wrong(f"expected {' and '.join(ANNOTATIONS.values())}, or {SIMPLIFIED}")
        return table[:1]

    def rows(self) -> Sequence[ImageRow]:
        """Every image of the official train and val.

        Raises:
            BadInputError: listing every repeated image, unknown class, and malformed or misplaced box.
            VlpbenchError: if the folder is not the release.
        """
        tables = self.tables()
        problems: list[str] = []
        if len(tables) == len(ANNOTATIONS):
            entries = [
                entry
                for official, path in zip(ANNOTATIONS, tables, strict=True)
                for entry in self._annotated(path, official, problems)
            ]
        else:
            entries = self._simplified(tables[0], problems)
        rows: dict[str, ImageRow] = {}
        for entry in entries:
            row = self._row(entry)
            try:
                confined(self.folder, entry.path)
            except PathError as error:
                problems.append(f"{entry.where}: {error}")
            if row.image_id in rows:
                problems.append(f"{entry.where}: image {row.image_id!r} stands in an earlier place too")
            rows[row.image_id] = row
        self.refuse(problems)
        return list(rows.values())

    def read(self, row: ImageRow) -> Pixels:
        """Decode the image; boxes follow the size of a resized copy.

        Raises:
            UnreadableImageError: if it cannot be decoded.
            BadAnnotationError: if it has boxes and another shape than its table says.
        """
        pixels = super().read(row)
        return replace(pixels, boxes=_scaled(row, pixels.height, pixels.width))

    def draw_mask(self, row: ImageRow, height: int, width: int) -> UInt8[np.ndarray, "height width"]:
        """All boxes, filled."""
        mask = np.zeros((height, width), dtype=np.uint8)
        for box in _scaled(row, height, width):
            right, bottom = math.ceil(box.x + box.width), math.ceil(box.y + box.height)
            mask[int(box.y) : bottom, int(box.x) : right] = 1
        return mask

    def _row(self, entry: Entry) -> ImageRow:
        image = PurePosixPath(entry.path).stem
        # The one unboxed image with tuberculosis has no mask either.
        known = bool(entry.boxes) or entry.kind != "tuberculosis"
        height, width = entry.size
        return ImageRow(
            image_id=image,
            patient=image,
            study=image,
            split=SPLIT_OF[entry.official],
            labels={label: float(label == entry.kind) for label in LABELS},
            boxes=tuple(entry.boxes),
            boxes_known=known,
            has_mask=bool(self.options["masks"]) and known,
            source_path=entry.path,
            facts={"official": entry.official, "height": f"{height:g}", "width": f"{width:g}"},
        )

    def _annotated(self, path: Path, official: str, problems: list[str]) -> list[Entry]:
        """Images of one annotation file in the format of COCO."""
        images, annotations, categories = _read_coco(path)
        entries: dict[str, Entry] = {}
        for number, image in enumerate(images):
            where, name = f"{path.name} images[{number}]", str(image.get("file_name", ""))
            folder = PurePosixPath(name).parent.name
            size = [_number(image.get(key)) for key in ("height", "width")]
            if folder not in KIND_OF_FOLDER:
                problems.append(f"{where}: file_name is {name!r}; expected it in {', '.join(KIND_OF_FOLDER)}")
            elif all(side > 0 for side in size):
                kind = KIND_OF_FOLDER[folder]
                entry = Entry(where, f"imgs/{name.removeprefix('imgs/')}", official, kind, (size[0], size[1]))
                if entries.setdefault(str(image.get("id")), entry) is not entry:
                    problems.append(f"{where}: the id {image.get('id')!r} is an earlier image's too")
            else:
                problems.append(f"{where}: height and width must be numbers above 0")
        label_of = {str(category.get("id")): str(category.get("name")) for category in categories}
        for number, annotation in enumerate(annotations):
            where = f"{path.name} annotations[{number}]"
            name = label_of.get(str(annotation.get("category_id")), "")
            found = entries.get(str(annotation.get("image_id")))
            if found is None:
                problems.append(f"{where}: no image has the id {annotation.get('image_id')!r}")
            elif name not in BOX_OF_CATEGORY:
                problems.append(f"{where}: the category is {name!r}; expected one of {', '.join(BOX_OF_CATEGORY)}")
            else:
                _add_box(found, BOX_OF_CATEGORY[name], annotation.get("bbox"), where, problems)
        return list(entries.values())

    def _simplified(self, path: Path, problems: list[str]) -> list[Entry]:
        """Images of the simplified edition, whose table has a row per box."""
        entries: dict[str, Entry] = {}
        for line, cells in lines(self.table(path, columns=COLUMNS)):
            where, name = f"{path.name} row {line}", cells["fname"]
            size = [_number(cells[column]) for column in ("image_height", "image_width")]
            wrong = [
                f"{where}: {column} is {cells[column]!r}; expected one of {', '.join(known)}"
                for column, known in (("source", SPLIT_OF), ("image_type", KIND_OF_TYPE))
                if cells[column] not in known
            ]
            if not name or not all(side > 0 for side in size):
                wrong.append(f"{where}: fname is blank, or image_height and image_width are not numbers above 0")
            if not wrong and (cells["target"] == "tb") != (cells["image_type"] == "tb"):
                wrong.append(f"{where}: target is {cells['target']!r} where image_type is {cells['image_type']!r}")
            if wrong:
                problems.extend(wrong)
                continue
            kind = KIND_OF_TYPE[cells["image_type"]]
            fresh = Entry(where, f"images/{name}", cells["source"], kind, (size[0], size[1]))
            entry = entries.setdefault(name, fresh)
            if replace(fresh, where="", boxes=[]) != replace(entry, where="", boxes=[]):
                problems.append(f"{where}: image {name!r} has another class, source or size than in {entry.where}")
            elif cells["bbox"] != "none":
                _add_listed_box(entry, cells, where, problems)
            elif entry is not fresh:
                problems.append(f"{where}: image {name!r} stands in {entry.where} too, and has no box here")
        return list(entries.values())


def _read_coco(path: Path) -> list[list[dict[str, Any]]]:
    """Images, annotations and categories of a file in the format of COCO."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise VlpbenchError(f"{path} is not a readable JSON file in UTF-8: {error}") from error
    found = []
    for name in ("images", "annotations", "categories"):
        listed = content.get(name) if isinstance(content, dict) else None
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise VlpbenchError(f"{path} has no list of objects named {name!r}; expected annotations as COCO has them.")
        found.append(listed)
    return found


def _add_listed_box(entry: Entry, cells: Mapping[str, str], where: str, problems: list[str]) -> None:
    """Add a box that stands in a cell as the text of a Python dictionary."""
    try:
        found = ast.literal_eval(cells["bbox"])
        corner = [found[name] for name in CORNER]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        problems.append(f"{where}: bbox is {cells['bbox']!r}; expected none, or a dictionary of {', '.join(CORNER)}")
        return
    if cells["tb_type"] not in BOX_OF_TYPE:
        problems.append(f"{where}: tb_type is {cells['tb_type']!r}; expected one of {', '.join(BOX_OF_TYPE)}")
        return
    _add_box(entry, BOX_OF_TYPE[cells["tb_type"]], corner, where, problems)


def _add_box(entry: Entry, label: str, corner: object, where: str, problems: list[str]) -> None:
    values = [_number(value) for value in corner] if isinstance(corner, list) else []
    if len(values) != len(CORNER) or any(map(math.isnan, values)) or min(values[2:]) <= 0:
        problems.append(f"{where}: the box is {corner!r}; expected x, y, width and height, the last two above 0")
        return
    x, y, width, height = values
    rows, columns = entry.size
    if min(x, y) < -SLACK or x + width > columns + SLACK or y + height > rows + SLACK:
        problems.append(f"{where}: the box {corner} reaches beyond the image of {columns:g} x {rows:g} pixels")
        return
    left, top = max(x, 0.0), max(y, 0.0)
    entry.boxes.append(Box(label, left, top, min(x + width, columns) - left, min(y + height, rows) - top))


def _number(value: object) -> float:
    """A finite number, or NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _scaled(row: ImageRow, height: int, width: int) -> tuple[Box, ...]:
    """Boxes of a row in pixels of its file."""
    down, across = height / float(row.facts["height"]), width / float(row.facts["width"])
    if row.boxes and abs(down - across) > SKEW * max(down, across):
        raise BadAnnotationError(
            f"boxes are in pixels of {row.facts['width']} x {row.facts['height']}, but the image is {width} x "
            f"{height}: not a resized copy of the released one"
        )
    return tuple(
        Box(box.label, box.x * across, box.y * down, box.width * across, box.height * down) for box in row.boxes
    )
