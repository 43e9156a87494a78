from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from tests.releases.siim import encode_runs
from vlpbench.sources.run_length import RunLengthError, draw_runs, parse_runs

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MASKS = SIZES.flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, 1))).filter(lambda mask: mask.any())


def test_gaps_are_relative_and_pixels_run_down_the_columns() -> None:
    # Column 0 is pixels 0 to 2, column 1 pixels 3 to 5, and so on: 2 skips two, 2 draws 2 and 3, 3 skips 4 to 6.
    drawn = draw_runs(parse_runs(" 2 2 3 1 "), height=3, width=4)
    assert drawn.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]


@settings(deadline=None, max_examples=60)
@given(MASKS)
def test_decoding_undoes_encoding(mask: np.ndarray) -> None:
    height, width = mask.shape
    np.testing.assert_array_equal(draw_runs(parse_runs(encode_runs(mask)), height=height, width=width), mask)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=8))
def test_decoding_agrees_with_pycocotools(size: tuple[int, int], runs: list[tuple[int, int]]) -> None:
    height, width = size
    left = height * width - sum(map(sum, runs))
    if left < 0:
        with pytest.raises(RunLengthError, match="end at pixel"):
            draw_runs(runs, height=height, width=width)
        return
    counts = [length for run in runs for length in run] + [left]
    compressed = coco.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
    np.testing.assert_array_equal(draw_runs(runs, height=height, width=width), coco.decode(compressed))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 2 7", "are 3 numbers; expected pairs of gap and run"),
        ("", "are 0 numbers; expected pairs"),
        ("5 -2", "hold '-2'; expected whole numbers from 0 up, or -1 for no mask"),
        ("5 2.0", "hold '2.0'"),
        ("5 2_0", "hold '2_0'"),
        ("5 2 3 0", "pair 2 of the run lengths has no pixel"),
    ],
)
def test_malformed_run_lengths_are_refused(text: str, message: str) -> None:
    with pytest.raises(RunLengthError, match=message):
        parse_runs(text)


def test_runs_may_end_with_the_image_but_not_beyond() -> None:
    assert draw_runs([(8, 4)], height=3, width=4).sum() == 4
    with pytest.raises(RunLengthError, match="end at pixel 13, the image of 4 x 3 has 12"):
        draw_runs([(9, 4)], height=3, width=4)
    with pytest.raises(RunLengthError, match="end at pixel 1,000,000"):
        draw_runs([(10**30, 1)], height=3, width=4)
