from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.record import sealed
from vlpbench.store import RecordStore

PREDICTIONS = pd.DataFrame({"image_id": ["a", "b"], "dice": [0.25, 0.75]})


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_round_trip(tmp_path: Path, golden: ModuleType) -> None:
    store = RecordStore(tmp_path)
    record = golden.fabricate(0.5)
    assert store.find(record.spec, record.key) is None
    assert not store.has(record.spec, record.key)
    stored = store.add(record, PREDICTIONS)
    place = f"made_up/segmentation/siim/{record.key}"
    assert files(tmp_path) == [f"predictions/{place}.parquet", f"records/{place}.json"]
    assert store.has(record.spec, record.key)
    assert store.find(record.spec, record.key) == stored
    assert store.load_all() == ([stored], [])
    pd.testing.assert_frame_equal(store.read_predictions(stored), PREDICTIONS)


def test_empty_folder_has_no_records(tmp_path: Path) -> None:
    assert RecordStore(tmp_path / "nowhere").load_all() == ([], [])
    assert not (tmp_path / "nowhere").exists()


def test_suites_are_kept_apart(tmp_path: Path, golden: ModuleType) -> None:
    store = RecordStore(tmp_path)
    mine = store.add(golden.fabricate(0.5))
    store.add(golden.fabricate(0.5, suite="another"))
    assert store.load_all("made_up") == ([mine], [])
    assert len(store.load_all()[0]) == 2


def test_another_attempt_stands_beside_the_first(tmp_path: Path, golden: ModuleType) -> None:
    store = RecordStore(tmp_path)
    record = golden.fabricate(0.5)
    first = store.add(record, PREDICTIONS)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    second = store.add(record, PREDICTIONS.assign(dice=0.0))
    third = store.add(record)
    assert (first.attempt, second.attempt, third.attempt) == (1, 2, 3)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    place = f"made_up/segmentation/siim/{record.key}"
    assert set(files(tmp_path)) - set(before) == {
        f"records/{place}.2.json",
        f"predictions/{place}.2.parquet",
        f"records/{place}.3.json",
    }
    assert store.find(record.spec, record.key) == third
    assert store.read_predictions(second)["dice"].tolist() == [0.0, 0.0]


def test_tenth_attempt_comes_after_the_ninth(tmp_path: Path, golden: ModuleType) -> None:
    store = RecordStore(tmp_path)
    attempts = [store.add(golden.fabricate(0.5)).attempt for _ in range(11)]
    assert attempts == list(range(1, 12))
    found = store.find(golden.fabricate(0.5).spec, golden.fabricate(0.5).key)
    assert found is not None
    assert found.attempt == 11


def test_an_attempt_taken_meanwhile_is_not_overwritten(
    tmp_path: Path, golden: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = golden.fabricate(0.5)
    first = RecordStore(tmp_path).add(record, PREDICTIONS)
    late = RecordStore(tmp_path)
    monkeypatch.setattr(late, "_attempts", lambda spec, key: {})
    second = late.add(record, PREDICTIONS.assign(dice=0.0))
    assert second.attempt == 2
    records, problems = RecordStore(tmp_path).load_all()
    assert (records, problems) == ([second, first], []) or (records, problems) == ([first, second], [])
    assert RecordStore(tmp_path).read_predictions(first)["dice"].tolist() == [0.25, 0.75]
    assert RecordStore(tmp_path).read_predictions(second)["dice"].tolist() == [0.0, 0.0]


def test_leftover_predictions_of_a_broken_run_are_not_overwritten(tmp_path: Path, golden: ModuleType) -> None:
    record = golden.fabricate(0.5)
    leftover = tmp_path / "predictions/made_up/segmentation/siim" / f"{record.key}.parquet"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half a file")
    stored = RecordStore(tmp_path).add(record, PREDICTIONS)
    assert leftover.read_bytes() == b"half a file"
    assert stored.predictions != leftover.relative_to(tmp_path).as_posix()
    pd.testing.assert_frame_equal(RecordStore(tmp_path).read_predictions(stored), PREDICTIONS)


def test_damaged_files_are_listed_and_the_rest_is_read(tmp_path: Path, golden: ModuleType) -> None:
    store = RecordStore(tmp_path)
    good = store.add(golden.fabricate(0.5))
    edited = store.add(golden.fabricate(0.5, dataset="rsna"))
    folder = tmp_path / "records/made_up/segmentation"
    path = folder / "rsna" / f"{edited.key}.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["metrics"]["dice_positive"] = 0.9
    path.write_text(json.dumps(raw), encoding="utf-8")
    (folder / "siim" / "empty.json").write_text("", encoding="utf-8")
    (folder / "siim" / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "notes.json").write_text('{"note": 1}', encoding="utf-8")
    (folder / "folder.json").mkdir()
    records, problems = store.load_all()
    assert records == [good]
    assert len(problems) == 5
    for name in (path.name, "empty.json", "binary.json", "notes.json", "folder.json"):
        (problem,) = [line for line in problems if name in line]
        assert "expected" in problem or "changed after it was written" in problem
        assert "move it out of the results folder and run the same command again" in problem
    with pytest.raises(VlpbenchError, match="changed after it was written"):
        store.find(edited.spec, edited.key)
    assert store.has(edited.spec, edited.key)


def test_a_record_in_the_wrong_place_is_listed(tmp_path: Path, golden: ModuleType) -> None:
    store = RecordStore(tmp_path)
    record = store.add(golden.fabricate(0.5))
    place = tmp_path / "records/made_up/segmentation/siim" / f"{record.key}.json"
    place.rename(place.with_name("copy.json"))
    records, problems = store.load_all()
    assert records == []
    assert problems == [
        f"{place.with_name('copy.json')}: this record belongs at {place}. Move it there, or out of the results folder."
    ]


def test_changed_predictions_are_noticed(tmp_path: Path, golden: ModuleType) -> None:
    store = RecordStore(tmp_path)
    stored = store.add(golden.fabricate(0.5), PREDICTIONS)
    PREDICTIONS.assign(dice=1.0).to_parquet(tmp_path / stored.predictions)
    with pytest.raises(VlpbenchError, match="expected the predictions"):
        store.read_predictions(stored)
    with pytest.raises(VlpbenchError, match="keeps no predictions"):
        store.read_predictions(store.add(golden.fabricate(0.5, dataset="rsna")))


def test_a_file_where_the_folder_should_be(tmp_path: Path, golden: ModuleType) -> None:
    (tmp_path / "records").write_text("in the way", encoding="utf-8")
    with pytest.raises(VlpbenchError, match=r"Cannot write .*records"):
        RecordStore(tmp_path).add(golden.fabricate(0.5))


@pytest.mark.parametrize("predictions", [None, PREDICTIONS])
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, golden: ModuleType, monkeypatch: pytest.MonkeyPatch, predictions: pd.DataFrame | None
) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(VlpbenchError, match="No space left on device"):
        RecordStore(tmp_path).add(golden.fabricate(0.5), predictions)
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", "", "/root"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, golden: ModuleType, name: str) -> None:
    with pytest.raises(VlpbenchError, match="cannot name a folder"):
        RecordStore(tmp_path / "results").add(golden.fabricate(0.5, dataset=name))
    assert list(tmp_path.iterdir()) == []


def test_checksum_is_of_the_stored_record(tmp_path: Path, golden: ModuleType) -> None:
    stored = RecordStore(tmp_path).add(replace(golden.fabricate(0.5), checksum="stale"), PREDICTIONS)
    assert stored == sealed(stored)
