"""Pooled features of images that look different each time they are taken."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlpbench.features import ENCODE_BATCH
from vlpbench.task import Cell
from vlpbench_tasks.augmentation import View, crop_anywhere, crop_centre, disturb, start_draws

VIEWS: dict[str, View] = {"crop": crop_anywhere, "moco": disturb}


class AugmentedFeatures:
    """Training images of a cell, augmented and encoded anew whenever they are taken."""

    def __init__(self, cell: Cell, augmentation: str, targets: Float[Tensor, "n classes"]) -> None:
        """Point at the images; nothing is encoded yet.

        Args:
            cell: training rows and frozen backbone.
            augmentation: "crop" or "moco".
            targets: what the training rows should be classified as.
        """
        self.targets = targets
        self._cell = cell
        self._view = VIEWS[augmentation]
        self._generator = start_draws(cell.seed)

    @property
    def width(self) -> int:
        """Numbers a feature has."""
        return self._cell.backbone.pooled

    def take(self, positions: Int[Tensor, " b"]) -> Float[Tensor, "b features"]:
        """Features of the images at these positions, as they look this time."""
        rows = self._cell.train_rows[positions.cpu().numpy()]
        return _pool(self._cell, self._view(_images(self._cell, rows), self._generator))


def pool_centres(cell: Cell, rows: Int[np.ndarray, " n"]) -> Float[Tensor, "n features"]:
    """Pooled features of the middle of each image, as validation and test images are judged."""
    parts = [
        _pool(cell, crop_centre(_images(cell, rows[start : start + ENCODE_BATCH])))
        for start in range(0, len(rows), ENCODE_BATCH)
    ]
    return torch.cat(parts)


def _images(cell: Cell, rows: Int[np.ndarray, " n"]) -> Tensor:
    return torch.from_numpy(cell.dataset.images(rows)).to(cell.device)


@torch.no_grad()
def _pool(cell: Cell, images: Float[Tensor, "n s s"]) -> Float[Tensor, "n features"]:
    return cell.backbone.pool(cell.backbone.normalise(images))
