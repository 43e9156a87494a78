from __future__ import annotations

from pathlib import Path

import pytest

from vlpbench.errors import UnknownNameError
from vlpbench.registry import REGISTRY
from vlpbench.suite import TASKS
from vlpbench.table.layout import layouts_of_file, load_layouts, select_layouts


def numbers(layouts: tuple[object, ...]) -> list[int]:
    return [layout.number for layout in layouts]  # type: ignore[attr-defined]


def test_shipped_layouts_are_those_of_the_paper_and_one_of_grounding() -> None:
    assert numbers(load_layouts()) == [1, 2, 3, 4, 5]
    assert tuple(layout.task for layout in load_layouts()) == (*TASKS, "ablation", "grounding")
    assert [layout.numeral for layout in load_layouts()] == ["I", "II", "III", "IV", "V"]
    assert [layout.number for layout in load_layouts() if layout.published] == [1, 2, 3, 4]


def test_the_ablation_has_one_dataset_of_each_task() -> None:
    (ablation,) = select_layouts("ablation")
    assert ablation.tasks == TASKS
    assert ablation.has_column("classification", "chexpert")
    assert not ablation.has_column("classification", "rsna")
    (first,) = select_layouts("I")
    assert first.tasks == ("classification",)
    assert first.has_column("classification", "rsna")
    assert not first.has_column("detection", "rsna")


def test_every_shipped_method_has_a_place_in_some_table() -> None:
    placed = {name for layout in load_layouts() for name in (*layout.methods, *layout.floors, *layout.ceilings)}
    shipped = {
        name for name in REGISTRY.names("method") if REGISTRY.target("method", name).__module__.startswith("vlpbench_")
    }
    assert shipped <= placed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1", [1]),
        ("II", [2]),
        ("detection", [3]),
        (" Segmentation ", [2]),
        ("all", [1, 2, 3, 4, 5]),
        ("grounding", [5]),
    ],
)
def test_select(name: str, expected: list[int]) -> None:
    assert numbers(select_layouts(name)) == expected


def test_unknown_table_shows_what_there_is() -> None:
    with pytest.raises(
        UnknownNameError, match=r"No table named '9'.*1, 2, 3, 4, 5, classification, segmentation, detection, ablation"
    ):
        select_layouts("9")
    with pytest.raises(UnknownNameError, match="segmentation"):
        select_layouts("segmentatoin")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("results/table2.md", [2]),
        ("table_3.csv", [3]),
        ("Table-1.html", [1]),
        ("classification.tex", [1]),
        ("tables.md", [1, 2, 3, 4, 5]),
        ("table2/report.md", [1, 2, 3, 4, 5]),
    ],
)
def test_file_names(name: str, expected: list[int]) -> None:
    assert numbers(layouts_of_file(Path(name))) == expected


def test_a_file_named_after_a_table_there_is_not() -> None:
    with pytest.raises(UnknownNameError, match="'9'"):
        layouts_of_file(Path("results/table9.md"))
