"""The splits of a dataset, put on what is prepared of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlpbench.canonical import content_hash
from vlpbench.data.prepared import Prepared
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.splits import CLEAN
from vlpbench.splits.catalogue import PARTS, named_split, recipes, shared_patients
from vlpbench.splits.recipe import NamedSplit, SplitRecipe


@dataclass(frozen=True)
class PlacedSplit:
    """One split of one prepared folder.

    Attributes:
        name: of the split.
        tasks: it holds for; none where it holds for all.
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


def placed_splits(prepared: Prepared) -> list[PlacedSplit]:
    """The folder's own split and every published one of its source."""
    found = [_place(prepared, CLEAN, (), None)]
    return found + [_place(prepared, one.name, one.tasks, one) for one in recipes(prepared.source)]


def unplaced_splits(source: str) -> list[PlacedSplit]:
    """What is published of a source, where nothing is prepared."""
    return [PlacedSplit(one.name, one.tasks, one, None, "", {}, {}, "") for one in recipes(source)]


def _place(prepared: Prepared, name: str, tasks: tuple[str, ...], recipe: SplitRecipe | None) -> PlacedSplit:
    manifest = prepared.manifest
    try:
        split = named_split(manifest, dataset=prepared.source, task=tasks[0] if tasks else "", name=name)
    except VlpbenchError as error:
        return PlacedSplit(name, tasks, recipe, None, str(error), {}, {}, "")
    sizes = {part: len(getattr(split, part)) for part in PARTS}
    sizes |= {f"{100 * fraction:g} %": len(rows) for fraction, rows in sorted(split.fractions.items())}
    ids = manifest["image_id"].to_numpy()
    listed = {part: ids[getattr(split, part)].tolist() for part in PARTS}
    return PlacedSplit(
        name, tasks, recipe, split, "", sizes, shared_patients(manifest, split), content_hash(listed, 16)
    )


def comparable(
    placed: list[PlacedSplit], names: tuple[str, str], *, source: str
) -> list[tuple[PlacedSplit, PlacedSplit]]:
    """Pairs of splits of two names that hold for a task in common.

    Raises:
        UnknownNameError: for a name of which no split could be made.
    """
    made = [one for one in placed if one.split is not None]
    chosen = [[one for one in made if one.name == name] for name in names]
    for name, found in zip(names, chosen, strict=True):
        if not found:
            raise UnknownNameError(f"split of {source} that can be made here", name, [one.title for one in made])
    return [
        (one, other)
        for one in chosen[0]
        for other in chosen[1]
        if not one.tasks or not other.tasks or set(one.tasks) & set(other.tasks)
    ]


def moves(one: PlacedSplit, other: PlacedSplit) -> dict[str, dict[str, int]]:
    """Images of each part of one split by the part of another they are in, or in "neither"."""
    found: dict[str, dict[str, int]] = {}
    for part in PARTS:
        rows = getattr(one.split, part)
        inside = {there: np.isin(rows, getattr(other.split, there)) for there in PARTS}
        found[part] = {there: int(mask.sum()) for there, mask in inside.items()}
        found[part]["neither"] = int((~np.any(list(inside.values()), axis=0)).sum())
    return found
