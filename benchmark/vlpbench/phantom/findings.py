"""How each finding looks: every function draws one finding into a thorax and returns a mask for each focus."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool

from vlpbench.phantom.anatomy import Thorax, lung_depth, sides
from vlpbench.phantom.fields import Field, bump, clouds, ellipse, line, rng_of, soft
from vlpbench.phantom.objects import draw_objects
from vlpbench.phantom.study import Finding

Mask = Bool[np.ndarray, "size size"]
Draw = Callable[[Thorax, Finding], list[Mask]]

_ZONES = {"upper": (0.24, 0.38), "mid": (0.46, 0.60), "lower": (0.70, 0.86)}
_VISIBLE = 0.35


def draw_effusion(thorax: Thorax, finding: Finding) -> list[Mask]:
    """Fluid that fills the costophrenic angle and climbs the chest wall in a meniscus."""
    frame, body, masks = thorax.frame, thorax.body, []
    rng = rng_of(finding.seed)
    for side in sides(finding.side):
        height = 0.19 + 0.70 * finding.extent + float(rng.uniform(-0.03, 0.03))
        across = np.clip((frame.r - body.mediastinum) / (body.width - body.mediastinum), 0.0, 1.1)
        level = body.dome(side) + 0.14 - height * (0.30 + 0.70 * across * across)
        fluid = soft(frame.v - level, 0.07) * _half(thorax, side)
        thorax.air *= 1.0 - 0.95 * fluid
        masks.append(thorax.lung & (fluid > 0.5))
    return masks


def draw_edema(thorax: Thorax, finding: Finding) -> list[Mask]:
    """Bat-wing haze around the hila, thickened vessels, and septal lines near the lower ribs."""
    frame, body = thorax.frame, thorax.body
    rng = rng_of(finding.seed)
    patches = 0.75 + 0.25 * clouds(rng, frame.size, 7)
    strength = 0.22 + 0.44 * finding.extent
    haze = np.zeros_like(frame.u)
    for side in ("right", "left"):
        centre = body.spot(side, 0.34, 0.56)
        tilt = 0.25 if side == "left" else -0.25
        haze += bump(frame, centre, (0.36 + 0.10 * finding.extent, 0.50 + 0.10 * finding.extent), tilt)
    haze = np.clip(1.6 * strength * haze * patches, 0.0, 0.85)
    septa = np.abs((frame.v * 15.0 + 3.0 * frame.r) % 1.0 - 0.5)
    lower = soft(frame.v - 0.05, 0.2) * soft(frame.r - 0.62 * body.width, 0.1) * soft(thorax.depth, 0.05)
    thorax.air *= 1.0 - haze
    thorax.air *= 1.0 - 0.3 * lower * soft(0.16 - septa, 0.15)
    thorax.markings *= 1.0 + (0.35 + 0.8 * finding.extent) * soft(thorax.depth, 0.05)
    region = thorax.lung & (haze > 0.5 * strength)
    return [region & (frame.u < 0.0), region & (frame.u > 0.0)]


def draw_atelectasis(thorax: Thorax, finding: Finding) -> list[Mask]:
    """Plate-like bands over a raised hemidiaphragm (the raising is the anatomy's)."""
    frame, body, masks = thorax.frame, thorax.body, []
    rng = rng_of(finding.seed)
    for side in sides(finding.side):
        plates = np.zeros_like(frame.u)
        for number in range(1 + int(finding.extent > 0.5)):
            down = float(rng.uniform(0.74, 0.84)) - 0.15 * number
            if finding.location == "mid":
                down -= 0.22
            centre = body.spot(side, float(rng.uniform(0.50, 0.66)), down)
            length, thickness = float(rng.uniform(0.19, 0.26)), 0.032 + 0.028 * finding.extent
            angle = float(rng.uniform(-0.30, 0.30))
            shape = ellipse(frame, centre, (length, thickness), angle)
            plates = np.maximum(plates, soft(1.15 - shape, 0.6))
        thorax.air *= 1.0 - 0.70 * plates * _half(thorax, side)
        masks.append(thorax.lung & (plates > 0.5) & _on(thorax, side))
    return masks


def draw_cardiomegaly(thorax: Thorax, finding: Finding) -> list[Mask]:
    """Nothing left to draw: the anatomy already has the large heart; the mask is where it hides the lungs."""
    frame, body = thorax.frame, thorax.body
    inside = (thorax.air < 0.5) & (frame.r < 0.75 * body.width)
    floor = np.minimum(body.dome_left, body.dome_right)
    return [inside & (frame.v > body.apex + 0.62) & (frame.v < floor)]


def draw_consolidation(thorax: Thorax, finding: Finding) -> list[Mask]:
    """Dense airspace opacity with an uneven outline and air bronchograms, more central than peripheral."""
    frame, body = thorax.frame, thorax.body
    rng = rng_of(finding.seed)
    low, high = _ZONES[finding.location]
    near = 0.52 if finding.side == "left" and finding.location == "lower" else 0.36
    centre = body.spot(finding.side, float(rng.uniform(near, near + 0.24)), float(rng.uniform(low, high)))
    radii = tuple((rng.uniform(0.17, 0.23, 2) + 0.10 * finding.extent).tolist())
    shape = ellipse(frame, centre, (radii[0], 0.95 * radii[1]), float(rng.uniform(-0.6, 0.6)))
    shape = shape + 0.16 * thorax.texture + 0.12 * clouds(rng, frame.size, 16)
    opacity = soft(1.0 - shape, 0.55) * _half(thorax, finding.side)
    bronchi = np.clip(thorax.markings * 8.0, 0.0, 1.0)
    thorax.air *= 1.0 - (0.40 + 0.42 * finding.extent) * opacity * (1.0 - 0.4 * bronchi)
    return [thorax.lung & (opacity > _VISIBLE)]


def draw_covid(thorax: Thorax, finding: Finding) -> list[Mask]:
    """Patchy ground-glass foci along the ribs of both lungs, mostly low."""
    frame, body, masks = thorax.frame, thorax.body, []
    rng = rng_of(finding.seed)
    grain = clouds(rng, frame.size, 22)
    for number in range(finding.count):
        side = "left" if number % 2 else "right"
        down = 0.54 + 0.13 * (number // 2) + float(rng.uniform(-0.06, 0.10))
        centre = body.spot(side, float(rng.uniform(0.64, 0.90)), min(down, 0.92))
        radii = tuple((rng.uniform(0.12, 0.17, 2) + 0.05 * finding.extent).tolist())
        shape = ellipse(frame, centre, (radii[0], 1.15 * radii[1]), float(rng.uniform(-0.5, 0.5)))
        opacity = soft(1.0 - shape - 0.14 * thorax.texture, 0.6) * _half(thorax, side)
        glass = (0.24 + 0.32 * finding.extent) * opacity * np.clip(1.0 + 0.35 * grain, 0.2, 1.4)
        thorax.air *= 1.0 - np.clip(glass, 0.0, 0.9)
        masks.append(thorax.lung & (opacity > _VISIBLE))
    return masks


def draw_pneumothorax(thorax: Thorax, finding: Finding) -> list[Mask]:
    """Air between ribs and lung: darker, empty of vessels, with the pleura as a thin line at its inner edge."""
    frame, body = thorax.frame, thorax.body
    rng = rng_of(finding.seed)
    on = _half(thorax, finding.side)
    fall = np.clip((frame.v - body.apex) / (body.dome(finding.side) - body.apex), 0.0, 1.0)
    lateral = (0.09 + 0.28 * finding.extent) * np.maximum(1.0 - float(rng.uniform(0.7, 1.15)) * fall, 0.0)
    inner = lung_depth(frame, body, lateral, 0.12 + 0.36 * finding.extent)
    gap = soft(-inner, 0.02) * soft(thorax.depth, 0.03) * on
    # The medial and lower borders of the lung stay where they are, so the gap lies above and outside only.
    thorax.air *= (1.0 - gap) * (1.0 - (0.04 + 0.18 * finding.extent) * on) + 1.14 * gap
    thorax.markings *= 1.0 - gap
    pleura = soft(0.016 - np.abs(inner), 0.02) * soft(thorax.depth - 0.01, 0.03) * on
    thorax.markings += 0.17 * pleura
    return [thorax.lung & (inner < 0.0) & _on(thorax, finding.side)]


def draw_chest_tube(thorax: Thorax, finding: Finding) -> list[Mask]:
    """A pale tube with two bright edges that enters between the lower ribs and points to the apex."""
    frame, body = thorax.frame, thorax.body
    rng = rng_of(finding.seed)
    tip = body.spot(finding.side, float(rng.uniform(0.35, 0.6)), float(rng.uniform(0.12, 0.35)))
    sign = 1.0 if finding.side == "left" else -1.0
    entry = (sign * (body.width + 0.12), float(rng.uniform(0.15, 0.45)))
    distance = line(frame, tip, entry, sign * float(rng.uniform(-0.10, 0.02)))
    tube = soft(0.030 - distance, 0.02)
    edges = soft(0.012 - np.abs(distance - 0.022), 0.012)
    thorax.tissue += 0.07 * tube + 0.14 * edges
    return [tube > 0.5]


def _on(thorax: Thorax, side: str) -> Mask:
    """The pixels of one side."""
    return thorax.frame.u > 0.0 if side == "left" else thorax.frame.u < 0.0


def _half(thorax: Thorax, side: str) -> Field:
    """1 on one side, 0 on the other."""
    return soft(thorax.frame.u if side == "left" else -thorax.frame.u, 0.04)


DRAW: dict[str, Draw] = {
    "pneumothorax": draw_pneumothorax,
    "edema": draw_edema,
    "covid": draw_covid,
    "consolidation": draw_consolidation,
    "atelectasis": draw_atelectasis,
    "cardiomegaly": draw_cardiomegaly,
    "pleural_effusion": draw_effusion,
    "chest_tube": draw_chest_tube,
    "foreign_object": draw_objects,
}
"""What to call for each kind, in the order of drawing: air first, fluid over it, metal over everything."""
