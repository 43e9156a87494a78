from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
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
