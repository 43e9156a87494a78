"""What tasks and pre-training read: views of prepared folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from vlpbench.box import Box
from vlpbench.canonical import content_hash
from vlpbench.data.fractions import sample_fraction
from vlpbench.data.prepared import Prepared
from vlpbench.data.splits import SPLITS
from vlpbench.data.uniform_fraction import draw_uniform
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.splits import CLEAN
from vlpbench.splits.catalogue import find_recipe, named_split, shared_patients
from vlpbench.splits.recipe import NamedSplit
from vlpbench.suite import TaskSpec


@dataclass(frozen=True)
class Dataset:
    """Images of one dataset as one task sees them: only rows annotated for the task.

    Row numbers everywhere are rows of the prepared manifest, so that features can be shared between tasks.

    Attributes:
        prepared: the folder.
        pair: dataset, task, metric and labels.
        limit: cap on images per split, None for all.
        source: registered source the folder was prepared from, for its split recipes.
        split_name: "clean" for the folder's own split, the name of a recipe, or a .csv file.
    """

    prepared: Prepared
    pair: TaskSpec
    limit: int | None = None
    source: str = ""
    split_name: str = CLEAN

    @property
    def name(self) -> str:
        """Name within the suite."""
        return self.pair.dataset

    @property
    def image_size(self) -> int:
        """Side of the square images, pixels."""
        return int(self.prepared.images.shape[1])

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """Label columns (classification) or box labels (detection), in a fixed order.

        Raises:
            UnknownNameError: for a label the data does not have.
        """
        names = map(str, self.prepared.manifest.columns)
        columns = [name.removeprefix("label:") for name in names if name.startswith("label:")]
        if self.pair.task == "classification":
            for name in self.pair.labels:
                if name not in columns:
                    raise UnknownNameError(f"label of {self.name}", name, columns)
            return self.pair.labels or tuple(columns)
        return self.pair.labels or tuple(sorted({box.label for boxes in self._all_boxes for box in boxes}))

    @cached_property
    def _all_boxes(self) -> list[tuple[Box, ...]]:
        return [tuple(Box(**box) for box in json.loads(text)) for text in self.prepared.manifest["boxes"]]

    @cached_property
    def _annotated(self) -> np.ndarray:
        manifest = self.prepared.manifest
        if self.pair.task == "classification":
            known = manifest[[f"label:{name}" for name in self.label_names]].notna()
            return np.asarray(known.any(axis=1))
        if self.pair.task == "segmentation":
            return np.asarray(manifest["mask_row"] >= 0)
        return np.asarray(manifest["boxes_known"].astype(bool))

    @cached_property
    def named(self) -> NamedSplit:
        """The split as its recipe says, images that are not annotated for the task included.

        Raises:
            VlpbenchError: for a split that does not exist or does not fit the data.
        """
        return named_split(self.prepared.manifest, dataset=self.source, task=self.pair.task, name=self.split_name)

    @property
    def split_facts(self) -> dict[str, Any]:
        """Name of the split, what is known to be wrong with it, and patients that its parts share."""
        known: tuple[str, ...] = ()
        if self.split_name != CLEAN and not self.split_name.endswith(".csv"):
            known = find_recipe(self.source, self.pair.task, self.split_name).known
        manifest = self.prepared.manifest
        return {"name": self.split_name, "known": list(known), "shared": shared_patients(manifest, self.named)}

    def _kept(self, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " kept"]:
        kept: Int[np.ndarray, " kept"] = rows[self._annotated[rows]]
        return kept

    def train_fraction(
        self, fraction: float, *, seed: int, sampling: str = "stratified"
    ) -> Int[np.ndarray, " sampled"]:
        """Training rows of a label fraction: the split's own list where it has one, else a sample.

        Args:
            fraction: in (0, 1].
            seed: of a stratified sample.
            sampling: "stratified", or "uniform" for the one draw of released code.

        Raises:
            VlpbenchError: for a fraction outside (0, 1].
        """
        if fraction in self.named.fractions:
            return self._kept(self.named.fractions[fraction])[: self.limit]
        train = self.splits["train"]
        drawn = (
            draw_uniform(len(train), fraction)
            if sampling == "uniform"
            else sample_fraction(self.strata(train), fraction, seed=seed)
        )
        sampled: Int[np.ndarray, " sampled"] = train[drawn]
        return sampled

    @cached_property
    def splits(self) -> dict[str, Int[np.ndarray, " rows"]]:
        """Annotated rows of train, val and test.

        Raises:
            VlpbenchError: if one of them is empty.
        """
        rows = {name: self._kept(getattr(self.named, name))[: self.limit] for name in SPLITS}
        for name, found in rows.items():
            if len(found) == 0:
                raise VlpbenchError(
                    f"The {name} split of {self.name!r} holds no image annotated for {self.pair.task}. "
                    "Check the label, mask and boxes options of the dataset, and its split column."
                )
        return rows

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the prepared data and of what the pair asks of it: task, metric and labels."""
        asked = {"task": self.pair.task, "metric": self.pair.metric, "labels": list(self.label_names)}
        return content_hash({"prepared": self.prepared.fingerprint, **asked}, 32)

    @cached_property
    def split_hash(self) -> str:
        """Hash of the image ids in train, val and test."""
        ids = self.prepared.manifest["image_id"].to_numpy()
        return content_hash({name: sorted(ids[rows].tolist()) for name, rows in self.splits.items()}, 16)

    def image_ids(self, rows: Int[np.ndarray, " n"]) -> list[str]:
        """Ids of the given rows."""
        return [str(name) for name in self.prepared.manifest["image_id"].to_numpy()[rows]]

    def images(self, rows: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n size size"]:
        """Grey pixels of the given rows."""
        return np.ascontiguousarray(self.prepared.images[rows])

    def labels(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n classes"]:
        """Labels of the given rows: 0, 1 or NaN where unknown."""
        columns = [f"label:{name}" for name in self.label_names]
        labels: Float[np.ndarray, "n classes"] = self.prepared.manifest[columns].to_numpy(dtype=np.float64)[rows]
        return labels

    def masks(self, rows: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n size size"]:
        """Masks of the given rows: 0 background, 1 foreground, 255 not to be counted."""
        return np.ascontiguousarray(self.prepared.masks[self.prepared.manifest["mask_row"].to_numpy()[rows]])

    def boxes(self, rows: Int[np.ndarray, " n"]) -> list[tuple[Box, ...]]:
        """Boxes of the given rows whose label the task knows, in pixels of the prepared square."""
        known = set(self.label_names)
        return [tuple(box for box in self._all_boxes[row] if box.label in known) for row in rows]

    def strata(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n classes"]:
        """What a fraction is stratified by: labels, whether a mask has foreground, or which box labels occur."""
        if self.pair.task == "classification":
            return self.labels(rows)
        if self.pair.task == "segmentation":
            shown = (self.masks(rows) == 1).any(axis=(1, 2))
            return np.asarray(shown, dtype=np.float64)[:, None]
        found = [{box.label for box in boxes} for boxes in self.boxes(rows)]
        return np.array([[float(name in labels) for name in self.label_names] for labels in found])
