"""A prepared folder in the making: what is finished stays when the process does not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd

from vlpbench.data.array_file import ArrayFile
from vlpbench.data.manifest import image_record
from vlpbench.data.source import ImageRow, Pixels
from vlpbench.data.squares import Problem

SHARD_ROWS = 512


@dataclass(frozen=True)
class Shard:
    """What came of consecutive rows.

    Attributes:
        records: manifest rows of the images that could be read.
        problems: of the others, with their place among all rows.
    """

    records: list[dict[str, object]]
    problems: list[tuple[int, Problem]]

    @property
    def masks(self) -> int:
        """Images that have a mask."""
        return sum(record["mask_row"] != -1 for record in self.records)


class PartialFolder:
    """Arrays and finished shards of rows that are read in order.

    Beside `shards/` and a hash of the rows it holds `prepared/`, which becomes the prepared folder when it is whole. At
    most one process may have it open.
    """

    def __init__(self, folder: Path, rows: Sequence[ImageRow], *, size: int) -> None:
        """Open the folder; what it holds of other rows is removed.

        Args:
            folder: of the work, made where it is missing.
            rows: of the source.
            size: side of the square, pixels.
        """
        self.prepared = folder / "prepared"
        self.done = 0
        self._shards = folder / "shards"
        self._rows = rows
        self._count = len(rows)
        self._open = Shard([], [])
        said, digest = folder / "rows.sha256", _rows_digest(rows)
        if not said.is_file() or said.read_text(encoding="utf-8") != digest:
            if folder.exists():
                shutil.rmtree(folder)
            self.prepared.mkdir(parents=True)
            self._shards.mkdir()
            _write_durably(said, digest)
        masked = sum(row.has_mask for row in rows)
        with ExitStack() as stack:
            self._images = stack.enter_context(ArrayFile(self.prepared / "images.npy", rows=len(rows), size=size))
            self._masks = stack.enter_context(ArrayFile(self.prepared / "masks.npy", rows=masked, size=size))
            self._files = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def carry_on(self, read: Callable[[ImageRow], Pixels | Problem]) -> int:
        """Keep the shards that are whole; rows that come next are those behind them.

        What could not be read is tried again: after a mended file, everything from its shard on is read anew.

        Args:
            read: reads a row inside the square.

        Returns:
            Rows that need not be read again.
        """
        images = masks = number = 0
        whole = self._images.whole, self._masks.whole
        while (shard := self._read_shard(number)) is not None:
            there = images + len(shard.records), masks + shard.masks
            if there[0] > whole[0] or there[1] > whole[1]:
                break
            if any(read(self._rows[row]) != problem for row, problem in shard.problems):
                break
            images, masks = there
            number += 1
        for path in self._shards.iterdir():
            if path.name not in {_shard_name(kept) for kept in range(number)}:
                path.unlink()
        self._images.cut(images)
        self._masks.cut(masks)
        self.done = min(number * SHARD_ROWS, self._count)
        return self.done

    def add(self, result: Pixels | Problem) -> None:
        """Take what came of the next row; a shard that it finishes is on the disk when this returns."""
        if isinstance(result, Problem):
            self._open.problems.append((self.done, result))
        else:
            mask_row = -1
            if result.mask is not None:
                mask_row = len(self._masks)
                self._masks.append(result.mask)
            self._images.append(result.image)
            self._open.records.append(image_record(self._rows[self.done], result, mask_row))
        self.done += 1
        if self.done % SHARD_ROWS == 0 or self.done == self._count:
            self._images.settle()
            self._masks.settle()
            number = (self.done - 1) // SHARD_ROWS
            _write_durably(self._shards / _shard_name(number), _shard_text(self._open))
            self._open = Shard([], [])

    def become(self, folder: Path) -> None:
        """Turn `prepared/` into the prepared folder, in one step, once all rows are done; nothing else is kept."""
        self._images.fill()
        self._masks.fill()
        self._files.close()
        for path in self.prepared.iterdir():
            _settle(path)
        self.prepared.replace(folder)
        shutil.rmtree(self.prepared.parent, ignore_errors=True)

    def problems(self) -> list[Problem]:
        """What is wrong with the rows that were left out."""
        return [problem for shard in self._finished() for _, problem in shard.problems]

    def manifest(self) -> pd.DataFrame:
        """A row per image, once all rows are done; the source's rows are let go, two tables would be large."""
        self._rows = ()
        frames = [pd.DataFrame.from_records(shard.records) for shard in self._finished() if shard.records]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def _finished(self) -> Iterator[Shard]:
        number = 0
        while (shard := self._read_shard(number)) is not None:
            yield shard
            number += 1

    def _read_shard(self, number: int) -> Shard | None:
        """A finished shard, None where there is none or it is not what was written."""
        try:
            told = json.loads((self._shards / _shard_name(number)).read_text(encoding="utf-8"))
            problems = [(int(row), Problem(text, fatal)) for row, text, fatal in told["problems"]]
            shard = Shard(told["records"], problems)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        expected = min(SHARD_ROWS, self._count - number * SHARD_ROWS)
        return shard if len(shard.records) + len(shard.problems) == expected else None


def _shard_name(number: int) -> str:
    return f"{number:06d}.json"


def _shard_text(shard: Shard) -> str:
    problems = [[row, problem.text, problem.fatal] for row, problem in shard.problems]
    return json.dumps({"records": shard.records, "problems": problems}, default=_plain)


def _plain(value: object) -> object:
    """A NumPy number as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a manifest row")


def _rows_digest(rows: Sequence[ImageRow]) -> str:
    """Hash of everything the source says before pixels are read."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _settle(path: Path) -> None:
    """Bring a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write_durably(path: Path, text: str) -> None:
    """Write a file that is whole or not there at all, even after a power cut."""
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
