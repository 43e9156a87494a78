"""Critical-difference diagram: methods along an axis of average ranks, with bars over those that do not differ.

The form is that of Demšar, JMLR 2006, 7:1-30, figure 1, with the best rank on the left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vlpbench.figures.canvas import Sheet, render
from vlpbench.figures.style import FAINT, INK, SIZE, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Group = tuple[int, int]
AXIS_WIDTH = 4.4
LETTER = 0.072
ROW, BAR, FOOT = 0.26, 0.13, 0.45
"""Inches: the axis, a letter of a label, the distance of two labels, that of two bars, and the height of the foot."""
FOOTNOTE = (
    "Rank 1 is best. A bar joins methods whose average ranks are less\n"
    "than the critical difference apart (Nemenyi's test at 5 %)."
)


def draw_ranks(
    titles: Sequence[str],
    averages: Sequence[float],
    *,
    critical_difference: float,
    groups: Sequence[Group],
    title: str,
    subtitle: str,
    name: str = "ranks",
) -> tuple[str, bytes]:
    """Draw the diagram.

    Args:
        titles: of the methods, best first.
        averages: their average ranks, ascending.
        critical_difference: of average ranks.
        groups: first and last place of methods that do not differ.
        title: first line of the figure.
        subtitle: second line.
        name: ids within the SVG begin with it.

    Returns:
        The figure as SVG and as PNG, the same bytes for the same arguments.
    """
    left = math.ceil(len(titles) / 2)
    lanes = _lanes(groups)
    rows = max(left, len(titles) - left)
    below = 0.15 + BAR * (max(lanes, default=0) + bool(lanes)) + ROW * rows
    labels = _labels(titles, averages)
    before, after = (0.25 + LETTER * max(map(len, part)) for part in (labels[:left], labels[left:]))

    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        axes.set_axis_off()
        axes.set_xlim(-before, AXIS_WIDTH + after)
        axes.set_ylim(-below - FOOT, 0.85)
        places = _places(averages)
        _draw_axis(axes, len(titles))
        _draw_critical_difference(axes, critical_difference, len(titles))
        for (first, last), lane in zip(groups, lanes, strict=True):
            height = -0.15 - BAR * lane
            ends = [places[first] - 0.04, places[last] + 0.04]
            axes.plot(ends, [height, height], color=INK, linewidth=3.2, solid_capstyle="butt")
        _draw_methods(axes, labels, places, top=-below + ROW * rows)
        axes.text(-before, -below - FOOT, FOOTNOTE, va="bottom", fontsize=SMALL, color=FAINT)

    return render(Sheet(name, title, subtitle, AXIS_WIDTH + before + after, below + FOOT + 0.85), draw)


def _labels(titles: Sequence[str], averages: Sequence[float]) -> list[str]:
    return [f"{title}  {average:.2f}" for title, average in zip(titles, averages, strict=True)]


def _places(averages: Sequence[float]) -> list[float]:
    """Position of each method on the axis, inches from rank 1."""
    return [(rank - 1) / (len(averages) - 1) * AXIS_WIDTH for rank in averages]


def _lanes(groups: Sequence[Group]) -> list[int]:
    """A line for each bar, so that bars of one line share no method."""
    ends: list[int] = []
    lanes: list[int] = []
    for first, last in groups:
        lane = next((number for number, end in enumerate(ends) if end < first), len(ends))
        ends[lane : lane + 1] = [last]
        lanes.append(lane)
    return lanes


def _draw_axis(axes: Axes, methods: int) -> None:
    axes.plot([0, AXIS_WIDTH], [0, 0], color=INK, linewidth=0.9)
    for rank in range(1, methods + 1):
        place = (rank - 1) / (methods - 1) * AXIS_WIDTH
        axes.plot([place, place], [0, 0.07], color=INK, linewidth=0.9)
        axes.text(place, 0.1, str(rank), ha="center", va="bottom", fontsize=SMALL)


def _draw_critical_difference(axes: Axes, critical: float, methods: int) -> None:
    """A ruler of that length over the axis, or words where it is longer."""
    length = critical / (methods - 1) * AXIS_WIDTH
    words = f"critical difference {critical:.2f}"
    if length > AXIS_WIDTH:
        axes.text(0, 0.5, f"{words}, longer than the axis", va="center", fontsize=SMALL, color=FAINT)
        return
    axes.plot([0, length], [0.5, 0.5], color=FAINT, linewidth=1.4)
    for end in (0.0, length):
        axes.plot([end, end], [0.45, 0.55], color=FAINT, linewidth=1.4)
    axes.text(0, 0.6, words, va="bottom", fontsize=SMALL, color=FAINT)


def _draw_methods(axes: Axes, labels: Sequence[str], places: Sequence[float], *, top: float) -> None:
    """A line from each method's place down to its label: the better half on the left, the others on the right."""
    left = math.ceil(len(labels) / 2)
    for number, (label, place) in enumerate(zip(labels, places, strict=True)):
        on_left = number < left
        row = number if on_left else len(labels) - 1 - number
        height = top - ROW * (row + 0.5)
        edge = -0.12 if on_left else AXIS_WIDTH + 0.12
        axes.plot([place, place, edge], [0, height, height], color=FAINT, linewidth=0.7, solid_joinstyle="miter")
        axes.plot([place], [0], marker="o", markersize=3.2, color=INK)
        axes.text(
            edge + (-0.05 if on_left else 0.05),
            height,
            label,
            ha="right" if on_left else "left",
            va="center",
            fontsize=SIZE,
            color=INK,
        )
