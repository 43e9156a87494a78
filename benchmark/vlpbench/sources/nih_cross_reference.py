"""Which NIH ChestX-ray14 image, and so which patient, an image of another release is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.sources.csv_file import lines, read_csv

IMAGE_NAMES = ("subset_img_id", "patientId")
NIH_NAMES = ("img_id", "orig_img_id", "nih_image_id", "Image Index", "nih_patient_id")
NIH_ID = re.compile(r"(\d{1,8})(_\d+(\.png)?)?", re.ASCII)


@dataclass(frozen=True)
class NihImage:
    """An image of NIH ChestX-ray14.

    Attributes:
        patient: eight digits, such as "00000001".
        name: file name such as "00000001_000.png", "" where only the patient is known.
    """

    patient: str
    name: str


def read_cross_reference(path: Path, *, image: str, nih: str, problems: list[str]) -> dict[str, NihImage]:
    """NIH images by image id; ids without one are left out.

    Args:
        path: the JSON list that the RSNA published (objects with `subset_img_id` and `img_id`), or a CSV file.
        image: key or column of the image id, "" to look for the usual names.
        nih: key or column of the NIH image or patient, likewise.
        problems: list that bad entries are added to.

    Raises:
        VlpbenchError: if the file is unreadable, or lacks a key or column.
    """
    found: dict[str, NihImage] = {}
    for where, entry in _entries(path):
        name, value = (_cell(path, entry, given, usual) for given, usual in ((image, IMAGE_NAMES), (nih, NIH_NAMES)))
        if not value:
            continue
        match = NIH_ID.fullmatch(value)
        if match is None:
            problems.append(
                f"{path.name} {where}: {value!r} is no NIH image or patient; expected 00000001_000.png or 1"
            )
            continue
        mapped = NihImage(f"{int(match[1]):08d}", value if match[2] else "")
        if found.setdefault(name, mapped).patient != mapped.patient:
            problems.append(
                f"{path.name} {where}: image {name!r} is of NIH patient {mapped.patient}, in an earlier entry of "
                f"{found[name].patient}"
            )
    return found


def _entries(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Where an entry stands in the file, and its cells as text."""
    if path.suffix.lower() != ".json":
        for line, entry in lines(read_csv(path, columns=())):
            yield f"row {line}", entry
        return
    try:
        listed = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise VlpbenchError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise VlpbenchError(f"{path} is not a list of objects, such as {{subset_img_id: ..., img_id: ...}}.")
    for number, entry in enumerate(listed, start=1):
        yield f"entry {number}", {key: "" if value is None else str(value).strip() for key, value in entry.items()}


def _cell(path: Path, entry: Mapping[str, str], given: str, usual: tuple[str, ...]) -> str:
    """Value under the name that was asked for, or under the first usual name there is."""
    for name in (given,) if given else usual:
        if name in entry:
            return entry[name]
    raise UnknownNameError(f"column of {path}", given if given else " or ".join(usual), entry)
