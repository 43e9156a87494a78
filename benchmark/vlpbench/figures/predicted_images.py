"""Predicted masks and boxes beside the annotated ones, on the best, the median and the worst images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from vlpbench.errors import VlpbenchError
from vlpbench.figures.canvas import Sheet, render
from vlpbench.figures.captions import block_name, describe_block, first_sentence, head_of, percent, share
from vlpbench.figures.figure import Figure, NothingToDrawError
from vlpbench.figures.gallery import (
    Column,
    Tile,
    choose_images,
    draw_gallery,
    gallery_size,
    group_titles,
    plain_ground,
    short_id,
)
from vlpbench.figures.judgement import Judgement, judge
from vlpbench.figures.predictions import read_predictions
from vlpbench.figures.radiographs import Radiographs
from vlpbench.figures.ranking import short_titles, shown_rows
from vlpbench.figures.runs import largest_fraction, runs_of
from vlpbench.record import Record
from vlpbench.store import RecordStore
from vlpbench.table.blocks import Block, ColumnGroup
from vlpbench.table.titles import Titles

WHAT = {"segmentation": "masks", "detection": "boxes"}
Run = tuple[str, Record, Judgement]
"""Title of the row, its record and what that says of single images."""


def draw_predictions(
    block: Block, group: ColumnGroup, store: RecordStore, titles: Titles, radiographs: Radiographs
) -> Figure:
    """A row of the truth, one of the method that is shown and one of the floor; images chosen by the former.

    Raises:
        NothingToDrawError: where no predictions can be read, or no image has an annotation.
    """
    runs = read_runs(block, group, store)
    subject = runs[0][2]
    if subject.scores.empty:
        raise NothingToDrawError(f"no test image of {group.title} has an annotation to compare with.")
    chosen = choose_images(subject.scores)
    named = group_titles(chosen)
    grounds, reasons = _read_grounds(block, group, subject, [image for _, image in named], radiographs)
    columns = [_column(title, image, grounds[image], runs) for title, image in named]
    rows = ["Annotated", *(title for title, _, _ in runs)]
    what, fraction = WHAT[group.task], largest_fraction(group)
    title = f"Predicted {what}: {group.title}, {share(fraction)} of the training labels"
    name = block_name("predictions", block, what, group.dataset)
    width, height = gallery_size(len(columns), len(rows))
    svg, png = render(
        Sheet(name, title, head_of(block, titles), width, height), lambda canvas: draw_gallery(canvas, columns, rows)
    )
    caption = (
        f"{describe_block(block, titles)} Test images of {group.title}, heads trained on {share(fraction)} of the "
        f"training labels; {_seeds(runs)}. Solid: annotated; dashed: predicted. {subject.note} Chosen are the best, "
        f"the median and the worst images of {runs[0][0]}; equal ones in the order of their names.{_without(reasons)}"
    )
    return Figure(name, title, caption, _alternative(named, runs), svg, png)


def read_runs(block: Block, group: ColumnGroup, store: RecordStore) -> list[Run]:
    """The first run of each row that is shown whose predictions can be read.

    Raises:
        NothingToDrawError: where that is none, or not the first row's.
    """
    rows, names = shown_rows(block), short_titles(block.rows)
    runs: list[Run] = []
    problems = []
    for row in rows:
        for record in runs_of(group, row, largest_fraction(group)):
            try:
                predictions = read_predictions(store, record)
            except VlpbenchError as problem:
                problems.append(str(problem))
                continue
            runs.append((names[row], record, judge(group.task, predictions)))
            break
    if not runs:
        raise NothingToDrawError(problems[0] if problems else f"no method has predictions on {group.title}.")
    return runs


def _read_grounds(
    block: Block, group: ColumnGroup, subject: Judgement, images: Sequence[str], radiographs: Radiographs
) -> tuple[dict[str, UInt8[np.ndarray, "h w"]], list[str]]:
    """The radiograph of each image, or a plain ground, and why."""
    found, reasons = radiographs.read(block, group.dataset, images)
    grounds = {}
    for image in images:
        pixels = found.get(image)
        if pixels is not None and not subject.fits(image, pixels):
            reasons.append(f"{image} is annotated otherwise in the data there is now than in that of the records")
            pixels = None
        grounds[image] = plain_ground(block.image_size) if pixels is None else pixels.image
    return grounds, reasons


def _column(title: str, image: str, ground: UInt8[np.ndarray, "h w"], runs: Sequence[Run]) -> Column:
    tiles = [Tile(None, short_id(image))]
    for _, _, judgement in runs:
        score = judgement.scores.get(image)
        text = "not predicted" if score is None else f"{judgement.score_name} {percent(score)} %"
        tiles.append(Tile(judgement.predicted(image), text))
    return Column(title, ground, runs[0][2].truth(image), tuple(tiles))


def _seeds(runs: Sequence[Run]) -> str:
    """Which run of each row is shown."""
    told = [
        f"{title} pre-training seed {record.spec.pretrain_seed}, evaluation seed {record.spec.seed}"
        for title, record, _ in runs
    ]
    return f"one run each ({'; '.join(told)})"


def _without(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    return f" Drawn on plain ground where the radiograph cannot be had: {first_sentence(reasons[0])}"


def _alternative(named: Sequence[tuple[str, str]], runs: Sequence[Run]) -> str:
    """Scores of each image, method by method."""
    name = runs[0][2].score_name
    told = "; ".join(
        f"{place} ({image}): "
        + ", ".join(f"{title} {percent(judgement.scores.get(image, np.nan))}" for title, _, judgement in runs)
        for place, image in named
    )
    return f"{name} in % of each image shown. {told}."
