"""The suite of the SISTA paper: on fabricated releases in their true layout, and where nothing is there."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

from tests.endtoend.test_chain import records, vlpbench
from vlpbench.suite import load_suite

RELEASES = ("mimic_cxr", "chexpert", "rsna", "covidx", "siim", "object_cxr")
SHORT = """
[evaluation.classification]
max_epochs = 3
min_steps = 5

[evaluation.segmentation]
decoder_channels = [16, 16, 8, 8, 8]
max_steps = 4
validate_every = 2
batch_size = 4

[evaluation.detection]
neck_channels = [16, 16, 8]
max_steps = 4
validate_every = 2
batch_size = 4
"""


def write_releases(folder: Path) -> None:
    for name in RELEASES:
        (folder / name).mkdir(parents=True)
        import_module(f"tests.releases.{name}").write_release(folder / name, patients=30)


def short_suite(folder: Path) -> Path:
    """The shipped suite with schedules of a few steps; its data and pairs as they are."""
    text = (files("vlpbench_configs") / "suites" / "paper.toml").read_text(encoding="utf-8")
    path = folder / "paper.toml"
    path.write_text(text.replace("[evaluation]\n", SHORT), encoding="utf-8")
    return path


def arguments(home: Path, *more: str) -> list[str]:
    return [
        "run", "--suite", str(home / "paper.toml"), "--method", "sista", "--tasks", "all", "--arch", "resnet18",
        "--image-size", "64", "--fractions", "1", "--seeds", "0", "--data", str(home / "data"), "--work",
        str(home / "work"), "--results", str(home / "results"), "--jobs", "1", "--device", "cpu",
        "--set", "text_model=scratch", "--set", "text_width=32", "--set", "vocabulary=300", "--set", "epochs=1",
        "--set", "warmup_epochs=0", "--set", "batch_size=8", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_all_seven_pairs_of_the_paper_come_out_of_fabricated_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_releases(tmp_path / "data")
    short_suite(tmp_path)
    assert vlpbench(monkeypatch, *arguments(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "7 cell(s) evaluated, 0 already there, 0 refused, 0 failed" in out
    pairs = {(record["spec"]["dataset"], record["spec"]["task"]) for record in records(tmp_path).values()}  # type: ignore[index]
    assert pairs == {(pair.dataset, pair.task) for pair in load_suite("paper").pairs}
    for number, datasets in ((1, ("CheXpert", "RSNA", "COVIDx")), (2, ("SIIM", "RSNA")), (3, ("RSNA", "Object-CXR"))):
        table = tmp_path / f"table{number}.md"
        monkeypatch.chdir(tmp_path)
        command = ["table", "--table", str(number), "--results", str(tmp_path / "results"), "--out", str(table)]
        assert vlpbench(monkeypatch, *command) == 0
        text = table.read_text(encoding="utf-8")
        assert "SISTA" in text
        assert all(name in text for name in datasets)


@pytest.mark.slow
def test_released_splits_say_what_is_wrong_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_releases(tmp_path / "data")
    short_suite(tmp_path)
    more = ["--splits", "mgca-2022", "--method", "random", "--tasks", "segmentation,detection"]
    assert vlpbench(monkeypatch, *arguments(tmp_path, *more)) == 0
    splits = {
        (record["spec"]["dataset"], record["spec"]["task"]): record["provenance"]["data"]["split"]  # type: ignore[index]
        for record in records(tmp_path).values()
    }
    assert {split["name"] for split in splits.values()} == {"mgca-2022"}
    assert all(split["known"] for split in splits.values())


def test_everything_that_is_missing_is_listed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vlpbench(monkeypatch, "run", "--suite", "paper", "--method", "sista", "--tasks", "all") == 1
    told = capsys.readouterr().err
    assert "lacks 6 of its 6 datasets since no --data was given" in told
    assert all(f"[folder {name}]: " in told for name in RELEASES)
    assert told.count("https://") >= len(RELEASES)
    (tmp_path / "data" / "rsna").mkdir(parents=True)
    (tmp_path / "data" / "rsna" / "notes.txt").write_text("not the release")
    command = ["plan", "--suite", "paper", "--method", "random", "--tasks", "detection", "--data", "data"]
    assert vlpbench(monkeypatch, *command) == 1
    told = capsys.readouterr().err
    assert "lacks 2 of its 2 datasets below data" in told
    assert "found notes.txt" in told
    assert f"No folder at {tmp_path / 'data' / 'object_cxr'}" in told
    assert "get it: " in told
