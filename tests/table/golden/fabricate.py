"""Fabricated records and the tables they must give. No number in them was measured.

After a change of the rendering that is meant, run `python tests/table/golden/fabricate.py` and read the difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vlpbench.canonical import canonical_json
from vlpbench.cards import MethodCard, TaskCard
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record, read_record, sealed
from vlpbench.specs import Foundations, RunSpec, run_key
from vlpbench.statistics.resampler import Resampler
from vlpbench.store import RecordStore
from vlpbench.suite import DataSpec, Suite, TaskSpec
from vlpbench.table.titles import Titles
from vlpbench.table.writing import Extras, write_table

HERE = Path(__file__).parent
METRIC = {"classification": "auroc", "segmentation": "dice_positive", "detection": "map_40_75"}
FLOOR = {"classification": "majority", "segmentation": "always_empty", "detection": "no_boxes"}
TRAIN = {0.01: 6, 0.1: 60, 1.0: 600}


def fabricate(
    value: float | None,
    *,
    method: str = "sista",
    dataset: str = "siim",
    fraction: float = 1.0,
    base: dict[str, Any] | None = None,
    floor: float | None = 0.0,
    started: str = "2026-01-01T00:00:00+00:00",
    recipe: str | None = None,
    settings: dict[str, Any] | None = None,
    metric: str | None = None,
    attempt: int = 1,
    counts: dict[str, int] | None = None,
    split: dict[str, Any] | None = None,
    dirty: bool = False,
    sources: dict[str, str] | None = None,
    **spec: Any,
) -> Record:
    """A sealed record with the given headline; anything else that a test does not name is the same for all."""
    task = spec.get("task", "segmentation")
    cell = RunSpec(
        **{
            "arch": "resnet18", "image_size": 96, "suite": "made_up", "seed": 0, "protocol": "clean", "task": task,
            "method": method, "dataset": dataset, "fraction": fraction, **spec,
        }
    )  # fmt: skip
    weights = f"{method[:2].encode().hex()}{cell.pretrain_seed}0000000000"
    foundations = replace(Foundations(weights, "da1a0000da1a", "5911700059117", "5e7500005e75", 1), **(base or {}))
    headline = metric if metric is not None else METRIC[task]
    provenance = {
        "vlpbench": "0.1.0",
        "started_at": started,
        "protocol": {"name": cell.protocol, "version": 1, "title": "Frozen backbone, complete metrics"},
        "git": {"commit": "c0ffee00c0ffee00", "dirty": dirty},
        "settings": {"max_steps": 160} if settings is None else settings,
        "settings_sources": {"max_steps": "the protocol"} if sources is None else sources,
        "data": {
            "name": dataset,
            "title": dataset,
            "splits": {"train": 600, "val": 200, "test": 200},
            **({} if split is None else {"split": split}),
        },
        "backbone": {"recipe_hash": f"{method}-recipe" if recipe is None else recipe},
        "note": "fabricated for a test, never measured",
    }
    return sealed(
        Record(
            key=run_key(cell, foundations),
            spec=cell,
            foundations=foundations,
            metrics={headline: value},
            headline=headline,
            floors={FLOOR[task]: {headline: floor}},
            counts={"train images": TRAIN[fraction], "val images": 200, "test images": 200, **(counts or {})},
            selection={"rule": "lowest validation loss", "step": 40},
            provenance=provenance,
            attempt=attempt,
        )
    )


def golden_records() -> list[Record]:
    """Random initialisation and two methods, one of them with three seeds, on two datasets; one cell is missing."""
    records = []
    values = {
        "random": [(0.0812, 0.3004, 0.0521, 0.2013)],
        "convirt": [(0.2503, 0.6009, 0.4811, None)],
        "sista": [(0.2504, 0.6102, 0.5013, 0.6321), (0.2604, 0.6002, 0.4913, 0.6421), (0.2404, 0.6202, 0.5113, 0.6221)],
    }
    columns = [("siim", 0.01), ("siim", 1.0), ("rsna", 0.01), ("rsna", 1.0)]
    for method, seeds in values.items():
        for seed, row in enumerate(seeds):
            for (dataset, fraction), value in zip(columns, row, strict=True):
                if value is not None:
                    records.append(
                        fabricate(value, method=method, dataset=dataset, fraction=fraction, pretrain_seed=seed)
                    )
    return records


def full_records() -> list[Record]:
    """The golden records with what gives marks and warnings: a second backbone, a ceiling, faults of a split."""
    records = golden_records()
    rows = {
        ("sista", "vit_b16"): (0.3001, 0.6203, 0.4012, 0.5523),
        ("mlip", "vit_b16"): (0.2002, 0.6304, 0.0401, 0.1001),
        ("supervised", "resnet18"): (0.0511, 0.7012, 0.4401, 0.6006),
    }
    columns = [("siim", 0.01), ("siim", 1.0), ("rsna", 0.01), ("rsna", 1.0)]
    faulty = {"name": "mgca-2022", "known": ["Drawn by image."], "shared": {"train and test": 12}}
    for (method, arch), row in rows.items():
        for (dataset, fraction), value in zip(columns, row, strict=True):
            records.append(
                fabricate(
                    value,
                    method=method,
                    arch=arch,
                    dataset=dataset,
                    fraction=fraction,
                    floor=0.15 if (dataset, fraction) == ("rsna", 1.0) else 0.0,
                    counts={"test_images_positive": 4, "train_images_positive": 1} if dataset == "rsna" else {},
                    split=faulty if dataset == "rsna" else None,
                    dirty=method == "mlip",
                    started="2026-01-02T00:00:00+00:00",
                )
            )
    return records


class FabricatedResampler(Resampler):
    """Samples without predictions: each record's headline and a pattern of its method, the same in every process."""

    def __init__(self, lacking: str = "") -> None:
        """Refuse the samples of the method `lacking`."""
        super().__init__(RecordStore(Path("results")), samples=1024)
        self._lacking = lacking

    def prefetch(self, records: Iterable[Record]) -> None:
        """There is nothing to read."""

    def values(self, record: Record) -> Float[np.ndarray, " samples"]:
        """The headline, up to 32 / 1024 to either side."""
        if record.spec.method == self._lacking:
            raise VlpbenchError(f"The record {record.key} keeps no predictions.")
        stride = 1 + 2 * (len(record.spec.method) % 7)
        pattern = (np.arange(self.samples) * stride) % 65 - 32
        return (record.metrics[record.headline] or 0.0) + pattern / 1024

    def patients_known(self, record: Record) -> bool:
        """Only of one dataset."""
        return record.spec.dataset != "rsna"


def made_up_titles() -> Titles:
    """Titles that do not change with the cards and suites that ship."""
    methods = {
        "random": MethodCard("random", "Random", trains=False),
        "convirt": MethodCard("convirt", "ConVIRT", venue="PMLR'22"),
        "sista": MethodCard("sista", "SISTA", supervision="external knowledge"),
        "mlip": MethodCard("mlip", "MLIP", venue="CVPR'24", supervision="external knowledge", approximate=True),
        "supervised": MethodCard("supervised", "Supervised", supervision="instance labels"),
    }
    meanings = {"dice_positive": "mean Dice over the test images with a foreground pixel", "auroc": "macro average"}
    task = TaskCard("segmentation", "Segmentation", metrics=meanings)
    data = {name: DataSpec(name, f"{name.upper()}_like & more", "phantom") for name in ("siim", "rsna", "corpus")}
    suite = Suite(
        name="made_up", title="Fabricated records", synthetic=True, note="Synthetic data: not a measurement.",
        needs_data=False, arch="resnet18", image_size=96, protocol="clean", fractions=(0.01, 1.0), seeds=(0,),
        corpus=data["corpus"], datasets=data, pretraining={}, evaluation={},
        pairs=(TaskSpec("siim", "segmentation", "dice"), TaskSpec("rsna", "segmentation", "dice")),
    )  # fmt: skip
    return Titles(methods.get, {"segmentation": task}.get, {"made_up": suite}.get)


def committed_records() -> list[Record]:
    """The golden records as committed, one JSON object per line."""
    path = HERE / "records.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    return [read_record(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def main() -> None:
    """Write the golden records and tables anew."""
    text = "".join(canonical_json(asdict(record)) + "\n" for record in golden_records())
    (HERE / "records.jsonl").write_text(text, encoding="utf-8")
    for suffix in ("md", "tex", "csv", "html"):
        write_table(
            committed_records(), out=HERE / f"table2.{suffix}", results=Path("results"), titles=made_up_titles()
        )
        write_table(
            full_records(),
            which="2",
            out=HERE / f"full.{suffix}",
            results=Path("results"),
            titles=made_up_titles(),
            extras=Extras(FabricatedResampler(lacking="supervised"), published=True),
        )


if __name__ == "__main__":
    main()
