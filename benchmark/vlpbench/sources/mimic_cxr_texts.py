"""What is told of each study of MIMIC-CXR: text for training, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vlpbench.sources.mimic_cxr_tables import read_sections
from vlpbench.sources.report_exceptions import EXCEPTIONS, exception_text
from vlpbench.sources.report_sections import CONCLUSIONS, LAST_PARAGRAPH, last_sections, report_text
from vlpbench.sources.report_store import Read, UnreadableReportError, decode_report, open_reports

NO_FILE, EXCEPTION, NO_TEXT = "without report file", "exception studies", "without findings and impression"
LOST = (NO_FILE, EXCEPTION, NO_TEXT)
"""Why a study has no text."""


class Told(NamedTuple):
    """Text of a study and the sections it is made of; or "" and one of `LOST`."""

    text: str
    source: str


@dataclass(frozen=True)
class TextRules:
    """How a report becomes text.

    Attributes:
        fallback: "none", or "last_paragraph" for reports without findings and impression.
        exceptions: "drop" or "use" the studies that the section rules do not fit.
    """

    fallback: str
    exceptions: str

    def tell(self, sections: Mapping[str, str]) -> Told:
        """Text of a study whose sections are known."""
        text = report_text(sections)
        if text:
            return Told(text, " and ".join(name for name in CONCLUSIONS if sections.get(name)))
        last = " ".join(sections.get(LAST_PARAGRAPH, "").split())
        if last and self.fallback == LAST_PARAGRAPH:
            return Told(last, LAST_PARAGRAPH)
        return Told("", NO_TEXT)

    def tell_report(self, study: str, report: str) -> Told:
        """Text of a study whose report is known."""
        if study not in EXCEPTIONS:
            return self.tell(last_sections(report))
        if self.exceptions == "drop":
            return Told("", EXCEPTION)
        text = exception_text(study, report)
        return Told(text, "exception") if text else Told("", NO_TEXT)


def tell_from_table(path: Path, studies: Mapping[str, str], rules: TextRules, problems: list[str]) -> dict[str, Told]:
    """What is told of each study by the table of sections that the official script writes.

    The official script leaves the exceptions out, so one that is missing is lost as such.
    """
    table = read_sections(path, problems)

    def told(study: str) -> Told:
        if study in EXCEPTIONS and (rules.exceptions == "drop" or study not in table):
            return Told("", EXCEPTION)
        return rules.tell(table[study]) if study in table else Told("", NO_FILE)

    return {study: told(study) for study in studies}


def tell_from_reports(path: Path, studies: Mapping[str, str], rules: TextRules, problems: list[str]) -> dict[str, Told]:
    """What is told of each study by its report.

    Args:
        path: zip or folder of reports.
        studies: patient id by study id.
        rules: how a report becomes text.
        problems: to which every report that cannot be read is added.
    """
    with open_reports(path) as read:
        return {study: _from_report(study, patient, read, rules, problems) for study, patient in studies.items()}


def _from_report(study: str, patient: str, read: Read, rules: TextRules, problems: list[str]) -> Told:
    try:
        data = read(f"p{patient[:2]}/p{patient}/s{study}.txt")
    except UnreadableReportError as error:
        problems.append(str(error))
        return Told("", NO_FILE)
    return Told("", NO_FILE) if data is None else rules.tell_report(study, decode_report(data))
