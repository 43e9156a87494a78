"""Label efficiency: the headline of each method against the share of the training labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from vlpbench.figures.line_labels import LINE_HEIGHT, LineLabel, part_labels, write_labels
from vlpbench.figures.ranking import highlighted_rows, row_strokes, short_titles
from vlpbench.figures.runs import Line, read_lines, recorded_fractions, runs_of
from vlpbench.figures.style import (
    BAND_OPACITY,
    CEILING_LINE,
    FAINT,
    FLOOR_LINE,
    HIGHLIGHTS,
    INK,
    OTHER_LINE,
    TINY,
    TRIVIAL_LINE,
    Stroke,
)
from vlpbench.table.blocks import Block, ColumnGroup
from vlpbench.table.cells import CEILING, FLOOR, METHOD, TRIVIAL, Row
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

COLUMNS = 2
PANEL = (5.4, 3.9)
FRAME = 1.0
LEGEND = (0.15, 0.2)
"""Sizes in inches: a panel, what of it is above and below the lines, and a legend without lines and for each."""
BESIDE = 2
"""Entries of the legend beside each other under a panel."""
TRAIN = "train images"
BEST = HIGHLIGHTS[0]
KINDS = (
    (METHOD, OTHER_LINE, "other methods: mean"),
    (FLOOR, FLOOR_LINE, "untrained backbone: mean"),
    (TRIVIAL, TRIVIAL_LINE, "predictor that looks at nothing"),
    (CEILING, CEILING_LINE, "saw more than a method may: mean"),
)


@dataclass(frozen=True)
class Panel:
    """Everything one panel shows."""

    group: ColumnGroup
    lines: tuple[Line, ...]


def read_panels(block: Block, bands: Bands) -> list[Panel]:
    """Panels of the datasets with records; intervals for the rows that are brought out."""
    banded = set(highlighted_rows(block))
    return [
        Panel(group, tuple(line for line in read_lines(block, group, banded=banded, band=bands.find) if line.points))
        for group in block.groups
        if group.records
    ]


def draw_label_efficiency(block: Block, titles: Titles, bands: Bands) -> Figure:
    """One panel per dataset; the best methods in colour with intervals, the others thin, floors dashed.

    Raises:
        NothingToDrawError: if no record of the block has a defined headline.
    """
    panels = [panel for panel in read_panels(block, bands) if any(line.row.kind != TRIVIAL for line in panel.lines)]
    if not panels:
        raise NothingToDrawError(f"no record of {block.layout.task} has a defined metric.")
    styles, names = row_strokes(block), short_titles(block.rows)
    name = block_name("label_efficiency", block, block.layout.task)
    title = f"Label efficiency: {block.layout.title.lower()}"
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    height = max(PANEL[1], FRAME + LINE_HEIGHT * TINY / 72 * max(len(panel.lines) for panel in panels))
    entries = _legend_entries(styles, panels)
    legend = 0.0 if len(panels) % columns else LEGEND[0] + LEGEND[1] * -(-len(entries) // (BESIDE * columns))

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(lines, columns, squeeze=False)
        drawn = []
        for axes, panel in zip(grid.flat, panels, strict=False):
            labels = _draw_panel(axes, panel, styles, names)
            drawn.append((axes, labels, write_labels(axes, labels, size=TINY)))
        spare = list(grid.flat[len(panels) :])
        for axes in spare:
            axes.set_axis_off()
        if spare:
            spare[0].legend(handles=entries, loc="upper left")
        else:
            canvas.legend(handles=entries, loc="outside lower left", ncols=BESIDE * columns)
        part_labels(canvas, drawn)

    sheet = Sheet(name, title, head_of(block, titles), columns * PANEL[0], lines * height + legend)
    svg, png = render(sheet, draw)
    return Figure(name, title, _caption(block, titles, bands, panels), _alternative(panels, names), svg, png)


def _draw_panel(axes: Axes, panel: Panel, styles: dict[Row, Stroke], names: dict[Row, str]) -> list[LineLabel]:
    """Lines, axes and title; the labels of the lines are returned."""
    group = panel.group
    for line in panel.lines:
        _draw_line(axes, line, styles[line.row])
    axes.set_title(group.title)
    axes.set_ylabel(f"{group.metric_title} (%), higher is better")
    axes.set_xlabel("Training labels used (% and images, log scale)")
    axes.set_xscale("log")
    fractions = recorded_fractions(group)
    axes.set_xticks(fractions, [_tick(group, fraction) for fraction in fractions])
    axes.xaxis.minorticks_off()
    axes.set_xlim(min(fractions[0] / 1.35, fractions[-1] / 20), fractions[-1] * 1.18)
    return [
        LineLabel(
            f"{names[line.row]}  {percent(line.points[-1].mean)}",
            (line.points[-1].fraction, 100 * line.points[-1].mean),
            styles[line.row].colour,
            FAINT if styles[line.row] == OTHER_LINE else INK,
            strong=styles[line.row] in HIGHLIGHTS,
        )
        for line in panel.lines
    ]


def _draw_line(axes: Axes, line: Line, stroke: Stroke) -> None:
    bright = stroke in HIGHLIGHTS
    x = [point.fraction for point in line.points]
    order = 4 if bright else 3 if line.row.kind != METHOD else 2
    axes.plot(
        x,
        [100 * point.mean for point in line.points],
        color=stroke.colour,
        linestyle=stroke.line,
        linewidth=2.0 if bright else 1.1 if line.row.kind != METHOD else 0.8,
        marker=stroke.marker or (None if len(x) > 1 else "_"),
        markersize=5.5,
        zorder=order,
    )
    _draw_band(axes, line, stroke)
    if line.row.kind == TRIVIAL:
        return
    seeds = [(point.fraction, 100 * value) for point in line.points for value in point.values]
    axes.scatter(
        [x for x, _ in seeds], [y for _, y in seeds], s=9 if bright else 4, color=stroke.colour, alpha=0.75,
        linewidth=0, zorder=order,
    )  # fmt: skip


def _draw_band(axes: Axes, line: Line, stroke: Stroke) -> None:
    """The intervals of a line, joined where there are several."""
    x = [one.fraction for one in line.points if one.interval is not None]
    low = [100 * one.interval.low for one in line.points if one.interval is not None]
    high = [100 * one.interval.high for one in line.points if one.interval is not None]
    if len(x) == 1:
        axes.vlines(x, low, high, color=stroke.colour, alpha=BAND_OPACITY, linewidth=9, zorder=1)
    else:
        axes.fill_between(x, low, high, color=stroke.colour, alpha=BAND_OPACITY, linewidth=0, zorder=1)


def _tick(group: ColumnGroup, fraction: float) -> str:
    """A fraction with the number of images it is; the largest where runs differ."""
    counts = [
        count
        for record in group.records
        if record.spec.fraction == fraction and (count := record.counts.get(TRAIN)) is not None
    ]
    return f"{share(fraction)}\n{max(counts)} images" if counts else share(fraction)


def _legend_entries(styles: dict[Row, Stroke], panels: Sequence[Panel]) -> list[Line2D | Patch]:
    """What each kind of mark means; names stand at the lines themselves."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = {line.row for panel in panels for line in panel.lines}
    entries: list[Line2D | Patch] = []
    if any(styles[row] == BEST for row in shown):
        entries.append(Line2D([], [], color=BEST.colour, lw=2, marker=BEST.marker, ms=5.5, label="best methods: mean"))
        if any(point.interval for panel in panels for line in panel.lines for point in line.points):
            entries.append(Patch(color=BEST.colour, alpha=BAND_OPACITY, lw=0, label="95 % interval of that mean"))
    entries.append(Line2D([], [], color=FAINT, lw=0, marker="o", ms=2.5, label="one seed"))
    for kind, stroke, text in KINDS:
        if any(row.kind == kind and styles[row] == stroke for row in shown):
            entries.append(
                Line2D([], [], color=stroke.colour, ls=stroke.line, lw=1.1, marker=stroke.marker, ms=5.5, label=text)
            )
    return entries


def _caption(block: Block, titles: Titles, bands: Bands, panels: Sequence[Panel]) -> str:
    bright = highlighted_rows(block)
    cells = [
        runs_of(panel.group, row, fraction) for panel in panels for row in bright for fraction in panel.group.fractions
    ]
    names = short_titles(block.rows)
    shown = ", ".join(names[row] for row in bright)
    return (
        f"{describe_block(block, titles)} Lines: mean over the seeds, by the share of the training labels that the "
        f"head was trained on. Dots: single seeds; {describe_seeds(block.records)} "
        f"In colour, with bands: {shown} (best by average rank over the columns, or the benchmark's own method). "
        f"{describe_bands(bands.found(cells), mark='Band')} Dashed and dotted: floors, which a method should beat."
    )


def _alternative(panels: Sequence[Panel], names: dict[Row, str]) -> str:
    """Every mean, panel by panel, best first."""
    texts = []
    for panel in panels:
        group = panel.group
        fractions = recorded_fractions(group)
        lines = sorted(panel.lines, key=lambda line: -_last(line))
        told = "; ".join(
            f"{names[line.row]} {', '.join(_told(line, fraction) for fraction in fractions)}" for line in lines
        )
        shares = ", ".join(share(fraction) for fraction in fractions)
        texts.append(f"{group.title}, {group.metric_title} in % at {shares} of the labels: {told}.")
    return " ".join(texts)


def _last(line: Line) -> float:
    return line.points[-1].mean if line.points else -math.inf


def _told(line: Line, fraction: float) -> str:
    return next((percent(point.mean) for point in line.points if point.fraction == fraction), "none")
