"""Drawing: the figures of the page, in a process beside the one that compares the methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlpbench.figures.drawing import build_figures
from vlpbench.figures.figure import Figure
from vlpbench.record import Record
from vlpbench.registry import REGISTRY
from vlpbench.statistics.resampler import Resampler
from vlpbench.table.titles import registered_titles

FEW = 24


@dataclass(frozen=True)
class Drawn:
    """What came of drawing.

    Attributes:
        figures: in their order.
        left_out: figures that could not be drawn, and why.
    """

    figures: tuple[Figure, ...]
    left_out: tuple[str, ...]


def start_drawing(
    records: Sequence[Record], resampler: Resampler, *, data: Path | None, plugins: tuple[Path, ...]
) -> Callable[[], Drawn]:
    """Begin to draw; the function returned waits for the figures.

    Args:
        records: from the store.
        resampler: with the samples of these records, for intervals.
        data: folder of real data, for galleries.
        plugins: files with methods and tasks of the user, which the other process must know too.
    """
    if len(records) <= FEW:  # another process takes longer to start than these to draw
        return lambda: draw(records, resampler, data, plugins)
    from joblib import Parallel, delayed

    pool: Any = Parallel(n_jobs=2, return_as="generator")
    started: Iterator[Drawn] = pool([delayed(draw)(records, resampler, data, plugins)])
    return lambda: next(started)


def draw(records: Sequence[Record], resampler: Resampler, data: Path | None, plugins: Sequence[Path]) -> Drawn:
    """Every figure there is something to draw of."""
    for path in plugins:
        REGISTRY.add_file(path)
    left_out: list[str] = []
    figures = build_figures(
        records, resampler.store, resampler, registered_titles(), data=data, left_out=left_out.append
    )
    return Drawn(tuple(figures), tuple(left_out))
