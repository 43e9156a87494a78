"""Labels at the ends of lines, moved apart and tied to their lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlpbench.figures.canvas import lay_out
from vlpbench.figures.label_places import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Annotation

LEADER, START = 20.0, 4.0
"""Where a label begins and where the leader to it does, right of a line's end; points."""
LINE_HEIGHT = 1.22


@dataclass(frozen=True)
class LineLabel:
    """What stands beside the end of a line.

    Attributes:
        text: of the label.
        end: of the line, in data coordinates.
        colour: of the leader.
        ink: colour of the text.
        strong: whether the text is bold.
    """

    text: str
    end: tuple[float, float]
    colour: str
    ink: str
    strong: bool


def write_labels(axes: Axes, labels: Sequence[LineLabel], *, size: float) -> list[Annotation]:
    """Write labels right of the longest line, each at its line's height; `part_labels` moves them apart afterwards."""
    right = max((label.end[0] for label in labels), default=0.0)
    return [
        axes.annotate(
            label.text,
            xy=(right, label.end[1]),
            xytext=(LEADER, 0),
            textcoords="offset points",
            fontsize=size,
            fontweight="bold" if label.strong else "normal",
            color=label.ink,
            va="center",
            ha="left",
            annotation_clip=False,
        )
        for label in labels
    ]


def part_labels(canvas: Canvas, groups: Sequence[tuple[Axes, Sequence[LineLabel], Sequence[Annotation]]]) -> None:
    """Lay out the canvas with room for its labels, move the labels of each axes apart, and tie them to their lines."""
    from matplotlib.lines import Line2D

    lay_out(canvas)
    points = 72 / canvas.dpi
    width, height = canvas.get_size_inches() * 72
    for axes, labels, written in groups:
        box = axes.get_window_extent()
        ends = [axes.transData.transform(label.end) * points for label in labels]
        gap = LINE_HEIGHT * max((float(text.get_fontsize()) for text in written), default=0.0)
        places = spread([float(y) for _, y in ends], gap=gap, low=box.y0 * points, high=box.y1 * points)
        right = max((x for x, _ in ends), default=0.0) + LEADER - 2
        for label, text, (x, y), place in zip(labels, written, ends, places, strict=True):
            text.set_position((LEADER, place - y))
            leader = [(x + START) / width, right / width], [y / height, place / height]
            canvas.add_artist(Line2D(*leader, color=label.colour, linewidth=0.7, transform=canvas.transFigure))
