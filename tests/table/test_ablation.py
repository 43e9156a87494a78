"""Ablations have a table of their own; methods with labels and approximations are told apart."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from vlpbench.cards import MethodCard
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.table.blocks import build_blocks
from vlpbench.table.latex import latex
from vlpbench.table.layout import select_layouts
from vlpbench.table.markdown import markdown
from vlpbench.table.notes import build_notes
from vlpbench.table.sheet import comma_separated
from vlpbench.table.titles import Titles
from vlpbench.table.webpage import webpage
from vlpbench.table.writing import write_table

COLUMNS = (("classification", "chexpert"), ("segmentation", "siim"), ("detection", "rsna"))
CARDS = {
    "random": MethodCard("random", "Random", trains=False),
    "sista": MethodCard("sista", "SISTA"),
    "sista_sia": MethodCard("sista_sia", "SISTA: SIA + SIA^a", variant_of="sista"),
    "mlip": MethodCard("mlip", "MLIP", supervision="external knowledge", approximate=True),
    "supervised": MethodCard("supervised", "Supervised", supervision="instance labels"),
}
TITLES = Titles(CARDS.get, lambda name: None, lambda name: None)


def made(golden: ModuleType, method: str, value: float, settings: str = "") -> list[Record]:
    """A record of a method in each column of the ablation."""
    return [
        golden.fabricate(
            value + 0.1 * number, method=method, task=task, dataset=dataset, base={"settings_hash": f"{task}{settings}"}
        )
        for number, (task, dataset) in enumerate(COLUMNS)
    ]


def test_ablations_stand_in_table_iv_and_nowhere_else(golden: ModuleType) -> None:
    records = made(golden, "random", 0.1) + made(golden, "sista", 0.4) + made(golden, "sista_sia", 0.3)
    records += made(golden, "mlip", 0.5)
    (block,) = build_blocks(records, select_layouts("4")[0], TITLES)
    assert [(group.task, group.dataset) for group in block.groups] == list(COLUMNS)
    assert [row.name for row in block.rows if row.kind != "trivial"] == ["random", "sista_sia", "sista"]
    sista = next(row for row in block.rows if row.name == "sista")
    assert [cell.mean for cell in sista.cells if cell] == pytest.approx([0.4, 0.5, 0.6])
    assert block.missing == 0
    for number, (task, _) in enumerate(COLUMNS, start=1):
        (alone,) = build_blocks(records, select_layouts(task)[0], TITLES)
        assert {row.name for row in alone.rows if row.kind == "method"} == {"sista", "mlip"}, number


def test_without_an_ablation_there_is_no_table_iv(golden: ModuleType) -> None:
    assert build_blocks(made(golden, "sista", 0.4), select_layouts("4")[0], TITLES) == ()


def test_the_way_to_an_ablation_is_named(golden: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(VlpbenchError, match=r"No records of ablations of sista .*--method sista_sia,sista_sia_sta,"):
        write_table(
            made(golden, "sista", 0.4), which="4", out=tmp_path / "t.md", results=tmp_path / "results", titles=TITLES
        )


def test_a_missing_task_is_a_gap_in_the_ablation(golden: ModuleType) -> None:
    records = made(golden, "sista", 0.4) + made(golden, "sista_sia", 0.3)[:2]
    (block,) = build_blocks(records, select_layouts("4")[0], TITLES)
    assert block.missing == 1


def test_states_of_several_tasks_are_kept_apart(golden: ModuleType) -> None:
    records = made(golden, "sista", 0.4) + made(golden, "sista_sia", 0.3)
    newer = golden.fabricate(
        0.9,
        method="sista_sia",
        task="segmentation",
        dataset="siim",
        base={"settings_hash": "segmentation2"},
        started="2026-02-01T00:00:00+00:00",
    )
    newest, older = build_blocks([*records, newer], select_layouts("4")[0], TITLES)
    assert {record.foundations.settings_hash for record in newest.records} == {
        "classification",
        "segmentation2",
        "detection",
    }
    assert {record.foundations.settings_hash for record in older.records} == {"segmentation"}
    assert older.differences


def test_every_format_takes_columns_of_several_tasks(golden: ModuleType) -> None:
    blocks = build_blocks(made(golden, "sista", 0.4) + made(golden, "sista_sia", 0.3), select_layouts("4")[0], TITLES)
    text = markdown(blocks, [], TITLES)
    assert "chexpert (AUROC) 100 %" in text
    assert "rsna (mAP, IoU 0.40 to 0.75) 100 %" in text
    lines = comma_separated(blocks).splitlines()
    hashes = {line.split(",")[8]: line.split(",")[4] for line in lines[1:]}
    assert hashes == {task: task for task, _ in COLUMNS}
    assert r"\multicolumn" in latex(blocks, [], TITLES)
    assert '<table class="results">' in webpage(blocks, [], TITLES)


def test_a_ceiling_comes_last_and_takes_no_rank(golden: ModuleType) -> None:
    records = [record for name in ("mlip", "random", "supervised") for record in made(golden, name, 0.2)]
    records += made(golden, "sista", 0.1)
    records += [golden.fabricate(0.99, method="supervised", task="classification", dataset="rsna")]
    (block,) = build_blocks(records, select_layouts("segmentation")[0], TITLES)
    assert [row.name for row in block.rows][-1] == "supervised"
    ranks = {row.name: cell.rank for row in block.rows for cell in row.cells if cell}
    assert (ranks["mlip"], ranks["sista"], ranks["supervised"]) == (1, 2, 0)
    notes = "\n".join(build_notes(block, TITLES))
    assert "For comparison only, without a rank. Supervised†: a backbone trained on the image labels" in notes
    page = webpage([block], [], TITLES)
    assert page.index('class="floors"') < page.index('class="methods"') < page.index('class="ceilings"')
    assert re.findall(r"\\midrule\n.*\\textit\{(.*)\}\}", latex([block], [], TITLES)) == [
        "Floors, ResNet-18", "Floors, no backbone", "Methods, ResNet-18", "For comparison, ResNet-18",
    ]  # fmt: skip


def test_the_marks_of_a_row_are_explained(golden: ModuleType) -> None:
    (block,) = build_blocks(made(golden, "mlip", 0.2), select_layouts("segmentation")[0], TITLES)
    mlip = next(row for row in block.rows if row.name == "mlip")
    assert (mlip.title, mlip.short_title) == ("MLIP‡≈ (ResNet-18)", "MLIP‡≈")
    notes = build_notes(block, TITLES)
    assert any(note.startswith("‡ pre-trained with external knowledge") for note in notes)
    assert any(note.startswith("≈ neither code nor hyper-parameters are published") for note in notes)
    assert not any(note.startswith("†") for note in notes)


def test_the_floors_of_all_three_tasks_have_titles_and_meanings_in_table_iv(golden: ModuleType) -> None:
    floors = {"classification": "majority", "segmentation": "always_empty", "detection": "no_boxes"}
    assert floors == golden.FLOOR
    (block,) = build_blocks(made(golden, "sista", 0.4) + made(golden, "sista_sia", 0.3), select_layouts("4")[0], TITLES)
    assert [row.short_title for row in block.rows if row.kind == "trivial"] == [
        "Majority class", "Always-empty mask", "No boxes",
    ]  # fmt: skip
    notes = "\n".join(build_notes(block, TITLES))
    for words in ("its AUROC is chance, 50", "segmentation: an empty mask", "detection: no box on any image"):
        assert words in notes
    majority = next(line for line in markdown([block], [], TITLES).splitlines() if line.startswith("| Majority class"))
    assert [cell.strip() for cell in majority.strip("|").split("|")] == ["Majority class", "", "0.0", "", ""]
