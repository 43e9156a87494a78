"""Radiographs behind stored predictions, read through the source of their suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlpbench.data.prepared import open_source
from vlpbench.data.source import ImageRow, Pixels, Source, SourceRequest
from vlpbench.data.squares import Problem, read_square
from vlpbench.errors import VlpbenchError
from vlpbench.table.blocks import Block
from vlpbench.table.titles import Titles

Opened = tuple[Source, dict[str, ImageRow]]


class Radiographs:
    """Opens each dataset once and reads single images of it."""

    def __init__(self, titles: Titles, data: Path | None) -> None:
        """Nothing is opened yet.

        Args:
            titles: knows the suites.
            data: the user's folder of real data, None where not given.
        """
        self._titles, self._data = titles, data
        self._opened: dict[tuple[str, str, int], Opened | str] = {}

    def read(self, block: Block, dataset: str, image_ids: Sequence[str]) -> tuple[dict[str, Pixels], list[str]]:
        """Pixels of the images in the square that they were evaluated in, and why others cannot be had.

        Args:
            block: names suite and size.
            dataset: name within the suite.
            image_ids: of the wanted images.
        """
        opened = self._open(block, dataset)
        if isinstance(opened, str):
            return {}, [opened]
        source, rows = opened
        found: dict[str, Pixels] = {}
        reasons = []
        for image_id in image_ids:
            if (row := rows.get(image_id)) is None:
                reasons.append(f"{dataset}: the data there is now has no image {image_id}")
                continue
            pixels = read_square(source, row, block.image_size)
            if isinstance(pixels, Problem):
                reasons.append(pixels.text)
            else:
                found[image_id] = pixels
        return found, reasons

    def _open(self, block: Block, dataset: str) -> Opened | str:
        """Source and rows of a dataset by image id, or why they cannot be had."""
        key = block.suite, dataset, block.image_size
        if key not in self._opened:
            try:
                self._opened[key] = self._open_source(*key)
            except (VlpbenchError, OSError) as problem:
                self._opened[key] = str(problem)
        return self._opened[key]

    def _open_source(self, name: str, dataset: str, size: int) -> Opened:
        suite = self._titles.suite(name)
        if suite is None or dataset not in suite.datasets:
            raise VlpbenchError(f"no suite {name} that ships with vlpbench tells where the images of {dataset} are")
        source = open_source(SourceRequest(suite.datasets[dataset], self._data, size))
        source.require()
        return source, {row.image_id: row for row in source.rows()}
