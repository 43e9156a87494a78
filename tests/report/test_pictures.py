from __future__ import annotations

import base64
from dataclasses import replace

from tests.report.conftest import GREY, SVG, figure

from vlpbench.report.pictures import LARGEST_SVG, embed, shared_caption, split_pictures, without_caption


def test_a_drawing_is_embedded_as_svg_at_its_own_size() -> None:
    picture = embed(figure("curve"))
    kind, _, content = picture.source.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content).decode() == SVG
    assert (picture.width, picture.height) == (960, 384)  # 720 and 288 points


def test_a_large_drawing_is_embedded_as_png() -> None:
    picture = embed(replace(figure("curve"), svg=SVG + " " * LARGEST_SVG))
    assert picture.source == f"data:image/png;base64,{base64.b64encode(GREY).decode()}"


def test_galleries_are_apart_and_png() -> None:
    drawings, galleries = split_pictures([figure("predictions-masks"), figure("ablation")])
    assert [picture.title for picture in drawings] == ["Title of ablation"]
    assert [picture.title for picture in galleries] == ["Title of predictions-masks"]
    assert galleries[0].source.startswith("data:image/png")


def test_what_all_captions_begin_with_is_said_once() -> None:
    pictures = [
        embed(figure("a", "Synthetic. Suite x. Dots: 0.5 a seed.")),
        embed(figure("b", "Synthetic. Suite x. Bars.")),
    ]
    shared = shared_caption(pictures)
    assert shared == "Synthetic. Suite x."
    assert [picture.caption for picture in without_caption(pictures, shared)] == ["Dots: 0.5 a seed.", "Bars."]
    assert shared_caption(pictures[:1]) == ""
