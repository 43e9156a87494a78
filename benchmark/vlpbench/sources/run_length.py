"""Masks as run lengths in the spelling of SIIM-ACR: relative gaps, column by column."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

Run = tuple[int, int]
"""Background pixels since the end of the run before, and foreground pixels of this one."""


class RunLengthError(ValueError):
    """Run lengths that are malformed or do not fit their image."""


def parse_runs(text: str) -> list[Run]:
    """Gaps and runs of one cell such as "557374 2 1015 8".

    Args:
        text: pairs of a gap, counted from the end of the run before (the first from pixel 0), and the length of a run.

    Raises:
        RunLengthError: for anything but an even number of whole numbers with runs of at least one pixel.
    """
    tokens = text.split()
    for token in tokens:
        if not (token.isascii() and token.isdigit()):
            raise RunLengthError(f"the run lengths hold {token!r}; expected whole numbers from 0 up, or -1 for no mask")
    if len(tokens) == 0 or len(tokens) % 2:
        raise RunLengthError(f"the run lengths are {len(tokens)} numbers; expected pairs of gap and run")
    runs = [(int(gap), int(run)) for gap, run in zip(tokens[::2], tokens[1::2], strict=True)]
    for number, (_, run) in enumerate(runs, start=1):
        if run == 0:
            raise RunLengthError(f"pair {number} of the run lengths has no pixel; expected a run of at least 1")
    return runs


def draw_runs(runs: list[Run], *, height: int, width: int) -> UInt8[np.ndarray, "height width"]:
    """A mask of 0 and 1; pixels are counted down the first column, then down the second, and so on.

    Raises:
        RunLengthError: if the last run ends beyond the image.
    """
    end = sum(gap + run for gap, run in runs)
    if end > height * width:
        raise RunLengthError(
            f"the run lengths end at pixel {end:,}, the image of {width} x {height} has {height * width:,}"
        )
    lengths = np.asarray(runs, dtype=np.int64).reshape(-1)
    flat = np.zeros(height * width, dtype=np.uint8)
    flat[:end] = np.repeat(np.tile(np.array([0, 1], dtype=np.uint8), len(runs)), lengths)
    return flat.reshape(width, height).T
