"""Intervals over the test patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.statistics.fabricate import add, add_mean, mean_table
from vlpbench.errors import VlpbenchError
from vlpbench.statistics.intervals import interval
from vlpbench.statistics.resampler import Resampler
from vlpbench.statistics.samples import draw_weights
from vlpbench.store import RecordStore

pytestmark = pytest.mark.usefixtures("mean_task")


def test_percentiles_of_the_mean_over_seeds_within_each_sample(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = generator.random((3, 50))
    records = [add_mean(tmp_path, mean_table(row), seed=seed) for seed, row in enumerate(values)]
    found = interval(Resampler(RecordStore(tmp_path), samples=1000, jobs=1), records)
    weights = draw_weights(np.arange(50), ["all"] * 50, samples=1000)
    low, high = np.percentile((weights @ values.mean(axis=0)) / 50, [2.5, 97.5])
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.level, found.samples, found.undefined) == (0.95, 1000, 0)


def test_samples_without_the_metric_are_left_out_and_counted(tmp_path: Path) -> None:
    # four of twelve images are known, each of a stratum of its own that is drawn with the other small ones
    values = np.array([0.2, 0.4, 0.6, 0.8, *[np.nan] * 8])
    record = add_mean(tmp_path, mean_table(values))
    found = interval(Resampler(RecordStore(tmp_path), samples=1000, jobs=1), [record])
    weights = draw_weights(np.arange(12), ["all"] * 12, samples=1000)
    empty = int((weights[:, :4].sum(axis=1) == 0).sum())
    assert empty > 0
    assert found is not None
    assert (found.samples, found.undefined) == (1000 - empty, empty)


def test_runs_without_the_metric_are_left_out_as_in_the_tables(tmp_path: Path) -> None:
    record = add_mean(tmp_path, mean_table(np.linspace(0, 1, 30)))
    undefined = add(tmp_path, None, value=None, seed=1)
    resampler = Resampler(RecordStore(tmp_path), samples=200, jobs=1)
    assert interval(resampler, [record, undefined]) == interval(resampler, [record])
    assert interval(resampler, [undefined]) is None
    assert interval(resampler, []) is None


@pytest.mark.parametrize(("undefined", "given"), [(100, True), (101, False)])
def test_mostly_undefined_samples_give_no_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undefined: int, given: bool
) -> None:
    record = add(tmp_path, None, value=0.5)
    resampler = Resampler(RecordStore(tmp_path), samples=200, jobs=1)
    values = np.linspace(0, 1, 200)
    values[:undefined] = np.nan
    monkeypatch.setattr(resampler, "values", lambda record: values)
    assert (interval(resampler, [record]) is not None) is given


def test_the_reason_for_no_samples_is_raised(tmp_path: Path) -> None:
    record = add(tmp_path, None, value=0.5)
    with pytest.raises(VlpbenchError, match="keeps no predictions"):
        interval(Resampler(RecordStore(tmp_path), samples=200, jobs=1), [record])
