"""Segmentation masks as run-length codes, and every Dice variant from the same codes.

Dice is undefined where neither mask nor prediction has a pixel. The released MGCA code counts such an image as 1
(mgca/models/ssl_segmenter.py:81-121), which lets an always empty prediction score the share of empty masks;
here that is one variant of several, each under its own name. torchmetrics is imported where it is used: a plan opens
every task and computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from pycocotools import mask as coco_mask

from vlpbench.data.source import IGNORED

CHUNK = 256
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
    from torchmetrics.functional.classification import binary_f1_score, binary_stat_scores

    parts: list[np.ndarray] = []
    for start in range(0, len(table), CHUNK):
        rows = table.iloc[start : start + CHUNK]
        target = _decode(rows, "rle_target").int()
        target[_decode(rows, "rle_ignored")] = IGNORED
        predicted = _decode(rows, "rle_prediction").int() if constant is None else torch.full_like(target, constant)
        # a lone image would lose its axis in torchmetrics
        predicted, target = (values.repeat(1 + (len(rows) == 1), 1, 1) for values in (predicted, target))
        scores = binary_stat_scores(predicted, target, multidim_average="samplewise", ignore_index=IGNORED)
        dice = binary_f1_score(predicted, target, multidim_average="samplewise", ignore_index=IGNORED)
        parts.append(np.column_stack([scores[:, 0], scores[:, 1], scores[:, 3], dice])[: len(rows)])
    return pd.DataFrame(np.concatenate(parts), columns=["true_positive", "false_positive", "false_negative", "dice"])


def score(counted: pd.DataFrame, batch: int) -> dict[str, float]:
    """Metrics of images counted by `count_pixels`, each in [0, 1], NaN where undefined.

    Args:
        counted: in test order.
        batch: images a batch of `dice_batch_mean`.
    """
    true, false, missed = (counted[name] for name in ("true_positive", "false_positive", "false_negative"))
    positive = true + missed > 0
    empty_right = (false == 0).astype(float)
    with_empty = counted["dice"].where(positive, empty_right)
    pooled = 2 * true.sum() + false.sum() + missed.sum()
    batches = with_empty.groupby(np.arange(len(counted)) // batch).mean()
    return {
        "dice_positive": float(counted["dice"][positive].mean()),
        "dice_empty_one": float(with_empty.mean()),
        "dice_batch_mean": float(batches.mean()),
        "dice_pooled": float(2 * true.sum() / pooled) if pooled else math.nan,
        "iou_positive": float((true / (true + false + missed))[positive].mean()),
        "empty_accuracy": float(empty_right[~positive].mean()),
    }


def _encode(masks: np.ndarray) -> list[str]:
    codes: Any = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return [code["counts"].decode("ascii") for code in codes]


def _decode(rows: pd.DataFrame, column: str) -> torch.Tensor:
    codes: Any = [
        {"size": [int(height), int(width)], "counts": str(code).encode("ascii")}
        for height, width, code in zip(rows["height"], rows["width"], rows[column], strict=True)
    ]
    return torch.from_numpy(np.ascontiguousarray(coco_mask.decode(codes).transpose(2, 0, 1))).bool()
