"""The radiograph that words are looked for in: a file, or an image of a suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from vlpbench.data.decoding import UnreadableImageError, read_grey
from vlpbench.data.geometry import Geometry
from vlpbench.data.prepared import prepare
from vlpbench.data.source import SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.grounding.truth import SOURCE, draw_truth
from vlpbench.plan import Request

EXPECTED = "a .png, .jpg or .dcm file, or DATASET:IMAGE_ID of the suite"


@dataclass(frozen=True)
class Radiograph:
    """One image as a method sees it.

    Attributes:
        name: of the file without its folder, or DATASET:IMAGE_ID.
        pixels: grey, square.
        masks: true masks by name, for drawn radiographs.
    """

    name: str
    pixels: UInt8[np.ndarray, "size size"]
    masks: Mapping[str, Bool[np.ndarray, "size size"]] = field(default_factory=dict)


def open_radiograph(name: str, request: Request) -> Radiograph:
    """Read a file, or an image of the suite.

    Args:
        name: path, or dataset and image id with a colon between them.
        request: names the suite, its data and the side of the square.

    Raises:
        VlpbenchError: for a name that is neither, or a file that is no image.
        UnknownNameError: for a dataset or image that the suite does not have.
    """
    path = Path(name)
    dataset, colon, image_id = name.partition(":")
    if colon and not path.exists():
        return _of_suite(name, dataset, image_id, request)
    try:
        grey, _ = read_grey(path)
    except UnreadableImageError as error:
        raise VlpbenchError(f"--image {name}: {error}. Expected {EXPECTED}.") from error
    height, width = grey.shape
    return Radiograph(path.name, Geometry(height, width, request.image_size).resize(grey))


def _of_suite(name: str, dataset: str, image_id: str, request: Request) -> Radiograph:
    suite = request.suite
    if dataset not in suite.datasets:
        raise UnknownNameError(f"dataset of the suite {suite.name}", dataset, suite.datasets, f"Expected {EXPECTED}.")
    data = suite.datasets[dataset]
    if data.source == SOURCE:
        drawn = next(draw_truth(data, [image_id], request.image_size))
        return Radiograph(name, drawn.image, drawn.masks)
    prepared = prepare(SourceRequest(data, request.data, request.image_size), request.work, jobs=request.jobs)
    ids = prepared.manifest["image_id"].astype(str)
    rows = np.flatnonzero(ids == image_id)
    if not len(rows):
        raise UnknownNameError(f"image of {dataset}", image_id, ids)
    return Radiograph(name, np.array(prepared.images[rows[0]]))
