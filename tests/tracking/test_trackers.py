"""Each tracker for real, without a network: what it was told is read back from its own files."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlpbench import cli
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.tracking import backends, trackers
from vlpbench.tracking.trackers import TRACKERS, Tracking, random_states_kept, require_trackers

CONFIG = {"method": "sista", "recipe": {"epochs": 2, "options": {}}, "limit": None}
VARIABLES = ("WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No tracker's variables, neither the user's nor those of an earlier test."""
    before = dict(os.environ)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


def follow(folder: Path, *names: str) -> list[str]:
    """Two steps and an undefined value; the warnings."""
    warned: list[str] = []
    with Tracking(names, folder=folder, warn=warned.append).follow("pre-training", "sista-1", CONFIG) as log:
        log({"train/loss": 2.5, "train/SIA^a": 1.25, "kept patch share": None}, 10)
        log({"train/loss": 0.625, "train/SIA^a": float("nan")}, 20)
    return warned


def wandb_file(folder: Path) -> bytes:
    """What Weights & Biases wrote. Its service goes on writing for a moment; a process that ends waits for it."""
    import wandb

    wandb.teardown()
    (file,) = folder.glob("offline-run-*/*.wandb")
    return file.read_bytes()


def test_tensorboard_writes_curves_and_the_configuration(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert follow(tmp_path, "tensorboard") == []
    events = EventAccumulator(str(tmp_path / "tensorboard" / "pre-training" / "sista-1"))
    events.Reload()
    assert events.Tags()["scalars"] == ["train/loss", "train/SIA^a"]
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(10, 2.5), (20, 0.625)]
    assert [(event.step, event.value) for event in events.Scalars("train/SIA^a")] == [(10, 1.25)]
    (text,) = events.Tensors("config/text_summary")
    assert json.loads(text.tensor_proto.string_val[0]) == CONFIG


def test_mlflow_writes_files_below_the_folder(tmp_path: Path) -> None:
    import mlflow

    assert follow(tmp_path / "first", "mlflow") == []
    assert follow(tmp_path, "mlflow") == []
    assert "MLFLOW_TRACKING_URI" not in os.environ
    client = mlflow.MlflowClient(f"file://{tmp_path / 'mlflow'}")
    experiment = client.get_experiment_by_name("vlpbench")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.runName"] == "sista-1"
    assert run.data.tags["group"] == "pre-training"
    assert run.data.params == {"method": "sista", "recipe.epochs": "2", "limit": "None"}
    assert run.data.metrics == {"train/loss": 0.625, "train/SIA_a": 1.25}
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(entry.step, entry.value) for entry in history] == [(10, 2.5), (20, 0.625)]


def test_mlflow_goes_where_its_own_variables_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    uri = f"file://{tmp_path / 'elsewhere'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "thesis")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert follow(tmp_path / "mine", "mlflow") == []
    assert os.environ["MLFLOW_TRACKING_URI"] == uri
    assert mlflow.MlflowClient(uri).get_experiment_by_name("thesis") is not None
    assert not list((tmp_path / "mine").rglob("meta.yaml"))


def test_wandb_writes_offline_and_sends_no_code(tmp_path: Path) -> None:
    assert follow(tmp_path, "wandb") == []
    content = wandb_file(tmp_path / "wandb")
    for part in (b"train/loss", b"0.625", b"train/SIA^a", b"sista-1", b"pre-training", b"vlpbench"):
        assert part in content, part
    assert b"kept patch share" not in content
    assert not list(tmp_path.rglob("*.py"))


def test_wandb_goes_where_its_own_variables_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANDB_PROJECT", "thesis")
    assert follow(tmp_path / "mine", "wandb") == []
    assert b"thesis" in wandb_file(tmp_path / "elsewhere" / "wandb")


@pytest.mark.parametrize(("given", "mode"), [(None, "offline"), ("online", "online"), ("disabled", "disabled")])
def test_wandb_is_offline_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, mode: str
) -> None:
    import wandb

    if given is not None:
        monkeypatch.setenv("WANDB_MODE", given)
    modes = []
    monkeypatch.setattr(wandb, "init", lambda **settings: modes.append(settings["mode"]))
    monkeypatch.setattr(wandb, "define_metric", lambda **metric: None)
    backends.WandbRun(tmp_path, group="cells", name="one", config={})
    assert modes == [mode]


def test_a_run_that_breaks_off_is_marked_as_failed(tmp_path: Path) -> None:
    import mlflow

    tracking = Tracking(["mlflow"], folder=tmp_path, warn=pytest.fail)
    with pytest.raises(KeyboardInterrupt), tracking.follow("cells", "one", {}):
        raise KeyboardInterrupt
    client = mlflow.MlflowClient(f"file://{tmp_path / 'mlflow'}")
    experiment = client.get_experiment_by_name("vlpbench")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"


class Faulty:
    """A tracker that breaks at a given call, and moves every global generator."""

    def __init__(self, breaks_at: str) -> None:
        self.breaks_at = breaks_at
        self.told: list[int] = []
        self.finished = 0

    def add_scalars(self, scalar_dict: dict[str, float], step: int) -> None:
        random.random()
        np.random.random()
        torch.rand(1)
        if self.breaks_at == "add":
            raise OSError("the server is gone")
        self.told.append(step)

    def finish(self, *, failed: bool) -> None:
        self.finished += 1
        if self.breaks_at == "finish":
            raise OSError("the server is gone")


@pytest.mark.parametrize("breaks_at", ["open", "add", "finish"])
def test_a_tracker_that_fails_is_one_warning_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks_at: str
) -> None:
    sound, faulty = Faulty("never"), Faulty(breaks_at)

    def open_backend(tracker: str, folder: Path, **given: Any) -> Faulty:
        if tracker == "wandb" and breaks_at == "open":
            raise OSError("the server is gone")
        return faulty if tracker == "wandb" else sound

    monkeypatch.setattr(backends, "open_backend", open_backend)
    warned: list[str] = []
    tracking = Tracking(["wandb", "mlflow"], folder=tmp_path, warn=warned.append)
    for name in ("one", "two"):
        with tracking.follow("cells", name, {}) as log:
            log({"loss": 1.0}, 1)
            log({"loss": 0.5}, 2)
    assert sound.told == [1, 2, 1, 2]
    assert sound.finished == 2
    assert len(warned) == 1
    assert warned[0].startswith("The tracker wandb failed and is left out from here; records are not touched by it. ")
    assert "OSError: the server is gone" in warned[0]
    assert faulty.finished == {"open": 0, "add": 1, "finish": 1}[breaks_at]


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    (warning,) = follow(tmp_path / "file", "tensorboard")
    assert "The tracker tensorboard failed" in warning


def test_random_states_are_given_back() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(1))

    with random_states_kept():
        first = draw()
    with contextlib.suppress(OSError), random_states_kept():
        draw()
        raise OSError("the server is gone")
    assert draw() == first


def test_nothing_is_imported_for_nobody(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vlpbench.tracking.trackers import Tracking\n"
        "with Tracking((), folder=Path('nowhere'), warn=print).follow('cells', 'one', {}) as log: log({'a': 1.0}, 1)\n"
        "sys.exit(bool({'torch', 'mmengine', 'tensorboard', 'wandb', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_names_and_packages_are_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    require_trackers(TRACKERS)
    with pytest.raises(UnknownNameError, match=r"No tracker named 'tensorbord'\. Near: tensorboard\."):
        require_trackers(["tensorbord"])
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name != "wandb" else object())
    require_trackers(["wandb"])
    with pytest.raises(
        VlpbenchError, match=r"--tracker mlflow and --tracker tensorboard needs\. .*\[mlflow,tensorboard\]'"
    ):
        require_trackers(["mlflow", "wandb", "tensorboard", "mlflow"])


def test_a_missing_package_ends_the_command_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["vlpbench", "run", "--method", "random", "--tracker", "wandb"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "pip install 'vlpbench[wandb]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
