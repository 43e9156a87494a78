"""Records of every schema that there has been stay readable, as real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlpbench.canonical import content_hash
from vlpbench.record import READERS, SCHEMA, read_record, record_text
from vlpbench.schema import PROBLEMS
from vlpbench.store import RecordStore

SAMPLES = Path(__file__).parent / "samples"


def sample(schema: int) -> str:
    return (SAMPLES / f"record-schema-{schema}.json").read_text(encoding="utf-8")


def test_every_schema_has_a_reader_a_sample_and_a_description() -> None:
    numbers = {int(path.stem.rpartition("-")[2]) for path in SAMPLES.glob("record-schema-*.json")}
    assert set(READERS) == set(PROBLEMS) == numbers
    assert max(READERS) == SCHEMA


@pytest.mark.parametrize("schema", READERS)
def test_the_sample_still_reads(schema: int) -> None:
    record = read_record(sample(schema), "sample")
    raw = json.loads(sample(schema))
    assert raw["schema"] == schema
    assert content_hash({name: value for name, value in raw.items() if name != "checksum"}) == record.checksum
    assert record.metrics[record.headline] is not None
    assert record.recipe
    assert record.started_at


def test_what_is_written_today_is_the_newest_sample_to_the_letter() -> None:
    assert record_text(read_record(sample(SCHEMA), "sample")) == sample(SCHEMA)


def test_the_sample_of_schema_1_says_what_it_said() -> None:
    record = read_record(sample(1), "sample")
    assert record.key == "eac84a8be9fe6ab158ad"
    assert (record.spec.method, record.spec.task, record.spec.dataset) == ("sista", "segmentation", "rsna")
    assert (record.spec.fraction, record.spec.seed, record.spec.limit) == (0.01, 0, None)
    assert record.headline == "dice_positive"
    assert round(record.metrics["dice_positive"] or 0, 6) == 0.235802
    assert record.floors["always_empty"]["dice_empty_one"] == pytest.approx(0.626263, abs=1e-6)
    assert record.provenance["backbone"]["lineage"]["epochs"] == 8


def test_the_committed_records_and_their_predictions_are_sound() -> None:
    store = RecordStore(Path(__file__).parents[2] / "results" / "embedded")
    records, problems = store.load_all()
    assert problems == []
    assert len(records) >= 1008
    for record in records:
        store.check_predictions(record)
