"""How an image of any shape becomes a square one, and how boxes move with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vlpbench.box import Box


@dataclass(frozen=True)
class Geometry:
    """Aspect-keeping resize to a square of `size` pixels, padded with zeros on both sides of the shorter axis.

    Attributes:
        height: of the source image, pixels.
        width: of the source image, pixels.
        size: side of the square, pixels.
    """

    height: int
    width: int
    size: int

    @property
    def scale(self) -> float:
        """Prepared pixels per source pixel."""
        return self.size / max(self.height, self.width)

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the image inside the square."""
        return max(1, round(self.height * self.scale)), max(1, round(self.width * self.scale))

    @property
    def offset(self) -> tuple[int, int]:
        """Rows above and columns left of the image inside the square."""
        height, width = self.inner
        return (self.size - height) // 2, (self.size - width) // 2

    def resize(
        self, image: UInt8[np.ndarray, "height width"], *, nearest: bool = False
    ) -> UInt8[np.ndarray, "size size"]:
        """Move pixels into the square; `nearest` for masks, area-weighted interpolation otherwise."""
        height, width = self.inner
        top, left = self.offset
        if image.shape == (height, width):
            resized = image
        else:
            resample = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
            resized = np.asarray(Image.fromarray(image).resize((width, height), resample))
        square = np.zeros((self.size, self.size), dtype=np.uint8)
        square[top : top + height, left : left + width] = resized
        return square

    def move(self, box: Box) -> Box:
        """A box of the source image, in pixels of the square."""
        top, left = self.offset
        height, width = self.inner
        across, down = width / self.width, height / self.height
        return Box(box.label, box.x * across + left, box.y * down + top, box.width * across, box.height * down)

    def back(self, box: Box) -> Box:
        """A box of the square, in pixels of the source image."""
        top, left = self.offset
        height, width = self.inner
        across, down = self.width / width, self.height / height
        return Box(box.label, (box.x - left) * across, (box.y - top) * down, box.width * across, box.height * down)
