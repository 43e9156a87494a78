from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlpbench.data.array_file import ArrayFile


def test_an_array_file_is_what_numpy_reads(tmp_path: Path) -> None:
    squares = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    with ArrayFile(tmp_path / "a.npy", rows=4, size=2) as array:
        array.cut(0)
        for square in squares:
            array.append(square)
        assert array.whole == 3
        with pytest.raises(ValueError, match="does not fit"):
            array.append(np.zeros((3, 3), dtype=np.uint8))
        array.cut(1)
        array.append(squares[2])
        array.fill()
    np.testing.assert_array_equal(
        np.load(tmp_path / "a.npy", mmap_mode="r"), [squares[0], squares[2], np.zeros((2, 2)), np.zeros((2, 2))]
    )
