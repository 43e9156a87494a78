from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlpbench.box import Box
from vlpbench.data.geometry import Geometry


@given(height=st.integers(8, 3000), width=st.integers(8, 3000), size=st.sampled_from([32, 96, 224]))
def test_boxes_come_back_from_the_square(height: int, width: int, size: int) -> None:
    geometry = Geometry(height, width, size)
    box = Box("nodule", width * 0.25, height * 0.5, width * 0.5, height * 0.25)
    moved = geometry.move(box)
    assert 0 <= moved.x <= moved.x + moved.width <= size + 1e-9
    assert 0 <= moved.y <= moved.y + moved.height <= size + 1e-9
    back = geometry.back(moved)
    assert (back.x, back.y, back.width, back.height) == pytest.approx((box.x, box.y, box.width, box.height))


def test_a_bright_patch_moves_with_its_box() -> None:
    image = np.zeros((50, 100), dtype=np.uint8)
    image[20:40, 60:80] = 255
    geometry = Geometry(50, 100, 64)
    rows, columns = np.nonzero(geometry.resize(image) > 127)
    box = geometry.move(Box("patch", 60, 20, 20, 20))
    assert (columns.min(), columns.max() + 1) == pytest.approx((box.x, box.x + box.width), abs=1)
    assert (rows.min(), rows.max() + 1) == pytest.approx((box.y, box.y + box.height), abs=1)


@given(
    height=st.integers(21, 700),
    width=st.integers(21, 700),
    size=st.sampled_from([33, 96, 224]),
    place=st.tuples(*[st.floats(0, 1)] * 4),
)
@settings(max_examples=150, deadline=None)
def test_a_mask_drawn_from_a_box_moves_with_it(
    height: int, width: int, size: int, place: tuple[float, float, float, float]
) -> None:
    geometry = Geometry(height, width, size)
    # Boxes of three prepared pixels or more: nearest-neighbour sampling may miss smaller ones.
    least = min(math.ceil(3 / geometry.scale), height, width)
    x, right = _span(width, least, place[0], place[1])
    y, bottom = _span(height, least, place[2], place[3])
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[y:bottom, x:right] = 1
    rows, columns = np.nonzero(geometry.resize(mask, nearest=True))
    moved = geometry.move(Box("nodule", x, y, right - x, bottom - y))
    assert (columns.min(), columns.max() + 1) == pytest.approx((moved.x, moved.x + moved.width), abs=1)
    assert (rows.min(), rows.max() + 1) == pytest.approx((moved.y, moved.y + moved.height), abs=1)
    back = geometry.back(moved)
    assert (back.x, back.y, back.width, back.height) == pytest.approx((x, y, right - x, bottom - y))


def _span(side: int, least: int, start: float, length: float) -> tuple[int, int]:
    """First pixel, and the one behind the last, of a stretch of at least `least` pixels."""
    first = round(start * (side - least))
    return first, first + least + round(length * (side - least - first))


@pytest.mark.parametrize(("height", "width"), [(3001, 2499), (2499, 3001), (33, 31), (64, 64), (5, 900)])
def test_masks_keep_their_values_and_the_padding_is_background(height: int, width: int) -> None:
    mask = np.random.default_rng(0).choice(np.array([1, 255], dtype=np.uint8), size=(height, width))
    geometry = Geometry(height, width, 64)
    moved = geometry.resize(mask, nearest=True)
    (top, left), (inner_height, inner_width) = geometry.offset, geometry.inner
    assert set(np.unique(moved)) <= {0, 1, 255}
    assert (moved[top : top + inner_height, left : left + inner_width] > 0).all()
    assert np.count_nonzero(moved) == inner_height * inner_width


def test_a_reduced_decode_lands_where_the_whole_picture_does() -> None:
    rows, columns = np.mgrid[0:400, 0:300]
    whole = (127 + 100 * np.sin(rows / 60) * np.cos(columns / 50)).astype(np.uint8)
    reduced = whole.reshape(100, 4, 75, 4).mean(axis=(1, 3)).astype(np.uint8)
    geometry = Geometry(400, 300, 50)
    difference = geometry.resize(whole).astype(int) - geometry.resize(reduced)
    assert np.abs(difference).max() <= 3
