from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.figures.small_store import encode
from vlpbench.figures.mask_overlaps import image_dice, read_mask


def _table(*masks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> pd.DataFrame:
    rows = [
        (f"image-{number}", *predicted.shape, encode(predicted), encode(target), encode(ignored))
        for number, (predicted, target, ignored) in enumerate(masks)
    ]
    return pd.DataFrame(rows, columns=["image_id", "height", "width", "rle_prediction", "rle_target", "rle_ignored"])


def _mask(*pixels: int) -> np.ndarray:
    mask = np.zeros(12, dtype=bool)
    mask[list(pixels)] = True
    return mask.reshape(3, 4)


def test_dice_of_single_images() -> None:
    table = _table(
        (_mask(0, 1), _mask(1, 2), _mask()),
        (_mask(5), _mask(5), _mask()),
        (_mask(), _mask(3), _mask()),
        (_mask(0, 1, 2), _mask(1), _mask(2)),
    )
    assert image_dice(table).to_dict() == pytest.approx(
        {"image-0": 0.5, "image-1": 1.0, "image-2": 0.0, "image-3": 2 / 3}
    )


def test_an_image_without_foreground_has_no_dice() -> None:
    table = _table((_mask(0), _mask(), _mask()), (_mask(0), _mask(0), _mask()))
    assert image_dice(table).to_dict() == {"image-1": 1.0}


def test_random_masks_agree_with_counting() -> None:
    drawn = np.random.default_rng(3).random((20, 3, 3, 4)) < 0.4
    drawn[:, 1] &= ~drawn[:, 2]
    found = image_dice(_table(*((one[0], one[1], one[2]) for one in drawn)))
    for number, (predicted, target, ignored) in enumerate(drawn):
        if target.any():
            counted = predicted & ~ignored
            expected = 2 * (counted & target).sum() / (counted.sum() + target.sum())
            assert found[f"image-{number}"] == pytest.approx(expected)


def test_a_mask_comes_back() -> None:
    table = _table((_mask(0), _mask(4, 7), _mask()), (_mask(2), _mask(1), _mask()))
    assert np.array_equal(read_mask(table, "image-0", "rle_target"), _mask(4, 7))
    assert np.array_equal(read_mask(table, "image-1", "rle_prediction"), _mask(2))
