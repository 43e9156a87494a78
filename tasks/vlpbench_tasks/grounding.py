"""Grounding: where a method finds the words of a report; `vlpbench heatmap --score` makes and scores the maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from jaxtyping import Float, Int

from vlpbench.errors import VlpbenchError
from vlpbench.registry import register_task
from vlpbench.task import Cell, Task, TaskResult

if TYPE_CHECKING:
    import numpy as np

    from vlpbench.backbone import BackboneCard
    from vlpbench.protocol import Settings

ELSEWHERE = (
    "grounding reads word-to-patch maps off a whole trained method, not off a backbone alone: "
    "vlpbench heatmap --score computes it"
)


@register_task(
    "grounding",
    title="Grounding of findings",
    summary="Word-to-patch maps of a trained method against the true masks of drawn radiographs; no labels, no head.",
    metrics={
        "pointing_game": "share of pairs of study and finding whose highest patch centre lies in the true mask, no "
        "tolerance; equally high patches count by their share",
        "pointing_game_macro": "the same, mean over the findings",
        "pointing_game_patch": "share of pairs whose highest patch holds any pixel of the true mask",
        "pointing_game_other": "pointing game of the maps of the other findings' names, mean over them",
        "pointing_game_<finding>": "pointing game of one finding",
        "mask_energy": "share of the map inside the true mask, the lowest patch being 0 and the highest 1, mean over "
        "pairs",
        "mask_energy_macro": "the same, mean over the findings",
        "mask_energy_other": "mask energy of the maps of the other findings' names, mean over them",
        "mask_energy_<finding>": "mask energy of one finding",
        "pixel_auroc": "area under the ROC curve of pixels inside against outside the true mask, mean over pairs",
    },
    version=1,
)
class Grounding(Task):
    """What is read off stored pairs of study and finding; the maps are made where whole methods are at hand."""

    def refuses(self, backbone: BackboneCard) -> str | None:
        """Every backbone: a map needs the text tower and the heads too."""
        del backbone
        return ELSEWHERE

    def run(self, cell: Cell) -> TaskResult:
        """Refuse.

        Raises:
            VlpbenchError: always.
        """
        raise VlpbenchError(f"{cell.dataset.name}: {ELSEWHERE}.")

    def score(self, predictions: pd.DataFrame, settings: Settings | None, headline: str) -> Mapping[str, float]:
        """Every metric from the pairs."""
        from vlpbench.grounding.scores import summarise

        del settings, headline
        return summarise(predictions)

    def images(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Studies with a finding, all in one stratum: few have the same findings."""
        return pd.DataFrame({"image_id": predictions["image_id"].drop_duplicates().to_numpy(), "stratum": "finding"})

    def resample(
        self,
        predictions: pd.DataFrame,
        settings: Settings | None,
        metric: str,
        weights: Int[np.ndarray, "samples images"],
    ) -> Float[np.ndarray, " samples"]:
        """One metric with studies counted as often as the weights say."""
        from vlpbench.grounding.scores import resample

        del settings
        numbers, _ = pd.factorize(predictions["image_id"])
        return resample(predictions, metric, numbers, weights)
