from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from filelock import FileLock

from vlpbench.box import Box
from vlpbench.data import shards
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.prepared import Prepared, Progress, prepare
from vlpbench.data.source import ImageRow, Pixels, Source, SourceRequest, Triplet
from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.registry import REGISTRY, register_source
from vlpbench.suite import DataSpec

ROWS, SHARD = 23, 5
FILES = ("manifest.parquet", "images.npy", "masks.npy", "prepared.json")


class MadeUp(Source):
    """Rows of every kind; `broken.json` names those that cannot be read, `reads` lists the others."""

    def stamp(self) -> object:
        return "the same at all times"

    def rows(self) -> Sequence[ImageRow]:
        text = "changed" if (self._folder / "changed").exists() else "Größe: ½ of the left lung, no effusion."
        return [
            ImageRow(
                image_id=f"image {number}",
                patient=f"p{number // 2}",
                study=f"s{number}",
                report=f"{text} {number}",
                labels={"nodule": (0.0, 1.0, float("nan"))[number % 3], "rare": np.float64(number % 5 == 0)},
                triplets=(Triplet("nodule", "apex", True),) if number % 4 else None,
                boxes=(Box("nodule", 1 / 3, 2.5, 4.0, 5.0),) if number % 3 == 1 else (),
                has_mask=number % 4 == 1,
                source_path=f"{number}.png",
                facts={"view": "PA"} if number % 2 else {},
            )
            for number in range(ROWS)
        ]

    def counts(self) -> dict[str, int]:
        return {"lateral views left out": 7}

    def read(self, row: ImageRow) -> Pixels:
        number = int(row.image_id.split()[1])
        if number in json.loads((self._folder / "broken.json").read_text()):
            raise UnreadableImageError("torn")
        with (self._folder / "reads").open("a") as file:
            file.write(f"{number}\n")
        if (self._folder / "fatal").exists() and number == 12:
            os._exit(1)
        generator = np.random.default_rng(number)
        height, width = 9 + number % 4, 12 - number % 5
        image = generator.integers(0, 255, size=(height, width), dtype=np.uint8)
        return Pixels(image, image // 200 if row.has_mask else None, height, width, content=f"hash {number}")

    @property
    def _folder(self) -> Path:
        if self.request.root is None:
            raise TypeError("no folder")
        return self.request.root


def register() -> None:
    if "made_up" not in REGISTRY.names("source"):
        register_source("made_up", title="Made up", licence="none", how="Drawn.", options={}, version=1)(MadeUp)


def request(folder: Path, *, unreadable: float = 0.5) -> SourceRequest:
    return SourceRequest(DataSpec("mine", "Mine", "made_up", split=(2, 1, 1), max_unreadable=unreadable), folder, 8)


def break_rows(folder: Path, *numbers: int) -> None:
    (folder / "broken.json").write_text(json.dumps(numbers))


def reads(folder: Path) -> list[int]:
    """Rows that were read since the last call."""
    path = folder / "reads"
    numbers = [int(line) for line in path.read_text().split()] if path.exists() else []
    path.unlink(missing_ok=True)
    return numbers


def contents(prepared: Prepared) -> list[bytes]:
    assert sorted(path.name for path in prepared.folder.iterdir()) == sorted(FILES)
    return [(prepared.folder / name).read_bytes() for name in FILES]


def stop_at(row: int) -> Progress:
    def progress(done: int, count: int) -> None:
        if done == row:
            raise KeyboardInterrupt

    return progress


def kill_at(folder: str, row: int) -> None:
    """Prepare in this process, which ends for good at a row."""
    register()
    shards.SHARD_ROWS = SHARD

    def progress(done: int, count: int) -> None:
        if done == row:
            os.kill(os.getpid(), signal.SIGKILL)

    prepare(request(Path(folder)), Path(folder) / "work", jobs=1, progress=progress)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shards, "SHARD_ROWS", SHARD)
    register()
    break_rows(tmp_path, 3, 11)
    return tmp_path


@pytest.fixture
def whole(folder: Path) -> list[bytes]:
    """What comes out without an interruption."""
    made = contents(prepare(request(folder), folder / "whole", jobs=1))
    reads(folder)
    return made


def partial_folder(folder: Path) -> Path:
    (found,) = (folder / "work" / "prepared").glob(".*.partial")
    return found


@pytest.mark.parametrize("row", [1, 4, 5, 6, 12, 20, 22, 23])
def test_an_interrupted_run_loses_one_shard_at_most_and_ends_the_same(
    folder: Path, whole: list[bytes], row: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(request(folder), folder / "work", jobs=1, progress=stop_at(row))
    reads(folder)
    kept = ROWS if row == ROWS else row // SHARD * SHARD
    told: list[tuple[int, int]] = []
    again = prepare(request(folder), folder / "work", jobs=1, progress=lambda *done: told.append(done))
    assert contents(again) == whole
    assert reads(folder) == [number for number in range(kept, ROWS) if number not in (3, 11)]
    assert told[0] == (max(kept, 1), ROWS)
    assert told[-1] == (ROWS, ROWS)
    assert not list((folder / "work" / "prepared").glob(".*.partial"))


def test_a_run_that_is_interrupted_again_and_again_ends_the_same(folder: Path, whole: list[bytes]) -> None:
    for row in (7, 8, 13, 19, 21, 23):
        with pytest.raises(KeyboardInterrupt):
            prepare(request(folder), folder / "work", jobs=1, progress=stop_at(row))
    assert contents(prepare(request(folder), folder / "work", jobs=1)) == whole


def test_a_killed_process_loses_one_shard_at_most(folder: Path, whole: list[bytes]) -> None:
    code = f"from tests.data.test_shards import kill_at; kill_at({str(folder)!r}, 13)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == -signal.SIGKILL
    reads(folder)
    assert contents(prepare(request(folder), folder / "work", jobs=1)) == whole
    assert reads(folder) == [number for number in range(10, ROWS) if number != 11]


@pytest.fixture
def picklable() -> Iterator[None]:
    """Let processes that cannot import this file have `MadeUp`."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.usefixtures("picklable")
def test_several_processes_make_the_same_folder(folder: Path, whole: list[bytes]) -> None:
    assert contents(prepare(request(folder), folder / "work", jobs=2)) == whole


@pytest.mark.usefixtures("picklable")
def test_a_decoding_process_that_dies_is_reported_with_what_it_was_at(folder: Path) -> None:
    (folder / "fatal").touch()
    with pytest.raises(VlpbenchError, match=r"broke off while \d+.png or one of the next .* unexpectedly terminated"):
        prepare(request(folder), folder / "work", jobs=2)


def test_other_rows_start_anew(folder: Path, whole: list[bytes]) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(request(folder), folder / "work", jobs=1, progress=stop_at(14))
    (folder / "changed").touch()
    reads(folder)
    made = prepare(request(folder), folder / "work", jobs=1)
    assert len(reads(folder)) == ROWS - 2
    assert made.manifest["report"].str.startswith("changed").all()


@pytest.mark.parametrize("damage", ["text", "rows", "gone", "images", "masks", "header"])
def test_damaged_work_is_done_again(folder: Path, whole: list[bytes], damage: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(request(folder), folder / "work", jobs=1, progress=stop_at(20))
    work = partial_folder(folder)
    second = work / "shards" / "000001.json"
    if damage == "text":
        second.write_text(second.read_text()[:100])
    elif damage == "rows":
        second.write_text('{"records": [], "problems": []}')
    elif damage == "gone":
        second.unlink()
    elif damage == "header":
        (work / "prepared" / "images.npy").write_bytes(b"\x93NUMPY")
    else:
        path = work / "prepared" / f"{damage}.npy"
        os.truncate(path, 128 + (7 if damage == "images" else 1) * 64 + 5)
    reads(folder)
    assert contents(prepare(request(folder), folder / "work", jobs=1)) == whole
    assert min(reads(folder)) == (0 if damage == "header" else SHARD)


def test_after_a_refusal_the_mended_files_are_read_and_what_comes_before_is_kept(folder: Path) -> None:
    break_rows(folder, 12, 18, 19, 20, 21, 22)
    for _ in range(2):
        with pytest.raises(BadInputError, match="6 of 23 images of 'mine' cannot be used") as error:
            prepare(request(folder, unreadable=0.1), folder / "work", jobs=1)
        assert error.value.problems[0] == "12.png: torn"
    assert sorted(reads(folder)) == [number for number in range(18) if number != 12]
    break_rows(folder, 12)
    made = prepare(request(folder, unreadable=0.1), folder / "work", jobs=1)
    assert made.facts["unreadable"] == ["12.png: torn"]
    # Row 18 is tried, can be read, and is read once more with its shard.
    assert sorted(reads(folder)) == [15, 16, 17, 18, 18, 19, 20, 21, 22]


def test_nothing_readable_is_no_data_whatever_the_suite_allows(folder: Path) -> None:
    break_rows(folder, *range(ROWS))
    with pytest.raises(BadInputError, match="23 of 23 images"):
        prepare(request(folder, unreadable=1.0), folder / "work", jobs=1)


def test_work_under_way_serves_another_deal(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(request(folder), folder / "work", jobs=1, progress=stop_at(21))
    reads(folder)
    asked = request(folder)
    made = prepare(replace(asked, data=replace(asked.data, split_seed=3)), folder / "work", jobs=1)
    assert reads(folder) == [20, 21, 22]
    assert len(made.manifest) == ROWS - 2


def test_another_process_is_waited_for(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    finished = prepare(request(folder), folder / "work", jobs=1)
    (lock,) = (folder / "work" / "prepared").glob(".*.lock")
    hidden = finished.folder.with_name("hidden")
    finished.folder.rename(hidden)
    reads(folder)
    made: list[Prepared] = []
    second = threading.Thread(target=lambda: made.append(prepare(request(folder), folder / "work", jobs=1)))
    with caplog.at_level(logging.WARNING), FileLock(lock):
        second.start()
        while not caplog.records:
            time.sleep(0.01)
        assert not made
        hidden.rename(finished.folder)
    second.join()
    assert f"Another process prepares {finished.folder.name}" in caplog.text
    assert made == [finished]
    assert reads(folder) == []


def test_prepared_data_is_never_touched(folder: Path) -> None:
    made = prepare(request(folder), folder / "work", jobs=1)
    before = contents(made)
    # A second process that had asked before the first was ready, and what it left behind.
    with pytest.raises(KeyboardInterrupt):
        prepare(replace(request(folder), image_size=9), folder / "work", jobs=1, progress=stop_at(9))
    prepare(request(folder), folder / "work", jobs=1)
    assert contents(made) == before
    (made.folder / "prepared.json").unlink()
    with pytest.raises(VlpbenchError, match=r"holds no prepared\.json"):
        prepare(request(folder), folder / "work", jobs=1)
    assert (made.folder / "images.npy").read_bytes() == before[1]
