"""`vlpbench data splits`: named splits of a prepared dataset, their sizes, faults and differences."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from vlpbench.canonical import atomic_path, content_hash
from vlpbench.commands.prepared_data import newest_prepared, prepared_folders, source_card, source_of
from vlpbench.data.prepared import Prepared
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.splits import CLEAN
from vlpbench.splits.catalogue import PARTS, named_split, recipes, shared_patients
from vlpbench.splits.recipe import NamedSplit, SplitRecipe

CLEAN_RULE = "the release's own split where it has one, else dealt; patients kept apart wherever they are known"


@dataclass(frozen=True)
class SplitPage:
    """One split put on one prepared folder.

    Attributes:
        name: of the split.
        tasks: it holds for; none for the folder's own.
        recipe: None for the folder's own split.
        split: None where it cannot be made.
        problem: why not.
        sizes: images by part, and by fraction where the recipe lists some.
        shared: patients that two parts share.
        digest: hash of the image ids in order.
    """

    name: str
    tasks: tuple[str, ...]
    recipe: SplitRecipe | None
    split: NamedSplit | None
    problem: str
    sizes: dict[str, int]
    shared: dict[str, int]
    digest: str

    @property
    def title(self) -> str:
        """Name, and tasks where it does not hold for all."""
        return f"{self.name} ({', '.join(self.tasks)})" if self.tasks else self.name


def split_pages(prepared: Prepared) -> list[SplitPage]:
    """The folder's own split and every recipe of its source."""
    found = [_page(prepared, CLEAN, (), None)]
    return found + [_page(prepared, one.name, one.tasks, one) for one in recipes(source_of(prepared))]


def _page(prepared: Prepared, name: str, tasks: tuple[str, ...], recipe: SplitRecipe | None) -> SplitPage:
    manifest = prepared.manifest
    try:
        split = named_split(manifest, dataset=source_of(prepared), task=tasks[0] if tasks else "", name=name)
    except VlpbenchError as error:
        return SplitPage(name, tasks, recipe, None, str(error), {}, {}, "")
    sizes = {part: len(getattr(split, part)) for part in PARTS}
    sizes |= {f"{100 * fraction:g} %": len(rows) for fraction, rows in sorted(split.fractions.items())}
    ids = manifest["image_id"].to_numpy()
    listed = {part: ids[getattr(split, part)].tolist() for part in PARTS}
    return SplitPage(name, tasks, recipe, split, "", sizes, shared_patients(manifest, split), content_hash(listed, 16))


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
        _print_recipes(name, console)
        return
    prepared = newest_prepared(name, work)
    pages = split_pages(prepared)
    for page in pages:
        _print_page(page, console)
    if diff is not None:
        _print_difference(prepared, pages, diff, console)
    if out is not None:
        for page in pages:
            if page.split is not None:
                _write(prepared, page, out, console)


def _print_recipes(name: str, console: Console) -> None:
    """What is published of a source that is not prepared here."""
    source_card(name)  # raises with near names
    console.print(f"{name} is not prepared here: only what is published.", highlight=False, markup=False)
    for recipe in recipes(name):
        _print_page(SplitPage(recipe.name, recipe.tasks, recipe, None, "", {}, {}, ""), console)
    if not recipes(name):
        console.print("  no published recipe; the clean split is made when it is prepared", highlight=False)


def _print_page(page: SplitPage, console: Console) -> None:
    def line(text: str, style: str = "") -> None:
        console.print(f"  {text}", style=style or None, highlight=False, markup=False)

    console.print(page.title, style="bold", highlight=False, markup=False)
    line(page.recipe.rule if page.recipe is not None else CLEAN_RULE)
    if page.recipe is not None:
        line(page.recipe.source, "dim")
        counts = ", ".join(f"{part} {count:,}" for part, count in page.recipe.counts.items())
        line(f"published: {counts or 'no sizes'}")
    if page.sizes:
        line("here: " + ", ".join(f"{part} {count:,}" for part, count in page.sizes.items()))
        line(f"sha256 of the ids: {page.digest}")
    if page.problem:
        line(f"cannot be made here: {page.problem}", "yellow")
    for fault in page.recipe.known if page.recipe is not None else ():
        line(f"known: {fault}", "yellow")
    for pair, count in page.shared.items():
        line(f"{count:,} patients are in both {pair}", "yellow")


def _print_difference(prepared: Prepared, pages: list[SplitPage], names: tuple[str, str], console: Console) -> None:
    """How many images of each part of one split lie in each part of another, task by task."""
    made = {page.title: page for page in pages if page.split is not None}
    chosen = [[page for page in made.values() if page.name == name] for name in names]
    for name, found in zip(names, chosen, strict=True):
        if not found:
            raise UnknownNameError(f"split of {source_of(prepared)} that can be made here", name, made)
    for one, other in product(*chosen):
        if one.tasks and other.tasks and not set(one.tasks) & set(other.tasks):
            continue
        table = Table(title=f"images of {one.title} in {other.title}", title_justify="left", box=box.SIMPLE_HEAD)
        for column in ("", *PARTS, "neither"):
            table.add_column(column, justify="right" if column else "left")
        for part in PARTS:
            rows = getattr(one.split, part)
            inside = [int(np.isin(rows, getattr(other.split, other_part)).sum()) for other_part in PARTS]
            every = np.concatenate([getattr(other.split, other_part) for other_part in PARTS])
            table.add_row(part, *map(str, inside), str(int((~np.isin(rows, every)).sum())))
        console.print(table)


def _write(prepared: Prepared, page: SplitPage, out: Path, console: Console) -> None:
    """One split as a list that `--splits` reads again."""
    ids = prepared.manifest["image_id"].to_numpy()
    name = prepared.folder.name.rsplit("-", 1)[0]
    target = out / ("-".join([name, page.name, *page.tasks]) + ".csv")
    with atomic_path(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "split"])
        for part in PARTS:
            writer.writerows((image, part) for image in ids[getattr(page.split, part)])
    console.print(f"wrote {target}", highlight=False, markup=False)
