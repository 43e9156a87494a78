"""The paper's numbers stand beside the measured ones, and everything that differs is marked."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vlpbench.cards import MethodCard
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.registry import REGISTRY
from vlpbench.table.beside import MEANINGS, WORDS, add_published, used_marks
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.entries import entries, heads
from vlpbench.table.layout import load_layouts, select_layouts
from vlpbench.table.markdown import markdown
from vlpbench.table.notes import build_notes
from vlpbench.table.published import PublishedCell, partner_archs, published_of, read_published
from vlpbench.table.sheet import comma_separated
from vlpbench.table.titles import registered_titles
from vlpbench.table.writing import Extras, render_tables

TITLES = registered_titles()
AS_PUBLISHED: dict[str, Any] = {
    "suite": "paper",
    "protocol": "mgca",
    "image_size": 224,
    "arch": "resnet50",
    "metric": "dice_batch_mean",
    "split": {"name": "sista-2026"},
}


def beside(records: list[Record], table: str = "2") -> Block:
    (block,) = build_blocks(records, select_layouts(table)[0], TITLES)
    return add_published(block, TITLES)


def published(block: Block, name: str, arch: str, dataset: str, fraction: float = 1.0) -> PublishedCell | None:
    (row,) = [row for row in block.rows if (row.name, row.arch) == (name, arch)]
    place = [(group.dataset, share) for group, share in block.columns].index((dataset, fraction))
    return row.published[place]


def marks(golden: ModuleType, method: str = "sista", value: float = 0.5, **change: Any) -> str:
    block = beside([golden.fabricate(value, method=method, **{**AS_PUBLISHED, **change})])
    cell = published(block, method, change.get("arch", "resnet50"), "siim")
    assert cell is not None
    return "".join(cell.marks)


@pytest.mark.parametrize(
    ("number", "count", "printed"), [(1, 117, 117), (2, 72, 72), (3, 60, 52), (4, 36, 36)]
)  # fmt: skip
def test_every_published_number_is_read(number: int, count: int, printed: int) -> None:
    numbers = published_of(load_layouts()[number - 1])
    assert len(numbers) == count
    assert sum(one.value is not None for one in numbers) == printed
    assert {one.text for one in numbers if one.value is None} <= {"<1"}


def test_numbers_are_those_of_the_paper() -> None:
    found = {
        (one.method, one.arch, one.dataset, one.metric, one.fraction): (one.text, one.value)
        for layout in load_layouts()
        for one in published_of(layout)
    }
    assert found["sista", "resnet50", "siim", "dice", 1.0] == ("72.1", 0.721)
    assert found["sista", "vit_b16", "chexpert", "auroc", 0.1] == ("89.2", 0.892)
    assert found["random", "resnet50", "object_cxr", "map", 0.01] == ("<1", None)
    assert found["sista_sia", "resnet50", "siim", "dice", 0.01] == ("16.8", 0.168)
    assert found["sista_sia_siva_sila", "resnet50", "rsna", "map", 0.1] == ("19.5", 0.195)


def test_rows_of_the_files_are_the_methods_whose_cards_name_them() -> None:
    named = {}
    for layout in load_layouts():
        for row, method in layout.published_rows.items():
            named.setdefault(method, set()).add(row)
    cards = [REGISTRY.card("method", name) for name in REGISTRY.names("method")]
    for card in cards:
        assert isinstance(card, MethodCard)
        if card.published:
            assert card.published in named[card.name], card.name
    assert set(named) == {card.name for card in cards if isinstance(card, MethodCard) and card.published}


def test_a_difference_is_measured_less_published(golden: ModuleType) -> None:
    cell = published(beside([golden.fabricate(0.5004, **AS_PUBLISHED)]), "sista", "resnet50", "siim")
    assert cell is not None
    assert (cell.text, cell.value) == ("72.1", 0.721)
    assert cell.difference == pytest.approx(0.5004 - 0.721, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"suite": "phantom"}, "D"),
        ({"limit": 50}, "D"),
        ({"protocol": "clean"}, "P"),
        ({"image_size": 96}, "P"),
        ({"sources": {"max_steps": "the suite, over the protocol"}}, "P"),
        ({"split": {"name": "clean"}}, "S"),
        ({"split": {"name": "mgca-2022"}}, "S"),
        ({"split": None}, "S"),
        ({"metric": "dice_positive"}, "M"),
        ({"arch": "resnet18"}, "B"),
        ({"method": "mgca"}, "Q"),
        ({"method": "mgca", "split": {"name": "mgca-2022"}}, "Q"),
        ({"suite": "phantom", "protocol": "clean", "image_size": 96, "arch": "resnet18", "split": None}, "DPSB"),
    ],
)
def test_what_differs_is_marked_and_nothing_else(golden: ModuleType, change: dict[str, Any], expected: str) -> None:
    assert marks(golden, **change) == expected


def test_several_runs_are_marked(golden: ModuleType) -> None:
    records = [golden.fabricate(0.5, seed=seed, **AS_PUBLISHED) for seed in (0, 1)]
    cell = published(beside(records), "sista", "resnet50", "siim")
    assert cell is not None
    assert cell.marks == ("R",)


def test_every_number_of_the_phantom_is_marked_as_of_other_data(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.5, suite="phantom", task=task, dataset=dataset, method=name)
        for task, dataset in (("segmentation", "siim"), ("detection", "rsna"), ("classification", "chexpert"))
        for name in ("sista", "random")
    ]
    for table in ("1", "2", "3"):
        cells = [one for row in beside(records, table).rows for one in row.published if one is not None]
        compared = [one for one in cells if one.difference is not None]
        assert compared
        assert all("D" in one.marks for one in compared)
        assert all(one.marks == () for one in cells if one.difference is None)


def test_backbones_are_paired_within_a_family() -> None:
    assert partner_archs(["resnet18"], ["resnet50", "vit_b16"]) == {"resnet18": "resnet50"}
    assert partner_archs(["resnet18", "resnet50"], ["resnet50"]) == {"resnet50": "resnet50"}
    assert partner_archs(["vit_tiny_patch16_224", "resnet50"], ["resnet50", "vit_b16"]) == {
        "resnet50": "resnet50",
        "vit_tiny_patch16_224": "vit_b16",
    }
    assert partner_archs(["resnet50"], ["resnet50", "resnet101"]) == {"resnet50": "resnet50"}
    assert partner_archs(["convnext_tiny"], ["resnet50"]) == {}


def test_rows_that_only_the_paper_has_appear_without_a_measured_number(golden: ModuleType) -> None:
    block = beside([golden.fabricate(0.5, **AS_PUBLISHED), golden.fabricate(0.4, **{**AS_PUBLISHED, "method": "mlip"})])
    rows = {(row.short_title, row.arch): row for row in block.rows if row.kind == "published"}
    assert {"ImageNet", "Random", "MedKLIP†", "ConVIRT"} <= {title for title, _ in rows}
    assert ("MGCA", "vit_b16") in rows
    assert ("SISTA", "resnet50") not in rows
    assert rows["MGCA", "vit_b16"].venue == "NeurIPS'22"
    assert block.missing == build_blocks(block.records, block.layout, TITLES)[0].missing
    text = markdown([block], [], TITLES)
    (line,) = [line for line in text.splitlines() if line.startswith("| ImageNet")]
    assert [cell.strip() for cell in line.strip("|").split("|")][3:6] == ["–", "10.2", ""]
    assert [row.arch for row in block.rows if row.section == "methods"] == sorted(
        row.arch for row in block.rows if row.section == "methods"
    )


def test_what_the_paper_prints_instead_of_a_number_has_no_difference(golden: ModuleType) -> None:
    records = [golden.fabricate(0.005, task="detection", dataset="object_cxr", fraction=0.01, method="random")]
    block = beside(records, "3")
    cell = published(block, "random", "resnet18", "object_cxr", 0.01)
    assert cell == PublishedCell("<1", None, None, cell.marks if cell else ())
    rows = list(csv.DictReader(io.StringIO(comma_separated([block]))))
    (row,) = [row for row in rows if row["method"] == "random" and row["fraction"] == "0.01"]
    assert (row["published"], row["difference"]) == ("<1 %", "")
    (shown,) = [row for row in block.rows if row.name == "random"]
    assert [one.text for one in entries(block, shown)] == ["0.5", "<1", ""]


def test_published_and_measured_never_compete(golden: ModuleType) -> None:
    values = {"sista": 0.3, "mgca": 0.2}
    records = [golden.fabricate(value, **{**AS_PUBLISHED, "method": name}) for name, value in values.items()]
    (plain,) = build_blocks(records, select_layouts("2")[0], TITLES)
    block = beside(records)
    kept = {(row.name, row.arch): row.cells for row in block.rows if row.kind != "published"}
    assert kept == {(row.name, row.arch): row.cells for row in plain.rows}
    for row in block.rows:
        for head, entry in zip(heads(block), entries(block, row), strict=True):
            assert head.kind == "measured" or not (entry.bold or entry.underlined)


def test_ablations_are_matched_by_their_terms(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.5, task="classification", dataset="chexpert", **{"arch": "resnet50", "method": name})
        for name in ("sista", "sista_sia")
    ]
    block = beside(records, "4")
    found = {row.name: [cell.text for cell in row.published if cell] for row in block.rows if row.counted}
    assert found == {"sista": ["88.7"], "sista_sia": ["87.4"]}
    assert [row.short_title for row in block.rows if row.kind == "published"] == [
        "SISTA: SIA + SIA^a + STA", "SISTA: SIA + SIA^a + SIVA + SILA",
    ]  # fmt: skip


def test_columns_that_the_paper_lacks_stay_as_they_are(golden: ModuleType) -> None:
    records = [golden.fabricate(0.5), golden.fabricate(0.5, dataset="mine", suite="another")]
    blocks = [add_published(one, TITLES) for one in build_blocks(records, select_layouts("2")[0], TITLES)]
    (another,) = [block for block in blocks if block.suite == "another"]
    assert [head.kind for head in heads(another)] == ["measured"]
    assert "No published numbers" in "\n".join(build_notes(another, TITLES))


def test_marks_in_use_are_explained_with_the_citation(golden: ModuleType) -> None:
    block = beside([golden.fabricate(0.5, **{**AS_PUBLISHED, "arch": "resnet18", "protocol": "clean"})])
    assert used_marks(block) == ["P", "B"]
    notes = "\n".join(build_notes(block, TITLES))
    assert "arXiv 2601.08165" in notes
    for mark, meaning in MEANINGS.items():
        assert (f"{mark} {meaning}" in notes) == (mark in {"P", "B"})
    assert set(WORDS) == set(MEANINGS)


def test_without_the_flag_nothing_published_is_shown(golden: ModuleType) -> None:
    records = [golden.fabricate(0.5, **AS_PUBLISHED)]
    plain = render_tables(records, which="2", results=Path("results"))
    assert "Published:" not in plain
    assert "difference" not in plain
    assert "72.1" not in plain
    assert "72.1" in render_tables(records, which="2", results=Path("results"), extras=Extras(published=True))


def test_a_file_that_is_not_there_or_does_not_fit_is_named() -> None:
    with pytest.raises(VlpbenchError, match=r"No published table nowhere\.csv"):
        read_published("nowhere.csv", ())
    with pytest.raises(VlpbenchError, match=r"table2_segmentation\.csv, line 2: .*'Random'"):
        read_published("sista2026_table2_segmentation.csv", (("SISTA", "sista"),))


def test_marks_of_rows_that_only_the_paper_has_are_explained(golden: ModuleType) -> None:
    notes = build_notes(beside([golden.fabricate(0.5, **AS_PUBLISHED)]), TITLES)
    signs = [note[0] for note in notes if note[0] in "†‡≈"]
    # the paper's own row of MLIP is no approximation
    assert signs == ["†", "‡"]
