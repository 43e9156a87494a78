"""`vlpbench report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from vlpbench.canonical import writable_folder, write_text
from vlpbench.commands.contests import build_contests
from vlpbench.commands.emptiness import no_records
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.registry import REGISTRY
from vlpbench.store import RecordStore

SUFFIX = ".html"


def report(
    out: Path, *, suite: str | None, data: Path | None, samples: int, results: Path, plugins: tuple[Path, ...]
) -> None:
    """Write the report; records that cannot be trusted are named in it and left out.

    Args:
        out: the file to write.
        suite: only this one, None for every suite with records.
        data: folder of real data, for galleries of suites that need one.
        samples: bootstrap samples of the test patients.
        results: folder of records and predictions.
        plugins: files with methods and tasks of the user.

    Raises:
        NothingToShowError: if there are no records.
        VlpbenchError: if the file cannot be written.
    """
    console = Console(stderr=True, soft_wrap=True)
    for path in plugins:
        REGISTRY.add_file(path)
    if out.suffix.lower() != SUFFIX:
        raise VlpbenchError(f"Cannot write a report to {out}: its name must end in {SUFFIX}.")
    store = RecordStore(results)
    records, problems = store.load_all(suite)
    for problem in problems:
        console.print(f"left out: {problem}", markup=False, highlight=False)
    if not records:
        raise no_records(suite, problems, results)
    writable_folder(out.parent)
    write_text(out, _page(Source(store, records, problems, data, samples, plugins), console))
    console.print(f"{out}: {len(records):,} records, {out.stat().st_size / 1e6:.1f} MB", highlight=False)


@dataclass(frozen=True)
class Source:
    """What a report is made from."""

    store: RecordStore
    records: Sequence[Record]
    problems: Sequence[str]
    data: Path | None
    samples: int
    plugins: tuple[Path, ...]


def _page(source: Source, console: Console) -> str:
    from vlpbench.report.drawing import start_drawing
    from vlpbench.report.gathering import gather
    from vlpbench.report.page import render_page
    from vlpbench.statistics.resampler import Resampler
    from vlpbench.table.blocks import build_blocks
    from vlpbench.table.intervals import add_intervals
    from vlpbench.table.layout import load_layouts
    from vlpbench.table.titles import registered_titles

    titles, layouts = registered_titles(), load_layouts()
    resampler = Resampler(source.store, samples=source.samples, plugins=source.plugins)
    with _stage(
        console, f"{len(source.records):,} records: {source.samples:,} bootstrap samples of their test patients"
    ):
        resampler.prefetch(source.records)
    with _stage(console, "figures, tables and comparisons"):
        drawing = start_drawing(source.records, resampler, data=source.data, plugins=source.plugins)
        blocks = [block for layout in layouts for block in build_blocks(source.records, layout, titles)]
        contents = gather(
            source.records,
            source.problems,
            blocks=[add_intervals(block, resampler) for block in blocks],
            contests=build_contests(source.records, titles),
            drawing=drawing,
            layouts=layouts,
            resampler=resampler,
            titles=titles,
        )
    return render_page(contents)


@contextmanager
def _stage(console: Console, title: str) -> Iterator[None]:
    """Say what is done, and turn a spinner where there is a terminal."""
    console.print(f"{title} …", markup=False, highlight=False)
    with console.status(title):
        yield
