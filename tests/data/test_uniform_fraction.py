from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vlpbench.data.uniform_fraction import draw_uniform
from vlpbench.errors import VlpbenchError


@pytest.mark.parametrize(("count", "fraction"), [(1000, 0.01), (18678, 0.1), (57, 0.1), (250, 0.01), (350, 0.01)])
def test_it_is_the_sample_pandas_draws(count: int, fraction: float) -> None:
    frame = pd.DataFrame({"id": np.arange(count)})
    expected = frame.sample(frac=fraction, random_state=42)["id"].tolist()
    assert draw_uniform(count, fraction).tolist() == expected


def test_all_rows_keep_their_order_and_one_is_always_taken() -> None:
    assert draw_uniform(5, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert len(draw_uniform(30, 0.01)) == 1


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    draw_uniform(100, 0.1)
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("count", "fraction", "message"), [(5, 0.0, "got 0"), (5, 1.5, "got 1.5"), (0, 0.5, "no training")]
)
def test_impossible_fractions_are_refused(count: int, fraction: float, message: str) -> None:
    with pytest.raises(VlpbenchError, match=message):
        draw_uniform(count, fraction)
