"""Smooth fields over the image plane, in coordinates that do not depend on the size in pixels.

Edges are polynomials and noise is a small grid interpolated by a fixed matrix, so that a field is the same picture at
every size, and costs microseconds. Coordinates run from -1 to 1 across the image; u to the right, v downwards.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

Field = Float[np.ndarray, "size size"]


@dataclass(frozen=True)
class Frame:
    """The pixel centres in the patient's coordinates.

    Attributes:
        u: Distance from the spine, positive on the patient's left (the image's right).
        v: From -1 at the chin to 1 below the diaphragm.
        r: Absolute distance from the spine.
    """

    u: Field
    v: Field
    r: Field

    @property
    def size(self) -> int:
        """Pixels along one edge."""
        return int(self.u.shape[0])


@dataclass(frozen=True)
class Pose:
    """How the patient lies in the image: an angle in radians, a scale, and a shift in coordinate units."""

    angle: float
    scale: float
    shift_u: float
    shift_v: float


def rng_of(*words: int) -> np.random.Generator:
    """The generator of a list of integers, the same on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def place(size: int, pose: Pose) -> Frame:
    """The frame of an image of `size` pixels for a pose."""
    centres = (np.arange(size, dtype=np.float64) + 0.5) * (2.0 / size) - 1.0
    x = (centres - pose.shift_u)[None, :] / pose.scale
    y = (centres - pose.shift_v)[:, None] / pose.scale
    cos, sin = float(np.cos(pose.angle)), float(np.sin(pose.angle))
    u, v = cos * x + sin * y, cos * y - sin * x
    return Frame(u=u, v=v, r=np.abs(u))


def soft(distance: Field, width: float) -> Field:
    """A step from 0 to 1 over `width`, centred where `distance` is 0."""
    t = np.clip(distance * (1.0 / width) + 0.5, 0.0, 1.0)
    result: Field = t * t * (3.0 - 2.0 * t)
    return result


def ellipse(frame: Frame, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0) -> Field:
    """The distance from the centre in radii: 1 on the rim."""
    du, dv = frame.u - centre[0], frame.v - centre[1]
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    a, b = (cos * du + sin * dv) * (1.0 / radii[0]), (cos * dv - sin * du) * (1.0 / radii[1])
    result: Field = np.sqrt(a * a + b * b)
    return result


def bump(frame: Frame, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0) -> Field:
    """A hill of height 1 at the centre that reaches 0 at the radii."""
    q = np.minimum(ellipse(frame, centre, radii, angle), 1.0)
    result: Field = (1.0 - q * q) ** 2
    return result


def bar(frame: Frame, start: tuple[float, float], stop: tuple[float, float]) -> Field:
    """The distance to a straight segment."""
    du, dv = stop[0] - start[0], stop[1] - start[1]
    pu, pv = frame.u - start[0], frame.v - start[1]
    t = np.clip((pu * du + pv * dv) / (du * du + dv * dv), 0.0, 1.0)
    result: Field = np.sqrt((pu - t * du) ** 2 + (pv - t * dv) ** 2)
    return result


def line(frame: Frame, start: tuple[float, float], stop: tuple[float, float], bend: float) -> Field:
    """The distance to a mainly vertical curve from `start` down to `stop`, bowed sideways by `bend`."""
    span = stop[1] - start[1]
    t = (frame.v - start[1]) * (1.0 / span)
    course = start[0] + (stop[0] - start[0]) * t + 4.0 * bend * t * (1.0 - t)
    slope = (stop[0] - start[0] + 4.0 * bend * (1.0 - 2.0 * t)) * (1.0 / span)
    across = np.abs(frame.u - course) / np.sqrt(1.0 + slope * slope)
    beyond = np.maximum(-t, t - 1.0) * abs(span)
    result: Field = np.maximum(across, beyond)
    return result


def clouds(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Smooth noise of about unit variance with `cells` independent values along an edge."""
    weights = _interpolation(size, cells)
    result: Field = weights @ rng.standard_normal((cells + 3, cells + 3)) @ weights.T
    return result


@lru_cache(maxsize=64)
def _interpolation(size: int, cells: int) -> Float[np.ndarray, "size knots"]:
    """Cubic B-spline weights from cells + 3 knots to the pixel centres, scaled to keep the variance near 1."""
    position = (np.arange(size, dtype=np.float64) + 0.5) * (cells / size)
    first = np.minimum(np.floor(position).astype(np.int64), cells - 1)
    t = position - first
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((size, cells + 3))
    for offset, part in enumerate(parts):
        weights[np.arange(size), first + offset] = part / 6.0
    weights *= 1.0 / np.sqrt((weights**2).sum(axis=1).mean())
    weights.flags.writeable = False
    return weights
