"""The command, on a part of the committed records of the embedded suite."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from vlpbench.cli import main

EMBEDDED = Path(__file__).parents[2] / "results" / "embedded"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of three methods on one dataset with all labels, their predictions and patients."""
    root = tmp_path_factory.mktemp("embedded")
    folder = Path("phantom") / "classification" / "chexpert"
    for path in sorted((EMBEDDED / "records" / folder).glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        spec = record["spec"]
        if spec["fraction"] == 1.0 and spec["method"] in {"sista", "sparc", "random"}:
            for file in (path, EMBEDDED / record["predictions"]):
                target = root / file.relative_to(EMBEDDED)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    shutil.copytree(EMBEDDED / "patients", root / "patients")
    return root


def table(monkeypatch: pytest.MonkeyPatch, results: Path, out: Path, *more: str) -> str:
    command = ["vlpbench", "table", "--table", "1", "--results", str(results), "--out", str(out), *more]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    return out.read_text(encoding="utf-8")


def test_intervals_of_stored_predictions(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = table(monkeypatch, results, tmp_path / "a.csv", "--intervals", "--samples", "200")
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["mean"] and row["kind"] != "trivial"]
    assert {row["method"] for row in rows} == {"sista", "sparc", "random"}
    for row in rows:
        assert float(row["ci_low"]) < float(row["mean"]) < float(row["ci_high"])
        assert row["ci_samples"] == "200"
    assert table(monkeypatch, results, tmp_path / "b.csv", "--intervals", "--samples", "200") == text
    notes = table(monkeypatch, results, tmp_path / "c.md", "--intervals", "--samples", "200")
    assert "DeLong's test for AUROC" in notes
    assert str(results) not in notes


def test_published_numbers_by_a_flag(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = table(monkeypatch, results, tmp_path / "a.csv", "--with-published")
    (row,) = [row for row in csv.DictReader(io.StringIO(text)) if row["method"] == "sista" and row["difference"]]
    assert row["published"] == "0.887"
    assert float(row["difference"]) == pytest.approx(float(row["mean"]) - 0.887)
    assert row["published_marks"] == "data;protocol;split;backbone;runs"
