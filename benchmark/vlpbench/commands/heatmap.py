"""`vlpbench heatmap`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from rich.console import Console
from rich.table import Table

from vlpbench.commands.aligned_methods import Arguments, resolve_request, trained_methods
from vlpbench.errors import VlpbenchError
from vlpbench.grounding.phrases import Phrase, named_best, occurrences, parse_phrases, unknown_words
from vlpbench.plan import Plan
from vlpbench.table.titles import arch_title

if TYPE_CHECKING:
    from vlpbench.figures.alignment import Panel
    from vlpbench.grounding.radiograph import Radiograph
    from vlpbench.pretraining.trained import Trained

__all__ = ["Arguments", "draw", "score"]
SCORES = (
    "In %. hits: pairs of study and finding whose highest patch centre lies in the true mask; energy: share of the map "
    "in it; of others: the same for the words of other findings; area: of the masks; centre: masks at the image centre"
)
Maps = Float[np.ndarray, "phrases side side"]
Mask = Bool[np.ndarray, "size size"]


def draw(arguments: Arguments, *, image: str | None, words: str | None, report: str | None, out: Path | None) -> None:
    """Draw where methods place words over a radiograph, and print the same in words.

    Raises:
        VlpbenchError: for an option that is missing, a name that does not exist, a method without local alignment or
            without trained weights, words or an image that cannot be read, or a file that cannot be written.
    """
    if image is None or words is None or out is None:
        raise VlpbenchError(
            "A picture needs --image, --words and --out, such as --image rsna:rsna-p00014-s1 "
            '--words "consolidation,opacity" --out fig2.png; --score needs none of them.'
        )
    from vlpbench.figures.alignment import AlignmentFigure, check_suffix, write_alignment
    from vlpbench.grounding.maps import align_phrases
    from vlpbench.grounding.radiograph import open_radiograph

    check_suffix(out)
    phrases = parse_phrases(words, report)
    request = resolve_request(arguments)
    radiograph = open_radiograph(image, request)
    plan, notes = Plan(request), Console(soft_wrap=True, stderr=True)
    masks = [_true_mask(radiograph, phrase) for phrase in phrases]
    table = _table(known=any(mask is not None for mask in masks))
    titles: list[str] = []
    panels: list[list[Panel]] = []
    sides: set[int] = set()
    for trained in trained_methods(plan, arguments, notes):
        if not titles:
            _note_words(plan, trained, phrases, notes)
        maps = align_phrases(trained, radiograph.pixels[None], phrases)[0]
        titles.append(trained.method.card.row_title)
        sides.add(maps.shape[-1])
        panels.append(_panels(maps, len(radiograph.pixels)))
        for phrase, grid, mask in zip(phrases, maps, masks, strict=True):
            table.add_row(titles[-1], phrase.words, *_cells(grid, mask, known=len(table.columns) > 4))
    caption = _caption(plan, radiograph, sides, masks, report)
    names = [phrase.words for phrase in phrases]
    write_alignment(AlignmentFigure(radiograph.pixels, names, titles, panels, masks, caption), out)
    Console().print(table)
    notes.print(f"{out}: {len(titles)} method(s), {len(phrases)} phrase(s)", markup=False, highlight=False)


def score(arguments: Arguments) -> None:
    """Score the maps of methods on the drawn test studies of a suite, keep records, and print the headlines.

    Raises:
        VlpbenchError: for a name that does not exist, a method without local alignment or without trained weights, a
            suite without drawn radiographs, or a results folder that cannot be written.
    """
    from vlpbench.grounding.run import GroundingBench
    from vlpbench.grounding.scores import HEADLINES

    request = resolve_request(arguments)
    plan, notes = Plan(request), Console(soft_wrap=True, stderr=True)
    bench = GroundingBench(plan)
    table = Table(caption=SCORES, caption_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("method", "dataset"):
        table.add_column(name, overflow="fold")
    for name in ("hits", "of others", "energy", "of others", "area", "centre"):
        table.add_column(name, justify="right", no_wrap=True)
    count = 0
    for trained in trained_methods(plan, arguments, notes):
        records = list(bench.evaluate(trained))
        count += len(records)
        for record in records[:: len(HEADLINES)]:
            floors = record.floors
            values = [value for name in HEADLINES for value in (record.metrics[name], floors["other_findings"][name])]
            values += [floors[name]["pointing_game"] for name in ("uniform", "centre")]
            cells = ["–" if value is None else f"{100 * value:.1f}" for value in values]
            table.add_row(trained.method.card.row_title, record.spec.dataset, *cells)
        notes.print(f"scored {trained.method.card.name}", highlight=False)
    Console().print(table)
    notes.print(
        f"{count} record(s) in {request.results / 'records'}. Next: vlpbench table --table grounding "
        f"--results {request.results}",
        markup=False,
        highlight=False,
    )


def _true_mask(radiograph: Radiograph, phrase: Phrase) -> Mask | None:
    """Mask of what a phrase names, where it is in the image and known."""
    name = named_best(phrase.words, radiograph.masks)
    return None if name is None else radiograph.masks[name]


def _note_words(plan: Plan, trained: Trained, phrases: Sequence[Phrase], notes: Console) -> None:
    """Say how often the training reports hold each phrase: of a word that was never read a map says little."""
    reports = plan.corpus.reports(plan.corpus.rows("train"))
    for phrase in phrases:
        count = occurrences(phrase, reports)
        text = f"{phrase.words}: in {count} of {len(reports)} training reports"
        notes.print(text if count else f"{text}, so that its map is of word pieces", markup=False, highlight=False)
    for words in unknown_words(trained.tokeniser, phrases):
        notes.print(f"{words}: holds characters that no training report has", markup=False, highlight=False)


def _panels(maps: Maps, size: int) -> list[Panel]:
    from vlpbench.figures.alignment import Panel
    from vlpbench.grounding.maps import scale_maps, upsample_maps

    panels = []
    for grid, pixels in zip(maps, upsample_maps(scale_maps(maps), size), strict=True):
        if np.isnan(grid).any():
            panels.append(Panel(None, np.nan, np.nan))
            continue
        centres = (np.argwhere(grid == grid.max()) + 0.5) * size / len(grid) - 0.5
        highest = [(float(row), float(column)) for row, column in centres]
        panels.append(Panel(pixels, float(grid.min()), float(grid.max()), highest))
    return panels


def _table(*, known: bool) -> Table:
    meaning = "hit: centre of the highest patch in the true mask; energy: share of the map in it; area: of the image"
    table = Table(
        caption=meaning if known else None, caption_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False
    )
    for name in ("method", "phrase", "similarity", "highest patch"):
        table.add_column(name, overflow="fold")
    for name in ("hit", "energy", "area") if known else ():
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(grid: Float[np.ndarray, "side side"], mask: Mask | None, *, known: bool) -> list[str]:
    """What the picture shows, in words."""
    from vlpbench.figures.alignment import describe_range
    from vlpbench.grounding.maps import scale_maps, upsample_maps
    from vlpbench.grounding.scores import energy_inside, point

    nothing = ["–"] * 3 if known else []
    if np.isnan(grid).any():
        return ["unknown to it", "–", *nothing]
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    told = [describe_range(float(grid.min()), float(grid.max())), f"row {row + 1}, column {column + 1}"]
    if mask is None or not mask.any():
        return [*told, *nothing]
    scaled = scale_maps(grid)
    hit, inside = point(scaled, mask), energy_inside(upsample_maps(scaled, len(mask)), mask)
    word = {0.0: "no", 1.0: "yes"}.get(hit, f"{100 * hit:.0f} %")
    return [*told, word, f"{100 * inside:.1f} %", f"{100 * mask.mean():.1f} %"]


def _caption(
    plan: Plan, radiograph: Radiograph, sides: set[int], masks: Sequence[Mask | None], report: str | None
) -> str:
    """What is seen, for the foot of the picture."""
    request = plan.request
    grids = " or ".join(f"{side} × {side}" for side in sorted(sides))
    read = "read in the report that was given" if report is not None else "each phrase read by itself"
    return " ".join(
        [
            f"{radiograph.name}, as the backbone sees it ({arch_title(request.arch)} at {request.image_size} px, suite "
            f"{request.suite.name}, pre-training seed {request.pretrain_seed}).",
            *(["Synthetic radiograph."] if radiograph.masks else []),
            *(["The methods were trained on synthetic radiographs alone."] if request.suite.synthetic else []),
            f"Colour: similarity of the phrase with each of {grids} patches, mean over its words, {read}; scaled from "
            "the lowest to the highest patch of each map, whose values in the method's own units stand below it; "
            "cross: centre of the highest patch.",
            *(["White line: true mask."] if any(mask is not None for mask in masks) else []),
        ]
    )
