"""True masks: what the program that drew a radiograph put where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.phantom import Rendered, Study, render, studies
from vlpbench.suite import DataSpec

SOURCE = "phantom"
NO_FINDINGS = ("lung", "lung_opacity")
"""Masks that are no finding: the lungs, and boxes around consolidations, which have a mask of their own."""
NAMES: Mapping[str, str] = {
    "pleural_effusion": "pleural effusion",
    "edema": "pulmonary edema",
    "atelectasis": "atelectasis",
    "cardiomegaly": "cardiomegaly",
    "consolidation": "consolidation",
    "pneumothorax": "pneumothorax",
    "foreign_object": "foreign object",
    "covid": "COVID-19 pneumonia",
    "chest_tube": "chest tube",
}
"""Findings as the reports of the corpus word them."""


def draw_truth(data: DataSpec, image_ids: Sequence[str], size: int) -> Iterator[Rendered]:
    """Draw radiographs again, with a mask of each finding.

    Args:
        data: a dataset of the embedded suite.
        image_ids: of its studies.
        size: side, pixels.

    Raises:
        VlpbenchError: for data that no program drew.
        UnknownNameError: for an image that the dataset does not have.
    """
    if data.source != SOURCE:
        raise VlpbenchError(
            f"The dataset {data.name!r} comes from the source {data.source!r}; the true mask of every finding is known "
            "of drawn radiographs alone, such as those of the suite phantom."
        )
    drawn = _studies(data.options["population"], data.options["count"], data.options["seed"])
    for name in image_ids:
        if name not in drawn:
            raise UnknownNameError(f"image of {data.name}", name, drawn)
        yield render(drawn[name], size)


@lru_cache(maxsize=8)
def _studies(population: str, count: int, seed: int) -> dict[str, Study]:
    return {study.study_id: study for study in studies(population, count=count, seed=seed)}
