"""Images of a source, brought into the square one by one or in several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.geometry import Geometry
from vlpbench.data.source import BadAnnotationError, ImageRow, Pixels, Source
from vlpbench.errors import VlpbenchError

AHEAD = 8
"""Rows handed out for each process beyond the one that is waited for; what they return waits in memory."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one image; a fatal one stops the run by itself."""

    text: str
    fatal: bool


def read_square(source: Source, row: ImageRow, size: int) -> Pixels | Problem:
    """Pixels of one row inside the square, boxes moved with them; or what is wrong with them."""
    try:
        pixels = source.read(row)
    except (UnreadableImageError, BadAnnotationError, OSError) as error:
        return Problem(f"{row.source_path or row.image_id}: {error}", fatal=isinstance(error, BadAnnotationError))
    geometry = Geometry(pixels.height, pixels.width, size)
    mask = None if pixels.mask is None else geometry.resize(pixels.mask, nearest=True)
    boxes = row.boxes if pixels.boxes is None else pixels.boxes
    moved = tuple(geometry.move(box) for box in boxes)
    return Pixels(geometry.resize(pixels.image), mask, pixels.height, pixels.width, moved, pixels.content)


def read_squares(source: Source, rows: Sequence[ImageRow], size: int, *, jobs: int) -> Iterator[Pixels | Problem]:
    """`read_square` of every row, in their order.

    Args:
        source: of the rows.
        rows: to read.
        size: side of the square, pixels.
        jobs: processes.

    Raises:
        VlpbenchError: if one of the processes dies, as of too little memory.
    """
    from joblib import Parallel, delayed

    pool: Any = Parallel(n_jobs=jobs, return_as="generator", pre_dispatch=f"{AHEAD} * n_jobs")
    results = pool(delayed(read_square)(source, row, size) for row in rows)
    done = 0
    try:
        for result in results:
            yield result
            done += 1
    except BrokenProcessPool as error:
        raise VlpbenchError(
            f"The processes that decode broke off while {rows[done].source_path} or one of the next images was read, "
            "for lack of memory or over a damaged file. Finished shards stay; run the same command again with "
            f"--jobs 1, and move the damaged file away if that ends as well. What the system says: {error}"
        ) from error
    finally:
        results.close()
