"""`vlpbench table`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from vlpbench.registry import REGISTRY
from vlpbench.store import RecordStore


def table(
    out: Path | None,
    *,
    which: str | None,
    suite: str | None,
    intervals: bool,
    published: bool,
    samples: int,
    results: Path,
    plugins: tuple[Path, ...],
) -> None:
    """Write the tables, or print them as Markdown; records that cannot be trusted are named and left out."""
    from vlpbench.table.writing import Extras, render_tables, write_table

    for path in plugins:
        REGISTRY.add_file(path)
    store = RecordStore(results)
    records, problems = store.load_all(suite)
    console = Console(stderr=True, soft_wrap=True)
    for problem in problems:
        console.print(f"left out: {problem}", markup=False, highlight=False)
    resampler = None
    if intervals:
        from vlpbench.statistics.resampler import Resampler

        resampler = Resampler(store, samples=samples, plugins=plugins)
    extras = Extras(resampler, published)
    if out is None:
        Console(soft_wrap=True).print(
            render_tables(records, problems, which=which, results=results, extras=extras), markup=False, highlight=False
        )
        return
    write_table(records, problems, which=which, out=out, results=results, extras=extras)
    console.print(
        f"{out}: {len(records)} record(s)" + (f", {len(problems)} left out" if problems else ""), highlight=False
    )
