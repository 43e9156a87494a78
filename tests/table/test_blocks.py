from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from vlpbench.record import Record, sealed
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.cells import Cell, Row
from vlpbench.table.layout import select_layouts
from vlpbench.table.ranks import BEST, SECOND
from vlpbench.table.titles import registered_titles

NAMES = ("random", "convirt", "sista", "supervised")
LATER = "2026-02-01T00:00:00+00:00"


def blocks(golden: ModuleType, records: list[Record], task: str = "segmentation") -> tuple[Block, ...]:
    return build_blocks(records, select_layouts(task)[0], golden.made_up_titles())


def row(block: Block, name: str) -> Row:
    (found,) = [one for one in block.rows if one.name == name]
    return found


def cell(block: Block, name: str, dataset: str = "siim", fraction: float = 1.0) -> Cell | None:
    place = [(group.dataset, share) for group, share in block.columns].index((dataset, fraction))
    return row(block, name).cells[place]


def test_three_seeds_by_hand(golden: ModuleType) -> None:
    records = [golden.fabricate(value, pretrain_seed=seed) for seed, value in enumerate((0.2, 0.4, 0.9))]
    (block,) = blocks(golden, records)
    found = cell(block, "sista")
    assert found is not None
    # mean 1.5 / 3; deviations -0.3, -0.1, 0.4; squares 0.09 + 0.01 + 0.16 = 0.26; over n - 1 = 2: 0.13
    assert found.mean == pytest.approx(0.5, abs=1e-12)
    assert found.sd == pytest.approx(math.sqrt(0.13), abs=1e-12)
    assert (found.n, found.pretrain_seeds, found.seeds) == (3, 3, 1)


def test_one_run_has_no_spread(golden: ModuleType) -> None:
    (block,) = blocks(golden, [golden.fabricate(0.2)])
    found = cell(block, "sista")
    assert found is not None
    assert (found.mean, found.sd, found.n) == (0.2, None, 1)


def test_both_kinds_of_seeds_are_counted(golden: ModuleType) -> None:
    records = [golden.fabricate(0.5, pretrain_seed=a, seed=b) for a in (0, 1) for b in (0, 1, 2)]
    (block,) = blocks(golden, records)
    found = cell(block, "sista")
    assert found is not None
    assert (found.n, found.pretrain_seeds, found.seeds) == (6, 2, 3)


def test_undefined_runs_are_left_out_of_the_mean_and_counted(golden: ModuleType) -> None:
    records = [golden.fabricate(0.4), golden.fabricate(None, seed=1), golden.fabricate(None, method="convirt")]
    (block,) = blocks(golden, records)
    mixed, none = cell(block, "sista"), cell(block, "convirt")
    assert mixed is not None
    assert none is not None
    assert (mixed.mean, mixed.n, mixed.undefined) == (0.4, 1, 1)
    assert (none.mean, none.n, none.undefined) == (None, 0, 1)
    assert block.missing == 6  # the other three columns of the suite, for two methods


def test_missing_cells_are_none_and_counted(golden: ModuleType) -> None:
    (block,) = blocks(golden, golden.golden_records())
    assert cell(block, "convirt", "rsna") is None
    assert (block.missing, block.expected) == (1, 12)


def test_columns_follow_the_suite_even_without_records(golden: ModuleType) -> None:
    (block,) = blocks(golden, [golden.fabricate(0.5, dataset="rsna")])
    assert [(group.dataset, share) for group, share in block.columns] == [
        ("siim", 0.01), ("siim", 1.0), ("rsna", 0.01), ("rsna", 1.0),
    ]  # fmt: skip
    assert {group.metric for group in block.groups} == {"dice_positive"}
    assert block.missing == 3


def test_columns_of_an_unknown_suite_are_alphabetical(golden: ModuleType) -> None:
    records = [golden.fabricate(0.5, dataset=name, suite="mine") for name in ("siim", "covid", "rsna")]
    (block,) = blocks(golden, records)
    assert [(group.dataset, group.title) for group in block.groups] == [
        ("covid", "covid"), ("rsna", "rsna"), ("siim", "siim"),
    ]  # fmt: skip
    assert block.columns[0][1] == 1.0


def test_floors_come_first_and_methods_in_the_order_of_the_layout(golden: ModuleType) -> None:
    names = ["zeta", "sista", "random", "convirt", "alpha"]
    (block,) = blocks(golden, [golden.fabricate(0.5, method=name) for name in names])
    assert [(one.name, one.kind) for one in block.rows] == [
        ("random", "floor"),
        ("always_empty", "trivial"),
        ("convirt", "method"),
        ("sista", "method"),
        ("alpha", "method"),
        ("zeta", "method"),
    ]
    assert row(block, "alpha").title == "alpha (ResNet-18)"
    assert row(block, "sista").title == "SISTA‡ (ResNet-18)"


def test_architectures_get_rows_of_their_own(golden: ModuleType) -> None:
    records = [golden.fabricate(0.5, arch=name) for name in ("vit_b16", "resnet50", "convnext_tiny")]
    (block,) = blocks(golden, records)
    assert [one.title for one in block.rows if one.kind == "method"] == [
        "SISTA‡ (ResNet-50)", "SISTA‡ (ViT-B/16)", "SISTA‡ (convnext_tiny)",
    ]  # fmt: skip
    assert {one.short_title for one in block.rows if one.kind == "method"} == {"SISTA‡"}


def test_rows_are_sorted_by_backbone_within_their_section(golden: ModuleType) -> None:
    records = [golden.fabricate(0.5, method=name, arch=arch) for arch in ("vit_b16", "resnet18") for name in NAMES]
    (block,) = blocks(golden, records)
    assert [(one.section, one.arch, one.name) for one in block.rows] == [
        ("floors", "resnet18", "random"),
        ("floors", "vit_b16", "random"),
        ("floors", "", "always_empty"),
        ("methods", "resnet18", "convirt"),
        ("methods", "resnet18", "sista"),
        ("methods", "vit_b16", "convirt"),
        ("methods", "vit_b16", "sista"),
        ("ceilings", "resnet18", "supervised"),
        ("ceilings", "vit_b16", "supervised"),
    ]


def test_the_venue_is_that_of_the_card(golden: ModuleType) -> None:
    (block,) = blocks(golden, [golden.fabricate(0.5, method=name) for name in NAMES])
    assert {one.name: one.venue for one in block.rows if one.venue} == {"convirt": "PMLR'22"}


def test_trivial_floor_is_the_mean_over_the_records_of_its_column(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.5, floor=0.1),
        golden.fabricate(0.5, method="convirt", floor=0.3),
        golden.fabricate(0.5, dataset="rsna", floor=None),
    ]
    (block,) = blocks(golden, records)
    siim, rsna = cell(block, "always_empty"), cell(block, "always_empty", "rsna")
    assert siim is not None
    assert rsna is not None
    assert siim.mean == pytest.approx(0.2)
    assert siim.sd is None
    assert rsna.mean is None
    assert cell(block, "always_empty", "rsna", 0.01) is None


def ranks(block: Block, dataset: str = "siim") -> dict[str, int]:
    found = {one.name: cell(block, one.name, dataset) for one in block.rows}
    return {name: one.rank for name, one in found.items() if one is not None}


def test_best_and_second_among_methods_only(golden: ModuleType) -> None:
    values = {"random": 0.9, "convirt": 0.5, "sista": 0.7, "mgca": 0.6}
    (block,) = blocks(golden, [golden.fabricate(value, method=name, floor=0.99) for name, value in values.items()])
    assert ranks(block) == {"random": 0, "always_empty": 0, "convirt": 0, "sista": BEST, "mgca": SECOND}


def test_ties_share_a_rank(golden: ModuleType) -> None:
    values = {"convirt": 0.3, "sista": 0.1 + 0.2, "mgca": 0.2, "prior": 0.2, "mlip": 0.1}
    (block,) = blocks(golden, [golden.fabricate(value, method=name) for name, value in values.items()])
    assert ranks(block) == {
        "always_empty": 0, "convirt": BEST, "sista": BEST, "mgca": SECOND, "prior": SECOND, "mlip": 0,
    }  # fmt: skip


def test_methods_on_another_backbone_are_no_rivals(golden: ModuleType) -> None:
    values = {("sista", "resnet18"): 0.3, ("convirt", "resnet18"): 0.2, ("sista", "vit_b16"): 0.9}
    records = [golden.fabricate(value, method=name, arch=arch) for (name, arch), value in values.items()]
    (block,) = blocks(golden, records)
    found = {(one.name, one.arch): one.cells[1].rank for one in block.rows if one.cells[1] is not None}
    assert found == {
        ("always_empty", ""): 0, ("sista", "resnet18"): BEST, ("convirt", "resnet18"): SECOND, ("sista", "vit_b16"): 0,
    }  # fmt: skip


def test_means_are_compared_before_rounding(golden: ModuleType) -> None:
    (block,) = blocks(golden, [golden.fabricate(0.70001), golden.fabricate(0.70002, method="convirt")])
    assert ranks(block) == {"always_empty": 0, "convirt": BEST, "sista": SECOND}


def test_a_method_alone_is_not_the_best(golden: ModuleType) -> None:
    (block,) = blocks(golden, [golden.fabricate(0.7), golden.fabricate(0.1, method="random")])
    assert set(ranks(block).values()) == {0}


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "mgca"},
        {"image_size": 224},
        {"limit": 50},
        {"suite": "another"},
        {"base": {"settings_hash": "other"}},
        {"base": {"task_version": 2}},
        {"base": {"data_fingerprint": "other"}},
        {"base": {"split_hash": "other"}},
    ],
)
def test_what_was_judged_differently_never_shares_a_column(golden: ModuleType, change: dict[str, Any]) -> None:
    records = [golden.fabricate(0.2), golden.fabricate(0.4, method="convirt", started=LATER, **change)]
    found = blocks(golden, records)
    assert len(found) == 2
    for block in found:
        assert len({one.spec.method for one in block.records}) == 1
        assert [one.kind for one in block.rows].count("method") == 1


def test_another_headline_is_another_column(golden: ModuleType) -> None:
    records = [golden.fabricate(0.2), golden.fabricate(0.4, method="convirt", metric="dice_pooled")]
    (block,) = blocks(golden, records)
    assert [(group.dataset, group.metric) for group in block.groups] == [
        ("siim", "dice_pooled"), ("siim", "dice_positive"), ("rsna", "dice_pooled"),
    ]  # fmt: skip
    for group in block.groups[:2]:
        assert len({record.headline for record in group.records}) == 1


def test_an_older_state_says_what_differs(golden: ModuleType) -> None:
    old = [
        golden.fabricate(0.2, base={"settings_hash": "old"}, settings={"max_steps": 20}),
        golden.fabricate(0.3, dataset="rsna", base={"split_hash": "sp11t0000"}, started="2026-01-15T00:00:00+00:00"),
    ]
    new = [golden.fabricate(0.4, started=LATER), golden.fabricate(0.4, dataset="rsna", started=LATER)]
    newest, split, settings = blocks(golden, [*old, *new])
    assert newest.differences == ()
    assert sorted(record.metrics["dice_positive"] or 0 for record in newest.records) == [0.4, 0.4]
    assert split.differences == (f"rsna: split sp11t000, not 59117000 (record {old[1].key}, not {new[1].key})",)
    assert settings.differences == (f"max_steps 20, not 160 (record {old[0].key}, not {new[1].key})",)
    assert [group.dataset for group in split.groups] == ["rsna"]
    assert split.missing == 0


def test_only_the_last_attempt_counts(golden: ModuleType) -> None:
    first = golden.fabricate(0.2)
    again = sealed(replace(first, attempt=2, metrics={"dice_positive": 0.6}))
    (block,) = blocks(golden, [again, first])
    found = cell(block, "sista")
    assert found is not None
    assert (found.mean, found.n) == (0.6, 1)


def test_a_backbone_trained_again_replaces_the_one_before(golden: ModuleType) -> None:
    old = golden.fabricate(0.2)
    new = golden.fabricate(0.6, base={"weights_sha256": "new"}, started=LATER)
    (block,) = blocks(golden, [new, old])
    found = cell(block, "sista")
    assert found is not None
    assert (found.mean, found.n, block.superseded) == (0.6, 1, 1)


def test_recipes_are_not_averaged(golden: ModuleType) -> None:
    records = [golden.fabricate(0.2, recipe="aaaaaaaaaa"), golden.fabricate(0.6, recipe="bbbbbbbbbb", seed=1)]
    (block,) = blocks(golden, records)
    assert [one.title for one in block.rows if one.kind == "method"] == [
        "SISTA‡ (ResNet-18, recipe aaaaaa)", "SISTA‡ (ResNet-18, recipe bbbbbb)",
    ]  # fmt: skip
    assert [one.short_title for one in block.rows if one.kind == "method"] == [
        "SISTA‡ (recipe aaaaaa)", "SISTA‡ (recipe bbbbbb)",
    ]  # fmt: skip


def test_records_given_twice_count_once(golden: ModuleType) -> None:
    records = golden.golden_records()
    assert [one.rows for one in blocks(golden, records + records)] == [one.rows for one in blocks(golden, records)]


def test_classification_with_two_metrics_on_one_suite(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.9, task="classification", suite="phantom", dataset="chexpert"),
        golden.fabricate(0.8, task="classification", suite="phantom", dataset="covidx", metric="accuracy"),
        golden.fabricate(0.1, task="segmentation", suite="phantom"),
    ]
    (block,) = build_blocks(records, select_layouts("classification")[0], registered_titles())
    assert [(group.title, group.metric_title) for group in block.groups] == [
        ("CheXpert-like", "AUROC"), ("RSNA-like", "AUROC"), ("COVIDx-like", "Accuracy"),
    ]  # fmt: skip
    assert [share for _, share in block.columns] == [0.01, 0.1, 1.0] * 3


def test_order_of_the_records_does_not_matter(golden: ModuleType) -> None:
    records = golden.golden_records()
    assert [one.rows for one in blocks(golden, records)] == [one.rows for one in blocks(golden, records[::-1])]
