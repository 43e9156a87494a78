"""Word-to-patch alignment over a radiograph: a column for each phrase, a row for each method (SISTA, Figure 2)."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from vlpbench.canonical import atomic_path
from vlpbench.errors import VlpbenchError
from vlpbench.figures.style import FAINT, INK, SETTINGS, SIZE, SMALL, TINY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Pixels = Float[np.ndarray, "size size"]
Mask = Bool[np.ndarray, "size size"]
COLOURS = "viridis"
"""Perceptually uniform, safe for any colour vision, and nowhere the grey of the radiograph."""
HEAT_OPACITY = 0.5
PANEL, LEFT, RIGHT, TOP, BOTTOM = 1.55, 0.35, 0.85, 0.35, 0.4
LETTERS_PER_INCH = 17
UNDATED: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Formats by suffix, with what matplotlib would write into each but for this."""


@dataclass(frozen=True)
class Panel:
    """What one method says of one phrase.

    Attributes:
        pixels: map in [0, 1] at the size of the radiograph; None where the method knows nothing of the phrase.
        low: lowest similarity, in the method's own units.
        high: highest similarity, likewise.
        highest: row and column of the centres of the highest patches, pixels.
    """

    pixels: Pixels | None
    low: float
    high: float
    highest: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class AlignmentFigure:
    """Everything that is drawn.

    Attributes:
        radiograph: grey pixels.
        phrases: titles of the columns.
        methods: titles of the rows.
        panels: by method, then by phrase.
        masks: true mask of each phrase, None where none is known.
        caption: what is seen, under the panels.
    """

    radiograph: UInt8[np.ndarray, "size size"]
    phrases: Sequence[str]
    methods: Sequence[str]
    panels: Sequence[Sequence[Panel]]
    masks: Sequence[Mask | None]
    caption: str


def check_suffix(out: Path) -> None:
    """Refuse a file of another format before anything is computed.

    Raises:
        VlpbenchError: naming the formats.
    """
    if out.suffix.lower() not in UNDATED:
        raise VlpbenchError(f"--out {out}: expected a name that ends in {', '.join(UNDATED)}.")


def write_alignment(figure: AlignmentFigure, out: Path) -> None:
    """Draw into a .png, .svg or .pdf file; equal figures give equal bytes.

    Raises:
        VlpbenchError: for another suffix, or a folder that cannot be written.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    check_suffix(out)
    kind, file = out.suffix.lower(), io.BytesIO()
    width = LEFT + PANEL * (1 + len(figure.phrases)) + RIGHT
    lines = textwrap.wrap(figure.caption, max(40, round(LETTERS_PER_INCH * width)), break_on_hyphens=False)
    height = TOP + (PANEL + 0.25) * len(figure.methods) + BOTTOM + 0.13 * len(lines)
    with style.context(["default", dict(SETTINGS)]):
        canvas = Canvas(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(canvas)
        _draw(canvas, figure, "\n".join(lines))
        canvas.savefig(file, format=kind.removeprefix("."), metadata=UNDATED[kind])
    with atomic_path(out) as temporary:
        temporary.write_bytes(file.getvalue())


def describe_range(low: float, high: float) -> str:
    """Both numbers with as many digits as tell them apart."""
    if not high > low:
        return f"{low:.3g} throughout"
    texts = [f"{low:g}", f"{high:g}"]
    for digits in range(3, 8):
        texts = [f"{value:.{digits}g}" for value in (low, high)]
        if float(texts[1]) - float(texts[0]) > 0.5 * (high - low):
            break
    return " to ".join(texts)


def _draw(canvas: Canvas, figure: AlignmentFigure, caption: str) -> None:
    from matplotlib.cm import ScalarMappable

    grid = canvas.subplots(len(figure.methods), 1 + len(figure.phrases), squeeze=False)
    for row, (method, panels) in enumerate(zip(figure.methods, figure.panels, strict=True)):
        for axes in grid[row]:
            _bare(axes)
            axes.imshow(figure.radiograph, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
        grid[row][0].set_ylabel(textwrap.fill(method, 16), fontsize=SIZE, fontweight="bold", color=INK)
        for axes, panel, mask in zip(grid[row][1:], panels, figure.masks, strict=True):
            _draw_panel(axes, panel, mask)
    for axes, title in zip(grid[0], ("radiograph", *figure.phrases), strict=True):
        axes.set_title(textwrap.fill(title, 22), loc="center", fontsize=SMALL)
    rows = len(figure.methods)
    bar = canvas.colorbar(
        ScalarMappable(cmap=COLOURS),
        ax=grid[:, 1:],
        fraction=0.05,
        pad=0.02,
        shrink=0.7 / rows,
        aspect=9,
        anchor=(0.0, 1.0 - 0.15 / rows),
    )
    bar.set_ticks([0, 1], labels=["lowest\npatch", "highest\npatch"])
    bar.ax.tick_params(labelsize=TINY, length=0)
    bar.outline.set_visible(False)
    canvas.supxlabel(caption, x=0.01, ha="left", fontsize=TINY, color=FAINT)


def _draw_panel(axes: Axes, panel: Panel, mask: Mask | None) -> None:
    from matplotlib.patheffects import withStroke

    if panel.pixels is None:
        axes.set_xlabel("names nothing\nthe method knows", fontsize=TINY, color=FAINT)
    else:
        axes.imshow(panel.pixels, cmap=COLOURS, vmin=0, vmax=1, alpha=HEAT_OPACITY, interpolation="bilinear")
        axes.set_xlabel(describe_range(panel.low, panel.high), fontsize=TINY, color=FAINT)
        rows, columns = zip(*panel.highest, strict=True) if panel.highest else ((), ())
        axes.plot(columns, rows, "x", color="black", markersize=6, markeredgewidth=2.6)
        axes.plot(columns, rows, "x", color="white", markersize=5, markeredgewidth=1.2)
    if mask is not None and mask.any() and not mask.all():
        lines = axes.contour(mask.astype(float), levels=[0.5], colors="white", linewidths=1.1)
        lines.set_path_effects([withStroke(linewidth=2.4, foreground="black")])


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
