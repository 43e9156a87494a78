"""Canvases: what matplotlib draws on, without its global state, to the same bytes every time."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlpbench.figures.style import FAINT, PNG_DPI, SETTINGS, SIZE, SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MARGIN = 6.0
HEAD = 2.9 * SIZE
"""Points around the picture, and above it for the two lines of its head."""


@dataclass(frozen=True)
class Sheet:
    """What a picture is drawn on, and what it says of itself, since pictures travel without their captions.

    Attributes:
        name: of the figure; ids within the SVG begin with it, so that several may stand in one page.
        title: first line.
        subtitle: second line: suite, protocol, and that data are synthetic.
        width: inches.
        height: inches, without the head.
    """

    name: str
    title: str
    subtitle: str
    width: float
    height: float


def render(sheet: Sheet, draw: Callable[[Canvas], None]) -> tuple[str, bytes]:
    """Draw on a fresh canvas.

    Args:
        sheet: size and head.
        draw: puts everything else on it.

    Returns:
        The picture as SVG and as PNG.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    vector, pixels = io.StringIO(), io.BytesIO()
    with warnings.catch_warnings(), style.context(["default", dict(SETTINGS)]):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        height = sheet.height + HEAD / 72
        below_head = (0, 0, 1, 1 - HEAD / 72 / height)
        engine = ConstrainedLayoutEngine(rect=below_head, w_pad=MARGIN / 72, h_pad=MARGIN / 72)
        canvas = Canvas(figsize=(sheet.width, height), dpi=PNG_DPI, layout=engine)
        _write_head(canvas, sheet, height)
        draw(canvas)
        lay_out(canvas)
        raster: Any = FigureCanvasAgg(canvas)
        raster.print_png(pixels, metadata={"Software": None})
        # second, because it sets the resolution to 72 for good
        outlines: Any = FigureCanvasSVG(canvas)
        outlines.print_svg(vector, metadata={"Date": None, "Creator": None, "Title": sheet.title})
    return _with_own_ids(vector.getvalue(), sheet.name), pixels.getvalue()


def lay_out(canvas: Canvas) -> None:
    """Lay out what is on the canvas, once: both formats are drawn from the same places, in half the time."""
    engine = canvas.get_layout_engine()
    if engine is not None:
        engine.execute(canvas)
        canvas.set_layout_engine("none")


def _write_head(canvas: Canvas, sheet: Sheet, height: float) -> None:
    left, point = MARGIN / 72 / sheet.width, 1 / 72 / height
    canvas.text(left, 1 - MARGIN * point, sheet.title, fontsize=SIZE + 1, fontweight="bold", va="top")
    canvas.text(left, 1 - (MARGIN + 1.5 * SIZE) * point, sheet.subtitle, fontsize=SMALL, color=FAINT, va="top")


def _with_own_ids(svg: str, name: str) -> str:
    """The same SVG with every id, and every reference to one, led by the figure's name."""
    prefix = re.sub(r"[^\w-]", "_", name)
    svg = re.sub(r'(?<=\bid=")', f"{prefix}-", svg)
    return re.sub(r'(?<=href="#)|(?<=url\(#)', f"{prefix}-", svg)
