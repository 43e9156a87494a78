from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from defusedxml import ElementTree

from vlpbench.figures.canvas import Sheet, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

TITLE = "Costs $5 < $6 & more — 胸部"


def _draw(canvas: Canvas) -> None:
    axes = canvas.subplots()
    axes.plot([0, 1], [0, 1], marker="o", label="$a$")
    axes.legend()


def test_the_same_bytes_every_time() -> None:
    sheet = Sheet("one", "Title", "Subtitle", 3, 2)
    assert render(sheet, _draw) == render(sheet, _draw)


def test_ids_begin_with_the_name_and_every_reference_is_found() -> None:
    svg, png = render(Sheet("my figure", TITLE, "a_b^c", 3, 2), _draw)
    root = ElementTree.fromstring(svg)
    ids = [value for one in root.iter() if (value := one.get("id"))]
    links = [value[1:] for one in root.iter() for name, value in one.attrib.items() if name.endswith("href")]
    assert all(one.startswith("my_figure-") for one in ids)
    assert len(set(ids)) == len(ids)
    assert set(links) <= set(ids)
    clips = [part.split(")")[0] for part in svg.split("url(#")[1:]]
    assert set(clips) <= set(ids)
    assert links
    assert clips
    assert "Oblique" not in svg, "a dollar sign is no formula"
    assert png.startswith(b"\x89PNG")
    assert root.find("{http://www.w3.org/2000/svg}title").text == TITLE


def test_nothing_tells_when_or_where_it_was_drawn() -> None:
    svg, png = render(Sheet("one", "Title", "", 3, 2), _draw)
    assert "dc:date" not in svg
    assert b"tEXt" not in png


def test_the_users_own_settings_of_matplotlib_do_not_show() -> None:
    import matplotlib

    sheet = Sheet("one", "Title", "", 3, 2)
    plain = render(sheet, _draw)
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.fonttype": "none", "axes.facecolor": "red"}):
        assert render(sheet, _draw) == plain


@pytest.mark.parametrize("module", ["vlpbench.figures.drawing", "vlpbench.commands.figures"])
def test_figures_cost_nothing_before_one_is_drawn(module: str) -> None:
    heavy = "matplotlib", "sklearn", "scipy", "torch", "pycocotools"
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
