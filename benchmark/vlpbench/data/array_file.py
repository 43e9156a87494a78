"""A `.npy` file of grey squares that is filled from its front, and can be cut back."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import UInt8


class ArrayFile:
    """Squares of 8-bit values, written one after the other.

    Plain writes, not a memory map: a map keeps the pages it wrote resident, so that memory grows with the data set, and
    answers a full disk with a signal that ends the process, not with an error.
    """

    def __init__(self, path: Path, *, rows: int, size: int) -> None:
        """Open the file, made where it is missing.

        Args:
            path: the file.
            rows: squares the finished file has room for.
            size: side of a square, pixels.
        """
        self._rows = rows
        self._square = size * size
        self._header = _header((rows, size, size))
        path.touch()
        self._file = path.open("r+b")
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        """Squares the file is known to hold; those of an earlier process count after `cut`."""
        return self._count

    @property
    def whole(self) -> int:
        """Whole squares that lie in the file, whoever wrote them."""
        self._file.seek(0)
        if self._file.read(len(self._header)) != self._header:
            return 0
        return (self._file.seek(0, os.SEEK_END) - len(self._header)) // self._square

    def cut(self, count: int) -> None:
        """Keep the first `count` squares and go on behind them."""
        self._file.seek(0)
        self._file.write(self._header)
        self._file.truncate(len(self._header) + count * self._square)
        self._file.seek(0, os.SEEK_END)
        self._count = count

    def append(self, square: UInt8[np.ndarray, "size size"]) -> None:
        """Write one more square.

        Raises:
            ValueError: for more squares than there is room for, or one of another size.
        """
        if self._count == self._rows or square.nbytes != self._square:
            raise ValueError(f"square {self._count + 1} of {self._rows}, {square.shape}, does not fit the array")
        self._file.write(square.tobytes())
        self._count += 1

    def settle(self) -> None:
        """Bring everything written so far to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def fill(self) -> None:
        """Give the file its full length; squares that were not written are zeros, and take no room on most disks."""
        self._file.truncate(len(self._header) + self._rows * self._square)
        self.settle()


def _header(shape: tuple[int, int, int]) -> bytes:
    """What `numpy.load` reads first."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()
