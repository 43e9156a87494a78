"""A request for the made-up MIMIC-CXR, and ways to spoil its files."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.sources.mimic_cxr import MimicCxr
from vlpbench.suite import DataSpec

FIRST = "p10/p10000032/s50414267"
ZIP = "mimic-cxr-reports.zip"
MEMBER = f"files/{FIRST}.txt"
BOTH = " X\n FINDINGS:  Lungs clear.\n IMPRESSION:  Normal chest today.\n"


def request(folder: Path, **options: Any) -> SourceRequest:
    return SourceRequest(DataSpec("mimic_cxr", "MIMIC-CXR", "mimic_cxr", options=options), root=folder, image_size=64)


def source(folder: Path, **options: Any) -> MimicCxr:
    return MimicCxr(request(folder, **options))


def rows_of(folder: Path, **options: Any) -> dict[str, list[ImageRow]]:
    """Rows by study."""
    found: dict[str, list[ImageRow]] = {}
    for row in source(folder, **options).rows():
        found.setdefault(row.study, []).append(row)
    return found


def problems_of(folder: Path, **options: Any) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder, **options).rows()
    return str(error.value)


def edit(folder: Path, name: str, change: Callable[[str], str]) -> None:
    """Change a packed table."""
    path = folder / f"mimic-cxr-2.0.0-{name}.csv.gz"
    old = gzip.decompress(path.read_bytes()).decode()
    new = change(old)
    assert new != old
    path.write_bytes(gzip.compress(new.encode()))


def swap(folder: Path, name: str, old: str, new: str) -> None:
    """Replace the first of a text in a packed table that must hold it."""
    edit(folder, name, lambda text: text.replace(old, new, 1))


def rezip(folder: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change members of the zip of reports."""
    with zipfile.ZipFile(folder / ZIP) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(folder / ZIP, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
