"""Intervals stand beside the spread, and ties are bold together."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from jaxtyping import Float

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.entries import entries
from vlpbench.table.intervals import add_intervals
from vlpbench.table.layout import select_layouts
from vlpbench.table.markdown import markdown
from vlpbench.table.notes import build_notes
from vlpbench.table.ranks import SECOND
from vlpbench.table.sheet import comma_separated


def block_of(golden: ModuleType, records: list[Record]) -> Block:
    (block,) = build_blocks(records, select_layouts("2")[0], golden.made_up_titles())
    return block


def made(golden: ModuleType, values: dict[str, float]) -> list[Record]:
    return [golden.fabricate(value, method=name) for name, value in values.items()]


def test_an_interval_is_that_of_the_samples(golden: ModuleType) -> None:
    block = add_intervals(block_of(golden, made(golden, {"sista": 0.5})), golden.FabricatedResampler())
    (row,) = [row for row in block.rows if row.name == "sista"]
    cell = row.cells[1]
    assert cell is not None
    assert cell.interval is not None
    # 1,024 samples run through the 65 values -32 … 32 nearly evenly, so 2.5 % lie outside 31 on either side
    assert cell.interval.low == pytest.approx(0.5 - 31 / 1024)
    assert cell.interval.high == pytest.approx(0.5 + 31 / 1024)
    shown = entries(block, row)[1]
    assert (shown.text, shown.below) == ("50.0", "[47.0, 53.0]")
    sheet = csv.DictReader(io.StringIO(comma_separated([block])))
    (found,) = [
        line for line in sheet if (line["method"], line["dataset"], line["fraction"]) == ("sista", "siim", "1.0")
    ]
    assert float(found["ci_low"]) == pytest.approx(0.5 - 31 / 1024)
    assert float(found["ci_high"]) == pytest.approx(0.5 + 31 / 1024)
    assert found["ci_samples"] == "1024"


def test_the_spread_over_runs_stays_beside_it(golden: ModuleType) -> None:
    records = [golden.fabricate(value, seed=seed) for seed, value in enumerate((0.4, 0.6))]
    block = add_intervals(block_of(golden, records), golden.FabricatedResampler())
    assert "| 50.0 ± 14.1<br>[47.0, 53.0] |" in markdown([block], [], golden.made_up_titles())


def test_trivial_predictors_have_none(golden: ModuleType) -> None:
    block = add_intervals(block_of(golden, golden.golden_records()), golden.FabricatedResampler())
    assert all((cell.interval is None) == (row.kind == "trivial") for row in block.rows for cell in row.cells if cell)


def test_without_them_no_cell_and_no_note_speaks_of_intervals(golden: ModuleType) -> None:
    text = markdown([block_of(golden, golden.golden_records())], [], golden.made_up_titles())
    assert "<br>" not in text
    assert "interval" not in text
    assert "no test of significance" in text


class Noisy:
    """Samples whose differences are set by hand: independent noise of one size per method."""

    samples = 4000

    def __init__(self, sizes: dict[str, float]) -> None:
        self.sizes = sizes

    def prefetch(self, records: object) -> None: ...

    def patients_known(self, record: Record) -> bool:
        return True

    def values(self, record: Record) -> Float[np.ndarray, " samples"]:
        noise = np.random.default_rng(sum(record.spec.method.encode())).normal(size=self.samples)
        return (record.metrics[record.headline] or 0.0) + self.sizes.get(record.spec.method, 0.0) * noise


def bold(block: Block) -> set[str]:
    return {row.name for row in block.rows if entries(block, row)[1].bold}


def underlined(block: Block) -> set[str]:
    return {row.name for row in block.rows if entries(block, row)[1].underlined}


def test_ties_are_bold_together_and_the_second_is_underlined_only_where_it_is_none(golden: ModuleType) -> None:
    records = made(golden, {"sista": 0.60, "convirt": 0.59, "mgca": 0.50})
    block = add_intervals(block_of(golden, records), Noisy({"convirt": 0.02, "mgca": 0.02}))  # type: ignore[arg-type]
    assert (bold(block), underlined(block)) == ({"sista", "convirt"}, set())
    sharp = add_intervals(block_of(golden, records), Noisy({"convirt": 0.001, "mgca": 0.001}))  # type: ignore[arg-type]
    assert (bold(sharp), underlined(sharp)) == ({"sista"}, {"convirt"})


def test_holm_corrects_over_the_methods_of_the_column(golden: ModuleType) -> None:
    # a difference of 2.2 standard deviations is significant alone (p = 0.03), and not among five (p > 0.05)
    few = made(golden, {"sista": 0.60, "convirt": 0.60 - 0.022})
    many = [*few, *made(golden, dict.fromkeys(("a", "b", "c", "d"), 0.60 - 0.022))]
    sizes = dict.fromkeys(("convirt", "a", "b", "c", "d"), 0.01)
    assert bold(add_intervals(block_of(golden, few), Noisy(sizes))) == {"sista"}  # type: ignore[arg-type]
    assert bold(add_intervals(block_of(golden, many), Noisy(sizes))) == {"sista", *sizes}  # type: ignore[arg-type]


def test_the_best_of_one_backbone_is_not_tested_against_another(golden: ModuleType) -> None:
    records = [*made(golden, {"sista": 0.6, "convirt": 0.2}), golden.fabricate(0.6, arch="vit_b16")]
    block = add_intervals(block_of(golden, records), golden.FabricatedResampler())
    ties = {(row.name, row.arch) for row in block.rows for cell in row.cells if cell is not None and cell.tied}
    assert ("sista", "vit_b16") not in ties


def test_missing_predictions_leave_a_number_without_an_interval_and_say_so(golden: ModuleType) -> None:
    records = made(golden, {"sista": 0.6, "convirt": 0.6 - 1e-6})
    block = add_intervals(block_of(golden, records), golden.FabricatedResampler(lacking="convirt"))
    (row,) = [row for row in block.rows if row.name == "convirt"]
    cell = row.cells[1]
    assert cell is not None
    assert (cell.interval, cell.tied, cell.rank) == (None, False, SECOND)
    notes = "\n".join(build_notes(block, golden.made_up_titles()))
    reason = f"ConVIRT: SIIM_like & more 100 %: The record {records[1].key} keeps no predictions."
    assert f"A number and no interval: 1 cell. {reason}" in notes
    assert f"Not tested against the best of its column, and so not tied with it: 1 cell. {reason}" in notes


def test_reasons_do_not_tell_where_results_lie(golden: ModuleType) -> None:
    class Elsewhere(golden.FabricatedResampler):  # type: ignore[name-defined,misc]
        def values(self, record: Record) -> Float[np.ndarray, " samples"]:
            raise VlpbenchError(f"{self.store.root}/predictions/x.parquet: damaged.")

    block = add_intervals(block_of(golden, made(golden, {"sista": 0.5})), Elsewhere())
    assert "100 %: predictions/x.parquet: damaged." in "\n".join(build_notes(block, golden.made_up_titles()))


def test_notes_say_what_the_interval_and_bold_mean(golden: ModuleType) -> None:
    records = made(golden, {"sista": 0.6, "convirt": 0.2})
    records.append(golden.fabricate(0.2, dataset="rsna"))
    block = add_intervals(block_of(golden, records), golden.FabricatedResampler())
    notes = "\n".join(build_notes(block, golden.made_up_titles()))
    assert "95 % percentile interval over 1,024 bootstrap samples of the test patients" in notes
    assert "not significant at 5 % (the bootstrap over test patients; Holm" in notes
    assert "every image counts as a patient and intervals may be too narrow: RSNA_like & more." in notes
    assert "no test of significance" not in notes


def test_an_undefined_metric_needs_no_interval(golden: ModuleType) -> None:
    block = add_intervals(block_of(golden, [golden.fabricate(None)]), golden.FabricatedResampler(lacking="sista"))
    assert "A number and no interval" not in "\n".join(build_notes(block, golden.made_up_titles()))


def test_a_metric_that_most_samples_leave_undefined_says_so(golden: ModuleType) -> None:
    class Rare(golden.FabricatedResampler):  # type: ignore[name-defined,misc]
        def values(self, record: Record) -> Float[np.ndarray, " samples"]:
            return np.full(self.samples, np.nan)

    block = add_intervals(block_of(golden, made(golden, {"sista": 0.5})), Rare())
    assert "undefined in more than half of the bootstrap samples" in "\n".join(
        build_notes(block, golden.made_up_titles())
    )
    assert replace(block, sampling=None).sampling is None
