"""Foreign objects: buttons, coins, chains, pins, clasps and implanted boxes, bright and sharp-edged."""

import numpy as np
from jaxtyping import Bool

from vlpbench.phantom.anatomy import Thorax
from vlpbench.phantom.fields import Field, Frame, bar, ellipse, rng_of, soft
from vlpbench.phantom.study import Finding

SORTS: tuple[str, ...] = ("button", "coin", "chain", "pin", "clasp", "pacemaker")

_RADII = {
    "button": (0.055, 0.09),
    "coin": (0.08, 0.13),
    "chain": (0.12, 0.19),
    "pin": (0.10, 0.18),
    "clasp": (0.06, 0.10),
    "pacemaker": (0.12, 0.17),
}
_EDGE = 0.015
_ATTEMPTS = 12


def draw_objects(thorax: Thorax, finding: Finding) -> list[Bool[np.ndarray, "size size"]]:
    """All objects of a study, apart from one another; objects of a bilateral finding lie on both sides in turn."""
    rng = rng_of(finding.seed)
    placed: list[tuple[float, float, float]] = []
    masks = []
    for number in range(finding.count):
        sort = SORTS[int(rng.integers(len(SORTS)))] if finding.location == "mixed" else finding.location
        side = ("left", "right")[number % 2] if finding.side == "bilateral" else finding.side
        radius = float(rng.uniform(*_RADII[sort]))
        centre = _free_place(rng, 1.0 if side == "left" else -1.0, radius, placed)
        placed.append((*centre, radius))
        cover = _shape(thorax.frame, sort, centre, radius, float(rng.uniform(-1.2, 1.2)))
        thorax.added = np.maximum(thorax.added, float(rng.uniform(0.78, 1.05)) * cover)
        masks.append(cover > 0.5)
    return masks


def _free_place(
    rng: np.random.Generator, sign: float, radius: float, placed: list[tuple[float, float, float]]
) -> tuple[float, float]:
    """A centre on one side of the chest away from the objects already there, as far as a few attempts allow."""
    centre = (0.0, 0.0)
    for _ in range(_ATTEMPTS):
        centre = (sign * float(rng.uniform(0.10 + radius, 0.72)), float(rng.uniform(-0.68, 0.62)))
        if all((centre[0] - u) ** 2 + (centre[1] - v) ** 2 > (radius + size + 0.04) ** 2 for u, v, size in placed):
            break
    return centre


def _shape(frame: Frame, sort: str, centre: tuple[float, float], radius: float, angle: float) -> Field:
    """The cover of one object, 0 to 1."""
    u, v = centre
    du, dv = float(np.cos(angle)) * radius, float(np.sin(angle)) * radius
    if sort == "coin":
        return soft((1.0 - ellipse(frame, centre, (radius, radius))) * radius, _EDGE)
    if sort == "button":
        distance = ellipse(frame, centre, (radius, radius)) * radius
        holes = np.minimum(
            bar(frame, (u + du / 4, v + dv / 4), (u + du / 3, v + dv / 3)),
            bar(frame, (u - du / 4, v - dv / 4), (u - du / 3, v - dv / 3)),
        )
        return soft(radius - distance, _EDGE) * (1.0 - 0.35 * soft(0.16 * radius - holes, _EDGE))
    if sort == "pin":
        shaft = np.minimum(
            bar(frame, (u - du, v - dv), (u + du, v + dv)),
            bar(frame, (u - du - 0.35 * dv, v - dv + 0.35 * du), (u + du, v + dv)),
        )
        head = ellipse(frame, (u - du, v - dv), (1.0, 1.0)) - 0.020
        return soft(0.018 - np.minimum(shaft, head), _EDGE)
    if sort == "clasp":
        rim = np.abs(ellipse(frame, centre, (0.72 * radius, radius), angle) - 1.0) * 0.8 * radius
        return soft(0.024 - np.minimum(rim, bar(frame, (u - du, v - dv), (u + du, v + dv))), _EDGE)
    if sort == "pacemaker":
        cos, sin = float(np.cos(0.4 * angle)), float(np.sin(0.4 * angle))
        a = np.abs(cos * (frame.u - u) + sin * (frame.v - v)) * (1.0 / radius)
        b = np.abs(cos * (frame.v - v) - sin * (frame.u - u)) * (1.25 / radius)
        box = (1.0 - np.sqrt(np.sqrt(a**4 + b**4))) * radius
        return soft(box, _EDGE) * (0.84 + 0.16 * soft(0.55 - b, 0.1))
    return _chain(frame, centre, radius, angle)


def _chain(frame: Frame, centre: tuple[float, float], radius: float, angle: float) -> Field:
    """Beads along a hanging arc."""
    cover = np.zeros_like(frame.u)
    for step in np.linspace(-1.0, 1.0, 7).tolist():
        a, b = step * radius, 0.6 * radius * (0.5 - step * step)
        cos, sin = float(np.cos(0.5 * angle)), float(np.sin(0.5 * angle))
        bead = (centre[0] + cos * a - sin * b, centre[1] + sin * a + cos * b)
        cover = np.maximum(cover, soft(0.034 - ellipse(frame, bead, (1.0, 1.0)), _EDGE))
    return cover
