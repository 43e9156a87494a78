"""A run that is followed and one that is not come to the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.endtoend.tiny import write_suite
from tests.pretraining.conftest import write_corpus

from vlpbench import cli
from vlpbench.pretraining.recipe import resolve_recipe
from vlpbench.pretraining.run import pretrain
from vlpbench.specs import PretrainSpec
from vlpbench.tracking import backends
from vlpbench.tracking.trackers import Tracking, no_log

RECIPE = {
    "text_model": "scratch", "text_width": 16, "vocabulary": 80, "max_tokens": 24, "precision": "float32", "epochs": 4,
    "warmup_epochs": 1, "batch_size": 6, "learning_rate": 1e-3, "patience": 9,
}  # fmt: skip


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard was told, by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_losses_of_steps_and_epochs_are_told_and_weights_stay_the_same(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", train=18, val=5)
    spec = PretrainSpec("convirt", 1, "resnet18", 32, "hand-made", "", resolve_recipe(RECIPE).canonical(), 0)

    def run(name: str, log: Any) -> Any:
        return pretrain(
            spec, corpus, folder=tmp_path / name, device=torch.device("cpu"), report=lambda *progress: None, log=log
        )

    alone = run("alone", no_log)
    with Tracking(["tensorboard"], folder=tmp_path, warn=pytest.fail).follow("pre-training", "one", {}) as log:
        followed = run("followed", log)
    assert followed.sha256 == alone.sha256
    told = scalars(tmp_path / "tensorboard" / "pre-training" / "one")
    history = followed.lineage["history"]
    assert len(history) == 4
    for part in ("train", "validation"):
        assert [step for step, _ in told[f"{part}/loss"]] == [3, 6, 9, 12]
        assert [value for _, value in told[f"{part}/loss"]] == pytest.approx([one[part]["loss"] for one in history])
    assert [value for _, value in told["epoch"]] == [1, 2, 3, 4]
    ((step, loss),) = told["step/loss"]
    assert step == 10
    assert 0.5 * history[3]["train"]["loss"] < loss < 2 * history[3]["train"]["loss"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the cells of `random` on all labels in classification; the records without what always differs."""
    write_suite(tmp_path)

    def call(name: str, *more: str) -> list[dict[str, Any]]:
        folder = tmp_path / name
        named = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(folder / "results"), "--jobs", "1"]
        asked = [
            "--method",
            "random",
            "--tasks",
            "classification",
            "--fractions",
            "1",
            "--work",
            str(tmp_path / "work"),
        ]
        monkeypatch.setattr("sys.argv", ["vlpbench", "run", *asked, *named, *more])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0
        records = [json.loads(path.read_text()) for path in sorted((folder / "results").rglob("*.json"))]
        for record in records:
            for field in ("started_at", "wall_seconds", "peak_memory_bytes"):
                del record["provenance"][field]
            del record["checksum"]
        return records

    return call


def test_records_are_the_same_with_and_without_a_tracker(run: Any, tmp_path: Path) -> None:
    alone = run("alone")
    assert not (tmp_path / "work" / "tracking").exists()
    followed = run("followed", "--tracker", "tensorboard")
    assert len(alone) == 1
    assert followed == alone
    (record,) = followed
    (cell,) = (tmp_path / "work" / "tracking" / "tensorboard" / "cells").iterdir()
    assert cell.name == f"random-rsna-classification-{record['key']}.1"
    told = scalars(cell)
    defined = {name: value for name, value in record["metrics"].items() if value is not None}
    assert told["headline"] == [(0, pytest.approx(record["metrics"]["auroc"]))]
    assert {name.removeprefix("metrics/") for name in told if name.startswith("metrics/")} == set(defined)
    assert told["floors/majority"] == [(0, 0.5)]


def test_a_tracker_that_breaks_loses_no_record(
    run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(backends, "open_backend", refuse)
    assert len(run("broken", "--tracker", "mlflow")) == 1
    assert "The tracker mlflow failed and is left out from here" in " ".join(capsys.readouterr().out.split())
