from __future__ import annotations

import gzip
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


@pytest.mark.parametrize("keep", [5, 20, 60])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.csv.gz"
    whole = gzip.compress(b"id,label\n" + b"".join(b"%d,%d\n" % (number, number * 7919) for number in range(99)))
    path.write_bytes(whole)
    assert len(read_csv(path, columns=["id"])) == 99
    path.write_bytes(whole[:keep])
    with pytest.raises(VlpbenchError, match=r"a\.csv\.gz is cut short or damaged"):
        read_csv(path, columns=["id"])
    path.write_bytes(b"id,label\n1,2\n")
    with pytest.raises(VlpbenchError, match="cut short or damaged"):
        read_csv(path, columns=["id"])
