from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.figures.small_store import fill_store, make_record
from vlpbench import cli
from vlpbench.commands import figures as command
from vlpbench.errors import NothingToShowError
from vlpbench.figures import drawing
from vlpbench.figures.figure import Figure
from vlpbench.figures.index import render_index
from vlpbench.store import RecordStore

NAME = "label_efficiency-segmentation-phantom-clean-32px"
MADE = Figure(NAME, "Label <efficiency>", "Synthetic data. *Lines*", "SISTA_2 50.0", "<svg>one</svg>\n", b"\x89PNG one")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One record without predictions."""
    RecordStore(tmp_path / "results").add(make_record(0.5))
    return tmp_path / "results"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["vlpbench", "figures", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def make_one(*_: object, left_out: object, **__: object) -> Iterator[Figure]:
    """In place of `build_figures`."""
    assert callable(left_out)
    left_out("Training: no history\nat all")
    yield MADE


def test_every_figure_is_written_and_described(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drawing, "build_figures", make_one)
    out = tmp_path / "new" / "figures"
    assert run(monkeypatch, "--out", out, "--results", results) == 0
    assert sorted(path.name for path in out.iterdir()) == ["README.md", f"{NAME}.png", f"{NAME}.svg"]
    assert (out / f"{NAME}.svg").read_text(encoding="utf-8") == MADE.svg
    assert (out / f"{NAME}.png").read_bytes() == MADE.png
    told = capsys.readouterr()
    assert f"{NAME}  Label <efficiency>" in told.out
    assert "1 figure as .svg and .png" in told.out.replace("\n", " ")
    assert "left out: Training: no history" in told.err


def test_the_index_holds_captions_words_and_what_is_missing() -> None:
    text = render_index([MADE], ["Training: no history\nat all"])
    assert text == (
        "# Figures\n\n"
        "## Label \\<efficiency\\>\n\n"
        f"![Label \\<efficiency\\>]({NAME}.png)\n\n"
        "Synthetic data. \\*Lines\\*\n\n"
        "In words: SISTA\\_2 50.0\n\n"
        f"[{NAME.replace('_', chr(92) + '_')}.svg]({NAME}.svg)\n\n"
        "## Left out\n\n- Training: no history at all\n"
    )


def test_without_records_it_says_what_to_run(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--out", tmp_path / "out", "--results", tmp_path / "none") == 2
    assert "vlpbench run --method sista,random --tasks all" in capsys.readouterr().err.replace("\n", " ")
    assert run(monkeypatch, "--out", tmp_path / "out", "--results", results, "--suite", "open") == 2
    assert "of the suite open" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_damaged_records_are_named(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (damaged,) = results.rglob("*.json")
    damaged.write_text("{", encoding="utf-8")
    assert run(monkeypatch, "--out", tmp_path / "out", "--results", results) == 2
    told = capsys.readouterr().err.replace("\n", " ")
    assert damaged.name in told
    assert "1 file(s) there could not be trusted" in told


def test_records_of_which_nothing_can_be_drawn(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "results")
    store.add(make_record(None, task="detection"))
    with pytest.raises(NothingToShowError, match=r"(?s)Nothing can be drawn of 1 record.*loss of pre-training"):
        command.figures(tmp_path / "out", suite=None, data=None, samples=100, results=tmp_path / "results", plugins=())
    assert not (tmp_path / "out" / "README.md").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_drawn(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(drawing, "build_figures", lambda *_, **__: pytest.fail("drawn"))
    assert run(monkeypatch, "--out", tmp_path / "file" / "out", "--results", results) == 1
    told = capsys.readouterr().err
    assert "Cannot write" in told
    assert "file" in told


def test_a_plugin_that_is_not_there_is_named(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(monkeypatch, "--out", tmp_path / "out", "--results", results, "--plugin", tmp_path / "mine.py")
    assert code == 1
    assert "mine.py" in capsys.readouterr().err


def test_damaged_predictions_leave_their_figures_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = fill_store(tmp_path / "results", methods=("sista", "random"), tasks=("segmentation",))
    for path in (store.root / "predictions").rglob("*.parquet"):
        path.write_bytes(b"damaged")
    assert run(monkeypatch, "--out", tmp_path / "out", "--results", store.root, "--samples", "100") == 0
    told = capsys.readouterr()
    assert NAME in told.out
    assert "predicted masks of SIIM-like" in told.err
    index = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "No intervals:" in index
    assert "## Left out" in index
