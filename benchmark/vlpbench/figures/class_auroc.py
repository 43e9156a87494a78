"""AUROC per class: every method on every label of a dataset, with all training labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from textwrap import fill
from typing import TYPE_CHECKING

from vlpbench.figures.canvas import Sheet, render
from vlpbench.figures.captions import block_name, describe_block, describe_seeds, head_of, label_words, percent, share
from vlpbench.figures.figure import Figure, NothingToDrawError
from vlpbench.figures.ranking import row_strokes, short_titles
from vlpbench.figures.runs import largest_fraction, runs_of
from vlpbench.figures.style import FAINT, HIGHLIGHTS, INK, SMALL, TINY, Stroke
from vlpbench.table.blocks import Block, ColumnGroup
from vlpbench.table.cells import METHOD, TRIVIAL, Row
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

METRIC = "auroc_"
CHANCE = 0.5
COLUMNS = 5
TITLE = 18
"""Letters on a line of a panel's title."""
WIDTH, NAMES, ROW_HEIGHT, FRAME = 1.75, 1.7, 0.2, 0.95
"""Sizes in inches: of a panel, of the names beside it, of a row, and of what is above and below the rows."""


@dataclass(frozen=True)
class ClassScores:
    """What one method reaches on each class.

    Attributes:
        row: the method.
        values: by class, one value a run, those that are undefined left out.
    """

    row: Row
    values: Mapping[str, tuple[float, ...]]

    @property
    def mean(self) -> float:
        """Mean over the classes of the means over the runs."""
        return fmean(fmean(values) for values in self.values.values())


def class_names(group: ColumnGroup) -> list[str]:
    """Classes in the order of the data, by what the records measured."""
    measured = {
        name.removeprefix(METRIC) for record in group.records for name in record.metrics if name.startswith(METRIC)
    }
    told = [str(name) for record in group.records[:1] for name in record.provenance.get("data", {}).get("labels", [])]
    order = [name for name in told if name in measured]
    return [*order, *sorted(measured - set(order))]


def read_scores(block: Block, group: ColumnGroup, fraction: float) -> list[ClassScores]:
    """Scores of every method that has some at a label fraction, best mean first."""
    found = []
    for row in block.rows:
        if row.kind == TRIVIAL:
            continue
        runs = runs_of(group, row, fraction)
        values = {
            name: defined
            for name in class_names(group)
            if (defined := tuple(one for run in runs if (one := run.metrics.get(METRIC + name)) is not None))
        }
        if values:
            found.append(ClassScores(row, values))
    return sorted(found, key=lambda scores: -scores.mean)


def draw_class_auroc(block: Block, group: ColumnGroup, titles: Titles) -> Figure:
    """Dots of the seeds and their mean, a row per method and a panel per class.

    Raises:
        NothingToDrawError: for a dataset of one class, or without a defined AUROC per class.
    """
    classes, fraction = class_names(group), largest_fraction(group)
    scores = read_scores(block, group, fraction)
    if len(classes) < 2 or not scores:
        raise NothingToDrawError(
            f"{group.title} has {len(classes)} class(es) with an AUROC of their own at {share(fraction)} of the labels."
        )
    names, styles = short_titles(block.rows), row_strokes(block)
    columns = min(COLUMNS, len(classes))
    lines = -(-len(classes) // columns)

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(lines, columns, squeeze=False, sharey=True, sharex=True)
        for place, axes in enumerate(grid.flat):
            if place >= len(classes):
                axes.set_axis_off()
                continue
            _draw_panel(axes, classes[place], scores, styles)
            axes.set_title(_panel_title(group, classes[place]), fontsize=SMALL)
            axes.tick_params(labelbottom=place + columns >= len(classes))
        for axes in grid[:, 0]:
            _name_rows(axes, scores, names, styles)
        canvas.supxlabel(
            "AUROC (%), higher is better (dotted: chance). Open marks: mean over the seeds; dots: one seed each",
            fontsize=SMALL,
        )

    title = f"AUROC per class: {group.title}, {share(fraction)} of the training labels"
    name = block_name("class_auroc", block, group.dataset)
    height = lines * (len(scores) * ROW_HEIGHT + FRAME)
    svg, png = render(Sheet(name, title, head_of(block, titles), NAMES + columns * WIDTH, height), draw)
    caption = (
        f"{describe_block(block, titles)} Area under the ROC curve of each label of {group.title} against the rest, "
        f"with {share(fraction)} of the training labels; under its name, the test images that have it. Open marks: "
        f"mean over the seeds; dots: single seeds; {describe_seeds(group.records)} Dotted: chance, 50 %. Rows by the "
        "mean over the labels. In colour as in the figure of label efficiency."
    )
    return Figure(name, title, caption, _alternative(classes, scores, names), svg, png)


def _draw_panel(axes: Axes, name: str, scores: Sequence[ClassScores], styles: Mapping[Row, Stroke]) -> None:
    axes.axvline(100 * CHANCE, color=INK, linestyle=":", linewidth=0.9)
    for place, one in enumerate(scores):
        values, stroke = one.values.get(name, ()), styles[one.row]
        if not values:
            continue
        strong = stroke in HIGHLIGHTS
        axes.plot(
            100 * fmean(values),
            place,
            marker=stroke.marker or "o",
            color=stroke.colour,
            markersize=6.5 if strong else 5.5,
            markerfacecolor="white",
            markeredgewidth=1.6 if strong else 1.0,
            zorder=2,
        )
        seeds = [100 * value for value in values]
        axes.scatter(seeds, [place] * len(seeds), s=5, color=stroke.colour, linewidth=0, zorder=3)
    axes.grid(visible=True, axis="both")
    axes.tick_params(axis="y", length=0)


def _name_rows(
    axes: Axes, scores: Sequence[ClassScores], names: Mapping[Row, str], styles: Mapping[Row, Stroke]
) -> None:
    axes.set_yticks(range(len(scores)), [names[one.row] for one in scores], fontsize=TINY + 0.5)
    axes.set_ylim(len(scores) - 0.5, -0.5)
    for label, one in zip(axes.get_yticklabels(), scores, strict=True):
        label.set_fontweight("bold" if styles[one.row] in HIGHLIGHTS else "normal")
        label.set_color(INK if styles[one.row] in HIGHLIGHTS or one.row.kind != METHOD else FAINT)


def _panel_title(group: ColumnGroup, name: str) -> str:
    return "\n".join([fill(label_words(name), TITLE), _positives(group, name)])


def _positives(group: ColumnGroup, name: str) -> str:
    """Test images with the label, among those where it is known; "" where no record counted."""
    counts = next((record.counts for record in group.records if f"test_positives:{name}" in record.counts), None)
    if counts is None:
        return ""
    positives = counts[f"test_positives:{name}"]
    return f"{positives} of {positives + counts.get(f'test_negatives:{name}', 0)} positive"


def _alternative(classes: Sequence[str], scores: Sequence[ClassScores], names: Mapping[Row, str]) -> str:
    told = "; ".join(f"{names[one.row]} {', '.join(_told(one, name) for name in classes)}" for one in scores)
    return f"AUROC in %, mean over the seeds, for {', '.join(map(label_words, classes))}: {told}."


def _told(scores: ClassScores, name: str) -> str:
    return percent(fmean(scores.values[name])) if name in scores.values else "none"
