"""Bands: intervals of cells, and the reasons of those that cannot be had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record

if TYPE_CHECKING:
    from vlpbench.statistics.intervals import Interval
    from vlpbench.statistics.resampler import Resampler

Key = tuple[str, ...]
TOO_RARE = "the metric is undefined in more than half of the bootstrap samples"


@dataclass(frozen=True)
class Found:
    """What there is to say of the intervals of one figure.

    Attributes:
        intervals: those that are drawn.
        reasons: one for each cell with a number and without an interval.
        without_patients: datasets whose results do not say which images are of one patient.
    """

    intervals: tuple[Interval, ...]
    reasons: tuple[str, ...]
    without_patients: tuple[str, ...]


class Bands:
    """Finds intervals, each once; a cell without one is drawn without one, and the caption says why."""

    def __init__(self, resampler: Resampler | None) -> None:
        """Take intervals from `resampler`; without one there are none."""
        self._resampler = resampler
        self._found: dict[Key, Interval | str] = {}

    def find(self, records: list[Record]) -> Interval | None:
        """Interval of the mean over the records of one cell, None where it cannot be had."""
        if self._resampler is None:
            return None
        key = _key(records)
        if key not in self._found:
            self._found[key] = self._resample(self._resampler, records)
        found = self._found[key]
        return None if isinstance(found, str) else found

    def found(self, cells: Iterable[list[Record]]) -> Found:
        """What was found for some cells; those that were not asked for are left out."""
        told = [(records, self._found[_key(records)]) for records in cells if _key(records) in self._found]
        intervals = tuple(one for _, one in told if not isinstance(one, str))
        reasons = tuple(one for _, one in told if isinstance(one, str))
        drawn = [records[0] for records, one in told if not isinstance(one, str)]
        return Found(intervals, reasons, tuple(dict.fromkeys(self._without_patients(drawn))))

    def _resample(self, resampler: Resampler, records: list[Record]) -> Interval | str:
        from vlpbench.statistics.intervals import interval

        try:
            found = interval(resampler, records)
        except VlpbenchError as problem:
            return str(problem)
        return TOO_RARE if found is None else found

    def _without_patients(self, records: Iterable[Record]) -> list[str]:
        if self._resampler is None:
            return []
        return [record.spec.dataset for record in records if not self._resampler.patients_known(record)]


def _key(records: Iterable[Record]) -> Key:
    return tuple(f"{record.key}.{record.attempt}" for record in records)
