"""The tables of MIMIC-CXR: metadata, split, labels, and the sections that the official script writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vlpbench.sources.csv_file import FIRST_LINE
from vlpbench.sources.report_labels import CELLS, LABELS
from vlpbench.sources.report_store import read_texts

IDS = {
    "dicom_id": (r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}", "five groups of eight hexadecimal digits"),
    "subject_id": (r"[0-9]{8}", "eight digits"),
    "study_id": (r"[0-9]{8}", "eight digits"),
}
"""Patterns of the ids, in words too. They make paths, so nothing else may pass."""
SPLITS = {"train": "train", "validate": "val", "test": "test"}
VIEW_MEANINGS = {"postero-anterior": "PA", "antero-posterior": "AP", "lateral": "LATERAL", "left lateral": "LL"}
MEANING = "ViewCodeSequence_CodeMeaning"
SECTIONS = ("impression", "findings", "last_paragraph", "comparison")

ReadTable = Callable[..., pd.DataFrame]


def read_images(
    table: ReadTable, metadata: Path, split: Path, options: Mapping[str, Any], problems: list[str]
) -> pd.DataFrame:
    """A row per image, in the order of the metadata: ids, split, view, and whether the view was `recovered`.

    Args:
        table: reads a CSV as text, given path and columns.
        metadata: table of all images.
        split: table of their official split.
        options: of the source.
        problems: to which whatever is wrong is added; the frame is of use only if nothing was.
    """
    recover = bool(options["recover_views"])
    images = _with_rows(table(metadata, columns=[*IDS, "ViewPosition", *([MEANING] if recover else [])]))
    parts = _with_rows(table(split, columns=[*IDS, "split"]))
    found = [*_bad_ids(images, metadata.name, "dicom_id"), *_bad_ids(parts, split.name, "dicom_id")]
    found += [
        f"{split.name} row {row}: split is {word!r}; expected {', '.join(SPLITS)}"
        for row, word in parts.loc[~parts["split"].isin(list(SPLITS)), ["row", "split"]].itertuples(index=False)
    ]
    problems += found
    frame = pd.DataFrame({"dicom_id": images["dicom_id"], "subject_id": images["subject_id"]})
    frame["study_id"] = images["study_id"]
    frame["view"] = images["ViewPosition"].fillna("").str.upper()
    frame["recovered"] = False
    if recover:
        meant = images[MEANING].str.lower().map(VIEW_MEANINGS)
        frame["recovered"] = (frame["view"] == "") & meant.notna()
        frame["view"] = frame["view"].mask(frame["recovered"], meant)
    if found:
        return frame
    problems += _contradictions(images, parts, metadata.name, split.name)
    frame["split"] = images["dicom_id"].map(parts.set_index("dicom_id")["split"].map(SPLITS))
    problems += _torn_patients(frame, split.name)
    return frame


def read_labels(table: ReadTable, path: Path, problems: list[str]) -> dict[str, Mapping[str, float]]:
    """Labels by study: 1, 0, or NaN for uncertain (-1) and not mentioned (blank)."""
    frame = _with_rows(table(path, columns=["subject_id", "study_id", *LABELS]))
    problems += _bad_ids(frame, path.name, "study_id")
    for column in LABELS:
        wrong = frame.loc[~frame[column].isin(list(CELLS)), ["row", column]]
        problems += [
            f"{path.name} row {row}: {column} is {cell!r}; expected 1.0, 0.0, -1.0 or blank"
            for row, cell in wrong.itertuples(index=False)
        ]
    known: dict[tuple[str, ...], Mapping[str, float]] = {}
    labels: dict[str, Mapping[str, float]] = {}
    combinations = zip(*(frame[column].tolist() for column in LABELS), strict=True)
    for study, cells in zip(frame["study_id"].tolist(), combinations, strict=True):
        if cells not in known:
            values = (CELLS.get(cell, float("nan")) for cell in cells)
            known[cells] = dict(zip(LABELS.values(), values, strict=True))
        labels[study] = known[cells]
    return labels


def read_sections(path: Path, problems: list[str]) -> dict[str, dict[str, str]]:
    """Texts by section, by study, as `create_section_files.py` of MIT-LCP/mimic-cxr writes them."""
    frame = read_texts(path, columns=["study", *SECTIONS])
    frame["study_id"] = frame["study"].str.removeprefix("s")
    problems += _bad_ids(_with_rows(frame), path.name, "study_id")
    texts = frame[list(SECTIONS)].to_dict(orient="records")
    return {
        str(study): {str(name): str(text) for name, text in sections.items()}
        for study, sections in zip(frame["study_id"], texts, strict=True)
    }


def _with_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with the row that each entry has in its file."""
    return frame.assign(row=range(FIRST_LINE, len(frame) + FIRST_LINE))


def _bad_ids(frame: pd.DataFrame, name: str, key: str) -> Iterator[str]:
    """Ids that no id of MIMIC-CXR looks like, and keys that stand twice."""
    for column, (pattern, words) in IDS.items():
        if column in frame:
            wrong = frame.loc[~frame[column].str.fullmatch(pattern), ["row", column]]
            for row, value in wrong.itertuples(index=False):
                yield f"{name} row {row}: {column} is {value!r}; expected {words}"
    for row, value in frame.loc[frame[key].duplicated(), ["row", key]].itertuples(index=False):
        yield f"{name} row {row}: {key} {value} stands in an earlier row too"


def _contradictions(images: pd.DataFrame, parts: pd.DataFrame, metadata: str, split: str) -> Iterator[str]:
    """Images that only one of two tables holds, or that they give to different studies or patients."""
    for frame, name, other, other_name in ((images, metadata, parts, split), (parts, split, images, metadata)):
        lone = frame.loc[~frame["dicom_id"].isin(other["dicom_id"]), ["row", "dicom_id", "study_id"]]
        for row, image, study in lone.itertuples(index=False):
            yield f"{name} row {row}: dicom_id {image} (study {study}) is not in {other_name}"
    both = images.merge(parts, on="dicom_id", suffixes=("", "_split"))
    for column in ("subject_id", "study_id"):
        unlike = both.loc[both[column] != both[f"{column}_split"], ["row_split", "dicom_id", column, f"{column}_split"]]
        for row, image, here, there in unlike.itertuples(index=False):
            yield f"{split} row {row}: {column} of {image} is {there}, in {metadata} it is {here}"


def _torn_patients(frame: pd.DataFrame, split: str) -> Iterator[str]:
    """Patients in more than one part; the official split has none."""
    parts = frame.dropna(subset=["split"]).groupby("subject_id")["split"].nunique()
    for patient in parts.index[parts > 1]:
        yield f"{split}: patient {patient} stands in more than one split; expected one"
