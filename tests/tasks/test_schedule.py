from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.protocol import load_protocol
from vlpbench_tasks.schedule import Schedule, batches_of, plan_schedule, shuffle_epochs, shuffle_rows, whole_batches


@pytest.mark.parametrize(
    ("overrides", "count", "expected"),
    [
        ({"max_steps": 7, "validate_every": 3}, 100, Schedule(7, 3)),
        ({"max_steps": 0, "max_epochs": 4, "validate_every_epochs": 1}, 35, Schedule(12, 3)),
        ({"max_steps": 0, "max_epochs": 4, "validate_every_epochs": 2, "drop_last": True}, 35, Schedule(8, 4)),
        ({"max_steps": 5, "max_epochs": 4, "validate_every_epochs": 1}, 35, Schedule(5, 3)),
        # one batch that is not whole, rather than none
        ({"max_steps": 0, "max_epochs": 4, "validate_every_epochs": 1, "drop_last": True}, 6, Schedule(4, 1)),
    ],
)
def test_epochs_are_counted_in_the_batches_of_the_fraction(
    overrides: dict[str, Any], count: int, expected: Schedule
) -> None:
    settings: Any = load_protocol("clean").for_task("segmentation", overrides)
    assert settings.batch_size == 16
    assert plan_schedule(settings, count) == expected


def test_a_look_is_taken_at_the_interval_and_at_the_end() -> None:
    schedule = Schedule(7, 3)
    assert [step for step in range(1, 8) if schedule.looks_at(step)] == [3, 6, 7]


@pytest.mark.parametrize("overrides", [{"max_steps": 0}, {"validate_every": 0}])
def test_a_run_without_end_or_looks_is_refused(overrides: dict[str, Any]) -> None:
    settings: Any = load_protocol("clean").for_task("segmentation", overrides)
    with pytest.raises(VlpbenchError, match="one of each two has to be positive"):
        plan_schedule(settings, 100)


def test_what_does_not_fill_a_batch_is_dropped_but_never_all() -> None:
    assert [batches_of(count, 4, drop_last=True) for count in (1, 4, 7, 8)] == [1, 1, 1, 2]
    assert [batches_of(count, 4, drop_last=False) for count in (1, 4, 7, 8)] == [1, 1, 2, 2]
    rows = np.array([5, 2, 9, 7, 1])
    assert whole_batches(rows, 2).tolist() == [5, 2, 9, 7]
    assert whole_batches(rows, 8).tolist() == rows.tolist()


def test_small_fraction_is_repeated_in_new_orders() -> None:
    rows = np.array([3, 5, 8])
    order = shuffle_rows(rows, 2, seed=0)
    taken = np.concatenate([next(order) for _ in range(30)])
    assert taken.shape == (60,)
    epochs = taken.reshape(20, 3)
    assert all(sorted(epoch) == [3, 5, 8] for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1
    again = shuffle_rows(rows, 2, seed=0)
    assert np.array_equal(taken, np.concatenate([next(again) for _ in range(30)]))


def test_an_epoch_has_every_row_once_and_no_batch_lies_in_two() -> None:
    rows = np.arange(10, 17)
    for drop_last, sizes in ((False, [3, 3, 1]), (True, [3, 3])):
        order = shuffle_epochs(rows, 3, 0, drop_last=drop_last)
        epochs = [[next(order) for _ in sizes] for _ in range(20)]
        assert all([len(batch) for batch in epoch] == sizes for epoch in epochs)
        taken = [np.concatenate(epoch).tolist() for epoch in epochs]
        assert all(len(set(epoch)) == sum(sizes) and set(epoch) <= set(rows.tolist()) for epoch in taken)
        assert len({tuple(epoch) for epoch in taken}) == 20
    assert len(next(shuffle_epochs(rows[:2], 3, 0, drop_last=True))) == 2
