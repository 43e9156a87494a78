"""The normal thorax: lungs, heart, mediastinum, diaphragm, ribs, vessels and soft tissue as soft density fields."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from vlpbench.phantom.fields import Field, Frame, bar, bump, clouds, ellipse, rng_of, soft
from vlpbench.phantom.study import Study

Point = tuple[float, float]

_BODY, _BREATH, _TEXTURE = 11, 12, 13
_CARDIOTHORACIC = (0.50, 0.17)
_MEDIAL_RIB = 0.36
_KNOTS = 48


@dataclass(frozen=True)
class Body:
    """The measures of one thorax in one study, in coordinate units.

    Attributes:
        width: Half the inner width of the rib cage.
        apex: Height of the lung apices.
        dome_right: Height of the right hemidiaphragm, normally above the left.
        dome_left: Height of the left hemidiaphragm.
        rest: Height on which the heart lies, whatever lifts the diaphragm.
        mediastinum: Half the width of the mediastinum.
        heart: Cardiothoracic ratio; above 0.5 is enlarged.
        tilt: Angle of the heart's long axis in radians.
        fat: Extra density of the soft tissue.
        breast: Density of the breast shadows.
        rib_spacing: Distance between ribs.
        rib_phase: Height of the first rib, in rib spacings.
    """

    width: float
    apex: float
    dome_right: float
    dome_left: float
    rest: float
    mediastinum: float
    heart: float
    tilt: float
    fat: float
    breast: float
    rib_spacing: float
    rib_phase: float

    def lateral(self, v: Field) -> Field:
        """The lungs' outer border at height v."""
        q = np.clip((0.05 - v) / (0.05 - self.apex), 0.0, 1.0)
        result: Field = self.width * (0.52 + 0.48 * np.sqrt(1.0 - q * q)) + 0.03 * np.clip(v, 0.0, 1.0)
        return result

    def dome(self, side: str) -> float:
        """The height of one hemidiaphragm."""
        return self.dome_left if side == "left" else self.dome_right

    def spot(self, side: str, across: float, down: float) -> Point:
        """A point of one lung: `across` from the mediastinum (0) to the ribs (1), `down` from apex to dome."""
        v = self.apex + down * (self.dome(side) - self.apex)
        lateral = float(self.lateral(np.full((1, 1), v))[0, 0])
        r = self.mediastinum + across * (lateral - self.mediastinum)
        return (r if side == "left" else -r), v


def measure(study: Study) -> Body:
    """The patient's own measures, the breath of this study, and what its findings do to the shape."""
    rng, breath = rng_of(study.patient_seed, _BODY), rng_of(study.seed, _BREATH)
    width, apex, dome, gap, mediastinum, heart, tilt, fat, breast, spacing, phase = rng.random(11)
    ap = study.view == "AP"
    depth = float(breath.uniform(-0.07, 0.07)) - (0.03 if ap else 0.0)
    ratio = 0.42 + 0.07 * heart + (0.02 if ap else 0.0) - 0.15 * depth
    lift = {"left": 0.0, "right": 0.0}
    for finding in study.findings:
        if finding.kind == "cardiomegaly":
            ratio = _CARDIOTHORACIC[0] + _CARDIOTHORACIC[1] * finding.extent + 0.04 * heart
        if finding.kind == "atelectasis":
            for side in sides(finding.side):
                lift[side] = 0.04 + 0.14 * finding.extent
    level = 0.45 + 0.10 * float(dome) + depth
    return Body(
        width=0.74 + 0.10 * float(width),
        apex=-0.80 + 0.08 * float(apex),
        dome_right=level - lift["right"],
        dome_left=level + 0.02 + 0.06 * float(gap) - lift["left"],
        rest=level,
        mediastinum=0.13 + 0.04 * float(mediastinum),
        heart=float(ratio),
        tilt=0.35 + 0.30 * float(tilt),
        fat=0.10 * float(fat),
        breast=(0.05 + 0.13 * float(breast)) if study.sex == "F" else 0.0,
        rib_spacing=0.165 + 0.035 * float(spacing),
        rib_phase=float(phase),
    )


def sides(side: str) -> tuple[str, ...]:
    """The lungs that a side names."""
    return ("right", "left") if side == "bilateral" else (side,)


@dataclass
class Thorax:
    """A drawing in progress: findings take air out of the lungs or add density, then `density` sums it up.

    Attributes:
        depth: Distance inside the lung border, negative outside.
        lung: The lung fields, with everything that may later hide them.
        air: How much air each ray crosses, in [0, 1.2].
        markings: Vessels, to be weighted by the air around them.
        tissue: Density without air.
        added: Density of devices and objects, drawn over everything.
        texture: Smooth noise for the outlines of findings.
    """

    frame: Frame
    body: Body
    depth: Field
    lung: Bool[np.ndarray, "size size"]
    air: Field
    markings: Field
    tissue: Field
    added: Field
    texture: Field

    def density(self) -> Field:
        """The finished radiograph before exposure: about 0 for air outside the body, 1 for bone on tissue."""
        result: Field = self.tissue - 0.46 * self.air + self.markings * (0.25 + 0.75 * self.air)
        return np.asarray(np.maximum(result, self.added))


def build(frame: Frame, body: Body, study: Study) -> Thorax:
    """The healthy chest."""
    rng = rng_of(study.patient_seed, _TEXTURE)
    depth = lung_depth(frame, body)
    heart = soft(1.0 - _heart(frame, body), 0.16)
    air = soft(depth, 0.035) * (1.0 - 0.92 * heart)
    knob = soft(1.0 - ellipse(frame, (0.10, body.apex + 0.50), (0.10, 0.11)), 0.4)
    air *= 1.0 - 0.8 * knob
    air *= 1.0 - 0.5 * bump(_folded(frame), (0.20, -0.05), (0.13, 0.20))
    texture = clouds(rng, frame.size, 9)
    return Thorax(
        frame=frame,
        body=body,
        depth=depth,
        lung=depth > 0.0,
        air=air,
        markings=_vessels(frame, rng, texture),
        tissue=_tissue(frame, body, depth) + 0.016 * texture + _bones(frame, body, depth, study),
        added=np.zeros_like(air),
        texture=texture,
    )


def lung_depth(frame: Frame, body: Body, lateral: Field | float = 0.0, apical: Field | float = 0.0) -> Field:
    """Distance inside the lungs' border, after moving it in from the ribs and from the apex."""
    r, v = frame.r, frame.v
    outer = body.lateral(v) - lateral - r
    hilum = np.clip(1.0 - (v + 0.05) ** 2 * 4.0, 0.0, 1.0)
    inner = r - body.mediastinum * (0.9 + 0.25 * hilum)
    top = v - apical - (body.apex + 0.9 * (r - 0.34) ** 2)
    result: Field = np.minimum(np.minimum(outer, inner), np.minimum(top, diaphragm(frame, body) - v))
    return result


def diaphragm(frame: Frame, body: Body) -> Field:
    """The height of the diaphragm above and below each point, with its fall to the costophrenic angle."""
    dome = np.where(frame.u > 0.0, body.dome_left, body.dome_right)
    result: Field = dome + 0.85 * (frame.r - 0.36) ** 2
    return result


def _heart(frame: Frame, body: Body) -> Field:
    half = body.heart * body.width
    centre = (0.34 * half, body.rest - 0.02 - 0.28 * body.heart)
    return ellipse(frame, centre, (1.03 * half, 0.14 + 0.36 * body.heart), body.tilt)


def _folded(frame: Frame) -> Frame:
    """The left half of the body on both sides, for what is symmetrical."""
    return Frame(u=frame.r, v=frame.v, r=frame.r)


def _tissue(frame: Frame, body: Body, depth: Field) -> Field:
    r, v = frame.r, frame.v
    wall = 0.10 + 0.9 * body.fat
    flank = body.width + wall + 0.45 * np.clip(-v - 0.15, 0.0, 0.5) - r
    shoulder = v - (-1.02 + 0.35 * np.clip(r - 0.28, 0.0, 1.0) - 0.6 * np.clip(0.28 - r, 0.0, 1.0))
    inside = soft(np.minimum(flank, shoulder), 0.10)
    tissue = 0.60 + body.fat + 0.10 * soft(v - diaphragm(frame, body), 0.2) * soft(body.width + 0.05 - r, 0.2)
    tissue += 0.10 * soft(0.11 - r, 0.10) - 0.10 * soft(0.05 - r, 0.05) * soft(-0.22 - v, 0.1)
    tissue -= 0.16 * bump(frame, (0.38, body.dome_left + 0.17), (0.24, 0.12))
    if body.breast > 0.0:
        tissue += body.breast * soft(1.0 - ellipse(_folded(frame), (0.43, 0.32), (0.36, 0.34)), 0.35)
    result: Field = inside * tissue
    return result


def _bones(frame: Frame, body: Body, depth: Field, study: Study) -> Field:
    r, v = frame.r, frame.v
    cage = soft(body.lateral(v) + 0.06 - r, 0.05) * soft(r - 0.10, 0.06) * soft(v - body.apex + 0.03, 0.1)
    cage *= soft(diaphragm(frame, body) + 0.14 - v, 0.25)
    back = _ribs((v - 0.55 * (r - 0.28) ** 2) * (1.0 / body.rib_spacing) + body.rib_phase)
    front = _ribs((v + 0.38 * r) * (1.0 / (1.12 * body.rib_spacing)) + 1.7 * body.rib_phase)
    bones = cage * (0.125 * back + 0.065 * front * soft(r - _MEDIAL_RIB, 0.2))
    vertebra = np.abs((v * 5.5 + body.rib_phase) % 1.0 - 0.5)
    bones += 0.05 * soft(0.085 - r, 0.04) * soft(0.36 - vertebra, 0.15)
    out = 0.58 if study.view == "AP" else 0.74
    both = _folded(frame)
    bones += 0.13 * soft(0.038 - bar(both, (0.10, body.apex + 0.17), (0.78, body.apex + 0.02)), 0.03)
    bones += 0.07 * soft(0.05 - bar(both, (out + 0.14, -0.62), (out, 0.02)), 0.05)
    bones += 0.10 * bump(both, (0.97, -0.66), (0.17, 0.19))
    result: Field = bones
    return result


def _ribs(phase: Field) -> Field:
    """One rib a period, denser at its edges."""
    off = np.abs(phase - np.floor(phase) - 0.5)
    result: Field = soft(0.27 - off, 0.12) * (0.65 + 0.35 * np.clip(off * 4.0, 0.0, 1.0))
    return result


def _vessels(frame: Frame, rng: np.random.Generator, texture: Field) -> Field:
    """Branches that leave the hila, thin out towards the pleura, and differ between patients."""
    knots = rng.uniform(-1.0, 1.0, (2, _KNOTS))
    knots[:, -1] = knots[:, 0]
    du, dv = frame.r - 0.17, frame.v + 0.05
    rho = np.sqrt(du * du + dv * dv)
    theta = np.arctan2(dv, du) + (0.10 + 0.35 * rho) * texture
    turn = np.where(frame.u > 0.0, 0.0, 0.37) + theta * (1.0 / (2.0 * np.pi)) + 0.5
    turn = (turn - np.floor(turn)) * (_KNOTS - 1.0)
    vessels = np.zeros_like(rho)
    for table, reach, thickness in ((knots[0], 0.75, 0.030), (knots[1], 1.05, 0.020)):
        off = np.abs(np.interp(turn.ravel(), np.arange(float(_KNOTS)), table).reshape(rho.shape)) * rho * 0.30
        vessels += np.clip(1.0 - off / thickness, 0.0, 1.0) * np.clip(1.0 - rho / reach, 0.0, 1.0)
    result: Field = 0.15 * vessels
    return result
