"""The report in a real browser, without a network: scripts, keyboard, small screens, both colour schemes, axe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.report.conftest import Gather, figure

from vlpbench.canonical import write_text
from vlpbench.report.page import render_page

if TYPE_CHECKING:
    from types import ModuleType

    from playwright.sync_api import Browser, Locator, Page

Open = Callable[..., "Page"]
PHONE = (360, 740)
DESK = (1280, 900)


@pytest.fixture
def file(tmp_path: Path, gathered: Gather, golden: ModuleType) -> Path:
    """A report with tables of two backbones, figures, warnings and some eighty cells."""
    records = golden.full_records()
    records += [
        golden.fabricate(0.4 + seed / 100, method="mlip", dataset="siim", fraction=0.1, seed=seed) for seed in range(60)
    ]
    figures = [figure("label_efficiency"), figure("training"), figure("predictions-masks")]
    problems = ["records/made_up/x.json: expected a record, found none."]
    path = tmp_path / "report.html"
    write_text(path, render_page(gathered(records, problems=problems, figures=figures, not_drawn=["one: no data"])))
    return path


@pytest.fixture
def open_page(browser: Browser, file: Path) -> Iterator[Open]:
    """A function that opens the report offline, and checks at the end that it asked for nothing and raised nothing."""
    contexts, complaints, asked = [], [], []

    def opened(size: tuple[int, int] = DESK, *, dark: bool = False, scripts: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            offline=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url for url in asked if not url.startswith("data:")} == {file.as_uri()}


def rows(table: Locator) -> list[str]:
    """Names of the rows that are seen."""
    return [text.split("\n")[0] for text in table.locator("tbody tr:not(.group) > th").all_inner_texts()]


def values(table: Locator, place: int) -> list[float]:
    """Values of a column, NaN left out."""
    cells = table.locator("tbody tr:not(.group)").evaluate_all(
        "(rows, place) => rows.map((row) => row.cells[place].dataset.value)", place
    )
    return [float(value) for value in cells if value]


def comes_true(page: Page, expression: str) -> bool:
    """Whether an expression comes true within two seconds; the page's policy forbids playwright's own waiting."""
    for _ in range(40):
        if page.evaluate(expression):
            return True
        page.wait_for_timeout(50)
    return False


def violations(page: Page) -> list[str]:
    """What axe finds wrong, and that it looked."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response
    assert len(found["passes"]) > 20
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found["violations"]]


def test_a_table_is_sorted_by_click_and_by_keyboard(open_page: Open) -> None:
    page = open_page()
    table = page.locator("#tables table").first
    head = table.locator("thead tr").nth(1).locator("th").first
    before = rows(table)
    assert values(table, 2) != sorted(values(table, 2), reverse=True)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert values(table, 2) == sorted(values(table, 2), reverse=True)
    assert page.locator("#status").inner_text() == "Sorted by 1 %, descending."
    # floors mix with methods and still show what they are
    random = table.locator("tbody tr", has_text="Random initialisation")
    assert "floors" in str(random.get_attribute("class"))
    assert random.locator("th").evaluate("(th) => getComputedStyle(th, '::after').content") == '"floor, ResNet-18"'
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert values(table, 2) == sorted(values(table, 2))
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "none"
    assert rows(table) == before


def test_missing_values_stay_last(open_page: Open) -> None:
    page = open_page()
    table = page.locator("#tables table").first
    place = table.locator("thead tr").nth(1).locator("th").count() + 1
    button = table.locator("thead tr").nth(1).get_by_role("button").last
    for _ in range(2):
        button.click()
        assert table.locator("tbody tr:not(.group)").last.locator("td").last.get_attribute("data-value") == ""
        assert len(values(table, place)) > 3


def test_cells_are_filtered_sorted_and_unfolded(open_page: Open) -> None:
    page = open_page()
    table, count = page.locator("#cells-table"), page.locator("#cells-count")
    assert "1 to 25." in count.inner_text()
    page.get_by_role("button", name="Next").click()
    assert "26 to 50." in count.inner_text()
    page.get_by_label("Method", exact=True).select_option(label="MLIP‡≈")
    page.get_by_label("Labels").select_option(label="10 %")
    assert count.inner_text().startswith("60 of ")
    page.locator("#cells-search").fill("seed 5")
    assert count.inner_text().startswith("11 of ")  # 5 and 50 to 59
    table.get_by_role("button", name="Value").click()
    shown = [float(text) for text in table.locator("tbody td:nth-child(5)").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == 99.0
    details = table.get_by_role("button", name="Details of").first
    details.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    inside = table.locator(".opened")
    assert "vlpbench reproduce " in inside.inner_text()
    assert "vlpbench run --method mlip" in inside.inner_text()
    page.locator("#cells-search").fill("no such word")
    assert count.inner_text().startswith("No cell fits")
    page.get_by_role("button", name="Show all").click()
    assert "1 to 25." in count.inner_text()


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_the_page_never_scrolls_sideways(open_page: Open, size: tuple[int, int], tmp_path: Path) -> None:
    page = open_page(size)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.get_by_role("button", name="Details of").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    wide = page.locator("#tables .scroll").first
    assert wide.get_attribute("tabindex") == "0"
    if size == PHONE:
        assert wide.evaluate("(one) => one.scrollWidth > one.clientWidth")
        wide.focus()
        page.keyboard.press("ArrowRight")
        assert comes_true(page, "document.activeElement.scrollLeft > 0")


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(open_page: Open, dark: bool, tmp_path: Path) -> None:
    page = open_page(dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.get_by_role("button", name="Details of").first.click()
    page.locator("#tables thead button").nth(3).click()
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert violations(page) == []
    page.goto(page.url.split("#")[0] + "#figure-training")
    assert violations(page) == []


def test_dark_is_dark(open_page: Open) -> None:
    lightness = "(() => getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number))()"
    assert min(open_page().evaluate(lightness)) > 240
    assert max(open_page(dark=True).evaluate(lightness)) < 40


def test_a_figure_opens_large_and_closes_by_escape(open_page: Open) -> None:
    page = open_page(PHONE)
    shown = page.locator("#figure-training")
    small = shown.locator("img").bounding_box()
    shown.get_by_role("link", name="Open large").press("Enter")
    large = shown.locator("img").bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > small["width"]
    assert page.evaluate("document.activeElement.className") == "close"
    page.keyboard.press("Escape")
    assert comes_true(page, "document.activeElement.className === 'enlarge'")
    assert shown.evaluate("(one) => getComputedStyle(one).position") == "static"


def test_the_keyboard_reaches_the_report_first(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_without_scripts_the_tables_are_there(open_page: Open) -> None:
    page = open_page(scripts=False)
    assert page.locator("#tables tbody tr").count() > 5
    assert "scripts are off" in page.locator("noscript").inner_text()
    assert page.locator("thead button").count() == 0


def test_a_link_to_a_run_card_unfolds_it(open_page: Open, file: Path) -> None:
    page = open_page()
    page.goto(f"{file.as_uri()}#method-sista")
    assert page.locator("#method-sista").evaluate("(one) => one.open")
