from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.record import latest_attempts, make_record, read_record, record_text, sealed
from vlpbench.specs import run_key

SCHEMA_1 = Path(__file__).parent / "golden" / "schema1.json"


def result(**changes: Any) -> Any:
    return SimpleNamespace(
        **{
            "metrics": {"dice_positive": np.float32(0.5), "empty_accuracy": float("nan")},
            "headline": "dice_positive",
            "floors": {"always_empty": {"dice_positive": np.float64(0.0), "empty_accuracy": 1.0}},
            "selection": {"rule": "lowest loss", "step": np.int64(40), "loss": float("inf")},
            **changes,
        }
    )


def test_numbers_become_plain_and_nan_becomes_none(golden: ModuleType) -> None:
    base = golden.fabricate(0.1)
    record = make_record(base.spec, base.foundations, result(), {"test images": np.int64(7)}, {"python": "3.11"})
    again = read_record(record_text(sealed(record)), "here")
    assert again.metrics == {"dice_positive": 0.5, "empty_accuracy": None}
    assert again.selection == {"rule": "lowest loss", "step": 40, "loss": None}
    assert again.counts == {"test images": 7}
    assert again.key == run_key(base.spec, base.foundations)


def test_metrics_in_per_cent_are_refused(golden: ModuleType) -> None:
    base = golden.fabricate(0.1)
    with pytest.raises(VlpbenchError, match="dice_positive = 50"):
        make_record(base.spec, base.foundations, result(metrics={"dice_positive": 50.0}), {}, {})


def test_headline_must_be_a_metric(golden: ModuleType) -> None:
    base = golden.fabricate(0.1)
    with pytest.raises(VlpbenchError, match=r"'auroc'.*dice_positive"):
        make_record(base.spec, base.foundations, result(headline="auroc"), {}, {})


def test_schema_1_stays_readable() -> None:
    record = read_record(SCHEMA_1.read_text(encoding="utf-8"), str(SCHEMA_1))
    assert record.spec.dataset == "siim"
    assert record.spec.limit == 50
    assert record.metrics == {"dice_positive": 0.6321, "empty_accuracy": None}
    assert record.recipe == "sista-recipe"
    assert record.started_at == "2026-01-01T00:00:00+00:00"


def test_text_round_trip(golden: ModuleType) -> None:
    record = golden.fabricate(1 / 3)
    assert read_record(record_text(record), "here") == record
    assert record.metrics["dice_positive"] == 1 / 3


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metrics", "dice_positive"), 0.99),
        (("spec", "method"), "another"),
        (("provenance", "device"), "cuda"),
        (("attempt",), 2),
        (("checksum",), ""),
    ],
)
def test_hand_edits_are_noticed(path: tuple[str, ...], value: object) -> None:
    raw = json.loads(SCHEMA_1.read_text(encoding="utf-8"))
    place = raw
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(VlpbenchError, match=r"results/one\.json.*changed after it was written.*Restore it"):
        read_record(json.dumps(raw), "results/one.json")


def test_white_space_is_no_edit() -> None:
    raw = json.loads(SCHEMA_1.read_text(encoding="utf-8"))
    assert read_record(json.dumps(raw, indent=4), "here").attempt == 1


@pytest.mark.parametrize("schema", [2, "1", None, 0])
def test_unknown_schema_is_named(schema: object) -> None:
    raw = {**json.loads(SCHEMA_1.read_text(encoding="utf-8")), "schema": schema}
    with pytest.raises(VlpbenchError, match=f"expected a record of schema 1, found schema {schema!r}"):
        read_record(json.dumps(raw), "one.json")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"text"', "[" * 100_000])
def test_other_files_are_no_records(text: str) -> None:
    with pytest.raises(VlpbenchError, match=r"^one\.json: expected"):
        read_record(text, "one.json")


def test_sealed_file_with_foreign_fields_is_named(golden: ModuleType) -> None:
    raw = asdict(golden.fabricate(0.5))
    raw["colour"] = "red"
    raw["checksum"] = _checksum_of(raw)
    with pytest.raises(VlpbenchError, match=r"expected the fields of schema 1.*colour"):
        read_record(json.dumps(raw), "one.json")


def _checksum_of(raw: dict[str, Any]) -> str:
    from vlpbench.canonical import content_hash

    return content_hash({name: value for name, value in raw.items() if name != "checksum"})


def test_latest_attempt_counts(golden: ModuleType) -> None:
    first, other = golden.fabricate(0.1), golden.fabricate(0.2, dataset="rsna")
    second = sealed(replace(first, attempt=2))
    assert latest_attempts([second, other, first]) == [second, other]
