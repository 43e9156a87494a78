"""Style: colours, lines, markers and hatches that tell methods apart in colour, in grey and for any colour vision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

LineStyle = Literal["-", ":"] | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Stroke:
    """How one method is drawn.

    Attributes:
        colour: as hexadecimal RGB.
        line: line style of matplotlib.
        marker: marker of matplotlib.
        hatch: of bars.
    """

    colour: str
    line: LineStyle
    marker: str
    hatch: str


HIGHLIGHTS: tuple[Stroke, ...] = (
    Stroke("#0072B2", "-", "o", ""),
    Stroke("#D55E00", "-", "s", "////"),
    Stroke("#009E73", "-", "^", "...."),
    Stroke("#CC79A7", "-", "D", "xxxx"),
)
"""Colours of Okabe and Ito (2008), from which yellow and the two light ones are left out on white ground."""
OTHER_LINE = Stroke("#8c8c8c", "-", "", "")
FLOOR_LINE = Stroke("#000000", (0, (5, 2)), "x", "")
TRIVIAL_LINE = Stroke("#000000", (0, (1, 1.5)), "", "")
CEILING_LINE = Stroke("#000000", (0, (6, 1.5, 1, 1.5)), "+", "")
TRUTH = Stroke("#F0E442", "-", "", "")
PREDICTION = Stroke("#56B4E9", (0, (3, 1.2)), "", "")
INK, FAINT = "#000000", "#595959"
BAND_OPACITY = 0.18
SIZE, SMALL, TINY = 9.0, 8.0, 7.0
"""Sizes of text, points."""
PNG_DPI = 160

SETTINGS: Mapping[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelsize": SMALL,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": SIZE,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": SIZE,
    "grid.color": "#dedede",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.7,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "vlpbench",
    "text.parse_math": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
}
"""Settings of matplotlib over its own defaults. Outlines instead of fonts: a phone has no DejaVu Sans, and another
font would put one label on top of the next."""


def strokes(names: Sequence[str]) -> dict[str, Stroke]:
    """A stroke for each of a few names, in their order; what is beyond the strokes there are is drawn like the rest."""
    return {name: HIGHLIGHTS[place] if place < len(HIGHLIGHTS) else OTHER_LINE for place, name in enumerate(names)}
