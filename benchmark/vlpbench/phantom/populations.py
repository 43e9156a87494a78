"""Who is examined and what they have: the sampling of patients, studies and findings for each population."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from vlpbench.errors import VlpbenchError
from vlpbench.phantom.acquisition import SITES
from vlpbench.phantom.fields import rng_of
from vlpbench.phantom.objects import SORTS
from vlpbench.phantom.reports import write_report
from vlpbench.phantom.study import KINDS, Finding, Study

POPULATIONS: tuple[str, ...] = ("corpus", "chexpert", "rsna", "covidx", "siim", "object_cxr")

_STUDIES_PER_PATIENT = (0.45, 0.35, 0.20)
_STAYS_ILL = 0.5
_COMPANY = 0.5
_GRADES = {
    "pleural_effusion": ("small", "moderate", "large"),
    "pneumothorax": ("small", "moderate", "large"),
    "edema": ("mild", "moderate", "severe"),
    "cardiomegaly": ("mild", "moderate", "severe"),
    "covid": ("mild", "moderate", "severe"),
    "consolidation": ("moderate", "severe"),
    "atelectasis": ("mild", "moderate"),
    "chest_tube": ("none",),
}
_SIDES = {
    "pleural_effusion": ("left", "right", "bilateral"),
    "atelectasis": ("left", "right", "bilateral"),
    "edema": ("bilateral",),
    "cardiomegaly": ("none",),
    "covid": ("bilateral",),
}
LOCATIONS = {
    "pleural_effusion": ("base",),
    "pneumothorax": ("apex",),
    "edema": ("perihilar",),
    "cardiomegaly": ("heart",),
    "covid": ("peripheral",),
    "consolidation": ("upper", "mid", "lower"),
    "atelectasis": ("lower", "lower", "mid"),
    "chest_tube": ("chest",),
}
"""Where each kind may lie; a foreign object has its sort in place of a location."""
_FOCI = {"mild": (2, 3), "moderate": (3, 5), "severe": (5, 8)}

Findings = tuple[Finding, ...]


def studies(population: str, *, count: int, seed: int) -> list[Study]:
    """Describe the studies of a population, patient after patient; no pixel is computed.

    Args:
        population: One of `POPULATIONS`.
        count: How many studies.
        seed: Of everything; equal seeds give equal studies on any machine.

    Raises:
        VlpbenchError: The population is unknown, or the count or the seed is negative.
    """
    if population not in POPULATIONS:
        raise VlpbenchError(f"no phantom population is called {population!r}: choose one of {', '.join(POPULATIONS)}")
    if count < 0 or seed < 0:
        raise VlpbenchError(f"a phantom needs a count and a seed of at least 0, not {count} and {seed}")
    rng = rng_of(seed, POPULATIONS.index(population))
    result: list[Study] = []
    patient = 0
    while len(result) < count:
        result.extend(_patient(population, f"{population}-p{patient:05d}", rng))
        patient += 1
    return result[:count]


def draw_finding(
    kind: str, rng: np.random.Generator, *, side: str = "", severity: str = "", location: str = ""
) -> Finding:
    """One finding of a kind; whatever is not asked for is drawn."""
    seed = int(rng.integers(2**32))
    if kind == "foreign_object":
        return _draw_objects(rng, seed)
    severity = severity if severity else _pick(rng, _GRADES[kind])
    grades = len(_GRADES[kind])
    extent = (_GRADES[kind].index(severity) + float(rng.uniform(0.1, 0.9))) / grades
    low, high = _FOCI.get(severity, (1, 1)) if kind == "covid" else (1, 1)
    return Finding(
        kind=kind,
        side=side if side else _pick(rng, _SIDES.get(kind, ("left", "right"))),
        severity=severity,
        location=location if location else _pick(rng, LOCATIONS[kind]),
        extent=extent,
        count=int(rng.integers(low, high + 1)),
        seed=seed,
    )


def _draw_objects(rng: np.random.Generator, seed: int) -> Finding:
    if rng.random() < 0.5:
        return Finding("foreign_object", _pick(rng, ("left", "right")), "single", _pick(rng, SORTS), 0.5, 1, seed)
    return Finding("foreign_object", "bilateral", "multiple", "mixed", 0.5, int(rng.integers(2, 6)), seed)


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _patient(population: str, patient_id: str, rng: np.random.Generator) -> list[Study]:
    patient_seed, sex = int(rng.integers(2**32)), _pick(rng, ("F", "M"))
    age = int(rng.integers(19, 91))
    result: list[Study] = []
    findings: Findings = ()
    for number in range(1 + int(rng.choice(len(_STUDIES_PER_PATIENT), p=_STUDIES_PER_PATIENT))):
        again = number > 0 and rng.random() < _STAYS_ILL
        findings = _progress(findings, rng) if again else _DRAW[population](rng)
        # Site and view are drawn apart from the findings, so that neither can stand in for them.
        site, view = int(rng.integers(len(SITES))), _pick(rng, ("PA", "AP"))
        seed = int(rng.integers(2**32))
        text = write_report(findings, rng)
        result.append(
            Study(
                study_id=f"{patient_id}-s{number}",
                patient_id=patient_id,
                population=population,
                site=site,
                view=view,
                age=age,
                sex=sex,
                findings=findings,
                report_findings=text.findings,
                report_impression=text.impression,
                summary=text.summary,
                labels=_labels(population, findings),
                seed=seed,
                patient_seed=patient_seed,
            )
        )
    return result


def _progress(findings: Findings, rng: np.random.Generator) -> Findings:
    """The same findings at a later visit, graded anew."""
    return tuple(
        replace(
            draw_finding(finding.kind, rng, side=finding.side, location=finding.location)
            if finding.kind != "foreign_object"
            else replace(finding, seed=int(rng.integers(2**32))),
        )
        for finding in findings
    )


def _labels(population: str, findings: Findings) -> dict[str, float]:
    present = {kind: float(any(finding.kind == kind for finding in findings)) for kind in KINDS}
    if population == "chexpert":
        names = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural_effusion")
        return {name: present[name] for name in names}
    if population == "rsna":
        return {"lung_opacity": present["consolidation"]}
    if population == "covidx":
        pneumonia = present["consolidation"]
        return {
            "covid": present["covid"],
            "other_pneumonia": pneumonia,
            "normal": 1.0 - max(present["covid"], pneumonia),
        }
    if population == "siim":
        return {"pneumothorax": present["pneumothorax"]}
    if population == "object_cxr":
        return {"foreign_object": present["foreign_object"]}
    return present


def _pneumonia(rng: np.random.Generator, *, foci: Sequence[float]) -> list[Finding]:
    """Consolidations in different zones; one lung mostly. `foci` are the probabilities of 1, 2, ... of them."""
    count = 1 + int(rng.choice(len(foci), p=foci))
    side = _pick(rng, ("left", "right"))
    zones = [("upper", "mid", "lower")[int(index)] for index in rng.permutation(3)]
    result = [draw_finding("consolidation", rng, side=side, location=zones[0])]
    other = "left" if side == "right" else "right"
    for zone in zones[1:count]:
        result.append(draw_finding("consolidation", rng, side=other if rng.random() < 0.5 else side, location=zone))
    return result


def _some(kind: str, chance: float, rng: np.random.Generator) -> list[Finding]:
    return [draw_finding(kind, rng)] if rng.random() < chance else []


def _draw_corpus(rng: np.random.Generator) -> Findings:
    if rng.random() < 0.24:
        return ()
    kind = str(rng.choice(KINDS, p=(0.13, 0.09, 0.11, 0.09, 0.19, 0.16, 0.11, 0.12)))
    found = _pneumonia(rng, foci=(0.60, 0.40)) if kind == "consolidation" else [draw_finding(kind, rng)]
    companions = {
        "pleural_effusion": ("atelectasis", "edema", "cardiomegaly"),
        "edema": ("cardiomegaly", "pleural_effusion"),
        "atelectasis": ("pleural_effusion",),
        "cardiomegaly": ("edema", "pleural_effusion"),
        "consolidation": ("pleural_effusion", "atelectasis"),
        "pneumothorax": ("atelectasis",),
        "foreign_object": ("cardiomegaly", "pleural_effusion"),
        "covid": ("cardiomegaly",),
    }
    for companion in companions[kind]:
        found += _some(companion, _COMPANY, rng)
    if kind == "pneumothorax" and rng.random() < 0.3:
        found.append(draw_finding("chest_tube", rng, side=found[0].side))
    if kind != "foreign_object":
        found += _some("foreign_object", 0.08, rng)
    return tuple(found)


def _draw_chexpert(rng: np.random.Generator) -> Findings:
    failure = rng.random() < 0.30
    found = _some("cardiomegaly", 0.60 if failure else 0.20, rng)
    found += _some("edema", 0.60 if failure else 0.13, rng)
    found += _some("pleural_effusion", 0.60 if failure else 0.28, rng)
    found += _some("atelectasis", 0.30, rng)
    if rng.random() < (0.10 if failure else 0.30):
        found += _pneumonia(rng, foci=(0.6, 0.4))
    return tuple(found)


def _draw_rsna(rng: np.random.Generator) -> Findings:
    found = _pneumonia(rng, foci=(0.50, 0.38, 0.12)) if rng.random() < 0.40 else []
    if rng.random() < (0.30 if found else 0.55):
        found.append(draw_finding(_pick(rng, ("pleural_effusion", "edema", "atelectasis", "cardiomegaly")), rng))
    return tuple(found)


def _draw_covidx(rng: np.random.Generator) -> Findings:
    group = int(rng.integers(3))
    if group == 0:
        return (draw_finding("covid", rng), *_some("cardiomegaly", 0.12, rng))
    if group == 1:
        return (*_pneumonia(rng, foci=(0.50, 0.50)), *_some("pleural_effusion", 0.15, rng))
    return ()


def _draw_siim(rng: np.random.Generator) -> Findings:
    found = _some("pneumothorax", 0.40, rng)
    tube = 0.40 if found else 0.18
    if rng.random() < tube:
        found.append(draw_finding("chest_tube", rng, side=found[0].side if found else ""))
    if rng.random() < 0.35:
        found.append(draw_finding(_pick(rng, ("pleural_effusion", "atelectasis", "cardiomegaly")), rng))
    return tuple(found)


def _draw_object_cxr(rng: np.random.Generator) -> Findings:
    found = _some("foreign_object", 0.55, rng)
    if rng.random() < 0.35:
        found.append(draw_finding(_pick(rng, ("pleural_effusion", "edema", "consolidation", "cardiomegaly")), rng))
    return tuple(found)


_DRAW: dict[str, Callable[[np.random.Generator], Findings]] = {
    "corpus": _draw_corpus,
    "chexpert": _draw_chexpert,
    "rsna": _draw_rsna,
    "covidx": _draw_covidx,
    "siim": _draw_siim,
    "object_cxr": _draw_object_cxr,
}
