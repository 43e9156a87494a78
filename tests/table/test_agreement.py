"""No column mixes what was judged differently, however it was made."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.table.blocks import build_blocks
from vlpbench.table.columns import ColumnGroup, build_columns
from vlpbench.table.layout import select_layouts


def column(records: list[Record]) -> ColumnGroup:
    return ColumnGroup("segmentation", "siim", "SIIM", "dice_positive", "Dice", (1.0,), tuple(records))


@pytest.mark.parametrize(
    ("change", "field", "values"),
    [
        ({"suite": "another"}, "suite", "'made_up' and 'another'"),
        ({"protocol": "mgca"}, "protocol", "'clean' and 'mgca'"),
        ({"base": {"settings_hash": "other"}}, "settings", "'5e7500005e75' and 'other'"),
        ({"base": {"split_hash": "other"}}, "split hash", "'5911700059117' and 'other'"),
        ({"base": {"data_fingerprint": "other"}}, "data", "'da1a0000da1a' and 'other'"),
        ({"base": {"task_version": 2}}, "task version", "1 and 2"),
        ({"metric": "dice_pooled"}, "metric", "'dice_positive' and 'dice_pooled'"),
        ({"image_size": 224}, "input size", "96 and 224"),
        ({"limit": 50}, "limit", "None and 50"),
        ({"task": "detection"}, "task", "'segmentation' and 'detection'"),
        ({"dataset": "rsna"}, "dataset", "'siim' and 'rsna'"),
    ],
)
def test_a_column_says_which_two_records_disagree_and_in_what(
    golden: ModuleType, change: dict[str, Any], field: str, values: str
) -> None:
    first, same = golden.fabricate(0.2), golden.fabricate(0.3, seed=1)
    odd = golden.fabricate(0.4, method="convirt", **change)
    with pytest.raises(VlpbenchError) as caught:
        column([first, same, odd])
    told = str(caught.value)
    assert f"{first.key} (sista) and {odd.key} (convirt)" in told
    assert f"they differ in {field}, {values}" in told
    assert "column siim (dice_positive)" in told


def test_records_that_agree_make_a_column(golden: ModuleType) -> None:
    records = [golden.fabricate(0.2, seed=seed, method=name) for seed in (0, 1) for name in ("sista", "convirt")]
    assert column(records).records == tuple(records)


def test_the_builder_of_columns_refuses_too(golden: ModuleType) -> None:
    records = [golden.fabricate(0.2), golden.fabricate(0.4, method="convirt", base={"split_hash": "other"})]
    with pytest.raises(VlpbenchError, match="split hash"):
        build_columns(records, select_layouts("2")[0], None, with_empty=False)


def test_no_block_can_be_given_a_column_of_another_state(golden: ModuleType) -> None:
    (block,) = build_blocks([golden.fabricate(0.2)], select_layouts("2")[0], golden.made_up_titles())
    odd = golden.fabricate(0.4, protocol="mgca")
    with pytest.raises(VlpbenchError, match="protocol"):
        replace(block.groups[0], records=(*block.groups[0].records, odd))
