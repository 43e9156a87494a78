from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.store import RecordStore, UnknownKeyError


@pytest.fixture
def store(tmp_path: Path, golden: ModuleType) -> RecordStore:
    """Two seeds of a cell, the first with a second attempt."""
    store = RecordStore(tmp_path)
    store.add(golden.fabricate(0.5))
    store.add(golden.fabricate(0.6))
    store.add(golden.fabricate(0.7, seed=1))
    return store


def key(golden: ModuleType, **spec: int) -> str:
    return str(golden.fabricate(0.5, **spec).key)


@pytest.mark.parametrize("length", [4, 9, 20])
def test_a_beginning_is_enough(store: RecordStore, golden: ModuleType, length: int) -> None:
    records, problems = store.find_key(key(golden)[:length])
    assert [(record.key, record.attempt) for record in records] == [(key(golden), 1), (key(golden), 2)]
    assert problems == []


def test_a_beginning_that_is_too_short_is_refused(store: RecordStore, golden: ModuleType) -> None:
    with pytest.raises(UnknownKeyError, match=r"too short.*4 or more"):
        store.find_key(key(golden)[:3])


def test_several_keys_are_listed_with_what_they_are_of(store: RecordStore, golden: ModuleType) -> None:
    file = store.record_path(store.find_key(key(golden))[0][0])
    twin = f"{key(golden)[:6]}ffffffffffffff"
    file.with_name(f"{twin}.json").write_text("{", encoding="utf-8")
    with pytest.raises(UnknownKeyError) as caught:
        store.find_key(key(golden)[:6])
    lines = str(caught.value).splitlines()
    assert lines[0] == f"2 keys begin with {key(golden)[:6]!r}:"
    assert f"  {key(golden)}  sista made_up siim segmentation 100% seed 0" in lines
    assert f"  {twin}  damaged" in lines


def test_an_unknown_key_shows_its_neighbours(store: RecordStore, golden: ModuleType) -> None:
    near = key(golden, seed=1)
    with pytest.raises(UnknownKeyError) as caught:
        store.find_key(near[:10] + "0" * 10)
    assert f"  {near}  sista made_up siim segmentation 100% seed 1" in str(caught.value)
    assert key(golden) not in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_empty_folder_says_what_makes_records(tmp_path: Path) -> None:
    with pytest.raises(UnknownKeyError, match=r"There is no record in .*vlpbench run"):
        RecordStore(tmp_path).find_key("abcdef")


def test_a_damaged_attempt_is_told_beside_the_others(store: RecordStore, golden: ModuleType) -> None:
    second = store.record_path(store.find_key(key(golden))[0][1])
    second.write_text(second.read_text(encoding="utf-8").replace("0.6", "0.9"), encoding="utf-8")
    records, problems = store.find_key(key(golden))
    assert [record.attempt for record in records] == [1]
    assert len(problems) == 1
    assert "changed after it was written" in problems[0]
    first = store.record_path(records[0])
    first.write_text("", encoding="utf-8")
    with pytest.raises(VlpbenchError, match="found an empty file"):
        store.find_key(key(golden))


def test_only_a_task_or_a_dataset_is_read(store: RecordStore, golden: ModuleType) -> None:
    store.add(golden.fabricate(0.5, dataset="rsna"))
    assert len(store.load_all("made_up")[0]) == 4
    assert len(store.load_all("made_up", "segmentation", "rsna")[0]) == 1
    assert store.load_all("made_up", "detection") == ([], [])
