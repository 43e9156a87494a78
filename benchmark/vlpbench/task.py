"""The contract of an evaluation task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vlpbench.cards import TaskCard
from vlpbench.data.dataset import Dataset
from vlpbench.errors import VlpbenchError
from vlpbench.protocol import Settings

if TYPE_CHECKING:
    import torch

    from vlpbench.backbone import Backbone, BackboneCard
    from vlpbench.features import FrozenFeatures

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Cell:
    """Everything one evaluation needs.

    Attributes:
        backbone: frozen, on `device`.
        dataset: images with what the task needs.
        features: features of the frozen backbone, shared by fractions and seeds.
        train_rows: the label fraction, as rows of the prepared manifest.
        val_rows: rows that models are selected on.
        test_rows: rows that metrics are computed on, once.
        settings: the protocol's settings of this task, resolved for the dataset and the fraction.
        seed: of head initialisation and order.
        device: where to train.
        workdir: empty folder for logs and checkpoints of this cell.
        report: called with step, steps in all and a short note while training.
    """

    backbone: Backbone
    dataset: Dataset
    features: FrozenFeatures
    train_rows: Int[np.ndarray, " train"]
    val_rows: Int[np.ndarray, " val"]
    test_rows: Int[np.ndarray, " test"]
    settings: Settings
    seed: int
    device: torch.device
    workdir: Path
    report: Report

    def __post_init__(self) -> None:
        """Refuse settings that still hold amendments, which no task would follow."""
        if self.settings.amendments:
            raise TypeError("the settings of a cell are those that vlpbench.settings.amend gives")


@dataclass(frozen=True)
class TaskResult:
    """What one evaluation found.

    Attributes:
        metrics: every metric of the task's card on the test rows, in [0, 1]; NaN where undefined.
        headline: the metric printed in tables.
        floors: the same metrics for trivial predictors on the same rows, by the predictor's name.
        counts: numbers of images, positives, boxes … that stand behind the metrics.
        selection: the rule that chose the model, with the step and value it chose.
        predictions: one row per test image (or box): enough to compute any metric later.
    """

    metrics: Mapping[str, float]
    headline: str
    floors: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]
    selection: Mapping[str, str | int | float]
    predictions: pd.DataFrame = field(repr=False)


class Task(ABC):
    """One evaluation of frozen backbones. Subclass, decorate with `register_task`, and it runs.

    Attributes:
        card: put there by the decorator.
    """

    card: ClassVar[TaskCard]

    @abstractmethod
    def refuses(self, backbone: BackboneCard) -> str | None:
        """Why a backbone cannot be evaluated by this task, or None when it can."""

    @abstractmethod
    def run(self, cell: Cell) -> TaskResult:
        """Train the head on the label fraction and evaluate it on the test rows."""

    def score(self, predictions: pd.DataFrame, settings: Settings | None, headline: str) -> Mapping[str, float]:
        """Every metric of the card from stored predictions, as `run` gives them; nothing is trained.

        Args:
            predictions: of a `TaskResult`.
            settings: those the cell was judged by; None for a task that no protocol sets.
            headline: metric printed in tables.

        Raises:
            VlpbenchError: if the task cannot do without training.
        """
        del predictions, settings, headline
        raise VlpbenchError(f"The task {self.card.name} computes no metric from stored predictions (Task.score).")

    def images(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """The test images of stored predictions, in the order that weights of `resample` refer to.

        Returns:
            One row per image: `image_id`, and `stratum`, a text that says what the image shows, for stratified samples.

        Raises:
            VlpbenchError: if the task cannot tell.
        """
        del predictions
        raise VlpbenchError(f"The task {self.card.name} names no images of its predictions (Task.images).")

    def resample(
        self,
        predictions: pd.DataFrame,
        settings: Settings | None,
        metric: str,
        weights: Int[np.ndarray, "samples images"],
    ) -> Float[np.ndarray, " samples"]:
        """One metric under many samples of the test images; with all weights 1 it is that of `score`.

        Args:
            predictions: of a `TaskResult`.
            settings: those the cell was judged by; None for a task that no protocol sets.
            metric: one of the card's.
            weights: how often each image of `images` is in each sample.

        Returns:
            The metric of each sample, NaN where it is undefined.

        Raises:
            VlpbenchError: if the task cannot weigh images.
        """
        del predictions, settings, metric, weights
        raise VlpbenchError(f"The task {self.card.name} cannot weigh test images (Task.resample).")
