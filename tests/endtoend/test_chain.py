from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.endtoend.tiny import write_suite
from vlpbench import cli

CELLS = 6


def vlpbench(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command as the shell would; return its exit code."""
    monkeypatch.setattr("sys.argv", ["vlpbench", *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `random` and `sista` have been run on the tiny suite."""
    folder = tmp_path_factory.mktemp("home")
    write_suite(folder)
    with pytest.MonkeyPatch.context() as patch:
        assert vlpbench(patch, *arguments(folder, "random,sista")) == 0
    return folder


def arguments(folder: Path, method: str, *more: str, command: str = "run") -> list[str]:
    suite, work = str(folder / "tiny.toml"), str(folder / "work")
    named = ["--suite", suite, "--results", str(folder / "results"), "--work", work]
    return [command, "--method", method, "--tasks", "all", *named, "--jobs", "1", *more]


def records(folder: Path) -> dict[str, dict[str, object]]:
    paths = sorted((folder / "results" / "records").rglob("*.json"))
    return {path.name: json.loads(path.read_text()) for path in paths}


def test_every_cell_has_a_record_with_provenance_and_predictions(home: Path) -> None:
    found = records(home)
    assert len(found) == 2 * CELLS
    for record in found.values():
        provenance = record["provenance"]
        assert isinstance(provenance, dict)
        for field in ("packages", "device", "settings", "data", "backbone", "wall_seconds", "peak_memory_bytes", "git"):
            assert field in provenance
        assert provenance["data"]["split_hash"]
        assert (home / "results" / str(record["predictions"])).is_file()
        metrics, headline = record["metrics"], record["headline"]
        assert isinstance(metrics, dict)
        assert headline in metrics
        assert record["floors"]
        counts = record["counts"]
        assert isinstance(counts, dict)
        assert counts["train images"] in {2, 25}


def test_a_second_call_finds_everything_done(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = records(home)
    assert vlpbench(monkeypatch, *arguments(home, "random,sista")) == 0
    assert f"0 cell(s) evaluated, {2 * CELLS} already there" in capsys.readouterr().out
    assert records(home) == before


def test_the_same_command_and_seed_give_identical_metrics(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_suite(tmp_path)
    assert vlpbench(monkeypatch, *arguments(tmp_path, "sista")) == 0
    again = records(tmp_path)
    assert len(again) == CELLS
    first = records(home)
    for name, record in again.items():  # the same name: weights, data, split and settings are the same to the bit
        assert record["metrics"] == first[name]["metrics"]


def test_force_keeps_the_first_record(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_suite(tmp_path)
    only = ["--fractions", "1", "--tasks", "classification"]
    assert vlpbench(monkeypatch, *arguments(tmp_path, "random", *only)) == 0
    first = records(tmp_path)
    assert vlpbench(monkeypatch, *arguments(tmp_path, "random", *only, "--force")) == 0
    both = records(tmp_path)
    assert len(both) == 2
    assert all(both[name] == record for name, record in first.items())


def test_a_limit_caps_the_images_and_gets_a_table_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path)
    few = ["--limit", "6", "--fractions", "1", "--tasks", "classification"]
    assert vlpbench(monkeypatch, *arguments(tmp_path, "random", *few)) == 0
    (record,) = records(tmp_path).values()
    assert isinstance(record["counts"], dict)
    assert [record["counts"][f"{split} images"] for split in ("train", "val", "test")] == [6, 6, 6]
    assert "at most 6 images per split" in capsys.readouterr().out


def test_plan_and_dry_run_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path)
    assert vlpbench(monkeypatch, *arguments(tmp_path, "sista", command="plan")) == 0
    assert vlpbench(monkeypatch, *arguments(tmp_path, "sista", "--dry-run")) == 0
    assert "to pre-train" in capsys.readouterr().out
    assert not (tmp_path / "work" / "backbones").exists()
    assert records(tmp_path) == {}


@pytest.mark.parametrize(
    ("suffix", "sign"), [(".md", "**"), (".tex", r"\textbf"), (".csv", "rsna"), (".html", "<table")]
)
def test_tables_of_every_format_are_written(
    home: Path, suffix: str, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        out = home / "results" / f"table{number}{suffix}"
        assert vlpbench(monkeypatch, "table", "--out", str(out), "--results", str(home / "results")) == 0
        text = out.read_text()
        assert "SISTA" in text or suffix == ".csv"
        assert "ynthetic" in text or suffix == ".csv"
    assert sign in text or suffix in {".md", ".tex"}


def test_detection_on_a_transformer_is_refused_with_a_reason(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--arch", "vit_tiny_patch16_224", "--fractions", "1"]
    assert vlpbench(monkeypatch, *arguments(home, "random", *small)) == 0
    out = capsys.readouterr().out
    assert "2 cell(s) evaluated, 0 already there, 1 refused" in out
    assert re.search(r"Refused:\s+- random: rsna detection", out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--method", "sist"], "No method named 'sist'. Near: sista"),
        (["--tasks", "detectoin"], "No task named 'detectoin'. Near: detection"),
        (["--suite", "phantm"], "No suite named 'phantm'. Near: phantom"),
        (["--fractions", "10"], "Did you mean 10%?"),
        (["--fractions", "tenth"], "'tenth' is not a fraction"),
        (["--fractions", "0"], "lies in (0, 1]"),
        (["--seeds", "one"], "Seeds are whole numbers"),
        (["--protocol", "cleen"], "No protocol named 'cleen'. Near: clean"),
        (["--splits", "mgca-2022"], "No split of phantom for classification named 'mgca-2022'. Known: clean"),
        (["--splits", "nowhere.csv"], "No split file at nowhere.csv"),
        (["--arch", "resnet81"], "No architecture named 'resnet81'"),
        (["--set", "epoch=3"], "No recipe setting named 'epoch'. Near: epochs"),
        (["--set", "epochs=many"], "expected int"),
        (["--set", "options.temprature=1"], "temperature"),
        (["--device", "tpu9"], "No device 'tpu9'"),
        (["--suite", "open"], "lacks 3 of its 3 datasets since no --data was given"),
        (["--data", "/nowhere"], "--data /nowhere is not a folder"),
        (["--plugin", "nowhere.py"], "No plug-in file at nowhere.py"),
    ],
)
def test_bad_arguments_get_a_clear_error(
    home: Path, change: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = records(home)
    assert vlpbench(monkeypatch, *arguments(home, "sista", *change)) == 1
    captured = capsys.readouterr()
    text = " ".join((captured.err + captured.out).split())
    assert message in text
    assert "Traceback" not in text
    assert records(home) == before


def test_a_hand_edited_record_is_named_and_left_out(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(home / "results", tmp_path / "results")
    path = sorted((tmp_path / "results" / "records").rglob("*.json"))[0]
    record = json.loads(path.read_text())
    record["metrics"][record["headline"]] = 0.999
    path.write_text(json.dumps(record))
    out = tmp_path / "results" / "tables.md"
    assert vlpbench(monkeypatch, "table", "--out", str(out), "--results", str(tmp_path / "results")) == 0
    assert path.name in capsys.readouterr().err.replace("\n", "")
    assert "99.9" not in out.read_text()


def test_a_results_folder_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path)
    (tmp_path / "results").write_text("a file where a folder should be")
    assert vlpbench(monkeypatch, *arguments(tmp_path, "sista")) == 1
    assert "Cannot write" in capsys.readouterr().err
    assert not (tmp_path / "work" / "prepared").exists()


def test_interrupting_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path)
    from vlpbench.store import RecordStore

    add, calls = RecordStore.add, []

    def interrupted(self: RecordStore, *parts: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return add(self, *parts)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RecordStore, "add", interrupted)
        assert vlpbench(patch, *arguments(tmp_path, "random")) == 130
    assert "the same command carries on" in capsys.readouterr().err
    assert len(records(tmp_path)) == 2
    assert vlpbench(monkeypatch, *arguments(tmp_path, "random")) == 0
    assert f"{CELLS - 2} cell(s) evaluated, 2 already there" in capsys.readouterr().out
