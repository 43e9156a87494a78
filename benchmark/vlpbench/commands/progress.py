"""Progress on the terminal: bars where there is one, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from vlpbench.plan import PlannedCell
from vlpbench.run import Step


class TerminalWatcher:
    """Shows stages and cells, each with its step, and the time the remaining cells will take."""

    def __init__(self, console: Console) -> None:
        """Show on the given console."""
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._cells: TaskID | None = None

    def __enter__(self) -> TerminalWatcher:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing."""
        self._progress.stop()

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def stage(self, title: str) -> Iterator[Step]:
        """A long piece of work with a bar of its own; a plain line at its end, with the time it took."""
        if not self._console.is_terminal:
            self.note(f"{title} …")
        with self._timed(title) as step:
            yield step

    @contextmanager
    def cell(self, number: int, count: int, cell: PlannedCell) -> Iterator[Step]:
        """A cell, below the bar over all cells."""
        if self._cells is None:
            self._cells = self._progress.add_task("all cells", total=count, note="")
        self._progress.update(self._cells, completed=number - 1)
        spec = cell.spec
        named = f"{spec.method} {spec.dataset} {spec.task} {100 * spec.fraction:g}% seed {spec.seed}"
        title = f"cell {number} of {count}: {named}"
        with self._timed(title) as step:
            yield step
        self._progress.update(self._cells, completed=number)

    @contextmanager
    def _timed(self, title: str) -> Iterator[Step]:
        """A bar while it lasts, and a line with the time it took."""
        started = time.monotonic()
        bar = self._progress.add_task(title, total=None, note="")
        try:
            yield self._stepper(bar)
        finally:
            self._progress.remove_task(bar)
        self.note(f"{title}: {time.monotonic() - started:.0f} s")

    def _stepper(self, bar: TaskID) -> Step:
        def step(done: int, count: int, note: str) -> None:
            self._progress.update(bar, completed=done, total=count, note=note)

        return step
