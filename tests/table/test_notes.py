"""The footnote: what is missing, who made the numbers and when, and what to be careful about."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from vlpbench.record import Record
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import select_layouts
from vlpbench.table.listing import list_cells
from vlpbench.table.notes import build_notes
from vlpbench.table.warnings import build_warnings


def block_of(golden: ModuleType, records: list[Record]) -> Block:
    (block,) = build_blocks(records, select_layouts("2")[0], golden.made_up_titles())
    return block


def notes_of(golden: ModuleType, records: list[Record]) -> str:
    return "\n".join(build_notes(block_of(golden, records), golden.made_up_titles()))


def test_missing_cells_are_listed_by_method_dataset_and_fraction(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.5),
        golden.fabricate(0.5, method="convirt", fraction=0.01),
        golden.fabricate(0.5, method="convirt", fraction=0.01, dataset="rsna"),
    ]
    assert (
        "Missing cells (–): 5 of 8: ConVIRT: SIIM_like & more 100 %, RSNA_like & more 100 %; "
        "SISTA‡: SIIM_like & more 1 %, all of RSNA_like & more."
    ) in notes_of(golden, records)
    assert "Missing cells (–): 0 of 4.\n" in notes_of(
        golden,
        [golden.fabricate(0.5, fraction=share, dataset=name) for share in (0.01, 1.0) for name in ("siim", "rsna")],
    )


def test_a_row_is_named_with_its_backbone_where_two_have_one_title(golden: ModuleType) -> None:
    records = [golden.fabricate(0.5), golden.fabricate(0.5, arch="vit_b16"), golden.fabricate(0.5, method="convirt")]
    told = notes_of(golden, records)
    assert "SISTA‡ (ResNet-18): SIIM_like & more 1 %" in told
    assert "SISTA‡ (ViT-B/16): SIIM_like & more 1 %" in told
    assert "ConVIRT: SIIM_like & more 1 %" in told


def test_a_long_list_is_cut_and_counted(golden: ModuleType) -> None:
    block = block_of(golden, [golden.fabricate(0.5, method=f"m{number:02}") for number in range(11)])
    told = list_cells(block, block.missing_places)
    assert told.count(";") == 8
    assert told.startswith("m00: SIIM_like & more 1 %, all of RSNA_like & more; m01")
    assert told.endswith("; and 9 more in 3 other rows")


def test_code_and_date_are_those_of_the_records(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.5, started="2026-01-05T23:59:59+00:00"),
        golden.fabricate(0.5, method="convirt", dirty=True),
        golden.fabricate(0.5, method="random"),
    ]
    records[2].provenance["git"] = None  # type: ignore[index]
    told = notes_of(golden, records)
    assert (
        "From 3 records, made by vlpbench 0.1.0 (git c0ffee00; 1 with uncommitted changes; git commit of 1 unknown)."
        in told
    )
    assert f"The newest is of 2026-01-05: vlpbench show {records[0].key} prints it" in told
    assert "Warning: 1 of 3 records were made by code with changes that no commit holds" in told


def test_undefined_metrics_are_counted_and_named(golden: ModuleType) -> None:
    told = notes_of(
        golden, [golden.fabricate(0.4), golden.fabricate(None, seed=1), golden.fabricate(0.1, method="convirt")]
    )
    assert "which their mean leaves out: 1: SISTA‡: SIIM_like & more 100 %." in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"split": {"name": "x", "shared": {"train and test": 7}}}, "7 patients are in both train and test"),
        ({"split": {"name": "mgca-2022", "known": ["By row."]}}, "SIIM_like & more, split mgca-2022: By row."),
        ({"counts": {"test images seen in pre-training": 3}}, "up to 3 test images were seen in pre-training"),
        ({"counts": {"test_images_positive": 9}}, "fewer than 10 test positives, so that a few images decide"),
        ({"counts": {"test_images_positive": 9}}, "images 9."),
        ({"counts": {"test_boxes": 9}}, "boxes 9."),
        ({"counts": {"test_positives:edema": 0}}, "edema 0."),
        ({"counts": {"train_positives:edema": 1}}, "SIIM_like & more 100 %: fewer than 2 training positives in some"),
        ({"counts": {"train_positives:edema": 1}}, "edema 1."),
        ({"counts": {"train_images_positive": 1}}, "fewer than 2 training positives in some run: images 1."),
        ({"counts": {"auroc_undefined:edema": 1}}, "without edema, of which the test split has one class only"),
        ({"counts": {"train_boxes": 0}}, "fewer than 2 training positives in some run: boxes 0."),
    ],
)  # fmt: skip
def test_what_endangers_a_number_is_told(golden: ModuleType, change: dict[str, Any], told: str) -> None:
    (warning,) = build_warnings(block_of(golden, [golden.fabricate(0.5, **change)]))
    assert warning.endswith(told) or told in warning
    assert f"Warning: {warning}" in notes_of(golden, [golden.fabricate(0.5, **change)])


@pytest.mark.parametrize(
    "change",
    [
        {"split": {"name": "clean", "shared": {"train and test": 0}, "known": []}},
        {"counts": {"test_images_positive": 10, "test_boxes": 10, "test_positives:edema": 10, "train_boxes": 2}},
        {"counts": {"test_images_with_boxes": 1, "test_boxes_predicted": 0}},
    ],
)
def test_what_does_not_is_not(golden: ModuleType, change: dict[str, Any]) -> None:
    assert build_warnings(block_of(golden, [golden.fabricate(0.5, **change)])) == []


def test_the_fewest_of_the_runs_count(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.5, seed=seed, counts={"train_positives:edema": count}) for seed, count in enumerate((5, 1))
    ]
    assert any("edema 1" in line for line in build_warnings(block_of(golden, records)))


def test_one_pretraining_seed_under_several_runs_is_told(golden: ModuleType) -> None:
    once = [golden.fabricate(0.5, seed=seed) for seed in (0, 1)]
    assert build_warnings(block_of(golden, once)) == [
        "one pre-training seed, so the spread does not contain pre-training."
    ]
    assert build_warnings(block_of(golden, [golden.fabricate(0.5, pretrain_seed=seed) for seed in (0, 1)])) == []
    assert build_warnings(block_of(golden, once[:1])) == []
    mixed = [*once, *(golden.fabricate(0.5, method="convirt", pretrain_seed=seed) for seed in (0, 1))]
    assert build_warnings(block_of(golden, mixed)) == [
        "one pre-training seed (1 of 2 cells), so the spread does not contain pre-training."
    ]
