"""What a corpus knows of its pairs beyond images and reports: vocabularies, and numbers that fill a batch quickly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Int, Int8

if TYPE_CHECKING:
    from scipy.sparse import csr_array

UNSAID, ABSENT, PRESENT = range(3)  # what a sparse table leaves out is 0; batches have one less
LABEL = "label:"


@dataclass(frozen=True)
class PairKnowledge:
    """Vocabularies of the training rows, and what every row says in their terms; words of other rows are left out.

    Rows everywhere are rows of the manifest.

    Attributes:
        manifest: of a prepared folder; a column that it lacks is as good as one that is unknown throughout.
        train: training rows.
    """

    manifest: pd.DataFrame
    train: Int[np.ndarray, " n"]

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """Labels that are known of some training row, sorted."""
        columns = [str(name) for name in self.manifest.columns if str(name).startswith(LABEL)]
        known = self.manifest[columns].iloc[self.train].notna().any()
        return tuple(sorted(name.removeprefix(LABEL) for name in columns if known[name]))

    @property
    def triplet_entities(self) -> tuple[str, ...]:
        """Entities of the triplets, sorted."""
        return self._triplets[0]

    @property
    def positions(self) -> tuple[str, ...]:
        """Positions of the triplets, sorted."""
        return self._triplets[1]

    @property
    def entity_names(self) -> tuple[str, ...]:
        """Entities mentioned, sorted."""
        return self._entities[0]

    def labels(self, rows: Int[np.ndarray, " n"]) -> Float32[np.ndarray, "n labels"]:
        """0, 1, or NaN where unknown, in the order of `label_names`."""
        labels: Float32[np.ndarray, "n labels"] = self._labels[rows]
        return labels

    def triplets(self, rows: Int[np.ndarray, " n"]) -> Int8[np.ndarray, "n entities positions"]:
        """1 present, 0 absent, -1 not mentioned; 1 where a row says both."""
        entities, positions, said = self._triplets
        flat: Int8[np.ndarray, "n cells"] = said[rows].toarray() - np.int8(ABSENT)
        return flat.reshape(len(rows), len(entities), len(positions))

    def entities(self, rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, "n entities"]:
        """Whether each of `entity_names` is mentioned."""
        return self._entities[1][rows].toarray().astype(bool)

    @cached_property
    def _labels(self) -> Float32[np.ndarray, "rows labels"]:
        return self.manifest[[LABEL + name for name in self.label_names]].to_numpy(dtype=np.float32)

    @cached_property
    def _triplets(self) -> tuple[tuple[str, ...], tuple[str, ...], csr_array]:
        cells = self._cells("triplets")
        said = [triplet for row in self.train for triplet in cells[row]]
        entities, entity_at = _vocabulary(entity for entity, _, _ in said)
        positions, position_at = _vocabulary(position for _, position, _ in said)
        found: list[dict[int, int]] = []
        for cell in cells:
            numbers: dict[int, int] = {}
            for entity, position, present in cell:
                if entity in entity_at and position in position_at:
                    number = entity_at[entity] * len(positions) + position_at[position]
                    numbers[number] = max(PRESENT if present else ABSENT, numbers.get(number, UNSAID))
            found.append(numbers)
        return entities, positions, _sparse(found, len(entities) * len(positions))

    @cached_property
    def _entities(self) -> tuple[tuple[str, ...], csr_array]:
        cells = self._cells("entities")
        names, name_at = _vocabulary(name for row in self.train for name in cells[row])
        found = [{name_at[name]: 1 for name in cell if name in name_at} for cell in cells]
        return names, _sparse(found, len(names))

    def _cells(self, column: str) -> list[list[Any]]:
        """The lists that a column holds as JSON, empty where unknown."""
        if column not in self.manifest:
            return [[]] * len(self.manifest)
        return [json.loads(text) if text else [] for text in self.manifest[column]]


def _sparse(rows: list[dict[int, int]], width: int) -> csr_array:
    """A row for each mapping of column to value; zero elsewhere."""
    from scipy.sparse import csr_array

    starts = np.cumsum([0, *map(len, rows)])
    columns = np.fromiter((column for row in rows for column in row), np.int32, starts[-1])
    values = np.fromiter((value for row in rows for value in row.values()), np.int8, starts[-1])
    return csr_array((values, columns, starts), shape=(len(rows), width))


def _vocabulary(names: Iterable[str]) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """Names, sorted and each once, and where each stands."""
    words = tuple(sorted(set(names)))
    return words, {word: place for place, word in enumerate(words)}
