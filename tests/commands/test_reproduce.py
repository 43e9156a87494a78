from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.commands.test_show import KEY, sample
from tests.endtoend.tiny import write_suite
from vlpbench import cli
from vlpbench.cards import MethodCard
from vlpbench.commands.agreement import AGREES, DIFFERS, IDENTICAL, UNTOLD, compare_predictions, compare_records
from vlpbench.commands.arguments import parse_settings
from vlpbench.pretraining.recipe import resolve_recipe
from vlpbench.record import Record
from vlpbench.registry import REGISTRY
from vlpbench.reproduction import recorded_settings, reproduce_command, run_command
from vlpbench.store import RecordStore
from vlpbench.suite import load_suite


def vlpbench(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["vlpbench", *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def card(method: str) -> MethodCard:
    found = REGISTRY.card("method", method)
    assert isinstance(found, MethodCard)
    return found


def with_recipe(record: Record, **settings: Any) -> Record:
    """The record with other settings in its recipe; options by "options"."""
    backbone = record.provenance["backbone"]
    lineage = {**backbone["lineage"], "recipe": {**backbone["lineage"]["recipe"], **settings}}
    return replace(record, provenance={**record.provenance, "backbone": {**backbone, "lineage": lineage}})


def test_a_usual_recipe_is_not_spelled_out() -> None:
    assert recorded_settings(sample()) == ()
    assert reproduce_command(sample()) == f"vlpbench reproduce {KEY}"
    assert run_command(sample()) == (
        "vlpbench run --method sista --tasks segmentation --datasets rsna --suite phantom --arch resnet18 "
        "--image-size 96 --fractions 0.01 --seeds 0 --pretrain-seed 0 --protocol clean"
    )


def test_what_was_set_otherwise_is_spelled_out_and_gives_the_recipe_back() -> None:
    changed = with_recipe(
        sample(limit=50, fraction=1.0),
        epochs=3,
        text_model="a model",
        precision="1",
        workers=4,
        options={"temperature": 0.2, "layers": [1, 2], "on": True},
    )
    command = run_command(changed)
    assert shlex.split(command)[-14:] == [
        "--limit", "50", "--set", "sista.epochs=3", "--set", "sista.options.layers=[1, 2]",
        "--set", "sista.options.on=true", "--set", "sista.options.temperature=0.2", "--set", 'sista.precision="1"',
        "--set", "sista.text_model=a model",
    ]  # fmt: skip
    assert "--fractions 1 " in command
    given = parse_settings(recorded_settings(changed))
    assert given == {
        "methods": {
            "sista": {
                "epochs": 3,
                "text_model": "a model",
                "precision": "1",
                "options": {"temperature": 0.2, "layers": [1, 2], "on": True},
            }
        }
    }


def test_settings_of_the_suite_for_one_method_are_its_own() -> None:
    suite = load_suite("phantom")
    recipe = asdict(resolve_recipe(card("prior").recipe, suite.pretraining, method="prior"))
    record = with_recipe(sample(method="prior"), **recipe)
    assert recipe["options"]
    assert recorded_settings(record) == ()
    options = {**recipe["options"], "ramp_steps": 7}
    other = with_recipe(record, options=options)
    assert recorded_settings(other) == ("prior.options.ramp_steps=7",)
    given = resolve_recipe({}, suite.pretraining, parse_settings(recorded_settings(other)), method="prior")
    assert given.options == options


def test_of_an_initialisation_only_switches_are_named() -> None:
    record = replace(
        sample(method="random"),
        provenance={"backbone": {"lineage": {"recipe": {"options": {"file": "x y.pth"}, "stamp": {"sha256": "1"}}}}},
    )
    assert recorded_settings(record) == ("random.options.file=x y.pth",)
    assert run_command(record).endswith("--set 'random.options.file=x y.pth'")


def test_scored_maps_are_made_by_heatmap() -> None:
    maps = with_recipe(sample(task="grounding", fraction=0.0, pretrain_seed=2), epochs=3)
    assert run_command(maps) == (
        "vlpbench heatmap --score --method sista --suite phantom --arch resnet18 --image-size 96 --pretrain-seed 2 "
        "--set sista.epochs=3"
    )


def test_a_suite_of_ones_own_is_named_by_its_file() -> None:
    mine = sample(suite="mine")
    assert "--suite mine.toml" in run_command(mine)
    known = run_command(mine, replace(load_suite("phantom"), name="mine", needs_data=True))
    assert "--suite mine " in known
    assert known.endswith("--data DATA")


def test_only_another_split_than_the_suites_is_named() -> None:
    def split(name: str) -> Record:
        return replace(sample(), provenance={**sample().provenance, "data": {"split": {"name": name}}})

    assert "--splits" not in run_command(split("clean"))
    assert "--splits mgca-2022" in run_command(split("mgca-2022"))


def compared(again: Record) -> tuple[str, str]:
    agreement = compare_records(sample(), again, predictions="")
    return agreement.verdict, agreement.reason


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, IDENTICAL), (9e-7, AGREES), (-9e-7, AGREES), (1.1e-6, DIFFERS), (-1.1e-6, DIFFERS)]
)
def test_the_verdict_follows_the_largest_difference(shift: float, verdict: str) -> None:
    value = (sample().metrics["dice_positive"] or 0) + shift
    assert compared(sample(value))[0] == verdict


def test_undefined_and_missing_metrics_differ_and_new_ones_do_not() -> None:
    metrics = sample().metrics
    assert compared(replace(sample(), metrics={**metrics, "new": 0.5}))[0] == IDENTICAL
    assert compared(replace(sample(), metrics={**metrics, "dice_pooled": None}))[0] == DIFFERS
    assert compared(replace(sample(), metrics={"dice_positive": metrics["dice_positive"]}))[0] == DIFFERS


def test_the_reason_is_the_first_foundation_that_differs() -> None:
    again = sample(0.9)
    assert compared(again) == (DIFFERS, UNTOLD)
    told = {**again.provenance, "precision": "float32"}
    assert compared(replace(again, provenance=told))[1] == "another precision: bfloat16, now float32"
    told = {**told, "packages": {**told["packages"], "torch": "3.0.0"}}
    assert compared(replace(again, provenance=told))[1] == "another version of torch: 2.15.0, now 3.0.0"
    told = {**told, "git": {"commit": "f" * 40, "dirty": True}}
    code = compared(replace(again, provenance=told))[1]
    assert code == "another version of vlpbench: 0.1.0 (69faed5c3851), now 0.1.0 (ffffffffffff, changed)"
    told = {**told, "settings": {**told["settings"], "max_steps": 40}}
    base = replace(again.foundations, settings_hash="other")
    settings = compared(replace(again, foundations=base, provenance=told))[1]
    assert settings == "another settings: max_steps = 160, now 40"
    base = replace(base, data_fingerprint="other")
    assert compared(replace(again, foundations=base, provenance=told))[1].startswith("another data: ")


def test_other_weights_are_traced_to_their_recipe() -> None:
    again = with_recipe(sample(0.9, weights="other"), epochs=3)
    reason = compared(again)[1]
    assert reason == "another weights (sha256): recipe: epochs = 8, now 3"


def test_predictions_are_compared_by_file_then_by_value(tmp_path: Path) -> None:
    store, scratch = RecordStore(tmp_path / "a"), RecordStore(tmp_path / "b")
    frame = pd.DataFrame({"image_id": ["a", "b"], "p": [0.25, 0.5]})
    record = store.add(sample(), frame)

    def against(other: pd.DataFrame) -> str:
        return compare_predictions(record, store, scratch.add(sample(), other), scratch)

    assert against(frame) == "identical files"
    assert against(frame.assign(p=[0.25, 0.75])) == "differ: p by up to 0.25"
    assert against(frame.assign(image_id=["a", "c"])) == "differ: image_id in 1 of 2 rows"
    assert against(frame[:1]).startswith("2 rows of ['image_id', 'p'], now 1 of")
    store.predictions_path(record).unlink()
    assert "not compared" in against(frame)
    assert "missing" in against(frame)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one record: `random`, classification, all labels, on the tiny suite."""
    folder = tmp_path_factory.mktemp("home")
    write_suite(folder)
    with pytest.MonkeyPatch.context() as patch:
        named = ["--suite", str(folder / "tiny.toml"), "--results", str(folder / "results"), "--jobs", "1"]
        where = ["--method", "random", "--tasks", "classification", "--datasets", "rsna", "--fractions", "1"]
        assert vlpbench(patch, "run", *where, *named, "--work", str(folder / "work")) == 0
    return folder


def reproduce(monkeypatch: pytest.MonkeyPatch, home: Path, *more: str, suite: str = "tiny.toml") -> int:
    (file,) = (home / "results" / "records").rglob("*.json")
    named = ["--suite", str(home / suite), "--results", str(home / "results"), "--work", str(home / "work")]
    return vlpbench(monkeypatch, "reproduce", file.stem, *named, "--jobs", "1", *more)


def state(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (home / "results").rglob("*") if path.is_file()}


def test_the_cell_comes_out_identical_and_the_results_are_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(home)
    assert reproduce(monkeypatch, home) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "those of the record by sha256" in out
    assert "identical: " in out
    assert "predictions: identical files" in out
    assert "same: weights (sha256), data, split, settings, version of the task" in out
    assert state(home) == before
    assert len(list((home / "work" / "reproduced" / "records").rglob("*.json"))) == 1


def test_weights_are_made_anew_where_that_is_wanted(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = {path: path.stat().st_mtime_ns for path in (home / "work" / "backbones").rglob("*.safetensors")}
    for number in (1, 2):
        assert reproduce(monkeypatch, home, "--weights", "retrain") == 0
        assert "identical: " in capsys.readouterr().out
        assert len(list((home / "work" / "reproduced" / "backbones" / str(number)).rglob("*.safetensors"))) == 1
    assert {path: path.stat().st_mtime_ns for path in stored} == stored


def test_a_changed_suite_is_found_out(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (home / "tiny.toml").read_text(encoding="utf-8")
    (home / "changed.toml").write_text(text.replace("count = 40, seed = 2", "count = 40, seed = 3"), encoding="utf-8")
    assert reproduce(monkeypatch, home, suite="changed.toml") == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "differs: " in out
    assert "probable reason: another data: " in out


@pytest.mark.parametrize(
    ("more", "code", "found"),
    [
        (["--weights", "mine"], 1, "No choice of --weights named 'mine'"),
        (["--work", "{home}/none", "--results", "{home}/none/reproduced"], 2, "There is no record in"),
        (["--device", "abacus"], 1, "No device 'abacus'"),
        (["--suite", "{home}/other.toml"], 1, "is the suite 'other'"),
        (["--suite", "{home}/nowhere.toml"], 1, "No suite file at"),
    ],
)
def test_bad_arguments_get_a_clear_error(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    found: str,
) -> None:
    text = (home / "tiny.toml").read_text(encoding="utf-8")
    (home / "other.toml").write_text(text.replace('"tiny"', '"other"'), encoding="utf-8")
    assert reproduce(monkeypatch, home, *(word.format(home=home) for word in more)) == code
    assert found in capsys.readouterr().err


def test_a_suite_that_does_not_ship_is_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = (home / "results" / "records").rglob("*.json")
    assert vlpbench(monkeypatch, "reproduce", file.stem, "--results", str(home / "results")) == 1
    assert "does not ship with vlpbench. Give its file: --suite FILE.toml" in capsys.readouterr().err


def test_reproductions_are_never_checked_against_their_own_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = (home / "results" / "records").rglob("*.json")
    (home / "second").mkdir(exist_ok=True)
    (home / "second" / "reproduced").symlink_to(home / "results")
    named = ["--suite", str(home / "tiny.toml"), "--results", str(home / "results"), "--work", str(home / "second")]
    before = state(home)
    assert vlpbench(monkeypatch, "reproduce", file.stem, *named) == 1
    assert "name another --work" in capsys.readouterr().err
    assert state(home) == before


def test_one_dataset_of_a_suite_is_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path)
    named = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(tmp_path / "r"), "--work", str(tmp_path / "w")]
    assert vlpbench(monkeypatch, "plan", "--method", "random", "--datasets", "siim", *named) == 1
    assert "No dataset named 'siim'. Known: rsna." in capsys.readouterr().err
    phantom = ["--results", str(tmp_path / "r"), "--work", str(tmp_path / "w")]
    asked = ["--method", "random", "--tasks", "detection", "--datasets", "siim"]
    assert vlpbench(monkeypatch, "plan", *asked, *phantom) == 1
    assert "has no detection of siim. It has: chexpert classification;" in capsys.readouterr().err
