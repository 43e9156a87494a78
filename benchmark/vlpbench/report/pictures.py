"""Pictures: figures as the page holds them, inside its own text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from vlpbench.figures.figure import Figure

GALLERY = ("predictions",)
"""Kinds of figures that are photographs more than drawings."""
LARGEST_SVG = 400_000
SENTENCE = ". "
SVG_SIZE = re.compile(r'<svg[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"')
PIXELS = 96 / 72
"""Of a page, to a point."""


@dataclass(frozen=True)
class Picture:
    """One figure.

    Attributes:
        anchor: id within the page.
        title: one line.
        caption: what must be known to read it.
        alternative: for those who do not see it.
        source: data URL.
        width: pixels, as drawn.
        height: likewise.
    """

    anchor: str
    title: str
    caption: str
    alternative: str
    source: str
    width: int
    height: int


def split_pictures(figures: Iterable[Figure]) -> tuple[list[Picture], list[Picture]]:
    """Drawings, and galleries of images, each in the order given."""
    drawings: list[Picture] = []
    galleries: list[Picture] = []
    for figure in figures:
        gallery = figure.name.startswith(GALLERY)
        (galleries if gallery else drawings).append(embed(figure, raster=gallery))
    return drawings, galleries


def shared_caption(pictures: Sequence[Picture]) -> str:
    """The sentences that all captions begin with, such as those on the suite; "" for fewer than two pictures."""
    if len(pictures) < 2:
        return ""
    starts = zip(*(picture.caption.split(SENTENCE) for picture in pictures), strict=False)
    return "".join(f"{told[0]}{SENTENCE}" for told in takewhile(lambda told: len(set(told)) == 1, starts)).rstrip()


def without_caption(pictures: Sequence[Picture], shared: str) -> list[Picture]:
    """The pictures without the sentences that stand above all of them."""
    return [replace(picture, caption=picture.caption.removeprefix(shared).lstrip()) for picture in pictures]


def embed(figure: Figure, *, raster: bool = False) -> Picture:
    """A figure as a data URL: SVG where it is small, which stays sharp, else PNG."""
    width, height = _size(figure)
    drawn = figure.svg.encode()
    as_png = raster or len(drawn) > LARGEST_SVG
    kind, content = ("image/png", figure.png) if as_png else ("image/svg+xml", drawn)
    return Picture(
        anchor=f"figure-{figure.name}",
        title=figure.title,
        caption=figure.caption,
        alternative=figure.alternative,
        source=f"data:{kind};base64,{base64.b64encode(content).decode()}",
        width=width,
        height=height,
    )


def _size(figure: Figure) -> tuple[int, int]:
    """Width and height in the pixels of a page, so that letters of all figures are of one size."""
    told = SVG_SIZE.search(figure.svg)
    if told is None:  # the PNG's header chunk, at the resolution figures are drawn with
        width, height = (int.from_bytes(figure.png[start : start + 4], "big") for start in (16, 20))
        return width // 2, height // 2
    return round(float(told[1]) * PIXELS), round(float(told[2]) * PIXELS)
