"""Comparison of two methods cell by cell, corrected for the number of cells."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.statistics.differences import AUROC, Difference, difference
from vlpbench.statistics.resampler import Resampler

ALPHA = 0.05
METHODS, ABLATIONS, FLOORS, CEILINGS = "methods", "ablations", "floors", "ceilings"
WIN, TIE, LOSS, UNTESTED = "win", "tie", "loss", "untested"


@dataclass(frozen=True)
class Contestant:
    """A method with the weights of one recipe.

    Attributes:
        name: registered method.
        arch: backbone architecture.
        recipe: hash of the pre-training recipe, "" when unknown.
        title: as printed; without the architecture where the contest has one only.
        section: "methods", "ablations", "floors" or "ceilings".
    """

    name: str
    arch: str
    recipe: str
    title: str
    section: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it apart."""
        return self.name, self.arch, self.recipe


@dataclass(frozen=True)
class Column:
    """Where methods meet: one label fraction of one dataset.

    Attributes:
        task: registered task.
        dataset: name.
        metric: headline metric.
        fraction: of the training labels.
        title: of the dataset.
        metric_title: as printed.
        decimals: of percentages.
    """

    task: str
    dataset: str
    metric: str
    fraction: float
    title: str
    metric_title: str
    decimals: int


@dataclass(frozen=True)
class Contest:
    """Records that may be compared: one suite, protocol, image size and limit, and the same settings and data.

    Attributes:
        suite: name.
        protocol: name.
        image_size: side of the input, pixels.
        limit: cap on images per split, None for none.
        older: what sets them apart from newer records of the same suite and protocol; () for the newest.
        arch: title of the architecture where all contestants have the same, else "".
        remarks: sentences that belong under any number of them.
        columns: in the order of the tables.
        contestants: in the order of the tables.
        runs: records by contestant and column; all that are there have one.
    """

    suite: str
    protocol: str
    image_size: int
    limit: int | None
    older: tuple[str, ...]
    arch: str
    remarks: tuple[str, ...]
    columns: tuple[Column, ...]
    contestants: tuple[Contestant, ...]
    runs: Mapping[tuple[Contestant, Column], Sequence[Record]]

    def common(self, ours: Contestant, theirs: Contestant) -> list[Column]:
        """Columns in which both have records."""
        return [column for column in self.columns if (ours, column) in self.runs and (theirs, column) in self.runs]

    def lacking(self, contestant: Contestant) -> list[Column]:
        """Columns in which it has no record."""
        return [column for column in self.columns if (contestant, column) not in self.runs]

    def mean(self, contestant: Contestant, column: Column) -> float | None:
        """Mean headline over its runs, None where it has none that is defined."""
        return summarise_runs(self.runs.get((contestant, column), ())).mean


@dataclass(frozen=True)
class Runs:
    """The runs of one method on one column.

    Attributes:
        mean: over those with a defined headline, in [0, 1]; None without any.
        sd: sample standard deviation over the same; None for fewer than two.
        n: number of those runs.
        lowest: of those, None without any.
        highest: likewise.
        pretrain_seeds: of all its runs.
    """

    mean: float | None
    sd: float | None
    n: int
    lowest: float | None
    highest: float | None
    pretrain_seeds: tuple[int, ...]


@dataclass(frozen=True)
class ComparedCell:
    """Two methods on one column.

    Attributes:
        column: where they meet.
        ours: runs of the first.
        theirs: runs of the second.
        difference: first less second; None where it cannot be tested.
        p_holm: its p-value after Holm's correction.
        verdict: "win" of the first, "tie", "loss" or "untested".
        reason: why there is no difference.
    """

    column: Column
    ours: Runs
    theirs: Runs
    difference: Difference | None
    p_holm: float | None = None
    verdict: str = UNTESTED
    reason: str = ""

    @property
    def overlapping(self) -> bool:
        """Whether some run of the loser is no worse than some run of the winner: not every seed would say the same."""
        better, worse = (self.ours, self.theirs) if self.verdict == WIN else (self.theirs, self.ours)
        if self.verdict not in (WIN, LOSS) or better.lowest is None or worse.highest is None:
            return False
        return better.lowest <= worse.highest


@dataclass(frozen=True)
class Comparison:
    """Two methods on all columns that both have; their tests are one family.

    Attributes:
        ours: the first method.
        theirs: the second.
        cells: in the order of the columns.
        missing: columns in which one or both have no record.
        unknown_patients: datasets of which results do not say which images are of one patient.
    """

    ours: Contestant
    theirs: Contestant
    cells: tuple[ComparedCell, ...]
    missing: tuple[Column, ...]
    unknown_patients: tuple[str, ...]

    @cached_property
    def tested(self) -> tuple[ComparedCell, ...]:
        """Cells with a p-value."""
        return tuple(cell for cell in self.cells if cell.difference is not None)

    def count(self, verdict: str, task: str | None = None) -> int:
        """Cells with a verdict, of one task or of all."""
        return sum(cell.verdict == verdict and task in (None, cell.column.task) for cell in self.cells)


def compare(resampler: Resampler, contest: Contest, ours: Contestant, theirs: Contestant) -> Comparison:
    """Compare two methods on every column that both have records of; p-values are corrected over these (Holm).

    A cell that cannot be tested is listed with the reason, and the others go on.
    """
    common = contest.common(ours, theirs)
    cells = [
        _compared(resampler, column, contest.runs[ours, column], contest.runs[theirs, column]) for column in common
    ]
    return Comparison(
        ours=ours,
        theirs=theirs,
        cells=tuple(_judged(cells)),
        missing=tuple(column for column in contest.columns if column not in common),
        unknown_patients=tuple(_without_patients(resampler, contest, ours, common)),
    )


def records_to_resample(contest: Contest, pairs: Iterable[tuple[Contestant, Contestant]]) -> list[Record]:
    """Records that comparisons of these pairs draw bootstrap samples of: DeLong's test of AUROC needs none."""
    return [
        record
        for pair in pairs
        for column in contest.common(*pair)
        if column.metric != AUROC
        for one in pair
        for record in contest.runs[one, column]
    ]


def summarise_runs(records: Sequence[Record]) -> Runs:
    """Mean and spread of the headline over runs."""
    values = [value for record in records if (value := record.metrics.get(record.headline)) is not None]
    return Runs(
        mean=fmean(values) if values else None,
        sd=stdev(values) if len(values) > 1 else None,
        n=len(values),
        lowest=min(values, default=None),
        highest=max(values, default=None),
        pretrain_seeds=tuple(sorted({record.spec.pretrain_seed for record in records})),
    )


def correct(p_values: Sequence[float]) -> list[float]:
    """P-values after Holm's step-down correction, in their order."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    # it collects garbage at each call, which takes a fifth of a second beside a thousand records
    gc.freeze()
    try:
        corrected: Any = multipletests(p_values, alpha=ALPHA, method="holm")[1]
    finally:
        gc.unfreeze()
    return [float(value) for value in corrected]


def _compared(resampler: Resampler, column: Column, ours: Sequence[Record], theirs: Sequence[Record]) -> ComparedCell:
    found, reason = None, ""
    try:
        found = difference(resampler, ours, theirs)
    except VlpbenchError as problem:
        reason = str(problem)
    return ComparedCell(column, summarise_runs(ours), summarise_runs(theirs), found, reason=reason)


def _judged(cells: Sequence[ComparedCell]) -> list[ComparedCell]:
    """The cells with corrected p-values and verdicts."""
    corrected = iter(correct([cell.difference.p_value for cell in cells if cell.difference is not None]))
    judged = []
    for cell in cells:
        if cell.difference is None:
            judged.append(cell)
            continue
        p_holm = next(corrected)
        mean = cell.difference.mean
        verdict = TIE if p_holm > ALPHA or mean == 0 else WIN if mean > 0 else LOSS
        judged.append(replace(cell, p_holm=p_holm, verdict=verdict))
    return judged


def _without_patients(
    resampler: Resampler, contest: Contest, ours: Contestant, columns: Sequence[Column]
) -> Iterable[str]:
    """Titles of the datasets whose images all count as patients of their own."""
    told: dict[str, None] = {}
    for column in columns:
        try:
            known = resampler.patients_known(contest.runs[ours, column][0])
        except VlpbenchError:
            known = True  # its cells are listed with the damage
        if not known:
            told[column.title] = None
    return told
