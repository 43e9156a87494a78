from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlpbench.data.corpus import plain_text, reworded
from vlpbench.sources.report_exceptions import CHARACTERS, EXCEPTIONS, NAMED_SECTIONS, exception_text
from vlpbench.sources.report_sections import Section, last_sections, report_text, section_name, split_sections


def named(report: str) -> list[tuple[str, str]]:
    return [(section.name, section.text) for section in split_sections(report)]


@pytest.mark.parametrize(
    ("report", "sections"),
    [
        (
            " FINAL REPORT\n INDICATION:  Cough.\n FINDINGS:  Clear.\n IMPRESSION:  Normal.\n",
            [
                ("preamble", " FINAL REPORT\n "),
                ("indication", " Cough."),
                ("findings", " Clear."),
                ("impression", " Normal.\n"),
            ],
        ),
        # A heading on the first line goes unseen.
        (
            "FINDINGS:  Clear.\n IMPRESSION:  Normal.\n",
            [("preamble", "FINDINGS:  Clear.\n "), ("impression", " Normal.\n")],
        ),
        (
            " FINAL REPORT\n CHEST:\n\n No acute.\n",
            [("preamble", " FINAL REPORT\n "), ("findings", "\n No acute.\n")],
        ),
        (
            " FINAL REPORT\n\n First.\n \n Second.\n",
            [("full report", " FINAL REPORT\n\n First."), ("last_paragraph", " Second.\n")],
        ),
    ],
    ids=["headings", "first line", "description", "none"],
)
def test_official_golden_cases(report: str, sections: list[tuple[str, str]]) -> None:
    assert named(report) == sections


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("CONCLUSION", "impression"),
        ("FINDINGS AND IMPRESSION", "impression"),
        ("FINDINGS/IMPRESSION", "impression"),
        ("CHEST, TWO VIEWS", "findings"),
        ("PFI", "history"),
        ("REASON FOR EXAM", "indication"),
        ("REASON FOR EXAMINATION", "indication"),
        ("REFERENCE EXAM", "comparison"),
        ("IMPRESSOIN", "impression"),
        ("FINIDNGS", "findings"),
        ("COMPARRISON", "comparison"),
        # The slip of the official table is kept, and so is what is right beside it.
        ("NDICATION", "impression"),
        ("INDICATION", "indication"),
        ("WET READ OF ADDENDUM", "addendum"),
        ("PORTABLE AP", "findings"),
        ("LEFT RIBS", "findings"),
        ("CLINICAL HISTORY", "history"),
        (" TECHNIQUE ", "technique"),
    ],
)
def test_headings_are_made_uniform(heading: str, name: str) -> None:
    assert section_name(heading) == name


def test_the_last_section_of_a_name_counts() -> None:
    report = " X\n IMPRESSION:  First.\n FINDINGS:  Seen.\n IMPRESSION:  Second.\n"
    assert last_sections(report)["impression"] == "Second."
    assert list(last_sections(report)) == ["preamble", "impression", "findings"]


def test_blank_findings_do_not_hide_the_filled_ones() -> None:
    report = " X\n FINDINGS:  Seen.\n CHEST, PA:\n \n INDICATION:  Pain.\n"
    assert last_sections(report)["findings"] == "Seen."


def test_a_heading_right_after_a_bare_one_goes_unseen() -> None:
    assert named(" X\n CHEST:\n NOTE:  c.\n TECHNIQUE:  d.\n")[1:] == [
        ("findings", " NOTE:  c."),
        ("technique", " d.\n"),
    ]


def test_a_colon_inside_a_line_is_no_heading() -> None:
    assert named(" X\n FINDINGS: A: b.\n NOTE: c.\n")[1:] == [("findings", "A: b."), ("note", "c.\n")]


@pytest.mark.parametrize("report", [" X\n NOTE:  One.\n \n Two.\n \n Three.\n"])
def test_the_last_paragraph_is_all_after_the_first_blank_line(report: str) -> None:
    assert named(report)[1:] == [("note", " One."), ("last_paragraph", " Two.\n \n Three.\n")]


def test_a_report_with_findings_has_no_last_paragraph() -> None:
    assert "last_paragraph" not in last_sections(" X\n FINDINGS:  Seen.\n \n NOTE:  One.\n \n Two.\n")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["\n ", "\n \n", "\n", " ", "FINDINGS:", "NOTE: ", "a", "IMPRESSION:\n", "Z:"])))
def test_any_text_parts_into_pieces_of_itself(parts: list[str]) -> None:
    report = "".join(parts)
    sections = split_sections(report)
    assert sections[0].name in ("preamble", "full report")
    at = 0
    for section in sections:
        at = report.index(section.text, at) + len(section.text)


def test_text_reads_as_the_corpus_expects() -> None:
    text = report_text({"findings": "Lungs  are\n clear.", "impression": "1. Normal.", "history": "Cough."})
    assert text == "IMPRESSION: 1. Normal. FINDINGS: Lungs are clear."
    assert plain_text(text) == "1. Normal. Lungs are clear."
    assert reworded(text) == "1. Normal."


def test_text_of_one_section_alone_and_of_none() -> None:
    assert report_text({"findings": "Clear.", "impression": ""}) == "FINDINGS: Clear."
    assert report_text({"impression": "Normal."}) == "IMPRESSION: Normal."
    assert report_text({"findings": " \n", "history": "Cough."}) == ""


def test_sections_are_plain_values() -> None:
    assert Section("note", "a") == Section("note", "a")


def test_exception_lists_have_the_official_sizes() -> None:
    assert (len(NAMED_SECTIONS), len(CHARACTERS), len(EXCEPTIONS)) == (23, 31, 54)
    assert sum(end == 0 for _, end in CHARACTERS.values()) == 8
    assert all(start <= end for start, end in CHARACTERS.values())
    assert all(len(study) == 8 and study.isdigit() and study[0] == "5" for study in EXCEPTIONS)
    assert NAMED_SECTIONS["50913680"] == "recommendations"


def test_exceptions_are_read_where_the_lists_say() -> None:
    report = " X\n HISTORY:  Old.\n NOTE:  Other.\n HISTORY:  Clear\n lungs.\n"
    assert exception_text("51491012", report) == "Clear lungs."
    assert exception_text("51491012", " X\n NOTE:  Other.\n") == ""
    assert exception_text("50196495", "-" * 59 + "Clear\n lungs." + " " * 400) == "Clear lungs."
    assert exception_text("58235663", report) == ""
