"""Precision and recall: curves of each label of a dataset, mean over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from vlpbench.errors import VlpbenchError
from vlpbench.figures.box_matches import match_boxes
from vlpbench.figures.canvas import Sheet, render
from vlpbench.figures.captions import (
    block_name,
    describe_block,
    describe_seeds,
    first_sentence,
    head_of,
    label_words,
    percent,
    share,
)
from vlpbench.figures.figure import Figure, NothingToDrawError
from vlpbench.figures.predictions import PROBABILITY, TRUTH, label_names, read_predictions
from vlpbench.figures.ranking import compared_rows, row_strokes, short_titles
from vlpbench.figures.runs import largest_fraction, runs_of
from vlpbench.figures.style import FAINT, HIGHLIGHTS, SMALL, Stroke
from vlpbench.store import RecordStore
from vlpbench.table.blocks import Block, ColumnGroup
from vlpbench.table.cells import Row
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

RECALL = np.round(np.linspace(0.01, 1.0, 100), 2)
"""Shares of the positives found at which curves are read."""
COLUMNS = 3
PANEL = (3.2, 2.7)
LEGEND = 0.6
"""Sizes in inches."""
DETECTION = "detection"
PROBABILITIES = (
    "Precision at a recall is that of the highest threshold which finds at least this share of the positives; nothing "
    "is interpolated. Dotted: share of positives, the precision of a blind guess."
)
BOXES = (
    "A box is right where it overlaps an annotated one with an IoU of at least 0.5, each annotated box once; precision "
    "is the highest at this recall or a higher one, as COCO defines it, 0 where no threshold finds as many, and the "
    "mean over labels."
)
Curve = Float[np.ndarray, " recall"]


@dataclass(frozen=True)
class Panel:
    """One label of one dataset.

    Attributes:
        title: as printed.
        prevalence: share of positives among the test images, the precision of a blind guess; None for boxes.
        curves: precision at `RECALL`, mean over the seeds, by row.
    """

    title: str
    prevalence: float | None
    curves: Mapping[Row, Curve]


def label_curves(predictions: pd.DataFrame) -> dict[str, tuple[Curve, float]]:
    """Curve and share of positives of each label of stored probabilities; labels without both classes are left out.

    Precision at a recall is that of the highest threshold which finds at least this share; nothing is interpolated.
    """
    from sklearn.metrics import precision_recall_curve

    curves = {}
    for name in label_names(predictions):
        known = predictions[predictions[TRUTH + name].notna()]
        truth = known[TRUTH + name].to_numpy()
        if len(np.unique(truth)) < 2:
            continue
        precision, recall, _ = precision_recall_curve(truth, known[PROBABILITY + name].to_numpy())
        # ascending recall; the last point of scikit-learn, precision 1 at recall 0, belongs to no threshold
        first = np.searchsorted(recall[-2::-1], RECALL, side="left")
        curves[name] = (precision[-2::-1][first], float(truth.mean()))
    return curves


def box_curve(predictions: pd.DataFrame) -> Curve | None:
    """Precision of stored boxes at IoU 0.5 as COCO defines it, mean over labels; None without annotated boxes."""
    matches = match_boxes(predictions)
    return None if matches is None else matches.precision[np.round(100 * RECALL).astype(int)]


def read_panels(block: Block, rows: Sequence[Row], store: RecordStore) -> tuple[list[Panel], list[str]]:
    """Panels of every dataset at its largest label fraction, and why some runs are not among them."""
    panels, reasons = [], []
    for group in block.groups:
        if not group.records:
            continue
        curves: dict[str, dict[Row, list[Curve]]] = {}
        prevalences: dict[str, float | None] = {}
        for row in rows:
            for record in runs_of(group, row, largest_fraction(group)):
                try:
                    predictions = read_predictions(store, record)
                except VlpbenchError as problem:
                    reasons.append(str(problem))
                    continue
                for name, (curve, prevalence) in _curves(group, predictions).items():
                    curves.setdefault(name, {}).setdefault(row, []).append(curve)
                    prevalences[name] = prevalence
        for name, found in curves.items():
            means = {row: np.mean(many, axis=0) for row, many in found.items()}
            panels.append(Panel(_panel_title(group, name), prevalences[name], means))
    return panels, reasons


def draw_precision_recall(block: Block, store: RecordStore, titles: Titles) -> Figure:
    """One panel per label (classification) or dataset (detection), at the largest share of the training labels.

    Raises:
        NothingToDrawError: where no predictions can be read.
    """
    styles, names = row_strokes(block), short_titles(block.rows)
    panels, reasons = read_panels(block, compared_rows(block), store)
    if not panels:
        raise NothingToDrawError(reasons[0] if reasons else f"there are no predictions of {block.layout.task} to read.")
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        for place, axes in enumerate(grid.flat):
            if place >= len(panels):
                axes.set_axis_off()
                continue
            _draw_panel(axes, panels[place], styles)
            if place + columns >= len(panels):
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("Recall (%), further right is better")
        for axes in grid[:, 0]:
            axes.set_ylabel("Precision (%), higher is better")
        canvas.legend(handles=_legend_entries(panels, styles, names), loc="outside lower left", ncols=4)

    title = f"Precision and recall: {block.layout.title.lower()}"
    name = block_name("precision_recall", block, block.layout.task)
    sheet = Sheet(name, title, head_of(block, titles), max(columns, 2) * PANEL[0], lines * PANEL[1] + LEGEND)
    svg, png = render(sheet, draw)
    left_out = f" {len(reasons)} run(s) are missing: {first_sentence(reasons[0])}" if reasons else ""
    how = BOXES if block.layout.task == DETECTION else PROBABILITIES
    caption = (
        f"{describe_block(block, titles)} {how} Curves: means over the seeds; {describe_seeds(block.records)} "
        "Shown are the best methods by average rank, the benchmark's "
        f"own, and the rows to compare with.{left_out}"
    )
    return Figure(name, title, caption, _alternative(panels, names), svg, png)


def _curves(group: ColumnGroup, predictions: pd.DataFrame) -> dict[str, tuple[Curve, float | None]]:
    """Curves of one run by label, all labels together for boxes."""
    if group.task == DETECTION:
        curve = box_curve(predictions)
        return {} if curve is None else {"": (curve, None)}
    return dict(label_curves(predictions))


def _panel_title(group: ColumnGroup, name: str) -> str:
    fraction = largest_fraction(group)
    part = "" if fraction == 1 else f", {share(fraction)} of the labels"
    return f"{group.title}{f': {label_words(name)}' if name else ''}{part}"


def _draw_panel(axes: Axes, panel: Panel, styles: Mapping[Row, Stroke]) -> None:
    if panel.prevalence is not None:
        axes.axhline(100 * panel.prevalence, color=FAINT, linestyle=":", linewidth=0.9)
    for row, curve in panel.curves.items():
        stroke = styles[row]
        strong = stroke in HIGHLIGHTS
        axes.plot(
            100 * RECALL,
            100 * curve,
            color=stroke.colour,
            linestyle=stroke.line,
            linewidth=1.8 if strong else 1.0,
            marker=stroke.marker or None,
            markersize=4,
            markevery=(9, 20),
            zorder=4 if strong else 3,
        )
    axes.set_title(panel.title, fontsize=SMALL)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 103)


def _legend_entries(panels: Sequence[Panel], styles: Mapping[Row, Stroke], names: Mapping[Row, str]) -> list[Line2D]:
    from matplotlib.lines import Line2D

    rows = list(dict.fromkeys(row for panel in panels for row in panel.curves))
    entries = [
        Line2D(
            [],
            [],
            color=styles[row].colour,
            linestyle=styles[row].line,
            linewidth=1.8 if styles[row] in HIGHLIGHTS else 1.0,
            marker=styles[row].marker or None,
            markersize=4,
            label=names[row],
        )
        for row in rows
    ]
    if any(panel.prevalence is not None for panel in panels):
        entries.append(Line2D([], [], color=FAINT, ls=":", lw=0.9, label="share of positives: a blind guess"))
    return entries


def _alternative(panels: Sequence[Panel], names: Mapping[Row, str]) -> str:
    """Precision at half of the positives found, panel by panel."""
    half = int(np.searchsorted(RECALL, 0.5))
    told = " ".join(
        f"{panel.title}: "
        + ", ".join(f"{names[row]} {percent(float(curve[half]))}" for row, curve in panel.curves.items())
        + "."
        for panel in panels
    )
    return f"Precision in % where half of the positives are found. {told}"
