"""Writes the summaries that are missing, a batch at a time; what is written stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vlpbench import __version__
from vlpbench.summaries.store import Line, SummaryStore
from vlpbench.summaries.studies import Study, count_words
from vlpbench.summaries.writer import Answer, Failure, Writer

STOP_AFTER = 20
"""Failures in a row after which nobody can expect the next report to fare better."""


@dataclass
class Outcome:
    """What came of a call.

    Attributes:
        there: summaries that were there before.
        written: summaries written now.
        failed: studies without a summary, each with the reason.
        untried: studies left when going on was no use.
        stopped: why it was no use, "" where all were tried.
        counts: of all that is in the file now; see `count_lines`.
    """

    there: int = 0
    written: int = 0
    failed: list[str] = field(default_factory=list)
    untried: int = 0
    stopped: str = ""
    counts: dict[str, int] = field(default_factory=dict)


def count_lines(studies: Sequence[Study], lines: Sequence[Line]) -> dict[str, int]:
    """Studies, summaries, and how many of these are empty, have more words than the report, or were cut off."""
    words = {study.name: count_words(study.report) for study in studies}
    return {
        "studies": len(studies),
        "written": len(lines),
        "empty": sum(not line.summary for line in lines),
        "longer than the report": sum(count_words(line.summary) > words[line.study] for line in lines),
        "cut off": sum(line.cut for line in lines),
    }


def write_missing(
    store: SummaryStore,
    studies: Sequence[Study],
    writer: Writer,
    *,
    header: Mapping[str, object],
    batch: int,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Summarise the studies that have no summary yet; where all have one, nothing is touched.

    Args:
        store: the file.
        studies: all of the corpus; the counts are of them.
        writer: who writes.
        header: what the header says besides counts and times.
        batch: reports given to the writer at a time; after each batch the file is on the disk.
        limit: at most so many studies, counted from the first; None for all.
        progress: told how many of how many missing summaries are dealt with.

    Raises:
        BadInputError: for lines that are no summaries.
        VlpbenchError: if the file cannot be written, another process is writing it, or the writer cannot be had.
    """
    with store.alone():
        lines = store.lines()
        done = {line.study for line in lines}
        missing = [study for study in studies[:limit] if study.name not in done]
        outcome = Outcome(there=len(studies[:limit]) - len(missing))
        if missing or not store.header_path.is_file():
            clock = _Clock(store)
            clock.write(header, writer, count_lines(studies, lines))
            try:
                _write(store, missing, writer, batch, lines, outcome, progress)
            finally:
                clock.write(header, writer, count_lines(studies, lines))
        outcome.counts = count_lines(studies, lines)
    return outcome


def _write(
    store: SummaryStore,
    missing: Sequence[Study],
    writer: Writer,
    batch: int,
    lines: list[Line],
    outcome: Outcome,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Batch after batch, until all are tried or going on is no use."""
    in_a_row = 0
    if progress is not None and missing:
        progress(0, len(missing))
    for start in range(0, len(missing), batch):
        studies = missing[start : start + batch]
        answers = writer.write([study.report for study in studies])
        new = []
        for study, answer in zip(studies, answers, strict=True):
            if isinstance(answer, Answer):
                new.append(Line(study.name, study.report_hash, answer.summary, answer.cut))
                in_a_row = 0
            elif not answer.fatal:
                outcome.failed.append(f"study {study.name}: {answer.reason}")
                in_a_row += 1
        store.append(new)
        lines.extend(new)
        outcome.written += len(new)
        tried = start + len(studies)
        if progress is not None:
            progress(tried, len(missing))
        outcome.stopped = _why_stop(answers, in_a_row)
        if outcome.stopped:
            outcome.untried = len(missing) - outcome.written - len(outcome.failed)
            return


def _why_stop(answers: Sequence[Answer | Failure], in_a_row: int) -> str:
    fatal = next((answer for answer in answers if isinstance(answer, Failure) and answer.fatal), None)
    if fatal is not None:
        return fatal.reason
    return f"{in_a_row} reports in a row failed" if in_a_row >= STOP_AFTER else ""


class _Clock:
    """Adds up the seconds of all calls that wrote a file."""

    def __init__(self, store: SummaryStore) -> None:
        self._store = store
        before = store.header() if store.header_path.is_file() else {}
        self._seconds = float(before.get("seconds", 0.0))
        self._facts = dict(before.get("facts", {}))
        self._started = time.monotonic()

    def write(self, header: Mapping[str, object], writer: Writer, counts: Mapping[str, int]) -> None:
        """Put the header in place, with counts, the time so far and what the writer knows by now."""
        self._store.write_header(
            {
                **header,
                "counts": counts,
                "seconds": round(self._seconds + time.monotonic() - self._started, 1),
                "changed": datetime.now(UTC).isoformat(timespec="seconds"),
                "vlpbench": __version__,
                "facts": {**self._facts, **writer.facts},
            }
        )
