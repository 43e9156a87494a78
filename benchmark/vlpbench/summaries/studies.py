"""The studies of a corpus whose reports are summarised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vlpbench.canonical import content_hash
from vlpbench.data.corpus import MINIMUM_WORDS, WORD
from vlpbench.data.source import ImageRow
from vlpbench.errors import BadInputError, VlpbenchError

HASH_LENGTH = 16


@dataclass(frozen=True)
class Study:
    """A study and the report that all its images share.

    Attributes:
        name: study id.
        report: text as the source tells it.
    """

    name: str
    report: str

    @property
    def report_hash(self) -> str:
        """Hash of the report's text."""
        return text_hash(self.report)


def text_hash(text: str) -> str:
    """Hash by which a report or a summary is told from another."""
    return content_hash(text, HASH_LENGTH)


def count_words(text: str) -> int:
    """Words as the corpus counts them."""
    return len(WORD.findall(text))


def collect_studies(rows: Iterable[ImageRow]) -> list[Study]:
    """Every study with a report that the corpus would use, in the order of the rows.

    Raises:
        BadInputError: listing every study whose images carry different reports.
        VlpbenchError: if no study has a report.
    """
    reports: dict[str, str] = {}
    problems: dict[str, str] = {}
    for row in rows:
        if count_words(row.report) < MINIMUM_WORDS:
            continue
        known = reports.setdefault(row.study, row.report)
        if known != row.report:
            problems[row.study] = f"study {row.study!r}: the report of {row.image_id} differs from that before it"
    if problems:
        raise BadInputError(
            f"{len(problems)} studies have images with different reports; a study has one report and one summary:",
            problems.values(),
            next_step="Give images with reports of their own a study of their own, or the images of a study one text.",
        )
    if not reports:
        raise VlpbenchError(
            f"The corpus has no report of {MINIMUM_WORDS} words or more. Check the suite's options that say where "
            "reports stand."
        )
    return [Study(name, report) for name, report in reports.items()]


def reports_fingerprint(studies: Sequence[Study]) -> str:
    """Content hash of all studies and their reports, whatever their order."""
    return content_hash(sorted([study.name, study.report_hash] for study in studies), 32)
