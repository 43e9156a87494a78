"""Places of labels beside line ends, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Places nearest to the wanted ones (least squares) that keep their order, a gap and the borders.

    Args:
        wanted: one a label, any unit.
        gap: between neighbours, same unit; smaller where the borders leave no room for it.
        low: lowest place.
        high: highest place.

    Returns:
        Places in the order of `wanted`; of equal ones the first is put highest.
    """
    from scipy.optimize import isotonic_regression

    count = len(wanted)
    if count == 0:
        return []
    if count > 1:
        gap = min(gap, (high - low) / (count - 1))
    order = sorted(range(count), key=lambda number: (wanted[number], -number))
    ranks = np.arange(count) * gap
    free = isotonic_regression(np.array([wanted[number] for number in order]) - ranks).x
    placed = np.clip(free, low, high - ranks[-1]) + ranks
    places = dict(zip(order, placed.tolist(), strict=True))
    return [places[number] for number in range(count)]
