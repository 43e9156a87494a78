"""`vlpbench table`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from vlpbench.registry import REGISTRY
from vlpbench.store import RecordStore


def table(out: Path | None, *, which: str | None, suite: str | None, results: Path, plugins: tuple[Path, ...]) -> None:
    """Write the tables, or print them as Markdown; records that cannot be trusted are named and left out."""
    from vlpbench.table.writing import render_tables, write_table

    for path in plugins:
        REGISTRY.add_file(path)
    records, problems = RecordStore(results).load_all(suite)
    console = Console(stderr=True, soft_wrap=True)
    for problem in problems:
        console.print(f"left out: {problem}", markup=False, highlight=False)
    if out is None:
        Console(soft_wrap=True).print(
            render_tables(records, problems, which=which, results=results), markup=False, highlight=False
        )
        return
    write_table(records, problems, which=which, out=out, results=results)
    console.print(
        f"{out}: {len(records)} record(s)" + (f", {len(problems)} left out" if problems else ""), highlight=False
    )
