"""`vlpbench reproduce` of a record of scored maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endtoend.test_chain import vlpbench


def test_maps_are_scored_again_and_agree(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--suite", str(work / "tiny.toml"), "--work", str(work / "work"), "--results", str(tmp_path / "results")]
    assert vlpbench(monkeypatch, "heatmap", "--score", "-m", "medklip", *named, "--device", "cpu") == 0
    files = sorted((tmp_path / "results" / "records").rglob("*.json"))
    assert len(files) == 2
    before = [file.read_bytes() for file in files]
    for file in files:
        capsys.readouterr()
        assert vlpbench(monkeypatch, "reproduce", file.stem, *named) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "those of the record by sha256" in out
        assert "predictions: identical files" in out
        assert "identical: " in out
    assert [file.read_bytes() for file in files] == before
    assert len(list((work / "work" / "reproduced" / "maps").iterdir())) == 2
