"""Galleries: predictions beside the truth for the best, the median and the worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vlpbench.figures.judgement import Outlines
from vlpbench.figures.style import PREDICTION, SMALL, TINY, TRUTH, Stroke

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PER_GROUP = 2
TILE, GAP, TEXT = 1.42, 0.08, 0.24
NAMES, HEADS, LEGEND = 0.34, 0.26, 0.42
"""Sizes in inches: picture, gap and line of text under it; names beside, heads above, legend."""
LONGEST = 20
WIDTH = 1.3
EDGE = "#262626"
PLAIN = 64
"""Grey value of the ground where an image cannot be had."""


@dataclass(frozen=True)
class Tile:
    """One method on one image.

    Attributes:
        predicted: by the method, None in the row that shows the truth alone.
        text: under the picture.
    """

    predicted: Outlines | None
    text: str


@dataclass(frozen=True)
class Column:
    """One image.

    Attributes:
        title: why it was chosen.
        image: grey values, all the same where the image cannot be had.
        truth: annotated.
        tiles: one a row.
    """

    title: str
    image: UInt8[np.ndarray, "h w"]
    truth: Outlines
    tiles: tuple[Tile, ...]


def choose_images(scores: pd.Series[float]) -> dict[str, list[str]]:
    """Ids of the best, the median and the worst images; of few images fewer, and none twice.

    Args:
        scores: of each image, by its id; of equal ones the one whose id comes first in the alphabet is the better.
    """
    order = [image for _, image in sorted((-float(score), str(image)) for image, score in scores.items())]
    count, each = len(order), max(1, min(PER_GROUP, len(order) // 3))
    middle = (count - each) // 2
    taken: set[str] = set()
    chosen: dict[str, list[str]] = {"best": [], "median": [], "worst": []}
    for name, images in (
        ("best", order[:each]),
        ("worst", order[count - each :]),
        ("median", order[middle : middle + each]),
    ):
        chosen[name] = [image for image in images if image not in taken]
        taken.update(images)
    return chosen


def draw_gallery(canvas: Canvas, columns: Sequence[Column], rows: Sequence[str]) -> None:
    """Put the tiles on a canvas: an image per column, a row of the truth and a row per method."""
    width, height = gallery_size(len(columns), len(rows))
    canvas.set_layout_engine("none")
    axes = canvas.add_axes((0, 0, 1, height / canvas.get_figheight()))
    axes.set_axis_off()
    for across, column in enumerate(columns):
        left = NAMES + across * (TILE + GAP)
        axes.text(left, HEADS - GAP / 2, column.title, fontsize=SMALL, fontweight="bold", va="bottom")
        for down, tile in enumerate(column.tiles):
            top = HEADS + down * (TILE + TEXT)
            _draw_tile(axes, column, tile, left, top)
            axes.text(left + TILE / 2, top + TILE + GAP / 2, tile.text, fontsize=TINY, ha="center", va="top")
    for down, name in enumerate(rows):
        middle = HEADS + down * (TILE + TEXT) + TILE / 2
        axes.text(NAMES - GAP, middle, name, fontsize=SMALL, fontweight="bold", rotation=90, ha="right", va="center")
    _draw_legend(axes)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def gallery_size(columns: int, rows: int) -> tuple[float, float]:
    """Width and height of a canvas, inches."""
    return NAMES + columns * (TILE + GAP) + GAP, HEADS + rows * (TILE + TEXT) + LEGEND


def plain_ground(side: int) -> UInt8[np.ndarray, "side side"]:
    """What is drawn on where there is no image."""
    return np.full((side, side), PLAIN, dtype=np.uint8)


def short_id(image_id: str) -> str:
    """An id that fits under a tile; long ones keep their end, which tells them apart."""
    return image_id if len(image_id) <= LONGEST else "…" + image_id[1 - LONGEST :]


def group_titles(chosen: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Title and id of each column."""
    return [(name.capitalize() if len(images) == 1 else f"{name.capitalize()} {number}", image)
            for name, images in chosen.items() for number, image in enumerate(images, start=1)]  # fmt: skip


def _draw_tile(axes: Axes, column: Column, tile: Tile, left: float, top: float) -> None:
    """One picture with its outlines; its upper left corner is given in inches."""
    axes.imshow(
        column.image,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="none",
        aspect="auto",
        extent=(left, left + TILE, top + TILE, top),
    )
    place = left, top, TILE / column.image.shape[0]
    _draw_outlines(axes, column.truth, TRUTH, place)
    if tile.predicted is not None:
        _draw_outlines(axes, tile.predicted, PREDICTION, place)


def _draw_outlines(axes: Axes, outlines: Outlines, stroke: Stroke, place: tuple[float, float, float]) -> None:
    """Lines with a dark border, to be seen on bright and on dark tissue.

    Args:
        axes: to draw on.
        outlines: in pixels.
        stroke: colour and line style.
        place: of the picture: left, top and the side of a pixel, in inches.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    left, top, side = place
    edge = [withStroke(linewidth=WIDTH + 1.4, foreground=EDGE)]
    if outlines.mask is not None and outlines.mask.any():
        padded = np.pad(outlines.mask, 1).astype(float)
        across, down = ((np.arange(count) - 0.5) * side for count in padded.shape[::-1])
        lines = axes.contour(left + across, top + down, padded, levels=[0.5], colors=stroke.colour)
        lines.set(linewidths=WIDTH, linestyles=[stroke.line], path_effects=edge)
    for x, y, width, height in outlines.boxes:
        box = Rectangle((left + x * side, top + y * side), width * side, height * side)
        box.set(fill=False, edgecolor=stroke.colour, linewidth=WIDTH, linestyle=stroke.line, path_effects=edge)
        axes.add_patch(box)


def _draw_legend(axes: Axes) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=stroke.colour, linestyle=stroke.line, linewidth=WIDTH, label=text)
        for stroke, text in ((TRUTH, "annotated"), (PREDICTION, "predicted"))
    ]
    legend = axes.legend(handles=handles, loc="lower left", ncols=2, labelcolor="white", facecolor=EDGE, frameon=True)
    legend.get_frame().set_alpha(1)
