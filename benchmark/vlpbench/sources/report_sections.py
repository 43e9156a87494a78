"""Sections of a chest radiograph report, found by the rules that MIMIC-CXR's own tables were made with.

The rules are those of MIT-LCP/mimic-cxr (txt/section_parser.py, commit 3190146), written anew; the oddities are kept,
so that the same sections come out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

HEADING = re.compile(r"\n (?P<name>[A-Z ()/,-]+):\s")
PARAGRAPH_BREAK = "\n \n"
PREAMBLE = "preamble"
FULL_REPORT = "full report"
LAST_PARAGRAPH = "last_paragraph"
CONCLUSIONS = ("impression", "findings")

SPELLINGS = {
    "impression": (
        "conclusion",
        "imoression",
        "imperssion",
        "impession",
        "impresion",
        "impresson",
        "impressoin",
        "imprression",
        "imprssion",
        "mpression",
        # A slip of the official table, which once took an indication for the impression.
        "ndication",
    ),
    "findings": ("finding", "findindgs", "findins", "findgings", "findngs", "findnings", "finidngs"),
    "indication": ("clinical indication", "idication", "reason for exam", "reason for examination"),
    "comparison": ("comparision", "comparisions", "comparrison", "comparsion", "reference exam"),
    "history": ("clinical information", "pfi"),
    "examination": ("exam", "type of examination"),
    "recommendations": ("recommendation", "recommendation(s)"),
    "wet read": ("wetread",),
}
"""Section names by the headings that mean them and that no rule below catches."""
MEANINGS = {heading: name for name, headings in SPELLINGS.items() for heading in headings}
CONTAINED = ("impression", "findings", "history", "comparison", "addendum")
"""A heading that contains one of these is one of these; the first counts."""
OF_FINDINGS = (
    "chest",
    "portable",
    "pa and lat",
    "lateral and pa",
    "ap and lateral",
    "lateral and ap",
    "frontal and",
    "two views",
    "one view",
    "frontal view",
    "lateral view",
    "pa view",
    "ap view",
    "bone window",
    "frontal upright",
    "frontal semi-upright",
    "ribs",
)
"""A heading that contains one of these describes the images, so what follows are findings."""


@dataclass(frozen=True)
class Section:
    """A part of a report, its name made uniform, its text as it stands."""

    name: str
    text: str


def split_sections(report: str) -> list[Section]:
    """All sections in the order of the report.

    A heading is a line that begins with one space, then capitals and a colon. A heading on the first line goes unseen,
    and so does one on the line after a bare heading. Everything before the first heading seen is the preamble. Blank
    findings and impressions are left out; where none remains, the text after the first blank line of the last section
    is the `last_paragraph`. A report without headings is one section, `full report`.

    Args:
        report: with line feeds only at line ends.
    """
    headings = list(HEADING.finditer(report))
    if not headings:
        return _with_last_paragraph([Section(FULL_REPORT, report)])
    sections = [Section(PREAMBLE, report[: headings[0].start("name")])]
    ends = [heading.start() for heading in headings[1:]] + [len(report)]
    for heading, end in zip(headings, ends, strict=True):
        name, text = section_name(heading["name"]), report[heading.end() : end]
        if name not in CONCLUSIONS or text.strip():
            sections.append(Section(name, text))
    return _with_last_paragraph(sections)


@lru_cache(maxsize=10_000)
def section_name(heading: str) -> str:
    """The uniform name of a section: headings are spelt in many ways, some of them wrong."""
    heading = heading.lower().strip()
    if heading in MEANINGS:
        return MEANINGS[heading]
    for name in CONTAINED:
        if name in heading:
            return name
    return "findings" if any(words in heading for words in OF_FINDINGS) else heading


def last_sections(report: str) -> dict[str, str]:
    """Text of the last section of each name, without blanks around it."""
    return {section.name: section.text.strip() for section in split_sections(report)}


def report_text(sections: Mapping[str, str]) -> str:
    """Impression and findings in one line under their headings, "" where both are blank.

    The impression comes first, as in MGCA (mgca/datasets/pretrain_dataset.py:70-158): a report that is cut to so many
    tokens keeps it.

    Args:
        sections: texts by name.
    """
    told = [(name, " ".join(sections.get(name, "").split())) for name in CONCLUSIONS]
    return " ".join(f"{name.upper()}: {text}" for name, text in told if text)


def _with_last_paragraph(sections: list[Section]) -> list[Section]:
    """Part the last section at its first blank line, if the report has neither findings nor impression."""
    *before, last = sections
    head, found, tail = last.text.partition(PARAGRAPH_BREAK)
    if not found or any(section.name in CONCLUSIONS for section in sections):
        return sections
    return [*before, Section(last.name, head), Section(LAST_PARAGRAPH, tail)]
