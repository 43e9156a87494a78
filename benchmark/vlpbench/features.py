"""Features of a frozen backbone: computed once, kept by content, shared by fractions, seeds and tasks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vlpbench.backbone import Backbone
from vlpbench.canonical import atomic_path, content_hash

ENCODE_BATCH = 64
BYTES_PER_VALUE = 4
Progress = Callable[[int, int], None]


class FrozenFeatures:
    """Feature maps and pooled features of unaugmented images, by row.

    Pooled features of all images are always kept; maps are kept while they fit into `budget_gb`, and computed anew
    otherwise. Images
    are encoded in batches of one size either way, so a cache never changes a number.
    """

    def __init__(
        self,
        backbone: Backbone,
        images: UInt8[np.ndarray, "n h w"],
        *,
        folder: Path,
        identity: object,
        device: torch.device,
        budget_gb: float,
        progress: Progress | None = None,
    ) -> None:
        """Point at the cache; nothing is computed yet.

        Args:
            backbone: frozen.
            images: grey pixels of every row, memory-mapped.
            folder: under which caches lie.
            identity: plain data naming weights and images; equal identities share a cache.
            device: where to encode.
            budget_gb: disk that feature maps may take.
            progress: told how many of how many images are encoded.
        """
        self._backbone = backbone
        self._images = images
        self._folder = folder / content_hash({"batch": ENCODE_BATCH, "of": identity}, 24)
        self._device = device
        self._budget = budget_gb * 1e9
        self._progress = progress
        self._pooled: np.ndarray | None = None
        self._maps: list[np.ndarray] | None = None

    def pooled(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n c"]:
        """Pooled features of the given rows."""
        if self._pooled is None:
            self._pooled = self._cached("pooled")
        return np.ascontiguousarray(self._pooled[rows])

    def maps(self, rows: Int[np.ndarray, " n"]) -> tuple[Float[Tensor, "n _c _h _w"], ...]:
        """Feature maps of the given rows, fine to coarse, on the device."""
        if not self.fits:
            return self._encode_rows(rows)
        if self._maps is None:
            self._maps = [self._cached(f"map{level}") for level in range(len(self._backbone.channels))]
        return tuple(torch.from_numpy(np.ascontiguousarray(level[rows])).to(self._device) for level in self._maps)

    @property
    def fits(self) -> bool:
        """Whether the maps of all images fit into the budget."""
        size = self._images.shape[1]
        cells = sum(
            channels * (size // stride) ** 2
            for channels, stride in zip(self._backbone.channels, self._backbone.strides, strict=True)
        )
        return bool(cells * len(self._images) * BYTES_PER_VALUE <= self._budget)

    def _encode_rows(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """Maps of a few rows, in batches padded to the one size."""
        parts = [
            self._encode(self._images[rows[start : start + ENCODE_BATCH]])[0]
            for start in range(0, len(rows), ENCODE_BATCH)
        ]
        return tuple(torch.cat(level) for level in zip(*parts, strict=True))

    def _encode(self, images: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
        count = len(images)
        padded = np.zeros((ENCODE_BATCH, *images.shape[1:]), dtype=np.uint8)
        padded[:count] = images
        with torch.inference_mode():
            inputs = self._backbone.normalise(torch.from_numpy(padded).to(self._device))
            maps, pooled = self._backbone.maps_and_pooled(inputs)
        return tuple(level[:count].clone() for level in maps), pooled[:count].clone()

    def _cached(self, name: str) -> np.ndarray:
        """One kind of feature of all rows, memory-mapped; the first call encodes what is missing."""
        path = self._folder / f"{name}.npy"
        if not path.is_file():
            self._fill()
        features: np.ndarray = np.load(path, mmap_mode="r")
        return features

    def _fill(self) -> None:
        """Encode every image once; write pooled features, and maps where they fit."""
        names = ["pooled", *(f"map{level}" for level in range(len(self._backbone.channels)) if self.fits)]
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            targets = [stack.enter_context(atomic_path(self._folder / f"{name}.npy")) for name in names]
            arrays: list[np.ndarray] = []
            for start in range(0, len(self._images), ENCODE_BATCH):
                maps, pooled = self._encode(self._images[start : start + ENCODE_BATCH])
                values = [pooled, *(maps if self.fits else ())]
                if not arrays:
                    arrays = [
                        np.lib.format.open_memmap(
                            target, mode="w+", dtype=np.float32, shape=(len(self._images), *value.shape[1:])
                        )
                        for target, value in zip(targets, values, strict=True)
                    ]
                for array, value in zip(arrays, values, strict=True):
                    array[start : start + len(value)] = value.float().cpu().numpy()
                if self._progress is not None:
                    self._progress(min(start + ENCODE_BATCH, len(self._images)), len(self._images))
            for array in arrays:
                array.flush()  # type: ignore[attr-defined]
