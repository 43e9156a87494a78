"""Where report texts lie: a folder of text files, a zip of them that is never unpacked, or a CSV with a cell each."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd

from vlpbench.errors import UnknownNameError, VlpbenchError

REPORT = re.compile(r"(?:^|/)(p[0-9]{2}/p[0-9]{8}/s[0-9]{8}\.txt)$")
LARGEST_REPORT = 1_000_000
UNDECODABLE = "\ufffd"
DAMAGED = (EOFError, OSError, zlib.error)

Read = Callable[[str], bytes | None]
"""Bytes of a report by its path, such as p10/p10000032/s50414267.txt; None where there is no such report."""


class UnreadableReportError(Exception):
    """One report that is there and cannot be read; the message says which and why."""


@contextmanager
def open_reports(path: Path) -> Iterator[Read]:
    """Reports of a folder that holds p10 to p19, or of a zip that does, at any depth.

    The yielded function raises UnreadableReportError for a report that cannot be read.

    Raises:
        VlpbenchError: if the zip is damaged, holds no report, or has a member that would climb out of a folder.
    """
    if path.is_dir():
        yield lambda name: _read_file(path / name)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, *DAMAGED) as error:
        raise VlpbenchError(
            f"{path} is not a whole zip file: {error}. Expected mimic-cxr-reports.zip; download it again."
        ) from error
    with archive:
        members = _members(path, archive)
        yield lambda name: _read_member(archive, members[name]) if name in members else None


def decode_report(data: bytes) -> str:
    """Text with line feeds only at line ends; bytes that are not UTF-8 become U+FFFD."""
    return data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def read_texts(path: Path, *, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a CSV of report texts, `.csv.gz` too: cells without blanks around them, blank cells as "".

    Unlike tables of labels, texts may hold bytes that are not UTF-8; they become U+FFFD.

    Raises:
        VlpbenchError: if the file is unreadable or lacks a column.
    """
    wanted = set(columns)
    try:
        frame = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            encoding_errors="replace",
            usecols=lambda name: str(name).strip() in wanted,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, *DAMAGED) as error:
        raise VlpbenchError(f"{path} is not a readable CSV file: {error}. Download it again.") from error
    frame = frame.rename(columns=lambda name: str(name).strip())
    for column in columns:
        if column not in frame.columns:
            raise UnknownNameError(f"column of {path}", column, _header(path))
    return pd.DataFrame({name: frame[name].fillna("").str.strip() for name in columns})


def _header(path: Path) -> list[str]:
    """All column names, for the message about the one that is missing."""
    header = pd.read_csv(path, dtype=str, nrows=0, encoding="utf-8-sig", encoding_errors="replace")
    return [str(name).strip() for name in header.columns]


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members that are reports, by their path from the group folder on."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if _climbs(info.filename):
            raise VlpbenchError(
                f"{path} has the member {info.filename!r}, which leaves the folder it would be unpacked in. "
                "That is not the PhysioNet file; download mimic-cxr-reports.zip again."
            )
        if found := REPORT.search(info.filename):
            if found[1] in members:
                raise VlpbenchError(f"{path} holds {found[1]} twice: {members[found[1]].filename}, {info.filename}.")
            members[found[1]] = info
    if not members:
        first = next(iter(archive.namelist()), "nothing")
        raise VlpbenchError(
            f"{path} holds no report; expected members such as files/p10/p10000032/s50414267.txt, found {first}."
        )
    return members


def _climbs(name: str) -> bool:
    """Whether a member's name is anything but a plain path downwards, on any system."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name.partition("/")[0]


def _read_file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_REPORT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnreadableReportError(f"{path}: {error.strerror or error}") from error
    if len(data) > LARGEST_REPORT:
        raise UnreadableReportError(f"{path}: more than {LARGEST_REPORT:,} bytes, no report is as long")
    return data


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    where = f"{Path(str(archive.filename)).name}: member {info.filename}"
    if info.file_size > LARGEST_REPORT:
        raise UnreadableReportError(f"{where}: more than {LARGEST_REPORT:,} bytes, no report is as long")
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, *DAMAGED) as error:
        raise UnreadableReportError(f"{where}: {error}") from error
