from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from vlpbench_tasks.mask_metrics import count_pixels, score, tabulate


def table() -> pd.DataFrame:
    masks = np.zeros((5, 4, 4), dtype=np.uint8)
    predictions = np.zeros((5, 4, 4), dtype=np.uint8)
    masks[0, 0] = 1  # 4 pixels, 2 of them found, 2 wrong ones
    predictions[0, :2, :2] = 1
    # image 1: both empty
    predictions[2, 3, 3] = 1  # one wrong pixel on an empty mask
    masks[3, 1, 1:3] = 1  # 2 pixels, nothing found
    masks[4, 0, 0] = 1  # found; three wrong pixels lie where nothing counts
    masks[4, 3] = 255
    predictions[4, 0, 0] = 1
    predictions[4, 3, :3] = 1
    return tabulate(list("abcde"), predictions, masks)


def test_every_variant_by_hand() -> None:
    metrics = score(count_pixels(table()), batch=2)
    assert metrics == pytest.approx(
        {
            "dice_positive": (0.5 + 0 + 1) / 3,
            "dice_empty_one": (0.5 + 1 + 0 + 0 + 1) / 5,
            "dice_batch_mean": ((0.5 + 1) / 2 + (0 + 0) / 2 + 1) / 3,
            "dice_pooled": 2 * 3 / (2 * 3 + 3 + 4),
            "iou_positive": (2 / 6 + 0 + 1) / 3,
            "empty_accuracy": 1 / 2,
        }
    )


def test_floors_by_hand() -> None:
    empty = score(count_pixels(table(), 0), batch=5)
    assert empty["dice_positive"] == 0
    assert empty["dice_empty_one"] == pytest.approx(2 / 5)
    assert empty["empty_accuracy"] == 1
    full = score(count_pixels(table(), 1), batch=5)
    # 4 of 16, 2 of 16, and 1 of the 12 pixels that count
    assert full["dice_positive"] == pytest.approx((8 / 20 + 4 / 18 + 2 / 13) / 3)
    assert full["empty_accuracy"] == 0


def test_undefined_is_not_a_number() -> None:
    blank = np.zeros((2, 4, 4), dtype=np.uint8)
    metrics = score(count_pixels(tabulate(["a", "b"], blank, blank)), batch=2)
    assert math.isnan(metrics["dice_positive"])
    assert math.isnan(metrics["iou_positive"])
    assert math.isnan(metrics["dice_pooled"])
    assert metrics["dice_empty_one"] == 1
    ones = np.ones((1, 4, 4), dtype=np.uint8)
    assert math.isnan(score(count_pixels(tabulate(["a"], ones, ones)), batch=2)["empty_accuracy"])


def test_codes_survive_a_parquet_file(tmp_path: object) -> None:
    before = table()
    path = f"{tmp_path}/predictions.parquet"
    before.to_parquet(path)
    after = pd.read_parquet(path)
    assert list(after) == ["image_id", "height", "width", "rle_prediction", "rle_target", "rle_ignored"]
    assert score(count_pixels(after), 2) == score(count_pixels(before), 2)


def test_more_masks_than_fit_into_8_bits() -> None:
    masks = np.zeros((300, 4, 4), dtype=np.uint8)
    masks[::2, :2] = 1
    counted = count_pixels(tabulate([str(number) for number in range(300)], masks, masks))
    assert counted["true_positive"].tolist() == [8, 0] * 150
