from __future__ import annotations

from pathlib import Path

import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.sources.csv_file import lines, read_csv


def test_cells_are_text_whatever_the_line_ends_and_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffid, mask\r\n01, -1\r\n02,\r\n".encode())
    assert list(lines(read_csv(path, columns=["id", "mask"]))) == [
        (2, {"id": "01", "mask": "-1"}),
        (3, {"id": "02", "mask": ""}),
    ]


def test_rows_that_are_longer_than_the_header_are_refused_rather_than_shifted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,label\na,1,x\nb,0,y\n")
    with pytest.raises(VlpbenchError, match=r"a\.csv: its rows hold more cells than its header names"):
        read_csv(path, columns=["id"])
