from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from vlpbench import rescoring
from vlpbench.cards import TaskCard
from vlpbench.cli import app
from vlpbench.commands.rescore import rescore
from vlpbench.errors import NothingToShowError, VlpbenchError
from vlpbench.protocol import load_protocol
from vlpbench.record import Record, latest_attempts
from vlpbench.registry import REGISTRY
from vlpbench.settings import recorded
from vlpbench.specs import Foundations, RunSpec, run_key
from vlpbench.statistics.resampler import open_task
from vlpbench.store import RecordStore

SETTINGS = load_protocol("clean").for_task("classification")


def made(store: RecordStore, *, method: str = "sista", drop: tuple[str, ...] = (), version: int = 1) -> Record:
    """A record of linear classification with what its predictions give, but for the metrics to drop."""
    generator = np.random.default_rng(len(method))
    truth = (generator.random((12, 2)) < 0.5).astype(float)
    truth[:2, 0] = [0, 1]
    truth[:, 1] = 1
    columns = {"image_id": [f"image{number}" for number in range(12)]}
    for position, label in enumerate(("edema", "rare")):
        columns |= {f"p:{label}": generator.random(12), f"y:{label}": truth[:, position]}
    predictions = pd.DataFrame(columns)
    metrics = open_task("classification").score(predictions, SETTINGS, "auroc")
    spec = RunSpec(method, "resnet18", 64, "mine", "classification", "chest", 1.0, 0, "clean")
    foundations = Foundations("weights", "data", "split", "settings", version)
    return store.add(
        Record(
            key=run_key(spec, foundations),
            spec=spec,
            foundations=foundations,
            metrics={name: None if math.isnan(value) else value for name, value in metrics.items() if name not in drop},
            headline="auroc",
            floors={"majority": {"auroc": 0.5}},
            counts={"test_images": 12},
            selection={"rule": "some"},
            provenance={"settings": recorded(SETTINGS), "started_at": "2026-01-01T00:00:00+00:00"},
        ),
        predictions,
    )


def run(folder: Path, *, task: str | None = None, suite: str | None = None) -> None:
    rescore(suite=suite, task=task, results=folder, plugins=())


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def newer_version(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    entry = REGISTRY._entries["task", "classification"]
    assert isinstance(entry.card, TaskCard)
    monkeypatch.setitem(
        REGISTRY._entries, ("task", "classification"), replace(entry, card=replace(entry.card, version=version))
    )


def test_everything_is_there_and_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RecordStore(tmp_path)
    made(store)
    made(store, method="mgca")
    before = files(tmp_path)
    run(tmp_path)
    assert capsys.readouterr().out == "2 records: every metric is there already and agrees (largest difference 0).\n"
    assert files(tmp_path) == before


def test_new_metrics_make_a_further_attempt_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RecordStore(tmp_path)
    old = made(store, drop=("average_precision", "auroc_edema"))
    made(store, method="mgca")
    before = files(tmp_path)
    run(tmp_path)
    assert "classification: 1 further record(s), with average_precision, auroc_edema" in capsys.readouterr().out
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1
    new = next(one for one in latest_attempts(store.load_all()[0]) if one.key == old.key)
    assert new.attempt == 2
    assert (new.predictions, new.predictions_sha256) == (old.predictions, old.predictions_sha256)
    assert {name: new.metrics[name] for name in old.metrics} == old.metrics
    assert set(new.metrics) - set(old.metrics) == {"average_precision", "auroc_edema"}
    assert new.metrics["auroc_edema"] == new.metrics["auroc"]
    assert (new.floors, new.counts, new.headline) == (old.floors, old.counts, old.headline)
    assert new.provenance["started_at"] == old.provenance["started_at"]
    origin = new.provenance["rescored"]
    assert set(origin) == {"from_key", "from_attempt", "from_task_version", "vlpbench", "git", "at", "added"}
    assert (origin["from_attempt"], origin["added"]) == (1, ["average_precision", "auroc_edema"])
    run(tmp_path)
    assert "2 records: every metric is there already" in capsys.readouterr().out
    assert files(tmp_path) == after


@pytest.mark.parametrize(("apart", "complains"), [(1e-10, False), (2e-9, True), (0.1, True)])
def test_another_value_is_told_and_nothing_written(
    apart: float, complains: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RecordStore(tmp_path)
    record = made(store, drop=("average_precision",))
    value = record.metrics["auroc_edema"]
    assert value is not None
    other = store.add(replace(record, metrics={**record.metrics, "auroc_edema": value - apart}))
    before = files(tmp_path)
    if not complains:
        run(tmp_path)
        assert len(files(tmp_path)) == len(before) + 1
        # what is stored stays as it is
        assert latest_attempts(store.load_all()[0])[0].metrics["auroc_edema"] == value - apart
        return
    with pytest.raises(SystemExit) as stop:
        run(tmp_path)
    assert stop.value.code == 1
    told = capsys.readouterr().out
    assert f"{other.key} (sista chest classification): auroc_edema is stored as {value - apart}" in told
    assert f"its predictions give {value}" in told
    assert "1 record: 1 line(s) above say what is wrong; 0 further record(s) written." in told
    assert files(tmp_path) == before


def test_a_number_in_place_of_undefined_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RecordStore(tmp_path)
    record = made(store)
    assert record.metrics["auroc_rare"] is None
    store.add(replace(record, metrics={**record.metrics, "auroc_rare": 0.5, "auroc_edema": None}))
    with pytest.raises(SystemExit):
        run(tmp_path)
    told = capsys.readouterr().out
    assert "auroc_rare is stored as 0.5, and its predictions give None" in told
    assert "auroc_edema is stored as None" in told


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("missing", "missing; expected the predictions of the record"),
        ("other", "names by sha256, found another file"),
        ("none", "keeps no predictions"),
        ("no table", "cannot score predictions of"),
        ("no column", "cannot score predictions of"),
    ],
)
def test_predictions_that_cannot_be_used_are_listed_and_the_rest_goes_on(
    damage: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RecordStore(tmp_path)
    record = made(store, drop=("average_precision",))
    made(store, method="mgca", drop=("average_precision",))
    path = store.predictions_path(record)
    if damage == "missing":
        path.unlink()
    elif damage == "none":
        store.add(replace(record, predictions="", predictions_sha256=""))
    elif damage == "no column":
        store.add(record, pd.DataFrame({"image_id": ["a"], "p:edema": [0.5]}))
    else:
        path.write_bytes(b"PAR1 is not enough")
        if damage == "no table":
            from vlpbench.canonical import file_sha256

            store.add(replace(record, predictions_sha256=file_sha256(path)))
    before = files(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run(tmp_path)
    assert stop.value.code == 1
    out = capsys.readouterr().out
    assert told in out
    assert "1 line(s) above say what is wrong; 1 further record(s) written" in out
    written = set(files(tmp_path)) - set(before)
    assert len(written) == 1
    assert record.key not in written.pop()


def test_another_version_of_the_task_makes_a_record_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RecordStore(tmp_path)
    old = made(store)
    # what it was worth under the old version makes no difference
    old = store.add(replace(old, metrics={**old.metrics, "auroc_edema": 0.123, "gone": 0.5}))
    second = made(store, version=2)
    newer_version(monkeypatch, 3)
    before = files(tmp_path)
    run(tmp_path)
    assert "2 records: 1 further record(s) written" in capsys.readouterr().out
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    new = next(one for one in store.load_all()[0] if one.key not in {old.key, second.key})
    assert new.key == run_key(new.spec, new.foundations)
    assert new.foundations == replace(old.foundations, task_version=3)
    assert (new.attempt, new.floors) == (1, {})
    assert new.metrics["auroc_edema"] == second.metrics["auroc_edema"]
    assert "gone" not in new.metrics
    origin = new.provenance["rescored"]
    # of two old versions the newer one
    assert (origin["from_key"], origin["from_task_version"]) == (second.key, 2)
    assert origin["added"] == list(open_task("classification").score(store.read_predictions(old), SETTINGS, "auroc"))
    run(tmp_path)
    assert "1 record: every metric is there already and agrees" in capsys.readouterr().out
    assert files(tmp_path) == after


def test_records_of_a_newer_vlpbench_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(RecordStore(tmp_path), version=2)
    with pytest.raises(SystemExit):
        run(tmp_path)
    assert "made by version 2 of the task classification, and this is version 1" in capsys.readouterr().out


def test_damaged_records_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RecordStore(tmp_path)
    path = store.record_path(made(store))
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**raw, "headline": "accuracy"}), encoding="utf-8")
    made(store, method="mgca")
    with pytest.raises(SystemExit) as stop:
        run(tmp_path)
    assert stop.value.code == 1
    told = capsys.readouterr().out
    assert "left out: " in told
    assert path.name in told.replace("\n", "")


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    made(RecordStore(tmp_path), drop=("average_precision",))
    before = files(tmp_path)
    for asked, message in (
        ({"task": "detection"}, "No records of the task detection under .* --tasks detection"),
        ({"suite": "other"}, "No records of the suite other under .* --suite other --tasks all"),
    ):
        with pytest.raises(NothingToShowError, match=message) as error:
            run(tmp_path, **asked)  # type: ignore[arg-type]
        assert error.value.exit_code == 2
    assert files(tmp_path) == before
    run(tmp_path, task="classification", suite="mine")
    assert len(files(tmp_path)) == len(before) + 1


def test_numbers_outside_their_range_are_not_written(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    record = made(store)
    scored = rescoring.Rescored(record, {"auroc": record.metrics["auroc"], "odds": 1.5}, becomes=record.key)
    with pytest.raises(VlpbenchError, match=r"odds = 1\.5; metrics are fractions"):
        rescoring.write(store, scored, git=None)
    nameless = replace(record, headline="odds")
    with pytest.raises(VlpbenchError, match="its headline 'odds' is not among auroc"):
        rescoring.write(store, rescoring.Rescored(nameless, {"auroc": 0.5}, becomes=record.key), git=None)


def test_the_command(tmp_path: Path) -> None:
    made(RecordStore(tmp_path))
    result = CliRunner().invoke(app, ["rescore", "--results", str(tmp_path), "--task", "classification"])
    assert result.exit_code == 0
    assert "1 record: every metric is there already" in result.output
