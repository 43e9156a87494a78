"""Ablation bars: the headline of each variant of a method, dataset by dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vlpbench.figures.bands import Bands
from vlpbench.figures.canvas import Sheet, render
from vlpbench.figures.captions import (
    block_name,
    describe_bands,
    describe_block,
    describe_seeds,
    head_of,
    percent,
    share,
)
from vlpbench.figures.figure import Figure, NothingToDrawError
from vlpbench.figures.ranking import short_titles
from vlpbench.figures.runs import Line, Point, read_lines, recorded_fractions, runs_of
from vlpbench.figures.style import FLOOR_LINE, HIGHLIGHTS, INK, TINY, TRIVIAL_LINE, Stroke
from vlpbench.table.blocks import Block, ColumnGroup
from vlpbench.table.cells import FLOOR, METHOD, TRIVIAL, Row
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH, PANEL, LEGEND = 8.6, 2.35, 0.55
"""Sizes in inches."""
FILLED = 0.82
"""Share of a group of bars that is bars."""
Panel = tuple[ColumnGroup, list[Line]]


def draw_ablation(block: Block, titles: Titles, bands: Bands) -> Figure:
    """Bars of the variants, a panel per dataset and a group per label fraction; floors as lines.

    Raises:
        NothingToDrawError: if no variant has a defined metric.
    """
    variants = [row for row in block.rows if row.kind == METHOD]
    panels = [
        (group, [line for line in read_lines(block, group, banded=variants, band=bands.find) if line.points])
        for group in block.groups
        if group.records
    ]
    panels = [panel for panel in panels if any(line.row.kind == METHOD for line in panel[1])]
    if not panels:
        raise NothingToDrawError("no ablation has a defined metric.")
    names, styles = short_titles(block.rows), _styles(variants)

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(len(panels), 1, squeeze=False)
        for axes, (group, lines) in zip(grid.flat, panels, strict=True):
            _draw_panel(axes, group, lines, styles)
        canvas.legend(handles=_legend_entries(panels, styles, names), loc="outside lower left", ncols=3)

    name = block_name("ablation", block, block.layout.variants_of)
    sheet = Sheet(name, block.layout.title, head_of(block, titles), WIDTH, len(panels) * PANEL + LEGEND)
    svg, png = render(sheet, draw)
    cells = [runs_of(group, row, one) for group, _ in panels for row in variants for one in group.fractions]
    caption = (
        f"{describe_block(block, titles)} Bars: mean over the seeds, by the share of the training labels that the head "
        f"was trained on. Dots: single seeds; {describe_seeds(block.records)} "
        f"{describe_bands(bands.found(cells), mark='Whisker')} Dashed and dotted lines: floors, which a method should "
        "beat. Metrics differ between panels."
    )
    return Figure(name, sheet.title, caption, _alternative(panels, names), svg, png)


def _styles(variants: Sequence[Row]) -> dict[Row, Stroke]:
    """A stroke per variant, over again where there are more than strokes."""
    return {row: HIGHLIGHTS[place % len(HIGHLIGHTS)] for place, row in enumerate(variants)}


def _draw_panel(axes: Axes, group: ColumnGroup, lines: Sequence[Line], styles: Mapping[Row, Stroke]) -> None:
    width, fractions = FILLED / len(styles), recorded_fractions(group)
    for place, (row, stroke) in enumerate(styles.items()):
        for line in lines:
            if line.row == row:
                for point in line.points:
                    middle = fractions.index(point.fraction) + (place - (len(styles) - 1) / 2) * width
                    _draw_bar(axes, middle, point, width, stroke)
    for line in lines:
        if line.row not in styles:
            stroke = TRIVIAL_LINE if line.row.kind == TRIVIAL else FLOOR_LINE
            for point in line.points:
                middle = fractions.index(point.fraction)
                axes.plot(
                    [middle - 0.48, middle + 0.48],
                    [100 * point.mean] * 2,
                    color=stroke.colour,
                    linestyle=stroke.line,
                    linewidth=1.2,
                    zorder=5,
                )
    axes.set_title(group.title)
    axes.set_ylabel(f"{group.metric_title} (%),\nhigher is better")
    axes.set_xticks(range(len(fractions)), [f"{share(one)} of the labels" for one in fractions])
    axes.set_xlim(-0.55, len(fractions) - 0.45)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.14)
    axes.set_ylim(bottom=0)


def _draw_bar(axes: Axes, middle: float, point: Point, width: float, stroke: Stroke) -> None:
    """A bar, its whisker, its seeds and its value, which stands above all of them."""
    axes.bar(
        middle,
        100 * point.mean,
        0.92 * width,
        color="white",
        edgecolor=stroke.colour,
        hatch=stroke.hatch,
        zorder=2,
    )
    top = max([point.mean, *point.values])
    if point.interval is not None:
        low, high = point.interval.low, point.interval.high
        axes.vlines(middle, 100 * low, 100 * high, color=INK, linewidth=1.1, zorder=4)
        top = max(top, high)
    seeds = [middle + width * (number + 1 - (len(point.values) + 1) / 2) / (len(point.values) + 1)
             for number in range(len(point.values))]  # fmt: skip
    axes.scatter(seeds, [100 * value for value in point.values], s=9, color=INK, linewidth=0, zorder=4)
    axes.annotate(
        percent(point.mean), (middle, 100 * top), (0, 2.5), textcoords="offset points", ha="center", fontsize=TINY
    )


def _legend_entries(panels: Sequence[Panel], styles: Mapping[Row, Stroke], names: Mapping[Row, str]) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Artist] = [
        Patch(facecolor="white", edgecolor=stroke.colour, hatch=stroke.hatch, label=names[row])
        for row, stroke in styles.items()
    ]
    entries.append(Line2D([], [], color=INK, marker="o", ms=3, lw=0, label="one seed"))
    if any(point.interval for _, lines in panels for line in lines for point in line.points):
        entries.append(Line2D([], [], color=INK, lw=1.1, label="95 % interval of the mean"))
    others = dict.fromkeys(line.row for _, lines in panels for line in lines if line.row not in styles)
    floors = [names[row] for row in others if row.kind == FLOOR]
    entries += [Line2D([], [], color=INK, ls=FLOOR_LINE.line, lw=1.2, label=name) for name in floors]
    if any(row.kind == TRIVIAL for row in others):
        entries.append(Line2D([], [], color=INK, ls=TRIVIAL_LINE.line, lw=1.2, label="predictors that look at nothing"))
    return entries


def _alternative(panels: Sequence[Panel], names: Mapping[Row, str]) -> str:
    texts = []
    for group, lines in panels:
        shares = ", ".join(share(one) for one in recorded_fractions(group))
        told = "; ".join(f"{names[line.row]} {_told(line, group)}" for line in lines)
        texts.append(f"{group.title}, {group.metric_title} in % at {shares} of the labels: {told}.")
    return " ".join(texts)


def _told(line: Line, group: ColumnGroup) -> str:
    means = {point.fraction: percent(point.mean) for point in line.points}
    return ", ".join(means.get(fraction, "none") for fraction in recorded_fractions(group))
