from __future__ import annotations

import pandas as pd
import pytest

from vlpbench.figures.gallery import choose_images, group_titles, short_id


def test_best_median_and_worst_are_two_each() -> None:
    scores = pd.Series({f"image-{number}": number / 10 for number in range(9)})
    assert choose_images(scores) == {
        "best": ["image-8", "image-7"],
        "median": ["image-5", "image-4"],
        "worst": ["image-1", "image-0"],
    }


def test_equal_scores_stand_in_the_order_of_their_names() -> None:
    scores = pd.Series({"c": 0.5, "a": 0.5, "b": 0.5})
    assert choose_images(scores) == {"best": ["a"], "median": ["b"], "worst": ["c"]}


@pytest.mark.parametrize(
    ("count", "chosen"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (5, [1, 1, 1]), (6, [2, 2, 2])]
)
def test_few_images_are_shown_once(count: int, chosen: list[int]) -> None:
    found = choose_images(pd.Series({str(number): float(number) for number in range(count)}))
    assert [len(images) for images in found.values()] == chosen
    shown = [image for images in found.values() for image in images]
    assert len(set(shown)) == len(shown)


def test_columns_are_numbered_where_there_are_several() -> None:
    assert group_titles({"best": ["x"], "median": [], "worst": ["y", "z"]}) == [
        ("Best", "x"), ("Worst 1", "y"), ("Worst 2", "z"),
    ]  # fmt: skip


def test_long_names_keep_their_end() -> None:
    assert short_id("siim-p00456-s0") == "siim-p00456-s0"
    assert short_id("1.2.276.0.7230010.3.1.4.8323329.1000.1517875165.878027") == "…0.1517875165.878027"
    assert len(short_id("x" * 50)) == 20
