"""HTML: whole, safe, and open to the keyboard and to screen readers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import select_layouts
from vlpbench.table.webpage import block_html, webpage
from vlpbench.table.writing import Extras, write_table


def full_block(golden: ModuleType) -> Block:
    (block,) = build_blocks(golden.full_records(), select_layouts("2")[0], golden.made_up_titles())
    return block


class Page(HTMLParser):
    """Tags that were opened and not closed, and everything a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "data", "srcset", "poster"}]
        self.loads += [tag] if tag in {"script", "link", "img", "iframe", "object", "embed"} else []
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_is_whole_and_loads_nothing(golden: ModuleType, tmp_path: Path) -> None:
    records = [*golden.golden_records(), golden.fabricate(0.5, method="<script>alert(1)</script>")]
    text = write_table(records, out=tmp_path / "table2.html", results=Path("results"), titles=golden.made_up_titles())
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert re.search(r"url\(|@import|https?:", text) is None
    assert "<strong>61.0 ± 1.0 (n=3)</strong>" in text
    assert "<u>60.1 (n=1)</u>" in text
    assert "<script>alert(1)</script>" in page.text
    assert (text.count("<tr>"), text.count('<tr class="group">')) == (2 + 5, 3)


def test_a_wide_table_scrolls_by_keyboard(golden: ModuleType) -> None:
    lines = block_html(full_block(golden), golden.made_up_titles())
    heading = "Table II. Segmentation (suite made_up, protocol clean, 96 px)"
    assert lines[0] == f'<div class="scroll" tabindex="0" role="region" aria-label="{heading}">'
    assert f"<caption><span>{heading}</span></caption>" in lines


def test_every_cell_carries_its_number_at_full_precision(golden: ModuleType) -> None:
    block = full_block(golden)
    values = re.findall(r'<td data-value="([^"]*)">', "\n".join(block_html(block, golden.made_up_titles())))
    cells = [cell for row in block.rows for cell in row.cells]
    assert values == ["" if cell is None or cell.mean is None else repr(cell.mean) for cell in cells]


def test_heads_span_their_columns_and_groups_are_named(golden: ModuleType) -> None:
    text = "\n".join(block_html(full_block(golden), golden.made_up_titles()))
    assert re.findall(r'<th scope="rowgroup" colspan="(\d+)"><span>([^<]*)</span></th>', text) == [
        ("6", "Floors, ResNet-18"), ("6", "Floors, no backbone"), ("6", "Methods, ResNet-18"),
        ("6", "Methods, ViT-B/16"), ("6", "For comparison, ResNet-18"),
    ]  # fmt: skip
    assert re.findall(r'<tbody class="(\w+)">', text) == ["floors", "floors", "methods", "methods", "ceilings"]
    assert re.findall(r'scope="colgroup" colspan="(\d+)"', text) == ["2", "2"]
    assert re.findall(r'<colgroup span="(\d+)">', text) == ["2", "2"]
    assert text.count('<th scope="row">') == len(full_block(golden).rows)


def test_published_columns_have_heads_of_their_own(golden: ModuleType, tmp_path: Path) -> None:
    text = write_table(
        golden.full_records(),
        out=tmp_path / "table2.html",
        results=Path("results"),
        titles=golden.made_up_titles(),
        extras=Extras(published=True),
    )
    heads = re.findall(r'<th scope="col">(measured|published|difference)</th>', text)
    assert heads == ["measured", "published", "difference"] * 4
    for line in text.splitlines():
        if '<th scope="row">' in line:
            assert (
                line.count("<td data-value=") == line.count('<td class="published"') == line.count('class="diff') == 4
            )
    assert '<td class="published" data-value="0.721">72.1</td>' in text


def test_notes_can_be_left_to_the_caller(golden: ModuleType) -> None:
    block, titles = full_block(golden), golden.made_up_titles()
    assert "<ul>" not in block_html(block, titles, notes=False)
    assert block_html(block, titles)[: len(block_html(block, titles, notes=False))] == block_html(
        block, titles, notes=False
    )
    assert "\n".join(block_html(block, titles)) in webpage([block], [], titles)


def test_a_table_without_venues_has_no_column_for_them(golden: ModuleType) -> None:
    (block,) = build_blocks([golden.fabricate(0.5)], select_layouts("2")[0], golden.made_up_titles())
    text = "\n".join(block_html(block, golden.made_up_titles()))
    assert "venue" not in text.lower()
    assert re.findall(r'<th scope="rowgroup" colspan="(\d+)">', text) == ["5", "5"]
    assert {line.count("<th") + line.count("<td") for line in text.splitlines() if '<th scope="row">' in line} == {5}
