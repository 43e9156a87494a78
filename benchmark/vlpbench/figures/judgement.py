"""Judgements: what the stored predictions of one run say of single images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool

from vlpbench.data.source import Pixels
from vlpbench.figures.box_matches import SIDES, Matches, match_boxes
from vlpbench.figures.mask_overlaps import image_dice, read_mask

NEAR = 0.01
"""Pixels by which a box may differ and still be the same."""


@dataclass(frozen=True)
class Outlines:
    """What is drawn on a radiograph: the border of a mask, or boxes (x, y, width, height), in pixels of the square."""

    mask: Bool[np.ndarray, "h w"] | None = None
    boxes: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class Judgement(ABC):
    """Predictions of one run, image by image."""

    predictions: pd.DataFrame

    @property
    @abstractmethod
    def scores(self) -> pd.Series[float]:
        """How good each image with an annotation is, in [0, 1], by image id."""

    @property
    @abstractmethod
    def score_name(self) -> str:
        """What the score is called."""

    @property
    @abstractmethod
    def note(self) -> str:
        """How the score is computed, and what is drawn."""

    @abstractmethod
    def truth(self, image_id: str) -> Outlines:
        """What is annotated on an image."""

    @abstractmethod
    def predicted(self, image_id: str) -> Outlines:
        """What is predicted on an image."""

    @abstractmethod
    def fits(self, image_id: str, pixels: Pixels) -> bool:
        """Whether pixels come with the annotation that the run was evaluated with, and so are the same image."""


class MaskJudgement(Judgement):
    """Predicted masks."""

    @property
    def score_name(self) -> str:
        """Dice."""
        return "Dice"

    @property
    def note(self) -> str:
        """How images are ranked."""
        return "Images are ranked by their Dice, those without an annotated pixel left out."

    @property
    def scores(self) -> pd.Series[float]:
        """Dice."""
        return self._dice

    @cached_property
    def _dice(self) -> pd.Series[float]:
        return image_dice(self.predictions)

    def truth(self, image_id: str) -> Outlines:
        """The annotated mask."""
        return Outlines(self._mask(image_id, "rle_target"))

    def predicted(self, image_id: str) -> Outlines:
        """The predicted mask."""
        return Outlines(self._mask(image_id, "rle_prediction"))

    def fits(self, image_id: str, pixels: Pixels) -> bool:
        """Whether the masks are equal."""
        return pixels.mask is not None and np.array_equal(pixels.mask == 1, self._mask(image_id, "rle_target"))

    def _mask(self, image_id: str, column: str) -> Bool[np.ndarray, "h w"]:
        return read_mask(self.predictions, image_id, column)


class BoxJudgement(Judgement):
    """Predicted boxes, cut at the score that gives the highest F1 over the test images."""

    @property
    def score_name(self) -> str:
        """F1."""
        return "F1"

    @cached_property
    def matches(self) -> Matches | None:
        """Matches with the annotated boxes."""
        return match_boxes(self.predictions)

    @cached_property
    def threshold(self) -> float:
        """Score from which boxes are drawn and counted."""
        return 1.0 if self.matches is None else self.matches.best_threshold()

    @property
    def scores(self) -> pd.Series[float]:
        """F1 at IoU 0.5."""
        return self._f1

    @cached_property
    def _f1(self) -> pd.Series[float]:
        return pd.Series(dtype=float) if self.matches is None else self.matches.image_f1(self.threshold)

    @property
    def note(self) -> str:
        """How F1 is computed."""
        return (
            "Images are ranked by their F1 at IoU 0.5, those without an annotated box left out. Of each run those "
            "boxes are drawn and counted whose score is at least the one that gives the highest F1 over all its test "
            "images."
        )

    def truth(self, image_id: str) -> Outlines:
        """The annotated boxes."""
        return self._boxes(self._rows(image_id, "target"))

    def predicted(self, image_id: str) -> Outlines:
        """The predicted boxes from the threshold on."""
        rows = self._rows(image_id, "prediction")
        return self._boxes(rows[rows["score"] >= self.threshold])

    def fits(self, image_id: str, pixels: Pixels) -> bool:
        """Whether every annotated box is among those of the pixels."""
        there = np.array([(box.x, box.y, box.width, box.height) for box in pixels.boxes or ()]).reshape(-1, 4)
        return all((np.abs(there - box).max(axis=1) <= NEAR).any() for box in self.truth(image_id).boxes)

    def _rows(self, image_id: str, kind: str) -> pd.DataFrame:
        return self.predictions[(self.predictions["image_id"] == image_id) & (self.predictions["kind"] == kind)]

    def _boxes(self, rows: pd.DataFrame) -> Outlines:
        x, y, width, height = (rows[name].to_numpy(dtype=float).tolist() for name in SIDES)
        return Outlines(boxes=tuple(zip(x, y, width, height, strict=True)))


def judge(task: str, predictions: pd.DataFrame) -> Judgement:
    """The judgement of a run of segmentation or detection."""
    return BoxJudgement(predictions) if task == "detection" else MaskJudgement(predictions)
