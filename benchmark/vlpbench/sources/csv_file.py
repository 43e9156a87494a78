"""CSV files as text."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from vlpbench.errors import UnknownNameError, VlpbenchError

FIRST_LINE = 2


def read_csv(path: Path, *, columns: Iterable[str]) -> pd.DataFrame:
    """All cells as text without blanks around it, blank cells as "".

    Args:
        path: CSV file in UTF-8, with or without a byte-order mark.
        columns: that must be there.

    Raises:
        VlpbenchError: if the file is unreadable or lacks a column.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise VlpbenchError(f"{path} is not a readable CSV file in UTF-8: {error}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise VlpbenchError(f"{path} is cut short or damaged: {error}. Download it again.") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise VlpbenchError(f"{path}: its rows hold more cells than its header names; expected as many.")
    frame = frame.rename(columns=lambda name: str(name).strip())
    for column in columns:
        if column not in frame.columns:
            raise UnknownNameError(f"column of {path}", column, frame.columns)
    return pd.DataFrame({name: frame[name].str.strip() for name in frame.columns})


def lines(frame: pd.DataFrame) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Rows with their line number in the file, the header being line 1."""
    for number, entry in enumerate(frame.to_dict(orient="records"), start=FIRST_LINE):
        yield number, {str(key): str(value) for key, value in entry.items()}
