from __future__ import annotations

import pytest

from tests.figures.small_store import make_record
from vlpbench.figures.bands import TOO_RARE, Bands
from vlpbench.figures.captions import describe_bands, describe_block, describe_seeds
from vlpbench.figures.runs import largest_fraction, read_lines, runs_of
from vlpbench.record import Record
from vlpbench.statistics.intervals import Interval
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import select_layouts
from vlpbench.table.titles import Titles


def _block(records: list[Record], titles: Titles) -> Block:
    (block,) = build_blocks(records, select_layouts("segmentation")[0], titles)
    return block


def test_points_are_means_over_the_seeds(titles: Titles) -> None:
    records = [
        make_record(0.2, fraction=0.1), make_record(0.4, fraction=0.1, seed=1),
        make_record(0.6), make_record(None, seed=1), make_record(0.7, seed=2, pretrain_seed=1),
    ]  # fmt: skip
    block = _block(records, titles)
    group = next(group for group in block.groups if group.dataset == "siim")
    lines = {line.row.name: line for line in read_lines(block, group, banded=(), band=lambda _: None)}
    points = {point.fraction: point for point in lines["sista"].points}
    assert points[0.1].mean == pytest.approx(0.3)
    assert points[0.1].values == (0.2, 0.4)
    assert points[1.0].values == (0.6, 0.7)
    assert [point.mean for point in lines["always_empty"].points] == pytest.approx([0.1, 0.1])
    assert largest_fraction(group) == 1.0


def test_a_fraction_without_a_defined_value_has_no_point(titles: Titles) -> None:
    block = _block([make_record(None, fraction=0.1), make_record(0.6)], titles)
    group = next(group for group in block.groups if group.dataset == "siim")
    (line, _) = sorted(read_lines(block, group, banded=(), band=lambda _: None), key=lambda one: one.row.kind)
    assert [point.fraction for point in line.points] == [1.0]


def test_only_the_rows_that_are_brought_out_ask_for_intervals(titles: Titles) -> None:
    asked: list[list[str]] = []

    def band(records: list[Record]) -> Interval:
        asked.append([record.spec.method for record in records])
        return Interval(0.1, 0.2, 0.95, 100, 0)

    block = _block([make_record(0.6), make_record(0.5, seed=1), make_record(0.4, method="clip")], titles)
    group = next(group for group in block.groups if group.dataset == "siim")
    sista = next(row for row in block.rows if row.name == "sista")
    lines = {line.row.name: line for line in read_lines(block, group, banded=[sista], band=band)}
    assert asked == [["sista", "sista"]]
    assert lines["sista"].points[0].interval is not None
    assert lines["clip"].points[0].interval is None


def test_runs_stand_in_the_order_of_their_seeds(titles: Titles) -> None:
    block = _block([make_record(0.1, seed=2), make_record(0.2, seed=0), make_record(0.3, seed=1)], titles)
    group = next(group for group in block.groups if group.dataset == "siim")
    sista = next(row for row in block.rows if row.name == "sista")
    assert [record.spec.seed for record in runs_of(group, sista, 1.0)] == [0, 1, 2]
    assert runs_of(group, sista, 0.1) == []


class _Broken:
    """A resampler that has no predictions."""

    def __init__(self, samples: list[float] | None = None) -> None:
        self.samples = samples

    def values(self, record: Record) -> object:
        import numpy as np

        from vlpbench.errors import VlpbenchError

        if self.samples is None:
            raise VlpbenchError(f"no predictions of {record.spec.method}\nand more")
        return np.array(self.samples)

    def patients_known(self, record: Record) -> bool:
        return record.spec.dataset != "siim"


def test_an_interval_that_cannot_be_had_is_told(titles: Titles) -> None:
    bands = Bands(_Broken())  # type: ignore[arg-type]
    records = [make_record(0.5)]
    assert bands.find(records) is None
    found = bands.found([records, [make_record(0.5, seed=9)]])
    assert found.intervals == ()
    assert describe_bands(found, mark="Band") == "No intervals: no predictions of sista."


def test_a_metric_that_most_samples_leave_undefined_has_no_interval() -> None:
    bands = Bands(_Broken([float("nan")] * 9 + [0.5]))  # type: ignore[arg-type]
    records = [make_record(0.5)]
    assert bands.find(records) is None
    assert bands.found([records]).reasons == (TOO_RARE,)


def test_intervals_are_described_with_what_they_are_about() -> None:
    bands = Bands(_Broken([number / 100 for number in range(101)]))  # type: ignore[arg-type]
    found = bands.find([make_record(0.5)])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))
    text = describe_bands(bands.found([[make_record(0.5)]]), mark="Band")
    assert text.startswith("Band: 95 % interval of the mean over the seeds, from 101 bootstrap samples of the test")
    assert "Which images of siim are of one patient is not known" in text


def test_without_a_resampler_there_are_no_intervals() -> None:
    bands = Bands(None)
    assert bands.find([make_record(0.5)]) is None
    assert describe_bands(bands.found([[make_record(0.5)]]), mark="Band") == "Drawn without intervals."


def test_captions_say_where_numbers_come_from(titles: Titles) -> None:
    block = _block([make_record(0.5, limit=40)], titles)
    text = describe_block(block, titles)
    assert text.startswith("Synthetic data.")
    assert "Suite phantom: Drawn." in text
    assert "protocol clean version 1" in text
    assert "32 pixels a side, at most 40 images per split" in text


def test_captions_count_the_runs_of_a_cell() -> None:
    one = [make_record(0.5)]
    assert describe_seeds(one) == "n = 1 run a cell (pre-training seeds 0; evaluation seeds 0)."
    more = [*one, make_record(0.5, seed=1), make_record(0.5, fraction=0.1, pretrain_seed=3)]
    assert describe_seeds(more) == "n = 1 to 2 runs a cell (pre-training seeds 0, 3; evaluation seeds 0, 1)."
