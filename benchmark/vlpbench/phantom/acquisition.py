"""What the hospital does to the picture: pose, exposure, blur, noise, collimation and the side marker."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from vlpbench.phantom.fields import Field, Frame, Pose, bar, clouds, ellipse, line, place, rng_of, soft
from vlpbench.phantom.study import Study

_POSE, _EXPOSURE, _LEADS = 21, 22, 23
_STANDARD_SIZE = 96
_SHOULDER = 1.1
_UPRIGHT = Pose(angle=0.0, scale=1.0, shift_u=0.0, shift_v=0.0)


@dataclass(frozen=True)
class Site:
    """One hospital's equipment.

    Attributes:
        gamma: Of the exposure curve; below 1 is a brighter picture.
        contrast: Slope around mid-grey.
        brightness: Offset in units of the full range.
        noise: Standard deviation of the noise at 96 pixels, in units of the full range.
        blur: Standard deviation in units of the image width.
        border: Width of the collimated edge in units of the image width.
        marker: The letter on the film: "L" on the patient's left, "R" on the right, "" for none.
        leads: Probability of monitoring leads across the chest.
    """

    gamma: float
    contrast: float
    brightness: float
    noise: float
    blur: float
    border: float
    marker: str
    leads: float


SITES: tuple[Site, ...] = (
    Site(gamma=1.00, contrast=1.00, brightness=0.00, noise=0.020, blur=0.002, border=0.00, marker="L", leads=0.2),
    Site(gamma=0.75, contrast=0.85, brightness=0.06, noise=0.035, blur=0.004, border=0.03, marker="R", leads=0.4),
    Site(gamma=1.35, contrast=1.10, brightness=-0.02, noise=0.028, blur=0.003, border=0.02, marker="", leads=0.1),
    Site(gamma=0.90, contrast=0.70, brightness=0.10, noise=0.045, blur=0.005, border=0.00, marker="L", leads=0.5),
    Site(gamma=1.15, contrast=1.20, brightness=-0.08, noise=0.030, blur=0.001, border=0.04, marker="R", leads=0.3),
)


def position(study: Study, size: int) -> Frame:
    """Where the patient stands in the image of this study."""
    rng = rng_of(study.seed, _POSE)
    angle, scale, shift_u, shift_v = rng.uniform(-1.0, 1.0, 4).tolist()
    return place(size, Pose(0.07 * angle, 1.0 + 0.07 * scale, 0.06 * shift_u, 0.05 * shift_v))


def draw_leads(study: Study, frame: Frame) -> Field:
    """Thin monitoring leads: bright and sharp like an object, but no finding."""
    rng = rng_of(study.seed, _LEADS)
    density = np.zeros_like(frame.u)
    if rng.random() >= SITES[study.site].leads:
        return density
    for _ in range(int(rng.integers(1, 4))):
        start, stop, bend = rng.uniform(-0.7, 0.7, 3).tolist()
        top, bottom = rng.uniform(-0.9, -0.2), rng.uniform(0.3, 1.1)
        distance = line(frame, (start, float(top)), (stop, float(bottom)), 0.5 * bend)
        density = np.maximum(density, 0.9 * soft(0.012 - distance, 0.02))
    return density


def expose(density: Field, study: Study) -> UInt8[np.ndarray, "size size"]:
    """The picture of a density on the equipment of the study's site."""
    site, size = SITES[study.site], int(density.shape[0])
    rng = rng_of(study.seed, _EXPOSURE)
    gamma, contrast, brightness, tilt_u, tilt_v, border, corner = rng.uniform(-1.0, 1.0, 7).tolist()
    upright = place(size, _UPRIGHT)
    value = density + 0.05 * (tilt_u * upright.u + tilt_v * upright.v) + 0.02 * clouds(rng, size, 4)
    value = (value - 0.5) * (site.contrast * (1.0 + 0.25 * contrast)) + site.brightness + 0.12 * brightness
    value = np.clip(0.5 + _SHOULDER * value / np.sqrt(1.0 + 2.0 * _SHOULDER * value * value), 0.0, 1.0)
    value = value ** (site.gamma * (1.0 + 0.25 * gamma))
    if site.blur > 0.0:
        value = ndimage.gaussian_filter(value, site.blur * size, mode="nearest", truncate=3.0)
    # A finer detector catches fewer photons a pixel.
    grain = site.noise * float(np.sqrt(size / _STANDARD_SIZE))
    value = value + grain * rng.standard_normal((size, size)) + 0.012 * clouds(rng, size, 24)
    if site.marker:
        value = np.maximum(value, 0.95 * _marker(upright, site.marker, corner))
    inside = (1.0 - 2.0 * site.border * (1.0 + 0.7 * border)) - np.maximum(upright.r, np.abs(upright.v))
    value = value * (0.1 + 0.9 * soft(inside, 0.02)) if site.border > 0.0 else value
    return np.asarray(np.clip(np.rint(value * 255.0), 0.0, 255.0), dtype=np.uint8)


def _marker(frame: Frame, letter: str, corner: float) -> Field:
    """The side letter, in the upper corner of the patient's own side."""
    u, v = (0.80 + 0.06 * corner) * (1.0 if letter == "L" else -1.0), -0.80 - 0.06 * corner
    stem = bar(frame, (u - 0.04, v - 0.07), (u - 0.04, v + 0.07))
    if letter == "L":
        strokes = np.minimum(stem, bar(frame, (u - 0.04, v + 0.07), (u + 0.04, v + 0.07)))
    else:
        bowl = np.abs(ellipse(frame, (u - 0.02, v - 0.03), (0.04, 0.04)) - 1.0) * 0.04
        strokes = np.minimum(np.minimum(stem, bowl), bar(frame, (u - 0.02, v + 0.01), (u + 0.03, v + 0.07)))
    return soft(0.014 - strokes, 0.012)
