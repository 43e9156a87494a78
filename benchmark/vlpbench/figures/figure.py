"""Figures: a picture in two formats with the words that belong to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from vlpbench.errors import VlpbenchError


@dataclass(frozen=True)
class Figure:
    """One finished figure.

    Attributes:
        name: stem of its files; no two figures of one run share it.
        title: one line.
        caption: suite, protocol, seeds, what the marks mean, and whether the data are synthetic.
        alternative: the same for those who do not see it, with the main numbers.
        svg: the picture as SVG, text drawn as outlines so that it looks alike everywhere.
        png: the picture as PNG.
    """

    name: str
    title: str
    caption: str
    alternative: str
    svg: str = field(repr=False)
    png: bytes = field(repr=False)


class NothingToDrawError(VlpbenchError):
    """A figure lacks what it is drawn from; the message says what, and how to get it."""
