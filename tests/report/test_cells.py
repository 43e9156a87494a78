from __future__ import annotations

import json
from types import ModuleType

from tests.report.conftest import unlabelled

from vlpbench.report.cells import cells_data
from vlpbench.table.layout import load_layouts
from vlpbench.table.titles import Titles


def test_every_record_is_a_row_that_can_be_reproduced(golden: ModuleType, titles: Titles) -> None:
    records = [
        golden.fabricate(0.25, method="convirt", fraction=0.1),
        golden.fabricate(None, method="sista", seed=2, attempt=3),
    ]
    data = json.loads(json.dumps(cells_data(records, load_layouts(), titles), allow_nan=False))
    at = {name: place for place, name in enumerate(data["columns"])}
    first, second = data["rows"]
    assert first[at["key"]] == records[0].key
    assert data["method"][first[at["method"]]] == ["convirt", titles.method_card("convirt").row_title]
    assert data["headline"][first[at["headline"]]] == "Dice, images with foreground"
    assert data["metrics"][first[at["metrics"]][0]] == ["dice_positive"]
    assert first[at["metrics"]][1:] == [0.25]
    command = data["command"][first[at["command"]]]
    assert command.startswith("vlpbench run --method convirt --tasks segmentation")
    for part in ("--fractions 0.1", "--seeds 0", "--pretrain-seed 0", "--protocol clean", "--image-size 96"):
        assert part in command
    assert second[at["value"]] is None
    assert second[at["attempt"]] == 3
    assert data["selection"][second[at["selection"]]] == "lowest validation loss (step 40)"


def test_words_that_rows_share_are_kept_once(golden: ModuleType, titles: Titles) -> None:
    data = cells_data(golden.golden_records(), load_layouts(), titles)
    assert len(data["task"]) == len(data["protocol"]) == 1
    assert len(data["method"]) == 3


def test_what_no_head_was_trained_for_is_scored_from_the_weights(golden: ModuleType, titles: Titles) -> None:
    record = unlabelled(golden.fabricate(0.25, method="sista", pretrain_seed=1))
    data = cells_data([record], load_layouts(), titles)
    expected = (
        "vlpbench heatmap --score --method sista --suite made_up --arch resnet18 --image-size 96 --pretrain-seed 1"
    )
    assert data["command"] == [expected]
