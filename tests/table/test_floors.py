"""A cell that does not beat its floor says so."""

from __future__ import annotations

from types import ModuleType

import pytest

from vlpbench.record import Record
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import select_layouts
from vlpbench.table.markdown import markdown
from vlpbench.table.notes import build_notes


def block_of(golden: ModuleType, records: list[Record]) -> Block:
    (block,) = build_blocks(records, select_layouts("2")[0], golden.made_up_titles())
    return block


def marked(block: Block) -> set[tuple[str, str]]:
    return {(row.name, row.arch) for row in block.rows for cell in row.cells if cell is not None and cell.below_floor}


@pytest.mark.parametrize(
    ("value", "random", "trivial", "below"),
    [
        (0.5, 0.4, 0.3, False),
        (0.5, 0.6, 0.3, True),
        (0.5, 0.4, 0.6, True),
        (0.5, 0.5, 0.3, True),
        (0.1 + 0.2, 0.3, 0.0, True),
        (0.500001, 0.5, 0.3, False),
        (0.499999, 0.5, 0.3, True),
    ],
)
def test_a_mean_must_be_above_every_floor(
    golden: ModuleType, value: float, random: float, trivial: float, below: bool
) -> None:
    records = [
        golden.fabricate(value, floor=trivial),
        golden.fabricate(random, method="random", floor=trivial),
    ]
    assert marked(block_of(golden, records)) == ({("sista", "resnet18")} if below else set())


def test_an_untrained_backbone_is_the_floor_of_its_own_kind_only(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.5),
        golden.fabricate(0.5, arch="vit_b16"),
        golden.fabricate(0.6, arch="vit_b16", method="random"),
    ]
    block = block_of(golden, records)
    assert marked(block) == {("sista", "vit_b16")}
    assert "There is no row of random initialisation of ResNet-18 yet" in "\n".join(
        build_notes(block, golden.made_up_titles())
    )


def test_ceilings_are_marked_and_floors_are_not(golden: ModuleType) -> None:
    records = [
        golden.fabricate(value, method=name, floor=0.9) for name, value in (("random", 0.1), ("supervised", 0.2))
    ]
    assert marked(block_of(golden, records)) == {("supervised", "resnet18")}


def test_what_has_no_number_or_no_floor_is_not_marked(golden: ModuleType) -> None:
    assert marked(block_of(golden, [golden.fabricate(None, floor=0.9)])) == set()
    assert marked(block_of(golden, [golden.fabricate(0.1, floor=None)])) == set()


def test_the_mark_is_printed_and_explained_only_where_it_is_used(golden: ModuleType) -> None:
    titles = golden.made_up_titles()
    text = markdown([block_of(golden, [golden.fabricate(0.2, floor=0.3)])], [], titles)
    assert "20.0▿ |" in text
    assert "- ▿ not above the highest floor of its column" in text
    assert "▿" not in markdown([block_of(golden, [golden.fabricate(0.2, floor=0.1)])], [], titles)
