from __future__ import annotations

import pytest

from tests.figures.small_store import make_record
from vlpbench.figures.class_auroc import class_names, draw_class_auroc, read_scores
from vlpbench.figures.figure import NothingToDrawError
from vlpbench.record import Record
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import select_layouts
from vlpbench.table.titles import Titles


def _block(records: list[Record], titles: Titles) -> Block:
    (block,) = build_blocks(records, select_layouts("classification")[0], titles)
    return block


def _record(method: str, seed: int = 0, **classes: float | None) -> Record:
    metrics = {f"auroc_{name}": value for name, value in classes.items()}
    return make_record(0.5, task="classification", method=method, seed=seed, metrics=metrics)


def test_classes_stand_in_the_order_of_the_data_and_rows_by_their_mean(titles: Titles) -> None:
    block = _block(
        [
            _record("convirt", edema=0.9, atelectasis=0.5, other=0.6),
            _record("clip", edema=0.8, atelectasis=0.9, other=0.7),
            _record("clip", seed=1, edema=0.6, atelectasis=0.7, other=None),
            _record("random", edema=0.95, atelectasis=0.9, other=0.9),
        ],
        titles,
    )
    group = block.groups[0]
    assert class_names(group) == ["atelectasis", "edema", "other"]
    scores = read_scores(block, group, 1.0)
    assert [one.row.name for one in scores] == ["random", "clip", "convirt"]
    assert scores[1].values == {"atelectasis": (0.9, 0.7), "edema": (0.8, 0.6), "other": (0.7,)}
    assert scores[1].mean == pytest.approx((0.8 + 0.7 + 0.7) / 3)


def test_the_numbers_are_told_in_words(titles: Titles) -> None:
    block = _block([_record("convirt", edema=0.9, atelectasis=None)], titles)
    figure = draw_class_auroc(block, block.groups[0], titles)
    assert "for Atelectasis, Edema: ConVIRT none, 90.0." in figure.alternative
    assert figure.name == "class_auroc-chexpert-phantom-clean-32px"


def test_a_dataset_of_one_class_has_no_such_figure(titles: Titles) -> None:
    block = _block([_record("convirt", edema=0.9)], titles)
    with pytest.raises(NothingToDrawError, match=r"CheXpert-like has 1 class"):
        draw_class_auroc(block, block.groups[0], titles)
    block = _block([_record("convirt", edema=None, atelectasis=None)], titles)
    with pytest.raises(NothingToDrawError, match="AUROC"):
        draw_class_auroc(block, block.groups[0], titles)
