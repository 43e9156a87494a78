"""Overlaps of stored masks, image by image, from their run-length codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

MOST = 255
"""Masks that pycocotools 2.0.11 takes at once under NumPy 2."""


def image_dice(table: pd.DataFrame) -> pd.Series[float]:
    """Dice of each image with a foreground pixel, by image id; pixels that are not to be counted left out.

    Args:
        table: stored predictions of segmentation: image_id, height, width and the codes rle_prediction, rle_target and
            rle_ignored.
    """
    predicted, target, ignored = (_codes(table, name) for name in ("rle_prediction", "rle_target", "rle_ignored"))
    hits = _shared(predicted, target)
    counted = _areas(predicted) - _shared(predicted, ignored)
    wanted = _areas(target)
    shown = wanted > 0
    dice = 2 * hits[shown] / (counted[shown] + wanted[shown])
    return pd.Series(dice, index=pd.Index(table["image_id"].to_numpy()[shown]), dtype=float)


def read_mask(table: pd.DataFrame, image_id: str, column: str) -> Bool[np.ndarray, "h w"]:
    """One mask of one image of the same table."""
    from pycocotools import mask as coco_mask

    row = table[table["image_id"] == image_id]
    return np.asarray(coco_mask.decode(_codes(row, column)[0]), dtype=bool)


def _codes(table: pd.DataFrame, column: str) -> Any:
    """Run-length codes as pycocotools takes them."""
    return [
        {"size": [int(height), int(width)], "counts": str(code).encode("ascii")}
        for height, width, code in zip(table["height"], table["width"], table[column], strict=True)
    ]


def _shared(first: Any, second: Any) -> np.ndarray:
    """Pixels of both masks, image by image, signed so that differences may be taken."""
    from pycocotools import mask as coco_mask

    both: Any = [coco_mask.merge([one, other], intersect=True) for one, other in zip(first, second, strict=True)]
    return _areas(both)


def _areas(codes: Any) -> np.ndarray:
    """Pixels of each mask."""
    from pycocotools import mask as coco_mask

    parts = [coco_mask.area(codes[start : start + MOST]) for start in range(0, len(codes), MOST)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
