"""Tables of VinDr-CXR: what each reader said of an image, and where."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlpbench.box import Box
from vlpbench.errors import UnknownNameError
from vlpbench.sources.csv_file import lines, read_csv
from vlpbench.sources.noticed import Noticed

NO_FINDING = "No finding"
OTHER = "Other diseases"
WHOLE_IMAGE = (NO_FINDING, "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", OTHER)
"""Classes said of the whole image, so that a row without a box is right."""
KAGGLE_CLASSES = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    NO_FINDING,
)
"""In the order of `class_id`, 0 to 14."""
CLASSES = (
    *KAGGLE_CLASSES,
    "Clavicle fracture",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Rib fracture",
    *WHOLE_IMAGE[1:],
)
SPELLINGS = {"Other disease": OTHER}
"""The training tables of PhysioNet say one thing, the test tables another."""
READERS = 3
CORNERS = ("x_min", "y_min", "x_max", "y_max")
VOTES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True)
class Mark:
    """A row of an annotation table: an image, the reader ("" where the readers agreed on it), a class and its box."""

    image: str
    reader: str
    name: str
    box: Box | None

    @property
    def lacks_box(self) -> bool:
        """Whether it says that something is somewhere, and not where."""
        return self.box is None and self.name not in WHOLE_IMAGE


@dataclass(frozen=True)
class Told:
    """What the readers of one image said of it: its labels, and whether any of them saw anything."""

    labels: Mapping[str, float]
    finding: bool


def label_name(name: str) -> str:
    """A class as label: "Nodule/Mass" is nodule_mass."""
    return name.lower().replace("/", "_").replace(" ", "_")


def majority(votes: Sequence[int], *, readers: int) -> float:
    """1.0 or 0.0 as more readers say, NaN where they are equal or readers who are not there could turn it.

    Args:
        votes: of the readers who are there, 0 or 1 each.
        readers: who should be there.
    """
    yes, missing = sum(votes), max(0, readers - len(votes))
    no = len(votes) - yes
    if yes > no + missing:
        return 1.0
    return 0.0 if no > yes + missing else math.nan


def read_votes(path: Path, *, readers: int, problems: list[str], noticed: Noticed) -> dict[str, Told]:
    """What was said of each image in `image_labels_*.csv`, by majority of the readers.

    Args:
        path: CSV with image_id, rad_id where there are several readers, and a column of 0 and 1 for each class.
        readers: rows that an image should have.
        problems: list that bad rows are added to.
        noticed: told of rows that stand twice and of images with more or fewer readers.

    Raises:
        VlpbenchError: if the file is unreadable or lacks a column.
    """
    keys = ["image_id", *(["rad_id"] if readers > 1 else [])]
    frame = read_csv(path, columns=keys).rename(columns=SPELLINGS)
    for name in CLASSES:
        if name not in frame.columns:
            raise UnknownNameError(f"column of {path}", name, map(str, frame.columns))
    votes: dict[str, dict[str, list[int]]] = {}
    seen: set[tuple[str, str]] = set()
    for line, entry in lines(frame):
        image, reader = entry["image_id"], entry.get("rad_id", "")
        where = f"{path.name} row {line}"
        wrong = [name for name in CLASSES if entry[name] not in VOTES]
        if not image:
            problems.append(f"{where}: image_id is blank")
        elif wrong:
            problems.append(f"{where}: column {wrong[0]} is {entry[wrong[0]]!r}; expected 0 or 1")
        else:
            said = [VOTES[entry[name]] for name in CLASSES]
            if votes.setdefault(image, {}).setdefault(reader, said) != said:
                who = f"{image!r} by the reader {reader!r}" if readers > 1 else repr(image)
                problems.append(f"{where}: image {who} stands in an earlier row too, and that says otherwise")
            elif (image, reader) in seen:
                noticed.add(f"{path.name}: rows that stand twice, left out", f"row {line}")
            seen.add((image, reader))
    for image, rows in votes.items():
        notice_readers(path, image, len(rows), readers=readers, noticed=noticed)
    return {image: _told(list(rows.values()), readers) for image, rows in votes.items()}


def notice_readers(path: Path, image: str, found: int, *, readers: int, noticed: Noticed) -> None:
    """Tell of an image with more or fewer readers than there should be."""
    if found != readers:
        kind = f"{path.name}: images without {readers} readers; labels that the others could turn are unknown"
        noticed.add(kind, f"{image} has {found}")


def _told(votes: Sequence[Sequence[int]], readers: int) -> Told:
    """Labels and finding of one image from the votes of each reader, in the order of `CLASSES`."""
    by_class = dict(zip(CLASSES, zip(*votes, strict=True), strict=True))
    labels = {label_name(name): majority(said, readers=readers) for name, said in by_class.items()}
    return Told(labels, any(any(said) for name, said in by_class.items() if name != NO_FINDING))


def read_marks(path: Path, *, several_readers: bool, class_ids: bool, problems: list[str]) -> list[Mark]:
    """Rows of `annotations_*.csv`, or of Kaggle's `train.csv`.

    Args:
        path: CSV with image_id, class_name and the corners of a box in pixels of the DICOM image.
        several_readers: whether a column rad_id names the reader.
        class_ids: whether a column class_id numbers the classes, as Kaggle does.
        problems: list that bad rows are added to.

    Raises:
        VlpbenchError: if the file is unreadable or lacks a column.
    """
    extra = [*(["rad_id"] if several_readers else []), *(["class_id"] if class_ids else [])]
    frame = read_csv(path, columns=("image_id", "class_name", *CORNERS, *extra))
    vocabulary = KAGGLE_CLASSES if class_ids else CLASSES
    found = []
    for line, entry in lines(frame):
        name = SPELLINGS.get(entry["class_name"], entry["class_name"])
        problem = _wrong(entry, name, vocabulary, extra)
        box: Box | None = None
        if not problem:
            box, problem = _box(entry, name)
        if problem:
            problems.append(f"{path.name} row {line}: {problem}")
        else:
            found.append(Mark(entry["image_id"], entry["rad_id"] if several_readers else "", name, box))
    return found


def _wrong(entry: Mapping[str, str], name: str, vocabulary: Sequence[str], extra: Collection[str]) -> str:
    """What is wrong with image, reader and class of a row, "" where nothing is."""
    blank = next((column for column in ("image_id", "rad_id") if column in entry and not entry[column]), "")
    if blank and (blank == "image_id" or blank in extra):
        return f"{blank} is blank"
    if name not in vocabulary:
        return f"class_name is {entry['class_name']!r}; expected one of {', '.join(vocabulary)}"
    if "class_id" in extra and entry["class_id"] != str(vocabulary.index(name)):
        return f"class_id is {entry['class_id']!r}; {name} is {vocabulary.index(name)}"
    return ""


def _box(entry: Mapping[str, str], name: str) -> tuple[Box | None, str]:
    """The box of a row, None where it has none; and what is wrong with it."""
    cells = [entry[column] for column in CORNERS]
    if not any(cells):
        return None, ""
    if name == NO_FINDING:
        return None, f"{NO_FINDING} has a box; expected blank {', '.join(CORNERS)}"
    try:
        left, top, right, bottom = map(float, cells)
    except ValueError:
        return None, f"{', '.join(CORNERS)} must be numbers; got {cells}"
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return None, f"{', '.join(CORNERS)} must be finite; got {cells}"
    if right <= left or bottom <= top:
        return None, f"the box has no area (x {left:g} to {right:g}, y {top:g} to {bottom:g})"
    if left < -1 or top < -1:
        return None, f"the box begins beyond the image, at x={left:g}, y={top:g}"
    return Box(label_name(name), left, top, right - left, bottom - top), ""
