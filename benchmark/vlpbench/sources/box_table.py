"""The boxes CSV of a `table` folder."""

from __future__ import annotations

import math
from pathlib import Path

from vlpbench.box import Box
from vlpbench.sources.csv_file import lines, read_csv

COLUMNS = ("image", "label", "x", "y", "width", "height")


def read_boxes(path: Path, *, known: set[str], problems: list[str]) -> dict[str, tuple[Box, ...]]:
    """Boxes by image: pixels of the image file, top-left origin.

    Args:
        path: CSV with columns image, label, x, y, width, height.
        known: image names of the table.
        problems: list that bad rows are added to.

    Raises:
        VlpbenchError: if the file is unreadable or lacks a column.
    """
    boxes: dict[str, list[Box]] = {}
    for line, entry in lines(read_csv(path, columns=COLUMNS)):
        where = f"{path.name} row {line}"
        try:
            x, y, width, height = (float(entry[column]) for column in COLUMNS[2:])
        except ValueError:
            problems.append(
                f"{where}: x, y, width and height must be numbers; got {[entry[name] for name in COLUMNS[2:]]}"
            )
            continue
        if not all(map(math.isfinite, (x, y, width, height))):
            problems.append(f"{where}: x, y, width and height must be finite")
        elif width <= 0 or height <= 0:
            problems.append(f"{where}: the box has no area ({width:g} x {height:g})")
        elif entry["image"] not in known:
            problems.append(f"{where}: image {entry['image']!r} is not in the table")
        elif not entry["label"]:
            problems.append(f"{where}: the label is blank")
        else:
            boxes.setdefault(entry["image"], []).append(Box(entry["label"], x, y, width, height))
    return {image: tuple(found) for image, found in boxes.items()}
