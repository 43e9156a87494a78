"""Whether a record and the same cell evaluated again agree, and what probably parts them where they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlpbench.canonical import canonical_json
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.store import RecordStore

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6
IDENTICAL, AGREES, DIFFERS = "identical", f"agrees within {TOLERANCE:g}", "differs"
UNTOLD = (
    "nothing that records hold differs; the number of threads and the processor, which decide rounding, they do not"
)


@dataclass(frozen=True)
class Foundation:
    """One thing that a number stands on.

    Attributes:
        name: what it is.
        stored: of the record.
        now: of the cell evaluated again.
        detail: why it differs, where that is known.
        package: whether it is the version of a package, one of many.
    """

    name: str
    stored: str
    now: str
    detail: str = ""
    package: bool = False

    @property
    def same(self) -> bool:
        """Whether both have it."""
        return self.stored == self.now


@dataclass(frozen=True)
class Agreement:
    """What came of the comparison.

    Attributes:
        verdict: `IDENTICAL`, `AGREES` or `DIFFERS`.
        reason: of `DIFFERS`, the first foundation that differs, in words.
        foundations: in the order in which they may be the reason.
        metrics: by name, stored and now.
        predictions: how they compare, in words.
    """

    verdict: str
    reason: str
    foundations: tuple[Foundation, ...]
    metrics: Mapping[str, tuple[float | None, float | None]]
    predictions: str


def compare_records(stored: Record, again: Record, *, predictions: str) -> Agreement:
    """Compare every metric that the record has; metrics that it lacks are new, and prove nothing.

    Args:
        stored: the record.
        again: the same cell, evaluated again.
        predictions: from `compare_predictions`.
    """
    metrics = {name: (value, again.metrics.get(name)) for name, value in stored.metrics.items()}
    gaps = [difference(*pair) for pair in metrics.values()]
    verdict = AGREES if any(gaps) else IDENTICAL
    if any(gap is None or gap > TOLERANCE for gap in gaps):
        verdict = DIFFERS
    foundations = tuple(_foundations(stored, again))
    return Agreement(verdict, _reason(foundations) if verdict == DIFFERS else "", foundations, metrics, predictions)


def difference(stored: float | None, now: float | None) -> float | None:
    """Distance of two metrics, 0 where both are undefined; None where one of them is."""
    if stored is None or now is None:
        return 0.0 if stored is now else None
    return abs(stored - now)


def compare_predictions(stored: Record, store: RecordStore, again: Record, scratch: RecordStore) -> str:
    """How the predictions of two records compare, in words."""
    try:
        theirs = store.read_predictions(stored)
    except VlpbenchError as problem:
        return f"not compared: {problem}"
    if stored.predictions_sha256 == again.predictions_sha256:
        return "identical files"
    ours = scratch.read_predictions(again)
    if list(ours.columns) != list(theirs.columns) or len(ours) != len(theirs):
        return f"{len(theirs)} rows of {list(theirs.columns)}, now {len(ours)} of {list(ours.columns)}"
    differing = {str(name): gap for name in ours.columns if (gap := _gap(theirs[name], ours[name]))}
    if not differing:
        return "identical values in another file"
    return "differ: " + "; ".join(f"{name} {gap}" for name, gap in differing.items())


def _gap(theirs: pd.Series[Any], ours: pd.Series[Any]) -> str:
    """How far two columns are apart, "" where they are equal."""
    if theirs.equals(ours):
        return ""
    if theirs.dtype.kind == "f" and ours.dtype.kind == "f":
        return f"by up to {(theirs - ours).abs().max():.3g}"
    unequal = sum(one != other for one, other in zip(theirs.tolist(), ours.tolist(), strict=True))
    return f"in {unequal} of {len(ours)} rows"


def _reason(foundations: tuple[Foundation, ...]) -> str:
    for one in foundations:
        if not one.same:
            return f"another {one.name}: {one.detail or f'{one.stored}, now {one.now}'}"
    return UNTOLD


def _foundations(stored: Record, again: Record) -> Iterator[Foundation]:
    theirs, ours = stored.provenance, again.provenance
    lineages = [told.get("backbone", {}).get("lineage", {}) for told in (theirs, ours)]
    why = "; ".join(_parted(*lineages))
    base, new = stored.foundations, again.foundations
    yield Foundation("weights (sha256)", base.weights_sha256, new.weights_sha256, why)
    yield Foundation("data", base.data_fingerprint, new.data_fingerprint)
    yield Foundation("split", base.split_hash, new.split_hash)
    named = [told.get("settings", {}) for told in (theirs, ours)]
    yield Foundation("settings", base.settings_hash, new.settings_hash, "; ".join(_changes(*named)))
    yield Foundation("version of the task", str(base.task_version), str(new.task_version))
    yield Foundation("version of vlpbench", _code(theirs), _code(ours))
    packages = [told.get("packages", {}) for told in (theirs, ours)]
    for name in dict.fromkeys(("torch", *packages[0], *packages[1])):
        yield Foundation(f"version of {name}", str(packages[0].get(name)), str(packages[1].get(name)), package=True)
    for name in ("precision", "device", "cpus", "python", "platform"):
        yield Foundation(name, str(theirs.get(name)), str(ours.get(name)))


def _parted(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """What may have made weights differ."""
    if theirs.get("method_version") != ours.get("method_version"):
        yield f"version {theirs.get('method_version')} of the method, now {ours.get('method_version')}"
    yield from (f"recipe: {change}" for change in _changes(theirs.get("recipe") or {}, ours.get("recipe") or {}))
    corpora = [(lineage.get("corpus") or {}).get("fingerprint") for lineage in (theirs, ours)]
    if corpora[0] != corpora[1]:
        yield f"corpus {corpora[0]}, now {corpora[1]}"
    for name in ("weights", "torch", "precision", "device"):
        if theirs.get(name) != ours.get(name):
            yield f"made with {name} {theirs.get(name)}, now {ours.get(name)}"


def _changes(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Settings that differ; those that only one side has came later, or went."""
    for name in sorted(theirs.keys() & ours.keys()):
        if canonical_json(theirs[name]) != canonical_json(ours[name]):
            yield f"{name} = {theirs[name]}, now {ours[name]}"


def _code(told: Mapping[str, Any]) -> str:
    git = told.get("git") or {}
    commit = f" ({git['commit'][:12]}{', changed' if git.get('dirty') else ''})" if git.get("commit") else ""
    return f"{told.get('vlpbench')}{commit}"
