from __future__ import annotations

from pathlib import Path

import pytest

from vlpbench.errors import UnknownNameError
from vlpbench.suite import TASKS
from vlpbench.table.layout import layouts_of_file, load_layouts, select_layouts


def numbers(layouts: tuple[object, ...]) -> list[int]:
    return [layout.number for layout in layouts]  # type: ignore[attr-defined]


def test_shipped_layouts_are_tables_1_to_3() -> None:
    assert numbers(load_layouts()) == [1, 2, 3]
    assert tuple(layout.task for layout in load_layouts()) == TASKS
    assert [layout.numeral for layout in load_layouts()] == ["I", "II", "III"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("1", [1]), ("II", [2]), ("detection", [3]), (" Segmentation ", [2]), ("all", [1, 2, 3])],
)
def test_select(name: str, expected: list[int]) -> None:
    assert numbers(select_layouts(name)) == expected


def test_unknown_table_shows_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match=r"No table named '4'.*1, 2, 3, classification, segmentation, detection"):
        select_layouts("4")
    with pytest.raises(UnknownNameError, match="segmentation"):
        select_layouts("segmentatoin")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("results/table2.md", [2]),
        ("table_3.csv", [3]),
        ("Table-1.html", [1]),
        ("classification.tex", [1]),
        ("tables.md", [1, 2, 3]),
        ("table2/report.md", [1, 2, 3]),
    ],
)
def test_file_names(name: str, expected: list[int]) -> None:
    assert numbers(layouts_of_file(Path(name))) == expected


def test_a_file_named_after_a_table_there_is_not() -> None:
    with pytest.raises(UnknownNameError, match="'4'"):
        layouts_of_file(Path("results/table4.md"))
