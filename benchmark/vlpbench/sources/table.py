"""A user's own folder: a CSV row per image, and optionally a CSV row per box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vlpbench.box import Box
from vlpbench.canonical import content_hash, file_sha256
from vlpbench.data.decoding import read_grey
from vlpbench.data.source import IGNORED, BadAnnotationError, ImageRow, Pixels, Source, SourceRequest
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.box_table import read_boxes
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.csv_file import lines, read_csv
from vlpbench.sources.knowledge_cells import read_descriptions, read_entities, read_triplets

NUMBERS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "": float("nan")}
OPTIONS: dict[str, Any] = {
    "folder": ".",
    "table": "table.csv",
    "image": "image",
    "patient": "patient",
    "study": "",
    "split": "",
    "report": "",
    "summary": "",
    "labels": [],
    "classes": {},
    "triplets": "",
    "entities": "",
    "descriptions": "",
    "mask": "",
    "mask_foreground": 255,
    "mask_ignored": 127,
    "boxes": "",
    "boxes_known": "",
}
CELLS = ("image", "patient", "study", "split", "report", "summary", "triplets", "entities", "mask", "boxes_known")
"""Options that name one column each."""
COMPANIONS = ("boxes", "descriptions")
"""Options that name a CSV file beside the table."""


@register_source(
    "table",
    title="Your own folder: a CSV row per image, and optionally a CSV row per box",
    licence="yours",
    how="See docs/data.md; give the folder with --data.",
    options={
        "folder": "folder of the table, relative to --data",
        "table": "CSV file with a row per image (table.csv)",
        "image": "column with the image path, relative to the folder (image)",
        "patient": "column with the patient id; splits keep patients together (patient)",
        "study": "column with the study id, none by default: every image is its own study",
        "split": "column with train, val or test, none by default: patients are dealt",
        "report": "column with the report text",
        "summary": "column with a shorter wording of the report",
        "labels": "columns with 0, 1 or blank for unknown",
        "classes": "column of class names to the names that become labels, such as {finding = ['normal', 'COVID-19']}",
        "triplets": "column with what the report says, such as 'effusion|left lung|present; nodule|right lung|absent', "
        "or none; blank for unknown",
        "entities": "column with the entities that the report mentions, such as 'effusion; nodule', or none; blank for "
        "unknown",
        "descriptions": "CSV file with a sentence on each entity: name, description",
        "mask": "column with the mask path; blank for none",
        "mask_foreground": "grey value of the foreground in a mask (255)",
        "mask_ignored": "grey value that is not to be counted (127)",
        "boxes": "CSV file with a row per box: image, label, x, y, width, height in pixels",
        "boxes_known": "column that is blank where nobody looked for boxes",
    },
    version=1,
)
class TableSource(Source):
    """Rows of a CSV file; every path is confined to the folder."""

    def __init__(self, request: SourceRequest) -> None:
        """Resolve the options.

        Raises:
            UnknownNameError: for an option that does not exist.
            VlpbenchError: without `--data`, or where the folder or the table is missing.
        """
        super().__init__(request)
        for name in request.data.options:
            if name not in OPTIONS:
                raise UnknownNameError("option of the table source", name, OPTIONS)
        self.options: dict[str, Any] = {**OPTIONS, **request.data.options}
        if request.root is None:
            raise VlpbenchError(
                f"The dataset {request.data.name!r} needs --data FOLDER; see docs/data.md for what it must hold."
            )
        self.folder = confined(request.root, self.options["folder"])
        self.table = confined(self.folder, self.options["table"])
        if not self.table.is_file():
            raise VlpbenchError(
                f"No table at {self.table}, which the dataset {request.data.name!r} expects. "
                "Give the folder that holds it with --data."
            )

    def stamp(self) -> object:
        """Hashes of the tables, and size and time of every image and mask they name."""
        frame = self._frame()
        names = [*frame[self.options["image"]], *(frame[self.options["mask"]] if self.options["mask"] else [])]
        listed = [self._file_stamp(name) for name in names if name]
        tables = [file_sha256(self.table)]
        tables += [file_sha256(self._companion(name)) for name in COMPANIONS if self.options[name]]
        return {"tables": tables, "files": content_hash(listed)}

    def rows(self) -> Sequence[ImageRow]:
        """All rows, checked.

        Raises:
            BadInputError: listing every blank id, duplicate, unexpected label value, malformed cell, path out of the
                folder, bad box and bad description.
        """
        frame = self._frame()
        problems: list[str] = []
        boxes = self._boxes(frame, problems)
        rows = [row for line, entry in lines(frame) if (row := self._row(line, entry, boxes, problems)) is not None]
        names = frame[self.options["image"]]
        repeated = names.duplicated().to_numpy()
        problems.extend(
            f"{self.table.name} row {line + 2}: image {names.iloc[line]!r} stands in an earlier row too"
            for line in np.flatnonzero(repeated)
            if names.iloc[line]
        )
        self._described(problems)
        self._refuse(problems)
        return rows

    def descriptions(self) -> Mapping[str, str]:
        """Rows of the descriptions CSV.

        Raises:
            BadInputError: listing every bad row.
        """
        problems: list[str] = []
        found = self._described(problems)
        self._refuse(problems)
        return found

    def read(self, row: ImageRow) -> Pixels:
        """Decode image and mask; a mask must have the image's size and only the expected values."""
        image, (height, width) = read_grey(self.folder / row.image_id, at_least=2 * self.request.image_size)
        mask = None
        if row.has_mask:
            mask = self._mask(row.mask_path, (height, width), row.image_id)
        boxes = [box for box in row.boxes if not _inside(box, height, width)]
        if boxes:
            raise BadAnnotationError(
                f"box {boxes[0].label!r} at x={boxes[0].x:g}, y={boxes[0].y:g}, "
                f"{boxes[0].width:g} x {boxes[0].height:g}, reaches beyond the image of {width} x {height} pixels"
            )
        return Pixels(image, mask, height, width, tuple(_clipped(box, height, width) for box in row.boxes))

    def _mask(self, name: str, shape: tuple[int, int], image: str) -> UInt8[np.ndarray, "h w"]:
        values, _ = read_grey(self.folder / name)
        if values.shape != shape:
            raise BadAnnotationError(
                f"mask {name} is {values.shape[1]} x {values.shape[0]} pixels, "
                f"its image {image} {shape[1]} x {shape[0]}"
            )
        foreground, ignored = self.options["mask_foreground"], self.options["mask_ignored"]
        unexpected = sorted(set(np.unique(values).tolist()) - {0, foreground, ignored})
        if unexpected:
            raise BadAnnotationError(
                f"mask {name} holds the value {unexpected[0]}; "
                f"expected 0, {foreground} (foreground) or {ignored} (ignored)"
            )
        mask = np.zeros(values.shape, dtype=np.uint8)
        mask[values == foreground] = 1
        mask[values == ignored] = IGNORED
        return mask

    def _frame(self) -> pd.DataFrame:
        """The table as text, with every column that an option names."""
        wanted = [*(self.options[name] for name in CELLS), *self.options["labels"], *self.options["classes"]]
        return read_csv(self.table, columns=filter(None, wanted))

    def _companion(self, option: str) -> Path:
        """A CSV beside the table."""
        path = confined(self.folder, self.options[option])
        if not path.is_file():
            raise VlpbenchError(
                f"No file at {path}, which the option {option!r} of the dataset {self.request.data.name!r} names; "
                "see docs/data.md for what it must hold."
            )
        return path

    def _refuse(self, problems: list[str]) -> None:
        if problems:
            raise BadInputError(
                f"{self.table} has {len(problems)} problem(s):", problems, next_step="Mend the rows named above."
            )

    def _described(self, problems: list[str]) -> Mapping[str, str]:
        if not self.options["descriptions"]:
            return {}
        return read_descriptions(self._companion("descriptions"), problems=problems)

    def _boxes(self, frame: pd.DataFrame, problems: list[str]) -> Mapping[str, tuple[Box, ...]]:
        if not self.options["boxes"]:
            return {}
        return read_boxes(self._companion("boxes"), known=set(frame[self.options["image"]]), problems=problems)

    def _row(
        self, line: int, entry: Mapping[str, str], boxes: Mapping[str, tuple[Box, ...]], problems: list[str]
    ) -> ImageRow | None:
        """One row, or None after its problems were listed."""
        before = len(problems)
        where = f"{self.table.name} row {line}"
        names = self.options
        image, patient = entry[names["image"]], entry[names["patient"]]
        mask = entry[names["mask"]] if names["mask"] else ""
        problems.extend(
            f"{where}: the {what} is blank" for what, value in (("image", image), ("patient", patient)) if not value
        )
        for name in filter(None, (image, mask)):
            try:
                confined(self.folder, name)
            except PathError as error:
                problems.append(f"{where}: {error}")
        labels = dict(self._labels(where, entry, problems))
        triplets = entities = None
        if names["triplets"]:
            column = names["triplets"]
            triplets = read_triplets(entry[column], where=f"{where}: column {column}", problems=problems)
        if names["entities"]:
            column = names["entities"]
            entities = read_entities(entry[column], where=f"{where}: column {column}", problems=problems)
        if len(problems) > before:
            return None
        known = not names["boxes_known"] or entry[names["boxes_known"]] != ""
        return ImageRow(
            image_id=image,
            patient=patient,
            study=entry[names["study"]] if names["study"] else image,
            split=entry[names["split"]] if names["split"] else "",
            report=entry[names["report"]] if names["report"] else "",
            summary=entry[names["summary"]] if names["summary"] else "",
            labels=labels,
            triplets=triplets,
            entities=entities,
            boxes=boxes.get(image, ()),
            boxes_known=bool(names["boxes"]) and (known or bool(boxes.get(image))),
            has_mask=bool(mask),
            mask_path=mask,
            source_path=image,
            content=self._content(image, mask),
        )

    def _labels(self, where: str, entry: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, float]]:
        for column in self.options["labels"]:
            value = entry[column]
            if value in NUMBERS:
                yield column, NUMBERS[value]
            else:
                problems.append(f"{where}: column {column} is {value!r}; expected 0, 1 or blank for unknown")
        for column, classes in self.options["classes"].items():
            value = entry[column]
            if value and value not in classes:
                problems.append(
                    f"{where}: column {column} is {value!r}; expected one of {', '.join(classes)}, or blank"
                )
            for name in classes:
                yield name, float(value == name) if value else float("nan")

    def _content(self, image: str, mask: str) -> str:
        """Hash of the bytes of image and mask; a missing file is reported when it is read."""
        paths = [self.folder / name for name in (image, mask) if name]
        return content_hash([file_sha256(path) if path.is_file() else None for path in paths], 32)

    def _file_stamp(self, name: str) -> list[object]:
        path = self.folder / name
        try:
            facts = path.stat()
        except OSError:
            return [name, None]
        return [name, facts.st_size, facts.st_mtime_ns]


def _inside(box: Box, height: int, width: int) -> bool:
    """Whether a box lies within the image, up to one pixel of rounding."""
    return box.x >= -1 and box.y >= -1 and box.x + box.width <= width + 1 and box.y + box.height <= height + 1


def _clipped(box: Box, height: int, width: int) -> Box:
    x, y = max(box.x, 0.0), max(box.y, 0.0)
    right, bottom = min(box.x + box.width, float(width)), min(box.y + box.height, float(height))
    return Box(box.label, x, y, right - x, bottom - y)
