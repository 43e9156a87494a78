"""Maps have a table of their own, without label fractions."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from vlpbench.errors import NothingToShowError
from vlpbench.table.blocks import build_blocks
from vlpbench.table.layout import select_layouts
from vlpbench.table.markdown import markdown
from vlpbench.table.titles import percent, registered_titles
from vlpbench.table.writing import write_table


def test_columns_are_datasets_and_metrics_without_fractions_of_labels(
    golden: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(golden.FLOOR, "grounding", "uniform")
    monkeypatch.setitem(golden.TRAIN, 0.0, 0)
    records = [
        golden.fabricate(
            0.5,
            task="grounding",
            fraction=0.0,
            metric=metric,
            dataset=name,
            suite="phantom",
            base={"data_fingerprint": f"{metric}-asked-of-{name}"},
        )
        for name in ("siim", "rsna")
        for metric in ("pointing_game", "mask_energy")
    ]
    titles = registered_titles()
    (block,) = build_blocks(records, select_layouts("grounding")[0], titles)
    assert [(group.dataset, group.metric, group.fractions) for group in block.groups] == [
        ("rsna", "mask_energy", (0.0,)),
        ("rsna", "pointing_game", (0.0,)),
        ("siim", "mask_energy", (0.0,)),
        ("siim", "pointing_game", (0.0,)),
    ]
    assert block.missing == 0
    text = markdown([block], [], titles)
    assert "RSNA-like (Mask energy) no labels |" in text
    assert "| Uniform map " in text
    assert (percent(0.0), percent(0.01)) == ("no labels", "1 %")


def test_the_command_that_makes_its_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(NothingToShowError, match=r"Run: vlpbench heatmap --method all --score --results results$"):
        write_table([], out=tmp_path / "grounding.md", results=Path("results"))
    with pytest.raises(NothingToShowError, match=r"No records of classification, segmentation, detection under"):
        write_table([], out=tmp_path / "tables.md", results=Path("results"))
