from __future__ import annotations

from tests.figures.small_store import make_record
from vlpbench.figures.bands import Bands
from vlpbench.figures.label_efficiency import draw_label_efficiency, read_panels
from vlpbench.record import Record
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import select_layouts
from vlpbench.table.titles import Titles


def _block(records: list[Record], titles: Titles) -> Block:
    (block,) = build_blocks(records, select_layouts("segmentation")[0], titles)
    return block


def test_a_panel_per_dataset_with_records(titles: Titles) -> None:
    block = _block([make_record(0.5), make_record(0.4, dataset="mine")], titles)
    assert [group.dataset for group in block.groups] == ["siim", "rsna", "mine"]
    assert [panel.group.dataset for panel in read_panels(block, Bands(None))] == ["siim", "mine"]


def test_the_numbers_are_told_in_words_best_first(titles: Titles) -> None:
    records = [
        make_record(0.2, fraction=0.1), make_record(0.5), make_record(0.6, method="clip"),
        make_record(None, method="prior"),
    ]  # fmt: skip
    figure = draw_label_efficiency(_block(records, titles), titles, Bands(None))
    assert figure.alternative == (
        "SIIM-like, Dice, images with foreground in % at 10 %, 100 % of the labels: "
        "CLIP none, 60.0; SISTA 20.0, 50.0; Always-empty mask 10.0, 10.0."
    )
    assert "In colour, with bands: CLIP, SISTA (" in figure.caption


def test_one_fraction_many_methods_and_long_names_are_drawn(titles: Titles) -> None:
    records = [
        make_record(number / 30, method=f"a_method_with_quite_a_long_name_{number}", fraction=0.05)
        for number in range(30)
    ]
    figure = draw_label_efficiency(_block(records, titles), titles, Bands(None))
    assert figure.alternative.startswith("SIIM-like, Dice, images with foreground in % at 5 % of the labels: ")
    assert figure.alternative.count(";") == 30
