"""Boxes around findings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in pixels: top-left corner (origin at the top left of the image), width, height and label."""

    label: str
    x: float
    y: float
    width: float
    height: float
