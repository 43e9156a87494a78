"""`vlpbench data list`, `prepare` and `verify`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from vlpbench.canonical import writable_folder
from vlpbench.cards import SourceCard
from vlpbench.commands.arguments import load_plugins
from vlpbench.commands.prepared_data import (
    newest_prepared,
    note_others,
    parse_options,
    prepare_request,
    prepared_folders,
    source_card,
)
from vlpbench.commands.progress import TerminalWatcher
from vlpbench.data.prepared import Prepared, prepare
from vlpbench.data.verification import verify
from vlpbench.errors import StoppedError
from vlpbench.registry import REGISTRY
from vlpbench.splits.catalogue import PARTS

MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "broken": "[red]broken[/red]"}


def list_data(*, work: Path, plugins: tuple[Path, ...]) -> None:
    """Print every source with what it serves, its licence, how to get it, and whether it is prepared here."""
    load_plugins(plugins)
    console = Console()
    for name in REGISTRY.names("source"):
        card = source_card(name)
        served = ", ".join(card.tasks) or "whatever is in it"
        console.print(Text.assemble((name, "bold"), f"  {served}; {_state(card, work)}"))
        told = {"size": card.size, "licence": card.licence, "get it": card.how}
        for title, text in told.items():
            if text:
                console.print(Padding(Text.assemble((f"{title}: ", "dim"), text), (0, 0, 0, 4)))
    console.print("Next: vlpbench describe NAME, then vlpbench data prepare NAME --src FOLDER", highlight=False)


def _state(card: SourceCard, work: Path) -> str:
    """Sizes that are prepared under the work folder."""
    found = prepared_folders(card.name, work)
    sizes = ", ".join(f"{one.facts['images']:,} images at {one.facts['image_size']} px" for one in found)
    return f"prepared here: {sizes}" if found else "not prepared here"


def prepare_data(
    name: str,
    *,
    folder: Path | None,
    size: int | None,
    suite: str,
    jobs: int | None,
    settings: tuple[str, ...],
    work: Path,
    plugins: tuple[Path, ...],
) -> None:
    """Prepare one dataset, with a bar, and print what came of it.

    Raises:
        StoppedError: on Ctrl-C; finished shards stay.
    """
    load_plugins(plugins)
    console = Console(soft_wrap=True)
    request = prepare_request(name, suite=suite, folder=folder, size=size, settings=parse_options(settings))
    count = jobs if jobs is not None else os.cpu_count() or 1
    try:
        with TerminalWatcher(console) as watcher, watcher.stage(f"prepare {name}") as step:
            made = prepare(
                request, writable_folder(work), jobs=count, progress=lambda done, total: step(done, total, "")
            )
    except KeyboardInterrupt as stop:
        raise StoppedError("stopped. Finished shards stay; the same command carries on from there.") from stop
    _print_prepared(made, console)
    console.print(f"Next: vlpbench data verify {made.folder.name.rsplit('-', 1)[0]}", highlight=False)


def _print_prepared(prepared: Prepared, console: Console) -> None:
    """Folder, counts, splits and labels."""
    facts: dict[str, Any] = prepared.facts
    console.print(f"{prepared.folder}", style="bold", highlight=False, markup=False)
    lines = [f"{facts['images']:,} images of {facts['patients']:,} patients at {facts['image_size']} px"]
    lines += [f"{title}: {count:,}" for title, count in facts.get("counts", {}).items()]
    lines.append("split: " + ", ".join(f"{part} {facts['splits'][part]:,}" for part in PARTS))
    labels = prepared.manifest.filter(like="label:")
    for column in labels.columns:
        values = labels[column]
        known = f"{int((values == 1).sum()):,} yes, {int((values == 0).sum()):,} no"
        unknown = int(values.isna().sum())
        lines.append(f"{column.removeprefix('label:')}: {known}" + (f", {unknown:,} unknown" if unknown else ""))
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False)
    for oddity in facts.get("noticed", []):
        console.print(f"  noticed: {oddity}", style="yellow", highlight=False, markup=False)
    if facts["unreadable"]:
        console.print(f"  {len(facts['unreadable'])} image(s) could not be read and are left out:", style="yellow")
        for problem in facts["unreadable"][:20]:
            console.print(f"    - {problem}", highlight=False, markup=False)


def verify_data(name: str, *, folder: Path | None, work: Path) -> None:
    """Print what was checked of the newest prepared folder of a name; exit code 1 if something is broken."""
    console = Console(soft_wrap=True)
    prepared = newest_prepared(name, work)
    console.print(f"{prepared.folder}", style="bold", highlight=False, markup=False)
    note_others(prepared, name, work, console)
    with TerminalWatcher(console) as watcher, watcher.stage("reading images") as step:
        found = verify(prepared, source=folder, progress=lambda done, total: step(done, total, ""))
    for finding in found:
        console.print(f"  {MARKS[finding.state]}  {finding.title}: ", end="", highlight=False)
        console.print(finding.text, highlight=False, markup=False)
        for example in finding.examples:
            console.print(f"        {example}", highlight=False, markup=False, style="dim")
    broken = [finding.title for finding in found if finding.state == "broken"]
    if broken:
        console.print(f"Broken: {', '.join(broken)}. Remove {prepared.folder} and prepare it again.", style="red")
        sys.exit(1)
