"""SIIM-ACR Pneumothorax Segmentation 2019: DICOM with run lengths, or PNG with masks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vlpbench.canonical import content_hash
from vlpbench.data.decoding import DICOM_SUFFIXES, UnreadableImageError, read_grey
from vlpbench.data.source import BadAnnotationError, ImageRow, Pixels, SourceRequest
from vlpbench.errors import UnknownNameError
from vlpbench.registry import register_source
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.csv_file import FIRST_LINE, lines, read_csv
from vlpbench.sources.release import Release, index_images
from vlpbench.sources.run_length import RunLengthError, draw_runs, parse_runs

FINDING = "pneumothorax"
EMPTY = "-1"
WHITE = 128
IDS = ("ImageId", "fname")
RUNS = ("EncodedPixels", "mask")
LABELS = {"stage_2": "stage_2_train.csv", "stage_1": "train-rle.csv"}
"""Editions in DICOM, the larger one first, with the table of each."""
PICTURES = "png"
EDITIONS = (*LABELS, PICTURES)
TRAIN, TEST = "dicom-images-train", "dicom-images-test"
PICTURE_FOLDERS = ("png_images", "siim-acr-pneumothorax/png_images")
PICTURE_TABLES = {"train": "stage_1_train_images.csv", "test": "stage_1_test_images.csv"}
PICTURE_NAME = re.compile(r"\d+_(train|test)_([01])_\.png", re.ASCII)


@register_source(
    "siim",
    title="SIIM-ACR Pneumothorax Segmentation 2019",
    licence="Rules of the Kaggle competition: non-commercial use",
    how="Images in DICOM with train-rle.csv or stage_2_train.csv from "
    "https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation, or the PNG edition from "
    "https://www.kaggle.com/datasets/vbookshelf/pneumothorax-chest-xray-images-and-masks; unzip, and give the folder "
    "that holds dicom-images-train or png_images.",
    tasks=("classification", "segmentation"),
    size="about 4 GB",
    known=(
        "No edition says which images are of one patient: each image counts as a patient of its own.",
        "Run lengths are relative and run down the columns; read as Kaggle's usual kind they give other masks.",
        "A positive image has up to 10 rows of run lengths, each a part of its mask.",
        "Stage 1 has 10,675 images with labels, stage 2 adds the 1,372 test images of stage 1; DICOM folders hold some "
        "more images without a label, which are left out.",
        "78 % of the 12,047 images have no pneumothorax: an empty mask is right for them.",
    ),
    options={
        "folder": "folder of the release, relative to --src",
        "edition": "stage_2 (stage_2_train.csv), stage_1 (train-rle.csv) or png (png_images and png_masks); by default "
        "the first of these that is there",
    },
    version=1,
)
class SiimSource(Release):
    """A row per image with a label; the mask is the union of its run lengths."""

    OPTIONS: ClassVar = {"edition": ""}

    def __init__(self, request: SourceRequest) -> None:
        """Resolve options and folder.

        Raises:
            UnknownNameError: for an edition that does not exist.
        """
        super().__init__(request)
        if self.options["edition"] not in ("", *EDITIONS):
            raise UnknownNameError("edition of siim", self.options["edition"], EDITIONS)
        self._counts: dict[str, int] = {}

    def tables(self) -> Sequence[Path]:
        """The table of run lengths, or the two tables of the PNG edition."""
        asked = self.options["edition"]
        names = [LABELS[edition] for edition in LABELS if asked in ("", edition)]
        files = [f"{name}{end}" for name in names for end in ("", ".gz")]
        folders = PICTURE_FOLDERS if asked in ("", PICTURES) else ()
        found = self.find(*files, *folders)
        if not found.is_dir():
            self.find(TRAIN)
            return [found]
        above = found.parent.relative_to(self.folder)
        self.find((above / "png_masks").as_posix())
        return [self.find((above / name).as_posix()) for name in PICTURE_TABLES.values()]

    def counts(self) -> dict[str, int]:
        """Images, positive ones, rows of run lengths, and files that were left out."""
        if not self._counts:
            self.rows()
        return dict(self._counts)

    def rows(self) -> Sequence[ImageRow]:
        """One row per image with a label.

        Raises:
            BadInputError: listing malformed run lengths, contradictions and duplicates.
        """
        tables = self.tables()
        problems: list[str] = []
        picked = self._dicom_rows(tables[0], problems) if len(tables) == 1 else self._picture_rows(tables, problems)
        self.refuse(problems)
        rows, others = picked
        positive = sum(row.labels[FINDING] == 1 for row in rows)
        self._counts = {"images": len(rows), FINDING: positive, **others}
        return rows

    def read(self, row: ImageRow) -> Pixels:
        """Decode image and mask; the content tells of both."""
        pixels = super().read(row)
        mask = b"" if pixels.mask is None else pixels.mask.tobytes()
        return replace(pixels, content=content_hash([pixels.content, hashlib.sha256(mask).hexdigest()], 32))

    def draw_mask(self, row: ImageRow, height: int, width: int) -> UInt8[np.ndarray, "height width"]:
        """The union of an image's rows of run lengths, or its PNG.

        Raises:
            UnreadableImageError: if a PNG mask cannot be decoded.
            BadAnnotationError: if a mask does not fit its image, or is empty where the label says otherwise.
        """
        if row.mask_path:
            return self._picture_mask(row, height, width)
        (table,) = self.tables()
        texts = _run_texts(table, table.stat().st_mtime_ns)
        mask = np.zeros((height, width), dtype=np.uint8)
        for position in map(int, row.facts["csv_rows"].split()):
            if texts[position] != EMPTY:
                try:
                    mask |= draw_runs(parse_runs(texts[position]), height=height, width=width)
                except RunLengthError as error:
                    raise BadAnnotationError(f"{table.name} row {position + FIRST_LINE}: {error}") from error
        return mask

    def _picture_mask(self, row: ImageRow, height: int, width: int) -> UInt8[np.ndarray, "height width"]:
        try:
            values, shape = read_grey(self.folder / row.mask_path)
        except UnreadableImageError as error:
            raise UnreadableImageError(f"mask {row.mask_path}: {error}") from error
        if shape != (height, width):
            raise BadAnnotationError(
                f"mask {row.mask_path} is {shape[1]} x {shape[0]} pixels, its image {width} x {height}"
            )
        mask: UInt8[np.ndarray, "height width"] = (values >= WHITE).astype(np.uint8)
        if mask.any() != (row.labels[FINDING] == 1):
            told = f"has_pneumo is {row.labels[FINDING]:g}"
            raise BadAnnotationError(f"mask {row.mask_path} has {mask.sum()} white pixels, but {told}")
        return mask

    def _dicom_rows(self, table: Path, problems: list[str]) -> tuple[list[ImageRow], dict[str, int]]:
        """Rows of an edition in DICOM, and what was left out."""
        listed, masks = self._listed(table, problems)
        files: dict[str, str] = {}
        repeated = 0
        for name in (TRAIN, TEST):
            for stem, paths in index_images(self.folder / name, DICOM_SUFFIXES).items():
                repeated += len(paths) - 1 + (stem in files)
                files.setdefault(stem, paths[0].relative_to(self.folder).as_posix())
        official = any(files.get(image, "").startswith(f"{TEST}/") for image in listed)
        edition = next(edition for edition, name in LABELS.items() if table.name.startswith(name))
        rows = []
        for image, positions in listed.items():
            path = files.get(image, f"{TRAIN}/{image}.dcm")
            above = path.split("/")[1:-2]
            part = ("test" if path.startswith(f"{TEST}/") else "train") if official else ""
            facts = {"edition": edition, "official": part, "csv_rows": " ".join(map(str, positions))}
            study = above[-1] if above else image
            rows.append(_row(image, study=study, positive=image in masks, path=path, part=part, facts=facts))
        others = {
            "rows of run lengths": sum(masks.values()),
            "images without a file": len(listed.keys() - files.keys()),
            "files without a label": len(files.keys() - listed.keys()),
            "files that repeat another": repeated,
        }
        return rows, others

    def _listed(self, table: Path, problems: list[str]) -> tuple[dict[str, list[int]], dict[str, int]]:
        """Data rows of every image, and how many of them hold run lengths."""
        frame = self.table(table, columns=())
        image_column, runs_column = _column(table, frame, IDS), _column(table, frame, RUNS)
        listed: dict[str, list[int]] = {}
        masks: dict[str, int] = {}
        seen: set[tuple[str, str]] = set()
        for line, entry in lines(frame):
            where = f"{table.name} row {line}"
            image, text = entry[image_column], entry[runs_column]
            problems.extend(self._bad_name(where, image, known=image in listed))
            if (image, text) in seen:
                problems.append(f"{where}: the row of image {image!r} stands in an earlier row too")
            elif image in listed and (text == EMPTY or image not in masks):
                problems.append(f"{where}: image {image!r} has run lengths in one row and {EMPTY} in another")
            elif text != EMPTY:
                try:
                    parse_runs(text)
                except RunLengthError as error:
                    problems.append(f"{where}: {error}")
                masks[image] = masks.get(image, 0) + 1
            seen.add((image, text))
            listed.setdefault(image, []).append(line - FIRST_LINE)
        return listed, masks

    def _bad_name(self, where: str, image: str, *, known: bool) -> list[str]:
        """What is wrong with an id that a file is named after."""
        if not image:
            return [f"{where}: the image id is blank"]
        try:
            if not known:
                confined(self.folder, f"{TRAIN}/{image}.dcm")
        except PathError as error:
            return [f"{where}: {error}"]
        return []

    def _picture_rows(self, tables: Sequence[Path], problems: list[str]) -> tuple[list[ImageRow], dict[str, int]]:
        """Rows of the PNG edition; nothing is left out."""
        rows: dict[str, ImageRow] = {}
        above = tables[0].parent.relative_to(self.folder)
        names: set[str] = set()
        for part, table in zip(PICTURE_TABLES, tables, strict=True):
            for line, entry in lines(self.table(table, columns=("new_filename", "ImageId", "has_pneumo"))):
                where = f"{table.name} row {line}"
                image, name, told = entry["ImageId"], entry["new_filename"], entry["has_pneumo"]
                match = PICTURE_NAME.fullmatch(name)
                if match is None or (match[1], match[2]) != (part, told):
                    problems.append(
                        f"{where}: new_filename is {name!r} and has_pneumo {told!r}; expected a name such as "
                        f"17_{part}_1_.png with has_pneumo at its end, 0 or 1"
                    )
                elif not image or image in rows or name in names:
                    problems.append(f"{where}: image {image!r}, {name}, is blank or stands in an earlier row too")
                else:
                    path, mask = (above / folder / name for folder in ("png_images", "png_masks"))
                    facts = {"edition": PICTURES, "official": part, "file": path.stem}
                    row = _row(image, study=image, positive=told == "1", path=path.as_posix(), part=part, facts=facts)
                    rows[image] = replace(row, mask_path=mask.as_posix())
                    names.add(name)
        return list(rows.values()), {}


def _row(image: str, *, study: str, positive: bool, path: str, part: str, facts: Mapping[str, str]) -> ImageRow:
    return ImageRow(
        image_id=image,
        patient=image,
        study=study,
        split=part,
        labels={FINDING: float(positive)},
        boxes_known=False,
        has_mask=True,
        source_path=path,
        facts=facts,
    )


def _column(table: Path, frame: pd.DataFrame, names: Sequence[str]) -> str:
    """The first of some columns that a table has."""
    for name in names:
        if name in frame.columns:
            return name
    raise UnknownNameError(f"column of {table}", " or ".join(names), frame.columns)


@lru_cache(maxsize=2)
def _run_texts(table: Path, modified: int) -> tuple[str, ...]:
    """Run lengths of every data row; kept per process, until the file is `modified`."""
    frame = read_csv(table, columns=())
    return tuple(frame[_column(table, frame, RUNS)])
