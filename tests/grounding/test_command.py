"""`vlpbench heatmap` as it is typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.endtoend.test_chain import vlpbench
from tests.grounding.conftest import plan_of
from vlpbench.phantom import studies

Patch = pytest.MonkeyPatch
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def xray(tmp_path: Path) -> Path:
    """A radiograph of another shape than the square."""
    path = tmp_path / "X.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)).save(path)
    return path


def heatmap(patch: Patch, work: Path, *more: str) -> int:
    named = ["--suite", str(work / "tiny.toml"), "--work", str(work / "work"), "--device", "cpu"]
    return vlpbench(patch, "heatmap", *named, *more)


def drawn_id() -> str:
    """A study of the tiny suite with consolidation."""
    found = studies("rsna", count=40, seed=2)
    return next(study.study_id for study in found if any(one.kind == "consolidation" for one in study.findings))


def test_a_file_and_words_make_a_picture(work: Path, xray: Path, monkeypatch: Patch, capsys: Captured) -> None:
    out = xray.parent / "fig2.png"
    asked = ("--image", str(xray), "--words", "pleural effusion,opacity", "--out", str(out))
    assert heatmap(monkeypatch, work, "--method", "gloria,medklip", *asked) == 0
    told = capsys.readouterr()
    assert "pleural effusion: in " in told.err
    assert f"{out}: 2 method(s), 2 phrase(s)" in told.err
    assert "hit" not in told.out
    assert told.out.count("GLoRIA") == 2
    assert "unknown to it" in told.out
    first = out.read_bytes()
    assert heatmap(monkeypatch, work, "--method", "gloria,medklip", *asked) == 0
    assert out.read_bytes() == first


def test_a_drawn_study_is_compared_with_its_masks(
    work: Path, tmp_path: Path, monkeypatch: Patch, capsys: Captured
) -> None:
    out = tmp_path / "fig2.svg"
    image = f"rsna:{drawn_id()}"
    assert heatmap(monkeypatch, work, "-m", "all", "--image", image, "--words", "consolidation", "--out", str(out)) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0].split()[-3:] == ["hit", "energy", "area"]
    rows = [line.split() for line in told.out.splitlines() if line.endswith("%")]
    assert [row[0] for row in rows] == ["GLoRIA", "MedKLIP†", "SISTA"]
    assert all(row[-1] == "%" and row[-5] in {"yes", "no"} for row in rows)
    assert "left out: The method sista_sia compares whole images with whole reports here" in told.err
    assert "left out: There is no trained mgca" in told.err


def test_words_are_read_in_a_report(work: Path, xray: Path, monkeypatch: Patch, capsys: Captured) -> None:
    asked = ("-m", "sista", "--image", str(xray), "--words", "effusion", "--out", str(xray.parent / "a.png"))
    assert heatmap(monkeypatch, work, *asked) == 0
    alone = capsys.readouterr().out
    assert heatmap(monkeypatch, work, *asked, "--report", "There is a small left effusion. No pneumothorax.") == 0
    assert capsys.readouterr().out != alone


def test_scores_become_records(work: Path, tmp_path: Path, monkeypatch: Patch, capsys: Captured) -> None:
    asked = ("--score", "-m", "sista,medklip", "--results", str(tmp_path))
    assert heatmap(monkeypatch, work, *asked) == 0
    told = capsys.readouterr()
    assert "4 record(s) in" in told.err
    assert len(list((tmp_path / "records" / "tiny" / "grounding" / "rsna").glob("*.json"))) == 4
    assert len(list((tmp_path / "predictions").rglob("*.parquet"))) == 4
    assert heatmap(monkeypatch, work, *asked) == 0
    assert capsys.readouterr().out == told.out
    assert len(list((tmp_path / "records").rglob("*.json"))) == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--method", "sitsa"), "No method named 'sitsa'. Near: sista"),
        (("--method", "clip"), "The method clip has no local alignment"),
        (("--method", "random"), "The method random has no local alignment"),
        (("--method", " , "), "Name at least one method, or all."),
        (("--method", "sista_sia"), "The method sista_sia compares whole images with whole reports here"),
        (("--method", "mgca"), "Make it with: vlpbench run --method mgca --suite"),
        (("--method", "sista", "--pretrain-seed", "7"), "--pretrain-seed 7 --work"),
        (("--method", "sista", "--set", "epochs=2"), "--set epochs=2 --work"),
        (("--words", "..."), "'...' holds no letter or digit"),
        (("--words", ""), "No words to look for"),
        (("--words", "nodule", "--report", "No effusion."), "'nodule' does not stand in the report"),
        (("--image", "nothing.png"), "--image nothing.png: no such file. Expected a .png"),
        (("--image", "rsna:nobody"), "No image of rsna named 'nobody'"),
        (("--image", "siim:siim-p00000-s0"), "No dataset of the suite tiny named 'siim'"),
        (("--out", "fig2.docx"), "--out fig2.docx: expected a name that ends in .png, .svg, .pdf"),
    ],
)
def test_what_is_wrong_is_said_once(
    work: Path, xray: Path, monkeypatch: Patch, capsys: Captured, more: tuple[str, ...], message: str
) -> None:
    usual = ("--method", "sista", "--image", str(xray), "--words", "effusion", "--out", str(xray.parent / "fig2.png"))
    assert heatmap(monkeypatch, work, *usual, *more) == 1
    told = capsys.readouterr()
    assert message in " ".join(told.err.split())
    assert told.err.count("vlpbench: ") == 1
    assert "Traceback" not in told.err
    assert not (xray.parent / "fig2.png").exists()


def test_an_image_that_is_none_and_options_that_are_missing(
    work: Path, xray: Path, monkeypatch: Patch, capsys: Captured
) -> None:
    xray.write_text("no image")
    asked = ("--image", str(xray), "--words", "effusion", "--out", str(xray.parent / "a.png"))
    assert heatmap(monkeypatch, work, *asked) == 1
    assert "not an image" in capsys.readouterr().err
    assert heatmap(monkeypatch, work, "--image", str(xray)) == 1
    assert "A picture needs --image, --words and --out" in capsys.readouterr().err


def test_nothing_is_prepared_for_a_method_that_was_never_trained(
    work: Path, tmp_path: Path, xray: Path, monkeypatch: Patch, capsys: Captured
) -> None:
    (tmp_path / "tiny.toml").write_text((work / "tiny.toml").read_text())
    asked = ("--image", str(xray), "--words", "effusion", "--out", str(tmp_path / "a.png"))
    assert heatmap(monkeypatch, tmp_path, "-m", "sista", *asked) == 1
    assert "There is no trained sista" in capsys.readouterr().err
    assert not (tmp_path / "work" / "prepared").exists()
    assert heatmap(monkeypatch, tmp_path, "-m", "all", *asked) == 1
    assert "No method with a local alignment is trained here" in capsys.readouterr().err


@pytest.mark.slow
def test_after_a_real_run(tmp_path: Path, monkeypatch: Patch, capsys: Captured) -> None:
    from tests.endtoend.test_chain import arguments
    from tests.endtoend.tiny import write_suite

    write_suite(tmp_path)
    assert vlpbench(monkeypatch, *arguments(tmp_path, "sista", "--fractions", "1")) == 0
    out = tmp_path / "fig2.pdf"
    asked = ("--image", f"rsna:{drawn_id()}", "--words", "consolidation", "--out", str(out))
    assert heatmap(monkeypatch, tmp_path, "-m", "sista", *asked) == 0
    assert out.is_file()
    assert heatmap(monkeypatch, tmp_path, "-m", "sista", "--score", "--results", str(tmp_path / "results")) == 0
    assert plan_of(tmp_path, "sista").backbone_card("sista") is not None
