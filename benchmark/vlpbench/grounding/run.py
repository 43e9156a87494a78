"""The scoring run: maps of every finding of every drawn test study, and the records they come to."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8

from vlpbench import __version__
from vlpbench.canonical import content_hash, file_sha256
from vlpbench.cards import TaskCard
from vlpbench.data.dataset import Dataset
from vlpbench.data.prepared import prepare
from vlpbench.data.source import SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.grounding.maps import align_phrases, scale_maps, upsample_maps
from vlpbench.grounding.phrases import Phrase
from vlpbench.grounding.scores import HEADLINES, compare_map, summarise, summarise_floors
from vlpbench.grounding.truth import NAMES, NO_FINDINGS, SOURCE, draw_truth
from vlpbench.patients import patients_file, write_patients
from vlpbench.plan import Plan
from vlpbench.pretraining.trained import Trained
from vlpbench.provenance import DISTRIBUTIONS, git_state, installed_versions, peak_memory_bytes, recipe_hash
from vlpbench.record import Record, make_record
from vlpbench.registry import REGISTRY
from vlpbench.specs import Foundations, RunSpec, run_key
from vlpbench.suite import DataSpec, TaskSpec
from vlpbench.task import TaskResult

TASK = "grounding"
NO_LABELS = 0.0
SETTINGS: dict[str, Any] = {
    "phrases": dict(NAMES),
    "map": "mean over the words of a phrase; lowest patch 0, highest 1; bilinear to the size of the image",
    "tolerance": 0,
}
"""How maps are judged; no protocol says anything of it."""


@dataclass(frozen=True)
class Pair:
    """One finding of one test study.

    Attributes:
        study: its place among the test studies with a finding.
        finding: its name.
        mask: where it is.
    """

    study: int
    finding: str
    mask: Bool[np.ndarray, "size size"]


@dataclass(frozen=True)
class Truth:
    """What is true of the test studies of one dataset.

    Attributes:
        data: where they come from.
        dataset: as the first headline asks for it.
        image_ids: of test studies with a finding.
        images: their pixels.
        pairs: their findings.
    """

    data: DataSpec
    dataset: Dataset
    image_ids: tuple[str, ...]
    images: UInt8[np.ndarray, "n size size"]
    pairs: tuple[Pair, ...]


class GroundingBench:
    """Truth of the drawn datasets of a suite, shared by the methods that are scored on it."""

    def __init__(self, plan: Plan) -> None:
        """Take a plan; nothing is drawn yet.

        Raises:
            VlpbenchError: for a suite without drawn radiographs.
        """
        self.plan = plan
        self.datasets = [data for data in plan.request.suite.datasets.values() if data.source == SOURCE]
        if not self.datasets:
            raise VlpbenchError(
                f"The suite {plan.request.suite.name} has no drawn radiographs, of which alone the true mask of every "
                "finding is known. Use --suite phantom, or a suite with datasets of the source phantom."
            )

    @cached_property
    def truths(self) -> list[Truth]:
        """Truth of every dataset, drawn on first use."""
        return [self._truth(data) for data in self.datasets]

    def evaluate(self, trained: Trained) -> Iterator[Record]:
        """Score a method on every dataset, and keep a record for each headline; what has one is left as it is."""
        for truth in self.truths:
            wanted = {metric: self._foundations(truth, metric, trained) for metric in HEADLINES}
            spec = self._spec(trained, truth.data.name)
            found = {metric: self.plan.store.find(spec, run_key(spec, base)) for metric, base in wanted.items()}
            if missing := [metric for metric, record in found.items() if record is None]:
                started = time.time()
                result, counts = score_maps(trained, truth)
                provenance = self._provenance(trained, truth, started)
                for metric in missing:
                    headed = replace(result, headline=metric)
                    record = make_record(spec, wanted[metric], headed, counts, provenance)
                    found[metric] = self.plan.store.add(record, result.predictions)
            yield from (record for record in found.values() if record is not None)

    def _truth(self, data: DataSpec) -> Truth:
        request = self.plan.request
        prepared = prepare(SourceRequest(data, request.data, request.image_size), request.work, jobs=request.jobs)
        dataset = Dataset(prepared, _asked(data.name, next(iter(HEADLINES))), source=data.source)
        rows = dataset.splits["test"]
        kept: list[int] = []
        pairs: list[Pair] = []
        for row, drawn in zip(rows, draw_truth(data, dataset.image_ids(rows), request.image_size), strict=True):
            shown = {name: mask for name, mask in drawn.masks.items() if name not in NO_FINDINGS and mask.any()}
            pairs += [Pair(len(kept), name, mask) for name, mask in sorted(shown.items())]
            kept += [int(row)] if shown else []
        self._keep_patients(dataset)
        chosen = np.array(kept, dtype=np.int64)
        return Truth(data, dataset, tuple(dataset.image_ids(chosen)), dataset.images(chosen), tuple(pairs))

    def _keep_patients(self, dataset: Dataset) -> None:
        """Keep who the test patients are, as a run does for its tasks."""
        rows = dataset.splits["test"]
        for metric in HEADLINES:
            asked = replace(dataset, pair=_asked(dataset.name, metric))
            file = patients_file(
                self.plan.request.results,
                suite=self.plan.request.suite.name,
                task=TASK,
                dataset=dataset.name,
                fingerprint=asked.fingerprint,
                split_hash=asked.split_hash,
            )
            patients = dataset.prepared.manifest["patient"].to_numpy()[rows].tolist()
            write_patients(file, dataset.image_ids(rows), patients)

    def _spec(self, trained: Trained, dataset: str) -> RunSpec:
        request = self.plan.request
        return RunSpec(
            method=trained.method.card.name,
            arch=request.arch,
            image_size=request.image_size,
            suite=request.suite.name,
            task=TASK,
            dataset=dataset,
            fraction=NO_LABELS,
            seed=0,
            protocol=request.protocol,
            pretrain_seed=request.pretrain_seed,
        )

    def _foundations(self, truth: Truth, metric: str, trained: Trained) -> Foundations:
        card = REGISTRY.card("task", TASK)
        return Foundations(
            weights_sha256=trained.card.sha256,
            data_fingerprint=replace(truth.dataset, pair=_asked(truth.data.name, metric)).fingerprint,
            split_hash=truth.dataset.split_hash,
            settings_hash=content_hash(SETTINGS, 16),
            task_version=card.version if isinstance(card, TaskCard) else 0,
        )

    def _provenance(self, trained: Trained, truth: Truth, started: float) -> dict[str, Any]:
        """As a run has it, with the files that hold heads and text tower."""
        plan, dataset = self.plan, truth.dataset
        suite, folder = plan.request.suite, plan.backbone_folder(trained.method.card.name)
        device = next(trained.method.parameters()).device
        return {
            "vlpbench": __version__,
            "git": git_state(),
            "packages": installed_versions(DISTRIBUTIONS),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "device": device.type,
            "precision": "float32",
            "suite": {name: getattr(suite, name) for name in ("title", "synthetic", "note")},
            "protocol": {"name": plan.protocol.name, "version": plan.protocol.version, "title": plan.protocol.title},
            "settings": SETTINGS,
            "data": {
                "name": dataset.name,
                "title": truth.data.title,
                "fingerprint": dataset.prepared.fingerprint,
                "split": dataset.split_facts,
                "split_hash": dataset.split_hash,
                "splits": {name: len(rows) for name, rows in dataset.splits.items()},
                "labels": [],
            },
            "backbone": {
                "sha256": trained.card.sha256,
                "recipe_hash": recipe_hash(trained.card.lineage),
                "lineage": dict(trained.card.lineage),
                "heads_sha256": file_sha256(folder / "heads.safetensors"),
                "text_sha256": file_sha256(folder / "text" / "model.safetensors"),
            },
            "started_at": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "wall_seconds": round(time.time() - started, 3),
            "peak_memory_bytes": peak_memory_bytes(device),
        }


def score_maps(trained: Trained, truth: Truth) -> tuple[TaskResult, dict[str, int]]:
    """Maps of the names of all findings on every study, and how those that it shows fit their masks.

    A finding that the method knows nothing of has the map that is the same everywhere.

    Raises:
        NoAlignmentError: if the method has no local alignment.
    """
    maps = align_phrases(trained, truth.images, [Phrase(words, words) for words in NAMES.values()])
    size = truth.images.shape[1]
    rows, hittable = [], 0
    for study, pairs in _by_study(truth.pairs):
        scaled = scale_maps(maps[study])
        grids = dict(zip(NAMES, scaled, strict=True))
        pixels = dict(zip(NAMES, upsample_maps(scaled, size), strict=True))
        for pair in pairs:
            told = {"image_id": truth.image_ids[study], "finding": pair.finding}
            rows.append({**told, **compare_map(grids, pixels, pair.mask, pair.finding)})
            hittable += _can_be_hit(pair.mask, maps.shape[-1])
    table = pd.DataFrame(rows)
    counts = {
        "train images": 0,
        "val images": len(truth.dataset.splits["val"]),
        "test images": len(truth.dataset.splits["test"]),
        "test images with a finding": len(truth.image_ids),
        "pairs": len(table),
        **{f"pairs:{finding}": int(count) for finding, count in sorted(table["finding"].value_counts().items())},
        "pairs with a patch centre in the mask": hittable,
        "pairs without a map": int(sum(np.isnan(maps[pair.study, _place(pair)]).any() for pair in truth.pairs)),
        "patches": maps.shape[-1] ** 2,
    }
    selection = {"rule": "nothing is chosen: no label, no training"}
    headline = next(iter(HEADLINES))
    return TaskResult(summarise(table), headline, summarise_floors(table), counts, selection, table), counts


def _asked(dataset: str, metric: str) -> TaskSpec:
    return TaskSpec(dataset, TASK, metric, tuple(NAMES))


def _by_study(pairs: Sequence[Pair]) -> Iterator[tuple[int, list[Pair]]]:
    """Pairs of each study; those of one study stand together."""
    for study in dict.fromkeys(pair.study for pair in pairs):
        yield study, [pair for pair in pairs if pair.study == study]


def _can_be_hit(mask: Bool[np.ndarray, "size size"], side: int) -> bool:
    """Whether any patch centre lies in the mask."""
    centres = (2 * np.arange(side) + 1) * len(mask) // (2 * side)
    return bool(mask[np.ix_(centres, centres)].any())


def _place(pair: Pair) -> int:
    return list(NAMES).index(pair.finding)
