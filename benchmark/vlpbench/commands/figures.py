"""`vlpbench figures`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from vlpbench.canonical import atomic_path, writable_folder, write_text
from vlpbench.commands.emptiness import no_records
from vlpbench.errors import NothingToShowError
from vlpbench.registry import REGISTRY
from vlpbench.store import RecordStore

if TYPE_CHECKING:
    from vlpbench.figures.figure import Figure

INDEX = "README.md"


def figures(
    out: Path, *, suite: str | None, data: Path | None, samples: int, results: Path, plugins: tuple[Path, ...]
) -> None:
    """Write every figure as NAME.svg and NAME.png, and an index of them; what cannot be drawn is named.

    Raises:
        NothingToShowError: if there is no record, or nothing can be drawn of those there are.
        VlpbenchError: if the folder cannot be written.
    """
    from vlpbench.figures.drawing import build_figures
    from vlpbench.figures.index import render_index
    from vlpbench.statistics.resampler import Resampler
    from vlpbench.table.titles import registered_titles

    for path in plugins:
        REGISTRY.add_file(path)
    store = RecordStore(results)
    records, problems = store.load_all(suite)
    console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    for problem in problems:
        errors.print(f"left out: {problem}", markup=False, highlight=False)
    if not records:
        raise no_records(suite, problems, results)
    writable_folder(out)
    resampler = Resampler(store, samples=samples, plugins=plugins)
    drawn: list[Figure] = []
    left_out: list[str] = []
    for figure in build_figures(records, store, resampler, registered_titles(), data=data, left_out=left_out.append):
        write_text(out / f"{figure.name}.svg", figure.svg)
        with atomic_path(out / f"{figure.name}.png") as temporary:
            temporary.write_bytes(figure.png)
        console.print(f"{figure.name}  {figure.title}", markup=False, highlight=False)
        drawn.append(figure)
    for reason in left_out:
        errors.print(f"left out: {reason}", markup=False, highlight=False)
    if not drawn:
        raise NothingToShowError("\n".join([f"Nothing can be drawn of {len(records)} record(s):", *left_out]))
    write_text(out / INDEX, render_index(drawn, left_out))
    count = f"{len(drawn)} figure{'' if len(drawn) == 1 else 's'}"
    console.print(f"{out}: {count} as .svg and .png, described in {INDEX}", markup=False, highlight=False)
