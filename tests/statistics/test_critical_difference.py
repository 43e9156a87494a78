"""The critical-difference diagram."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from vlpbench.figures import critical_difference
from vlpbench.figures.canvas import Sheet
from vlpbench.figures.critical_difference import draw_ranks
from vlpbench.statistics.ranks import find_groups

TWELVE = [
    "SPARC",
    "SISTA",
    "GLoRIA",
    "CLIP",
    "MLIP‡≈",
    "MGCA",
    "FaNe",
    "ConVIRT",
    "MedKLIP†",
    "PRIOR",
    "M-FLAG",
    "Twelfth",
]
SPREAD = [1.5, 2.4, 4.1, 4.2, 4.25, 6.0, 6.05, 7.3, 9.0, 9.6, 11.6, 12.0]


def _draw(titles: list[str], averages: list[float], critical: float = 3.64) -> tuple[str, bytes]:
    groups = find_groups(averages, critical)
    return draw_ranks(titles, averages, critical_difference=critical, groups=groups, title="Ranks", subtitle="Suite x")


def test_the_same_arguments_give_the_same_bytes() -> None:
    first, second = _draw(TWELVE, SPREAD), _draw(TWELVE, SPREAD)
    assert first == second
    svg, png = first
    assert svg.startswith("<?xml")
    assert png.startswith(b"\x89PNG")
    assert re.search(r"<dc:date>|Matplotlib v", svg) is None
    assert b"Software" not in png


@pytest.mark.parametrize(
    ("titles", "averages", "critical"),
    [
        (TWELVE, SPREAD, 3.64),
        (TWELVE, [6.5] * 12, 3.64),
        (TWELVE, [1.0, *[7.0] * 11], 30.0),
        (["SISTA", "A long title (ViT-B/16, recipe abcdef)"], [1.0, 2.0], 0.6),
        (TWELVE[:3], [1.0, 2.0, 3.0], 0.5),
    ],
)
def test_no_text_lies_on_another_or_leaves_the_figure(
    monkeypatch: pytest.MonkeyPatch, titles: list[str], averages: list[float], critical: float
) -> None:
    seen: list[str] = []

    def look(sheet: Sheet, draw: Callable[[Figure], None]) -> tuple[str, bytes]:
        canvas = Figure(figsize=(sheet.width, sheet.height), layout="constrained")
        renderer = FigureCanvasAgg(canvas).get_renderer()
        draw(canvas)
        canvas.draw_without_rendering()
        texts = [one for one in canvas.findobj(Text) if one.get_text().strip() and one.get_visible()]
        boxes = {one.get_text(): one.get_window_extent(renderer) for one in texts if one.axes is not None}
        boxes = {text: box for text, box in boxes.items() if text in _written(titles, averages, critical)}
        seen.extend(boxes)
        for (text, box), (other, its_box) in combinations(boxes.items(), 2):
            assert not box.overlaps(its_box), (text, other)
        for text, box in boxes.items():
            assert box.x0 >= 0, text
            assert box.x1 <= canvas.bbox.x1, text
        return "", b""

    monkeypatch.setattr(critical_difference, "render", look)
    _draw(titles, averages, critical)
    assert set(seen) == set(_written(titles, averages, critical))


def _written(titles: list[str], averages: list[float], critical: float) -> list[str]:
    labels = [f"{title}  {average:.2f}" for title, average in zip(titles, averages, strict=True)]
    ruler = f"critical difference {critical:.2f}"
    if critical > len(titles) - 1:
        ruler += ", longer than the axis"
    return [*labels, *(str(rank) for rank in range(1, len(titles) + 1)), ruler, critical_difference.FOOTNOTE]


def test_bars_of_one_line_share_no_method() -> None:
    groups = [(0, 4), (1, 5), (2, 7), (5, 9), (8, 11)]
    assert critical_difference._lanes(groups) == [0, 1, 2, 0, 1]
    assert critical_difference._lanes([(0, 2), (2, 4)]) == [0, 1]
    assert critical_difference._lanes([]) == []
