"""The contract of a data source: rows first, pixels on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vlpbench.box import Box
from vlpbench.suite import DataSpec

IGNORED = 255


@dataclass(frozen=True)
class Triplet:
    """One thing that a report says: an entity, such as a finding, is present or absent at a position."""

    entity: str
    position: str
    present: bool


@dataclass(frozen=True)
class ImageRow:
    """What is known of one image before its pixels are read.

    Attributes:
        image_id: unique within the source.
        patient: patient the image is of; splits keep patients together.
        study: study the image belongs to; images of one study share the report.
        split: "train", "val" or "test" where the source says so, else "".
        report: report text, "" where there is none.
        summary: a shorter wording of the report, "" where there is none.
        labels: label name to 0.0, 1.0, or NaN where unknown.
        triplets: what the report says of entities at positions; empty where it says nothing of any, None where nobody
            looked.
        entities: entities of a knowledge source that the report mentions; likewise.
        boxes: in pixels of the source image.
        boxes_known: False where nobody looked for boxes, so that none does not mean absent.
        has_mask: whether a mask comes with the pixels.
        mask_path: where the mask comes from, "" where it is drawn with the pixels or there is none.
        source_path: where the pixels come from, for the user to find.
        content: hash of what the pixels are made from; "" where it is told with the pixels.
        facts: whatever else a split recipe or a reader asks for, by name, such as the view or a row of a table.
    """

    image_id: str
    patient: str
    study: str
    split: str = ""
    report: str = ""
    summary: str = ""
    labels: Mapping[str, float] = field(default_factory=dict)
    triplets: tuple[Triplet, ...] | None = None
    entities: tuple[str, ...] | None = None
    boxes: tuple[Box, ...] = ()
    boxes_known: bool = True
    has_mask: bool = False
    mask_path: str = ""
    source_path: str = ""
    content: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pixels:
    """One decoded image.

    Attributes:
        image: grey values.
        mask: 0 background, 1 foreground, 255 not to be counted; None where there is none.
        height: of the source image, in which boxes are given; larger than the array after a reduced-scale decode.
        width: likewise.
        boxes: in pixels of the source image, where they are known only with the pixels; None leaves the row's own.
        content: hash of what the pixels are made from; "" leaves the row's own.
    """

    image: UInt8[np.ndarray, "h w"]
    mask: UInt8[np.ndarray, "mask_h mask_w"] | None
    height: int
    width: int
    boxes: tuple[Box, ...] | None = None
    content: str = ""


@dataclass(frozen=True)
class SourceRequest:
    """What is asked of a source.

    Attributes:
        data: name and options, from the suite.
        root: the user's `--data` folder, None when not given.
        image_size: side of the prepared square, pixels.
    """

    data: DataSpec
    root: Path | None
    image_size: int


class BadAnnotationError(Exception):
    """A mask or box that does not fit its image: however rare, it stops the run."""


class Source(ABC):
    """Rows first, then pixels one by one, possibly in another process.

    Subclasses are registered with `register_source`, are picklable, and are made with one argument, the request.
    """

    def __init__(self, request: SourceRequest) -> None:
        """Keep the request."""
        self.request = request

    def require(self) -> None:  # noqa: B027 (a source may have nothing to look for)
        """Make sure, at little cost, that the input is there.

        Raises:
            VlpbenchError: saying what was expected and what was found.
        """

    @abstractmethod
    def stamp(self) -> object:
        """Something cheap, in plain data, that changes whenever the input may have changed."""

    @abstractmethod
    def rows(self) -> Sequence[ImageRow]:
        """Every image there is.

        Raises:
            BadInputError: with all problems of the table at once.
        """

    @property
    def label(self) -> str:
        """What the prepared folder is called, before its hash: the name within the suite by default."""
        return self.request.data.name

    def descriptions(self) -> Mapping[str, str]:
        """A sentence on each entity of triplets and mentions, by name; none by default."""
        return {}

    def counts(self) -> dict[str, int]:
        """What was found, left out and kept, by name, once `rows` has been asked for; nothing by default."""
        return {}

    def noticed(self) -> Sequence[str]:
        """Oddities of the release that leave labels and boxes right, a line each, once `rows` has been asked for.

        What they concern was left out or left unknown; none by default.
        """
        return ()

    @abstractmethod
    def read(self, row: ImageRow) -> Pixels:
        """Pixels of one row.

        Raises:
            UnreadableImageError: if the image, or its mask, cannot be decoded.
            BadAnnotationError: if mask or boxes do not fit the image.
        """
