from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from vlpbench.cards import MethodCard
from vlpbench.commands.contests import build_contests
from vlpbench.figures.figure import Figure
from vlpbench.record import Record, sealed
from vlpbench.report.content import Contents
from vlpbench.report.drawing import Drawn
from vlpbench.report.gathering import gather
from vlpbench.table.blocks import build_blocks
from vlpbench.table.intervals import add_intervals
from vlpbench.table.layout import load_layouts
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="720pt" height="288pt"><rect/></svg>\n'
GREY = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000" + "3a7e9b55" + "0000000a49444154789c6368000000820081"
    "77cd72b60000000049454e44ae426082"
)
EVIL = "<script>alert('name')</script> & \"Söns\""
Gather = Callable[..., Contents]


@pytest.fixture(scope="session")
def golden() -> ModuleType:
    """The module that fabricates records for the tables."""
    path = Path(__file__).parents[1] / "table" / "golden" / "fabricate.py"
    spec = importlib.util.spec_from_file_location("vlpbench_golden_tables_of_the_report", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def titles(golden: ModuleType) -> Titles:
    """The made-up titles, with a method whose names are an attack."""
    made_up = golden.made_up_titles()
    evil = MethodCard(
        "convirt", EVIL, venue=EVIL, paper="javascript:alert(1)", losses=(EVIL,), deviations=(EVIL,), licence=EVIL
    )
    return replace(made_up, method=lambda name: evil if name == "convirt" else made_up.method(name))


def with_lineage(record: Record, **lineage: Any) -> Record:
    """The record with something told of its weights."""
    backbone = {**record.provenance["backbone"], "lineage": lineage}
    return sealed(replace(record, provenance={**record.provenance, "backbone": backbone}))


def unlabelled(record: Record) -> Record:
    """The record as one of a task that no head is trained for."""
    return sealed(replace(record, spec=replace(record.spec, fraction=0.0)))


def figure(name: str, caption: str = "Synthetic data. Dots: seeds.") -> Figure:
    """A small figure."""
    return Figure(name, f"Title of {name}", caption, f"Numbers of {name}", SVG, GREY)


@pytest.fixture
def gathered(golden: ModuleType, titles: Titles) -> Gather:
    """A function from records to the contents of the page."""

    def build(
        records: Sequence[Record] | None = None,
        problems: Sequence[str] = (),
        figures: Sequence[Figure] = (),
        not_drawn: Sequence[str] = (),
    ) -> Contents:
        mine = golden.full_records() if records is None else records
        resampler = golden.FabricatedResampler(lacking="supervised")
        layouts = load_layouts()
        blocks = [block for layout in layouts for block in build_blocks(mine, layout, titles)]
        return gather(
            mine,
            problems,
            blocks=[add_intervals(block, resampler) for block in blocks],
            contests=build_contests(mine, titles),
            drawing=lambda: Drawn(tuple(figures), tuple(not_drawn)),
            layouts=layouts,
            resampler=resampler,
            titles=titles,
        )

    return build


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; the test is skipped without one, and fails where tests must not be skipped."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        reason = "The report is tested in a real browser: apt-get install chromium"
        if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless browser; playwright brings none of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
