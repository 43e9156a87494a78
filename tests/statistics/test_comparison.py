"""Comparison cell by cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from tests.statistics.fabricate import add, add_mean, add_patients, mean_table
from vlpbench.record import Record
from vlpbench.statistics.comparison import (
    Column,
    Comparison,
    Contest,
    Contestant,
    compare,
    correct,
    records_to_resample,
    summarise_runs,
)
from vlpbench.statistics.resampler import Resampler
from vlpbench.store import RecordStore

pytestmark = pytest.mark.usefixtures("mean_task")
BASE = np.random.default_rng(0).random(80)
SISTA = Contestant("sista", "resnet18", "", "SISTA", "methods")
MGCA = Contestant("mgca", "resnet18", "", "MGCA", "methods")
SHIFTS = {0.01: 0.3, 0.1: -0.3, 1.0: 0.0}


def _column(fraction: float, metric: str = "dice_positive") -> Column:
    return Column("segmentation", "siim", metric, fraction, "SIIM-like", "Dice", 1)


def _contest(runs: dict[tuple[Contestant, Column], list[Record]]) -> Contest:
    columns = tuple(dict.fromkeys(column for _, column in runs))
    contestants = tuple(dict.fromkeys(one for one, _ in runs))
    return Contest("phantom", "clean", 96, None, (), "", (), columns, contestants, runs)


def _filled(root: Path) -> dict[tuple[Contestant, Column], list[Record]]:
    """SISTA wins with 1 %, loses with 10 % and ties with 100 % of the labels."""
    generator = np.random.default_rng(2)
    runs = {}
    for fraction, shift in SHIFTS.items():
        for one, offset in ((SISTA, shift), (MGCA, 0.0)):
            values = 0.5 * BASE + 0.02 * generator.standard_normal((2, 80)) + max(offset, 0.0)
            values += max(-shift, 0.0) * (one is MGCA)
            runs[one, _column(fraction)] = [
                add_mean(root, mean_table(row.clip(0, 1)), method=one.name, seed=seed, fraction=fraction)
                for seed, row in enumerate(values)
            ]
    return runs


def _compare(root: Path, runs: dict[tuple[Contestant, Column], list[Record]]) -> Comparison:
    return compare(Resampler(RecordStore(root), samples=500, jobs=1), _contest(runs), SISTA, MGCA)


def test_verdicts_and_counts(tmp_path: Path) -> None:
    found = _compare(tmp_path, _filled(tmp_path))
    assert [cell.verdict for cell in found.cells] == ["win", "loss", "tie"]
    assert [found.count(verdict) for verdict in ("win", "tie", "loss", "untested")] == [1, 1, 1, 0]
    assert (found.count("win", "segmentation"), found.count("win", "detection")) == (1, 0)
    raw = [cell.difference.p_value for cell in found.cells if cell.difference is not None]
    assert [cell.p_holm for cell in found.cells] == pytest.approx(list(multipletests(raw, method="holm")[1]))
    assert [cell.ours.n for cell in found.cells] == [2, 2, 2]
    assert found.unknown_patients == ("SIIM-like",)


def test_a_cell_without_predictions_is_listed_and_the_family_is_the_others(tmp_path: Path) -> None:
    runs = _filled(tmp_path)
    bare = add(tmp_path, None, method="mgca", fraction=0.1, seed=7, value=0.4)
    runs[MGCA, _column(0.1)] = [bare]
    found = _compare(tmp_path, runs)
    assert [cell.verdict for cell in found.cells] == ["win", "untested", "tie"]
    assert f"{bare.key} keeps no predictions" in found.cells[1].reason
    assert found.cells[1].p_holm is None
    assert found.cells[1].theirs.mean == pytest.approx(0.4)
    raw = [cell.difference.p_value for cell in found.tested if cell.difference is not None]
    assert [cell.p_holm for cell in found.tested] == pytest.approx(list(multipletests(raw, method="holm")[1]))


def test_records_of_another_split_are_listed_as_untested(tmp_path: Path) -> None:
    runs = _filled(tmp_path)
    other = add_mean(tmp_path, mean_table(BASE), method="mgca", fraction=1.0, split="t" * 16)
    runs[MGCA, _column(1.0)] = [other]
    cell = _compare(tmp_path, runs).cells[2]
    assert cell.verdict == "untested"
    assert other.key in cell.reason
    assert "cannot be paired" in cell.reason


def test_missing_cells_are_listed(tmp_path: Path) -> None:
    runs = _filled(tmp_path)
    del runs[MGCA, _column(0.1)]
    found = _compare(tmp_path, runs)
    assert found.missing == (_column(0.1),)
    assert len(found.cells) == 2


def test_known_patients_and_a_damaged_file_of_them(tmp_path: Path) -> None:
    runs = _filled(tmp_path)
    add_patients(tmp_path, [str(place // 2) for place in range(80)])
    assert _compare(tmp_path, runs).unknown_patients == ()
    (file,) = (tmp_path / "patients").rglob("*.csv")
    file.write_text("nonsense\n")
    damaged = _compare(tmp_path, runs)
    assert [cell.verdict for cell in damaged.cells] == ["untested"] * 3
    assert "expected the columns image_id and patient" in damaged.cells[0].reason


def test_runs_that_overlap_are_told(tmp_path: Path) -> None:
    runs = _filled(tmp_path)
    apart = _compare(tmp_path, runs)
    assert [cell.overlapping for cell in apart.cells] == [False, False, False]
    # one run of the winner is worse than the loser's, and the mean still wins
    runs[SISTA, _column(0.01)] = [
        add_mean(tmp_path, mean_table(values), fraction=0.01, seed=seed, weights="v")
        for seed, values in enumerate((0.5 * BASE - 0.01 * BASE, 0.5 * BASE + 0.4))
    ]
    cell = _compare(tmp_path, runs).cells[0]
    assert (cell.verdict, cell.overlapping) == ("win", True)


def test_delong_needs_no_samples(tmp_path: Path) -> None:
    runs = _filled(tmp_path)
    auroc = {(one, _column(column.fraction, "auroc")): found for (one, column), found in runs.items()}
    pairs = [(SISTA, MGCA)]
    assert records_to_resample(_contest(auroc), pairs) == []
    assert len(records_to_resample(_contest(runs), pairs)) == 12


def test_runs_are_summarised_without_the_undefined(tmp_path: Path) -> None:
    records = [add(tmp_path, None, value=value, seed=seed) for seed, value in enumerate((0.2, None, 0.4))]
    found = summarise_runs(records)
    assert (found.mean, found.sd, found.n) == (pytest.approx(0.3), pytest.approx(0.02**0.5), 2)
    assert (found.lowest, found.highest, found.pretrain_seeds) == (0.2, 0.4, (0,))
    assert summarise_runs(records[1:2]).mean is None


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1, never falling: .04 .06 .06 .06
    assert correct([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert correct([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert correct([]) == []
