"""Segmentation masks as run-length codes, and every Dice variant from the same codes.

Dice is undefined where neither mask nor prediction has a pixel. The released MGCA code counts such an image as 1
(mgca/models/ssl_segmenter.py:81-121), which lets an always empty prediction score the share of empty masks;
here that is one variant of several, each under its own name. Pixels are counted on the codes, and no mask is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8
from pycocotools import mask as coco_mask

from vlpbench.data.source import IGNORED

MOST = 255
"""Masks that pycocotools 2.0.11 takes at once under NumPy 2: it multiplies their number in 8 bits."""
Constant = Literal[0, 1]


def tabulate(
    image_ids: Sequence[str], predictions: UInt8[np.ndarray, "n h w"], masks: UInt8[np.ndarray, "n h w"]
) -> pd.DataFrame:
    """One row per image with COCO run-length codes.

    Args:
        image_ids: one an image.
        predictions: 1 where foreground was predicted, else 0.
        masks: 0 background, 1 foreground, 255 not to be counted.

    Returns:
        Columns image_id, height, width, rle_prediction, rle_target and rle_ignored.
    """
    columns = {
        "image_id": list(image_ids),
        "height": predictions.shape[1],
        "width": predictions.shape[2],
        "rle_prediction": _encode(predictions == 1),
        "rle_target": _encode(masks == 1),
        "rle_ignored": _encode(masks == IGNORED),
    }
    return pd.DataFrame(columns)


def count_pixels(table: pd.DataFrame, constant: Constant | None = None) -> pd.DataFrame:
    """Per image: true_positive, false_positive and false_negative pixels outside the ignored ones, and its Dice.

    Args:
        table: made by `tabulate`.
        constant: put this value in place of every predicted pixel, for floors.

    Returns:
        One row per image in the table's order; `dice` is 0 where it is undefined.
    """
    side = table["height"].to_numpy() * table["width"].to_numpy()
    target, ignored = _codes(table, "rle_target"), _codes(table, "rle_ignored")
    targets, unseen = _areas(target), _areas(ignored)
    if constant is None:
        predicted = _codes(table, "rle_prediction")
        found = _areas(predicted) - _shared(predicted, ignored)
        true = _shared(predicted, target)
    else:
        found, true = constant * (side - unseen), constant * targets
    counted = pd.DataFrame({"true_positive": true, "false_positive": found - true, "false_negative": targets - true})
    # rounded to float32, in which torchmetrics divides, and with it every number that was ever recorded
    dice = np.zeros(len(table), dtype=np.float32)
    np.divide(2 * true, found + targets, out=dice, where=found + targets > 0)
    return counted.astype(np.float64).assign(dice=dice.astype(np.float64))


def score(counted: pd.DataFrame, batch: int) -> dict[str, float]:
    """Metrics of images counted by `count_pixels`, each in [0, 1], NaN where undefined.

    Args:
        counted: in test order.
        batch: images a batch of `dice_batch_mean`.
    """
    true, false, missed = (counted[name] for name in ("true_positive", "false_positive", "false_negative"))
    means = per_image(counted)
    pooled = 2 * true.sum() + false.sum() + missed.sum()
    batches = means["dice_empty_one"][0].groupby(np.arange(len(counted)) // batch).mean()
    return {
        **{metric: float(values[among].mean()) for metric, (values, among) in means.items()},
        "dice_batch_mean": float(batches.mean()),
        "dice_pooled": float(2 * true.sum() / pooled) if pooled else math.nan,
    }


def per_image(counted: pd.DataFrame) -> dict[str, tuple[pd.Series[float], pd.Series[bool]]]:
    """Of the metrics that are means over images: the value of each image, and whether it is one of them."""
    true, false, missed = (counted[name] for name in ("true_positive", "false_positive", "false_negative"))
    positive = true + missed > 0
    empty_right = (false == 0).astype(float)
    return {
        "dice_positive": (counted["dice"], positive),
        "dice_empty_one": (counted["dice"].where(positive, empty_right), positive | True),
        "iou_positive": (true / (true + false + missed), positive),
        "empty_accuracy": (empty_right, ~positive),
    }


def foreground(table: pd.DataFrame) -> Bool[np.ndarray, " images"]:
    """Whether each image's mask has a foreground pixel; nothing is decoded."""
    return _areas(_codes(table, "rle_target")) > 0


def _encode(masks: np.ndarray) -> list[str]:
    codes: Any = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return [code["counts"].decode("ascii") for code in codes]


def _codes(table: pd.DataFrame, column: str) -> list[Any]:
    """Run-length codes as pycocotools takes them."""
    return [
        {"size": [height, width], "counts": str(code).encode("ascii")}
        for height, width, code in zip(
            table["height"].tolist(), table["width"].tolist(), table[column].tolist(), strict=True
        )
    ]


def _areas(codes: Any) -> np.ndarray:
    """Pixels of each mask."""
    parts = [coco_mask.area(codes[start : start + MOST]) for start in range(0, len(codes), MOST)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)


def _shared(ones: list[Any], others: list[Any]) -> np.ndarray:
    """Pixels that are in both masks of each image."""
    return _areas([coco_mask.merge([one, other], intersect=True) for one, other in zip(ones, others, strict=True)])
