"""`vlpbench report`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.statistics.fabricate import MeanTask, add_mean, mean_table
from vlpbench import cli
from vlpbench.commands.report import report
from vlpbench.errors import NothingToShowError, VlpbenchError

COMMITTED = Path(__file__).parents[2] / "results" / "embedded"
BASE = np.random.default_rng(0).random(40)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of three methods on one dataset, two seeds each, with predictions of a made-up task."""
    monkeypatch.setattr("vlpbench.statistics.resampler.open_task", lambda name: MeanTask())
    root = tmp_path / "results"
    for method, offset in {"sista": 0.3, "mgca": 0.1, "random": 0.0}.items():
        for seed in range(2):
            add_mean(root, mean_table(0.5 * BASE + offset + 0.01 * seed), method=method, seed=seed)
    return root


def write(results: Path, out: Path, suite: str | None = None) -> str:
    report(out, suite=suite, data=None, samples=100, results=results, plugins=())
    return out.read_text(encoding="utf-8")


def test_the_report_is_written_twice_alike(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(results, tmp_path / "a" / "report.html")
    assert "6 records" in capsys.readouterr().err
    second = write(results, tmp_path / "other.html")
    assert first == second
    assert "SISTA has the best average rank, 1.0 among 2 methods" in first
    assert str(tmp_path) not in first


def test_damaged_records_are_named_and_left_out(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sorted((results / "records").rglob("*.json"))[0]
    path.write_text(path.read_text(encoding="utf-8").replace('"attempt": 1', '"attempt": 7'), encoding="utf-8")
    page = write(results, tmp_path / "report.html")
    assert "1 record file could not be trusted and is left out." in page
    assert path.relative_to(results).as_posix() in page
    assert str(tmp_path) not in page
    (cells,) = re.findall(r'id="cells-data">(.*?)</script>', page, re.DOTALL)
    assert len(json.loads(cells)["rows"]) == 5
    assert "left out: " in capsys.readouterr().err


def test_damaged_predictions_are_told_and_the_rest_goes_on(results: Path, tmp_path: Path) -> None:
    sorted((results / "predictions").rglob("*.parquet"))[0].write_bytes(b"")
    page = write(results, tmp_path / "report.html")
    assert "Missing intervals" in page
    assert str(tmp_path) not in page


def test_no_records_give_exit_code_2_and_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NothingToShowError, match=r"vlpbench run --method sista,random --tasks all --results "):
        write(tmp_path / "none", tmp_path / "report.html")
    with pytest.raises(NothingToShowError, match=r"of the suite paper .* --suite paper --results "):
        write(tmp_path / "none", tmp_path / "report.html", suite="paper")
    assert not (tmp_path / "report.html").exists()
    monkeypatch.setattr(sys, "argv", ["vlpbench", "report", "--results", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2


def test_an_output_that_cannot_be_written_is_refused_before_the_work(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(VlpbenchError, match="Cannot write"):
        write(results, tmp_path / "file" / "report.html")
    with pytest.raises(VlpbenchError, match=r"must end in \.html"):
        write(results, tmp_path / "report.pdf")


@pytest.mark.slow
def test_the_committed_records(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    page = write(COMMITTED, out)
    assert out.stat().st_size < 15e6
    for part in ("Synthetic data", "Linear classification", "What was found", "1,098 (16 methods"):
        assert part in page
