"""The embedded synthetic chest radiographs as a data source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache

import numpy as np

from vlpbench.canonical import content_hash
from vlpbench.data.source import ImageRow, Pixels, Source, Triplet
from vlpbench.phantom import GENERATOR_VERSION, Study, render, studies
from vlpbench.phantom.knowledge import DESCRIPTIONS, mentions, statements
from vlpbench.registry import register_source


@register_source(
    "phantom",
    title="Procedural chest radiographs with reports, masks and boxes",
    licence="Apache-2.0 (drawn by this program)",
    how="Nothing to get: drawn on first use.",
    tasks=("pre-training", "classification", "segmentation", "detection"),
    options={
        "population": "corpus, chexpert, rsna, covidx, siim or object_cxr",
        "count": "number of studies",
        "seed": "seed of the population",
        "mask": "finding whose mask is kept, none by default",
    },
    version=2,
)
class PhantomSource(Source):
    """Studies of one population, drawn at the size that is asked for."""

    def stamp(self) -> object:
        """The generator's version; the options are part of the request."""
        return {"generator": GENERATOR_VERSION}

    def rows(self) -> Sequence[ImageRow]:
        """One row per study; its boxes come with the pixels."""
        return [self._row(study) for study in self._studies().values()]

    def descriptions(self) -> Mapping[str, str]:
        """A sentence on each kind of finding, and on the chest tube."""
        return DESCRIPTIONS

    def read(self, row: ImageRow) -> Pixels:
        """Draw one study."""
        drawn = render(self._studies()[row.image_id], self.request.image_size)
        name = self.request.data.options.get("mask")
        mask = None
        if name is not None:
            empty = np.zeros(drawn.image.shape, dtype=bool)
            mask = drawn.masks.get(name, empty).astype(np.uint8)
        return Pixels(drawn.image, mask, drawn.image.shape[0], drawn.image.shape[1], drawn.boxes)

    def _studies(self) -> dict[str, Study]:
        options = self.request.data.options
        return _population(options["population"], options["count"], options["seed"])

    def _row(self, study: Study) -> ImageRow:
        described = asdict(study)
        return ImageRow(
            image_id=study.study_id,
            patient=study.patient_id,
            study=study.study_id,
            report=study.report,
            summary=study.summary,
            labels=dict(study.labels),
            triplets=tuple(Triplet(*statement) for statement in statements(study)),
            entities=mentions(study),
            has_mask="mask" in self.request.data.options,
            source_path=f"phantom:{study.study_id}",
            content=content_hash({"generator": GENERATOR_VERSION, "study": described}, 32),
        )


@cache
def _population(population: str, count: int, seed: int) -> dict[str, Study]:
    """Studies by id; kept per process, so that a decoding worker describes the population once."""
    return {study.study_id: study for study in studies(population, count=count, seed=seed)}
