"""`vlpbench compare`."""

from __future__ import annotations

import csv
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.statistics.fabricate import MeanTask, add, add_mean, label_table, mean_table
from vlpbench import cli
from vlpbench.commands.compare import compare
from vlpbench.errors import NothingToShowError, UnknownNameError, VlpbenchError
from vlpbench.record import Record

BASE = np.random.default_rng(0).random(60)
TRUTH = (np.random.default_rng(1).random(60) < 0.4).astype(float)[:, None]


@pytest.fixture(autouse=True)
def _made_up_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlpbench.statistics.resampler.open_task", lambda name: MeanTask())


def _add(root: Path, method: str, offset: float, **rest: object) -> list[Record]:
    """Two runs on each of two columns; a mean of the first task, AUROC of the second."""
    generator = np.random.default_rng(len(method))
    records = []
    for seed in range(2):
        values = 0.5 * BASE + 0.02 * generator.standard_normal(60) + offset
        records.append(add_mean(root, mean_table(values.clip(0, 1)), method=method, seed=seed, **rest))
        scores = TRUTH + offset * TRUTH * 4 + generator.standard_normal((60, 1))
        records.append(
            add(
                root,
                label_table(TRUTH, scores),
                method=method,
                seed=seed,
                value=_auroc(scores),
                metric="auroc",
                task="classification",
                dataset="chexpert",
                **rest,  # type: ignore[arg-type]
            )
        )
    return records


def _auroc(scores: np.ndarray) -> float:
    return float((scores[TRUTH == 1][:, None] > scores[TRUTH == 0]).mean())


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def _compare(root: Path, *methods: str, out: Path | None = None, task: str | None = None, samples: int = 200) -> None:
    compare(methods, task=task, suite=None, out=out, samples=samples, results=root, plugins=())


def test_two_methods_in_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    _add(tmp_path, "random", 0.0)
    _compare(tmp_path, "sista", "mgca")
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for part in ("First: SISTA. Second: MGCA.", "(DeLong)", "(bootstrap)", "win", "Average ranks", "another pair is"):
        assert part in text
    words = " ".join(text.split())
    assert "about the test patients: for these trained weights" in words
    assert "n = 1 pre-training seed each" in words
    assert "every image counts as a patient" in words


def test_a_task_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    _compare(tmp_path, "sista", "mgca", task="segmentation")
    text = capsys.readouterr().out
    assert "segmentation" in text
    assert "classification" not in text


@pytest.mark.parametrize("suffix", ["md", "html", "csv"])
def test_files_are_written_alike_every_time(tmp_path: Path, suffix: str) -> None:
    for method, offset in (("sista", 0.2), ("mgca", 0.0), ("clip", 0.05)):
        _add(tmp_path, method, offset)
    first, second = tmp_path / "one" / f"compare.{suffix}", tmp_path / "two" / f"compare.{suffix}"
    for out in (first, second):
        _compare(tmp_path, "sista", "mgca", "clip", out=out)
    names = {path.name for path in first.parent.iterdir()}
    expected = {f"compare.{suffix}", "compare.ranks.svg", "compare.ranks.png"}
    assert names == (expected | {"compare.ranks.csv"} if suffix == "csv" else expected)
    for name in names:
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()


def test_markdown_names_both_methods_and_shows_the_diagram(tmp_path: Path) -> None:
    for method, offset in (("sista", 0.2), ("mgca", 0.0), ("clip", 0.05)):
        _add(tmp_path, method, offset)
    _compare(tmp_path, "sista", "mgca", "clip", out=tmp_path / "c.md")
    text = (tmp_path / "c.md").read_text()
    for part in (
        "# Comparison of methods",
        "### Wins, ties and losses",
        "### SISTA against MGCA",
        "### SISTA against CLIP",
        "(c.ranks.svg)",
        "p (Holm)",
        "Friedman's test",
        "**win**",
    ):
        assert part in text
    (row, *_) = [line for line in text.splitlines() if line.startswith("| SIIM-like")]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2:5] == ["100 %", "45.1 ± 0.4", "25.4 ± 0.4"]
    assert cells[5].startswith("**+19.")
    assert cells[8] == "**win**"


def test_ablations_are_compared_like_methods_but_not_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for method, offset in (("sista", 0.2), ("sista_sia", 0.1), ("mgca", 0.0)):
        _add(tmp_path, method, offset)
    _compare(tmp_path, "sista_sia", "mgca")
    text = capsys.readouterr().out
    assert "First: SISTA: SIA + SIA^a. Second: MGCA." in text
    ranks = text[text.index("Average ranks") : text.index("- Rank 1")]
    assert "SISTA" in ranks
    assert "SIA^a" not in ranks


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag not in {"meta", "br", "path", "use", "rect"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"path", "use", "rect"}:
            return
        assert self.open.pop() == tag


def test_html_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    _compare(tmp_path, "sista", "mgca", out=tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert "<svg" in text
    assert 'src="' not in text
    assert "<?xml" not in text


def test_csv_has_full_precision_and_every_cell(tmp_path: Path) -> None:
    ours = _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    _compare(tmp_path, "sista", "mgca", out=tmp_path / "c.csv")
    rows = _rows(tmp_path / "c.csv")
    assert [(row["task"], row["test"]) for row in rows] == [("classification", "DeLong"), ("segmentation", "bootstrap")]
    mean = np.mean([record.metrics["dice_positive"] for record in ours[::2]])
    assert float(rows[1]["first_mean"]) == pytest.approx(mean, rel=1e-15)
    assert float(rows[1]["difference"]) == float(rows[1]["first_mean"]) - float(rows[1]["second_mean"])
    assert rows[1]["seeds"] == "0 1"


def test_all_compares_the_best_ranked_with_everyone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for method, offset in (("sista", 0.1), ("mgca", 0.0), ("clip", 0.4), ("random", 0.0)):
        # twelve records or fewer are resampled in this process, which knows the made-up metric
        _add(tmp_path, method, offset)
    _compare(tmp_path, "all")
    text = " ".join(capsys.readouterr().out.split())
    assert "First: CLIP, against each of the others." in text
    assert "All are compared with CLIP, which has the best average rank on these very cells" in text
    for other in ("SISTA", "MGCA", "Random initialisation"):
        assert other in text


def test_of_several_recipes_the_newest_is_taken_unless_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _add(tmp_path, "sista", 0.2, recipe="aaaa1111", day=1)
    _add(tmp_path, "sista", 0.0, recipe="bbbb2222", day=2)
    _add(tmp_path, "mgca", 0.0, recipe="cccc3333")
    _compare(tmp_path, "sista", "mgca", out=tmp_path / "new.csv")
    text = " ".join(capsys.readouterr().out.split())
    assert "Of sista this is recipe bbbb22 on resnet18" in text
    assert "there is also sista@aaaa11." in text
    _compare(tmp_path, "sista@aaaa", "mgca", out=tmp_path / "old.csv")
    recipes = [{row["first_recipe"] for row in _rows(tmp_path / name)} for name in ("new.csv", "old.csv")]
    assert recipes == [{"bbbb2222"}, {"aaaa1111"}]
    _compare(tmp_path, "sista@aaaa", "sista@bbbb", out=tmp_path / "both.csv")
    rows = _rows(tmp_path / "both.csv")
    assert {(row["first_recipe"], row["second_recipe"]) for row in rows} == {("aaaa1111", "bbbb2222")}


def test_an_architecture_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _add(tmp_path, "sista", 0.2, arch="vit_b16", day=1)
    _add(tmp_path, "sista", 0.0, arch="resnet18", day=2)
    _add(tmp_path, "mgca", 0.0)
    _compare(tmp_path, "sista@vit_b16", "mgca", out=tmp_path / "c.csv")
    assert "Of sista this is recipe unknown on vit_b16" in " ".join(capsys.readouterr().out.split())
    assert {row["first_arch"] for row in _rows(tmp_path / "c.csv")} == {"vit_b16"}


def test_a_cell_without_predictions_is_told_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    for method in ("sista", "mgca"):
        add(tmp_path, None, method=method, fraction=0.1, value=0.5)
    _add(tmp_path, "clip", 0.0)
    add(tmp_path, None, method="clip", dataset="rsna", value=0.5)
    _compare(tmp_path, "sista", "mgca", out=tmp_path / "c.md")
    text = (tmp_path / "c.md").read_text()
    assert "10 % (segmentation) is not tested: The record" in text
    assert "keeps no predictions" in text
    assert "Missing cells, which not both have records of: 1 (rsna 100 % (segmentation)" in text.replace(
        "RSNA-like", "rsna"
    )
    assert "**win**" in text


def test_few_samples_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    _compare(tmp_path, "sista", "mgca", samples=30)
    assert "no bootstrap difference can pass Holm's correction over 2 cells" in " ".join(
        capsys.readouterr().out.split()
    )


def test_unknown_methods_and_those_without_records_end_with_2(tmp_path: Path) -> None:
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    with pytest.raises(UnknownNameError, match=r"No method named 'sisto'\. Near: sista") as unknown:
        _compare(tmp_path, "sisto", "mgca")
    with pytest.raises(NothingToShowError, match=r"No records of gloria.*vlpbench run --method gloria") as bare:
        _compare(tmp_path, "gloria", "mgca")
    with pytest.raises(UnknownNameError, match="architecture or recipe of sista named 'vit'") as kind:
        _compare(tmp_path, "sista@vit", "mgca")
    with pytest.raises(NothingToShowError, match="vlpbench run --method all --tasks detection") as task:
        _compare(tmp_path, "sista", "mgca", task="detection")
    with pytest.raises(NothingToShowError, match="No records under") as empty:
        _compare(tmp_path / "nowhere", "all")
    assert {found.value.exit_code for found in (unknown, bare, kind, task, empty)} == {2}


def test_methods_without_a_common_cell_end_with_2(tmp_path: Path) -> None:
    add_mean(tmp_path, mean_table(BASE), method="sista")
    add_mean(tmp_path, mean_table(BASE), method="mgca", dataset="rsna")
    with pytest.raises(NothingToShowError, match=r"sista shares no cell with mgca.*\n.*sista: phantom/clean/"):
        _compare(tmp_path, "sista", "mgca")


@pytest.mark.parametrize("methods", [("sista",), ("sista", "sista"), ("all", "sista")])
def test_what_is_no_comparison_is_refused(tmp_path: Path, methods: tuple[str, ...]) -> None:
    _add(tmp_path, "sista", 0.2)
    with pytest.raises(VlpbenchError, match="Compare two or more different methods"):
        _compare(tmp_path, *methods)


def test_an_unknown_format_or_task_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(VlpbenchError, match=r"must end in \.md, \.html, \.csv"):
        _compare(tmp_path, "sista", "mgca", out=tmp_path / "c.docx")
    with pytest.raises(UnknownNameError, match="No task named 'segment'"):
        _compare(tmp_path, "sista", "mgca", task="segment")


def test_an_unwritable_file_is_told(tmp_path: Path) -> None:
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(VlpbenchError, match="Cannot write"):
        _compare(tmp_path, "sista", "mgca", out=tmp_path / "file" / "c.md")


def test_signs_of_markdown_and_html_in_titles_stay_signs(tmp_path: Path) -> None:
    # a plug-in that is not loaded prints its name as it is
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "a<b>&*_|", 0.0)
    for suffix in ("md", "html"):
        _compare(tmp_path, "sista", "a<b>&*_|", out=tmp_path / f"c.{suffix}")
    assert "a\\<b\\>&\\*\\_\\|" in (tmp_path / "c.md").read_text()
    page = (tmp_path / "c.html").read_text()
    assert "a&lt;b&gt;&amp;*_|" in page
    assert "a<b>" not in page


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _add(tmp_path, "sista", 0.2)
    monkeypatch.setattr(sys, "argv", ["vlpbench", "compare", "sista", "gloria", "--results", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "No records of gloria" in capsys.readouterr().err


@pytest.mark.slow
def test_the_committed_records_are_compared_in_time_and_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # the tasks' own metrics
    results = Path(__file__).parents[2] / "results" / "embedded"
    for folder in ("one", "two"):
        start = time.monotonic()
        _compare(results, "sista", "mgca", out=tmp_path / folder / "c.csv", samples=2000)
        assert time.monotonic() - start < 30
    for name in ("c.csv", "c.ranks.csv", "c.ranks.svg", "c.ranks.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    rows = _rows(tmp_path / "one" / "c.csv")
    assert len(rows) == 21
    assert {row["reason"] for row in rows} == {""}
    assert {row["test"] for row in rows} == {"DeLong", "bootstrap"}
    assert "every image counts" not in capsys.readouterr().out


def test_a_task_without_labels_is_compared_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _add(tmp_path, "sista", 0.2)
    _add(tmp_path, "mgca", 0.0)
    for method, offset in (("sista", 0.1), ("mgca", 0.0)):
        add_mean(tmp_path, mean_table((BASE / 2 + offset).clip(0, 1)), method=method, dataset="drawn", fraction=0.0)
    _compare(tmp_path, "sista", "mgca")
    told = capsys.readouterr()
    assert "no labels" not in told.out
    assert "segmentation uses no labels and is compared apart: --task segmentation" in told.err
    _compare(tmp_path, "sista", "mgca", task="segmentation")
    assert "no labels" in capsys.readouterr().out
