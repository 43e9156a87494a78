"""`vlpbench data splits`: named splits of a prepared dataset, their sizes, faults and differences."""

from __future__ import annotations

import csv
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from vlpbench.canonical import atomic_path
from vlpbench.commands.prepared_data import newest_prepared, note_others, prepared_folders, source_card
from vlpbench.data.placed_splits import PlacedSplit, comparable, moves, placed_splits, unplaced_splits
from vlpbench.data.prepared import Prepared
from vlpbench.splits.catalogue import PARTS

CLEAN_RULE = "the release's own split where it has one, else dealt; patients kept apart wherever they are known"


def show_splits(name: str, *, diff: tuple[str, str] | None, out: Path | None, work: Path) -> None:
    """Print the splits of a dataset; with data prepared, their sizes, shared patients and differences.

    Args:
        name: of prepared data, or of a source.
        diff: two splits to compare.
        out: folder for a .csv file per split.
        work: folder of prepared data.

    Raises:
        UnknownNameError: for a split that does not exist.
        VlpbenchError: if something needs prepared data and there is none.
    """
    console = Console(soft_wrap=True)
    if not prepared_folders(name, work) and diff is None and out is None:
        _print_published(name, console)
        return
    prepared = newest_prepared(name, work)
    note_others(prepared, name, work, console)
    placed = placed_splits(prepared)
    for one in placed:
        # Two that are compared are enough to read.
        if diff is None or one.name in diff:
            _print_split(one, console)
    if diff is not None:
        for one, other in comparable(placed, diff, source=prepared.source):
            _print_moves(one, other, console)
    if out is not None:
        for one in placed:
            if one.split is not None:
                _write(prepared, one, out, console)


def _print_published(name: str, console: Console) -> None:
    """What is published of a source that is not prepared here."""
    source_card(name)  # raises with near names
    console.print(f"{name} is not prepared here: only what is published.", highlight=False, markup=False)
    published = unplaced_splits(name)
    for one in published:
        _print_split(one, console)
    if not published:
        console.print("  no published recipe; the clean split is made when it is prepared", highlight=False)


def _print_split(placed: PlacedSplit, console: Console) -> None:
    def line(text: str, style: str = "") -> None:
        console.print(f"  {text}", style=style or None, highlight=False, markup=False)

    console.print(placed.title, style="bold", highlight=False, markup=False)
    line(placed.recipe.rule if placed.recipe is not None else CLEAN_RULE)
    if placed.recipe is not None:
        line(placed.recipe.source, "dim")
        counts = ", ".join(f"{part} {count:,}" for part, count in placed.recipe.counts.items())
        line(f"published: {counts or 'no sizes'}")
    if placed.sizes:
        line("here: " + ", ".join(f"{part} {count:,}" for part, count in placed.sizes.items()))
        line(f"sha256 of the ids: {placed.digest}")
    if placed.problem:
        line(f"cannot be made here: {placed.problem}", "yellow")
    for fault in placed.recipe.known if placed.recipe is not None else ():
        line(f"known: {fault}", "yellow")
    for pair, count in placed.shared.items():
        line(f"{count:,} patient(s) in both {pair}", "yellow")


def _print_moves(one: PlacedSplit, other: PlacedSplit, console: Console) -> None:
    """How many images of each part of one split lie in each part of another."""
    title = f"Images of {one.title}, a row for each part, in the parts of {other.title}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(one.name)
    for column in (*PARTS, "neither"):
        table.add_column(column, justify="right")
    for part, counts in moves(one, other).items():
        table.add_row(part, *(f"{counts[column]:,}" for column in (*PARTS, "neither")))
    console.print(table)


def _write(prepared: Prepared, placed: PlacedSplit, out: Path, console: Console) -> None:
    """One split as a list that `--splits` reads again."""
    ids = prepared.manifest["image_id"].to_numpy()
    name = prepared.folder.name.rsplit("-", 1)[0]
    target = out / ("-".join([name, placed.name, *placed.tasks]) + ".csv")
    with atomic_path(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "split"])
        for part in PARTS:
            writer.writerows((image, part) for image in ids[getattr(placed.split, part)])
    console.print(f"wrote {target}", highlight=False, markup=False)
