"""Every way in which a record can be bad, with a message that names the file, what was expected and the next step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vlpbench import __version__
from vlpbench.canonical import content_hash
from vlpbench.errors import VlpbenchError
from vlpbench.record import read_record, record_text, sealed
from vlpbench.store import RecordStore

SAMPLE = Path(__file__).parent / "samples" / "record-schema-1.json"
MEND = "Restore it from a copy, or move it out of the results folder"


def changed(change: Callable[[dict[str, Any]], object], *, seal: bool = True) -> str:
    """The sample with a change, and a checksum that fits it."""
    raw = json.loads(SAMPLE.read_text(encoding="utf-8"))
    change(raw)
    if seal:
        raw["checksum"] = content_hash({name: value for name, value in raw.items() if name != "checksum"})
    return json.dumps(raw)


def put(value: object, *path: str) -> Callable[[dict[str, Any]], object]:
    def change(raw: dict[str, Any]) -> None:
        place = raw
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return change


def drop(*path: str) -> Callable[[dict[str, Any]], object]:
    def change(raw: dict[str, Any]) -> None:
        place = raw
        for name in path[:-1]:
            place = place[name]
        del place[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (drop("counts"), "the field counts is missing"),
        (drop("provenance"), "the field provenance is missing"),
        (drop("spec", "limit"), "the field spec.limit is missing"),
        (drop("foundations", "split_hash"), "the field foundations.split_hash is missing"),
        (put("red", "colour"), "the field colour is unknown"),
        (put(1, "spec", "colour"), "the field spec.colour is unknown"),
        (put([0.5], "metrics"), "metrics is a list, not an object"),
        (put(None, "spec"), "spec is null, not an object"),
        (put("0.01", "spec", "fraction"), "spec.fraction is a text, not a number"),
        (put(-1, "spec", "fraction"), "spec.fraction is -1, not in [0, 1]"),
        (put(2.0, "spec", "seed"), "spec.seed is a number, not a whole number"),
        (put(True, "spec", "seed"), "spec.seed is true or false, not a whole number"),
        (put(50, "metrics", "dice_positive"), "metrics.dice_positive is 50, not a fraction in [0, 1] or null"),
        (put(-0.1, "metrics", "dice_positive"), "metrics.dice_positive is -0.1, not a fraction in [0, 1]"),
        (put("0.5", "metrics", "dice_positive"), "metrics.dice_positive is '0.5', not a fraction"),
        (put(True, "metrics", "dice_positive"), "metrics.dice_positive is True, not a fraction"),
        (put(1.5, "floors", "always_empty", "dice_pooled"), "floors.always_empty.dice_pooled is 1.5"),
        (put(None, "floors", "always_empty"), "floors.always_empty is null, not an object"),
        (put("auroc", "headline"), "the headline 'auroc' is not among the metrics"),
        (put(0.5, "counts", "test images"), "counts.test images is 0.5, not a whole number"),
        (put(0, "attempt"), "attempt is 0, not 1 or more"),
        (put("../../secrets.parquet", "predictions"), "not a path below the results folder"),
        (put("/etc/passwd", "predictions"), "not a path below the results folder"),
        (put([], "provenance", "backbone"), "provenance.backbone is a list, not an object"),
    ],
)
def test_a_sealed_record_that_holds_something_else_is_named(
    change: Callable[[dict[str, Any]], object], found: str
) -> None:
    with pytest.raises(VlpbenchError) as caught:
        read_record(changed(change), "results/one.json")
    message = str(caught.value)
    assert message.startswith("results/one.json: expected the fields of schema 1; ")
    assert found in message
    assert MEND in message


def test_all_that_is_wrong_is_said_at_once() -> None:
    def ruin(raw: dict[str, Any]) -> None:
        del raw["counts"], raw["spec"]["seed"]
        raw["metrics"] = "none"

    with pytest.raises(VlpbenchError, match=r"counts is missing; metrics is a text.*spec\.seed is missing"):
        read_record(changed(ruin), "one.json")


def test_an_edit_that_breaks_the_shape_is_both_seen_and_named() -> None:
    with pytest.raises(VlpbenchError, match=r"changed after it was written \(the field counts is missing\)"):
        read_record(changed(drop("counts"), seal=False), "one.json")


def test_a_newer_schema_says_which_version_wrote_it() -> None:
    def newer(raw: dict[str, Any]) -> None:
        raw["schema"], raw["provenance"]["vlpbench"], raw["metrics"] = 7, "3.1.4", ["unknown here"]

    with pytest.raises(VlpbenchError) as caught:
        read_record(changed(newer), "one.json")
    assert str(caught.value) == (
        "one.json: expected a record of schema 1, found schema 7. "
        f"vlpbench 3.1.4 wrote it, this is {__version__}: upgrade vlpbench to read it."
    )


@pytest.mark.parametrize("provenance", [None, "lost", {"vlpbench": 3}])
def test_a_newer_schema_without_a_version_still_says_to_upgrade(provenance: object) -> None:
    def newer(raw: dict[str, Any]) -> None:
        raw["schema"], raw["provenance"] = 7, provenance

    with pytest.raises(VlpbenchError, match=r"vlpbench of a newer version wrote it.*upgrade"):
        read_record(changed(newer), "one.json")


@pytest.mark.parametrize("schema", [0, -1, True, 1.0, "1", None, [1]])
def test_what_never_was_a_schema_is_no_newer_one(schema: object) -> None:
    with pytest.raises(VlpbenchError) as caught:
        read_record(changed(put(schema, "schema")), "one.json")
    assert f"found schema {schema!r}" in str(caught.value)
    assert "upgrade" not in str(caught.value)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_json_lacks_are_named(word: str) -> None:
    text = SAMPLE.read_text(encoding="utf-8").replace('"dice_pooled": 0.0', f'"dice_pooled": {word}', 1)
    with pytest.raises(VlpbenchError, match=f"one.json.*it holds {word}, .*what is undefined is null"):
        read_record(text, "one.json")


def test_an_undefined_metric_is_read() -> None:
    assert read_record(changed(put(None, "metrics", "dice_pooled")), "here").metrics["dice_pooled"] is None


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_file_that_breaks_off_says_so(share: float) -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    with pytest.raises(
        VlpbenchError, match=r"^one\.json: expected a record in JSON, found .*(breaks off|Unterminated)"
    ):
        read_record(text[: int(share * len(text))], "one.json")


@pytest.mark.parametrize(
    ("text", "found"), [("", "an empty file"), (" \n", "an empty file"), ("[]", "a list"), ("3", "a number")]
)
def test_other_json_is_named_by_its_kind(text: str, found: str) -> None:
    with pytest.raises(VlpbenchError, match=f"expected a record in JSON, found {found}"):
        read_record(text, "one.json")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"rsna"', '"rsna "'),
        ('"lowest validation loss"', '"lowest validation  loss"'),
        ('"seed": 0', '"seed": 1'),
        ('"method": "sista"', '"method": "sparc"'),
        ('"dirty": false', '"dirty": true'),
        ('"attempt": 1', '"attempt": 1, "attempt": 2'),
    ],
)
def test_an_edit_of_a_single_character_is_noticed(old: str, new: str) -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(VlpbenchError, match="does not fit its checksum"):
        read_record(text.replace(old, new, 1), "one.json")


def test_an_edit_beside_an_escaped_quotation_mark_is_noticed() -> None:
    record = read_record(SAMPLE.read_text(encoding="utf-8"), "here")
    told = {**record.provenance, "device": 'a "name":b'}
    text = record_text(sealed(replace(record, provenance=told)))
    assert read_record(text, "here").provenance["device"] == 'a "name":b'
    with pytest.raises(VlpbenchError, match="does not fit its checksum"):
        read_record(text.replace('\\":b', '\\": b'), "here")


def test_a_record_reads_the_same_however_its_white_space_lies() -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    spread = json.dumps(json.loads(text), indent=7).replace("\n", "\r\n")
    assert record_text(read_record(spread, "here")) == record_text(read_record(text, "here")) == text


def stored(folder: Path, golden: ModuleType) -> tuple[RecordStore, Path]:
    """A store with one record, and its file."""
    store = RecordStore(folder)
    return store, store.record_path(store.add(golden.fabricate(0.5)))


@pytest.mark.parametrize("copy", ["{key}.2.json", "../rsna/{key}.json", "backup.json"])
def test_a_copy_is_named_and_not_counted_twice(tmp_path: Path, golden: ModuleType, copy: str) -> None:
    store, file = stored(tmp_path, golden)
    second = file.parent / copy.format(key=file.stem)
    second.parent.mkdir(exist_ok=True)
    shutil.copy(file, second)
    records, problems = store.load_all()
    assert len(records) == 1
    (problem,) = problems
    assert f"this is a copy; the record belongs at {file}, where there is one" in problem
    assert "Move the copy out of the results folder" in problem


def test_a_record_under_another_name_is_to_be_moved(tmp_path: Path, golden: ModuleType) -> None:
    store, file = stored(tmp_path, golden)
    file.rename(file.with_name("renamed.json"))
    records, problems = store.load_all()
    assert records == []
    assert problems == [
        f"{file.with_name('renamed.json')}: this record belongs at {file}. Move it there, or out of the results folder."
    ]


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: path.mkdir(), "expected a readable text file"),
        (lambda path: path.write_bytes(b"\xff\xfe{"), "expected a readable text file"),
        (lambda path: path.write_text(""), "found an empty file"),
        (lambda path: path.write_bytes(b"\xef\xbb\xbf{}"), "expected a record in JSON"),
        (lambda path: path.symlink_to(path.parent / "nowhere"), "expected a readable text file"),
    ],
)
def test_files_that_cannot_be_read_leave_the_others_alone(
    tmp_path: Path, golden: ModuleType, make: Callable[[Path], object], found: str
) -> None:
    store, file = stored(tmp_path, golden)
    make(file.with_name("x.json"))
    records, problems = store.load_all()
    assert len(records) == 1
    assert len(problems) == 1
    assert str(file.with_name("x.json")) in problems[0]
    assert found in problems[0]
    assert MEND in problems[0]


def test_missing_and_changed_predictions_are_told_apart(tmp_path: Path, golden: ModuleType) -> None:
    import pandas as pd

    store = RecordStore(tmp_path)
    record = store.add(golden.fabricate(0.5), pd.DataFrame({"image_id": ["a"]}))
    store.check_predictions(record)
    file = store.predictions_path(record)
    file.write_bytes(b"another")
    with pytest.raises(VlpbenchError, match=r"found another file.*--force"):
        store.read_predictions(record)
    file.unlink()
    with pytest.raises(VlpbenchError, match=r"missing; expected the predictions of the record.*--force"):
        store.read_predictions(record)
