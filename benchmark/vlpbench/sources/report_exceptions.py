"""MIMIC-CXR studies whose reports the section rules do not fit, with where their conclusion stands.

Both lists are facts of MIT-LCP/mimic-cxr (txt/section_parser.py, commit 3190146, MIT licence). The official script
leaves these studies out of `mimic_cxr_sectioned.csv`, and so out of what MGCA trains on.
"""

from __future__ import annotations

from collections.abc import Mapping

from vlpbench.sources.report_sections import last_sections

NAMED_SECTIONS: Mapping[str, str] = {
    "50058765": "indication",
    "50743547": "examination",
    "50808053": "technique",
    "50913680": "recommendations",
    "51491012": "history",
    "51966317": "indication",
    "53202765": "technique",
    "53356173": "examination",
    "54365831": "indication",
    "54654948": "indication",
    "55124749": "indication",
    "55157853": "examination",
    "56451190": "note",
    "56482935": "recommendations",
    "57936451": "indication",
    "58157373": "recommendations",
    "58375018": "recommendations",
    "59067458": "recommendations",
    "59087630": "recommendations",
    "59215320": "examination",
    "59279892": "technique",
    "59363654": "examination",
    "59768032": "recommendations",
}
"""Section that holds the conclusion, by study."""

CHARACTERS: Mapping[str, tuple[int, int]] = {
    "50196495": (59, 399),
    "50525523": (201, 349),
    "50798377": (0, 0),
    "51410602": (47, 320),
    "52035334": (0, 0),
    "52119491": (179, 454),
    "52648681": (292, 631),
    "52674888": (145, 296),
    "53071062": (0, 0),
    "53182247": (59, 412),
    "53488209": (149, 475),
    "53514462": (73, 377),
    "53607029": (0, 0),
    "54168089": (0, 0),
    "54231141": (0, 0),
    "54875119": (234, 988),
    "54986978": (59, 306),
    "55258338": (192, 568),
    "56412866": (522, 822),
    "56579911": (59, 218),
    "56724958": (0, 0),
    "56760320": (219, 457),
    "57150433": (61, 394),
    "57564132": (233, 554),
    "58235663": (0, 0),
    "59003148": (262, 505),
    "59330497": (140, 655),
    "59505494": (59, 450),
    "59562049": (158, 348),
    "59889364": (172, 453),
    "59982525": (313, 717),
}
"""First character of the conclusion and the one after its last, by study; nothing at all where both are 0."""

EXCEPTIONS = frozenset({*NAMED_SECTIONS, *CHARACTERS})


def exception_text(study: str, report: str) -> str:
    """Conclusion of a study in `EXCEPTIONS`, in one line, "" where the report has none.

    Args:
        study: study id, digits only.
        report: with line feeds only at line ends.
    """
    if study in CHARACTERS:
        start, end = CHARACTERS[study]
        return " ".join(report[start:end].split())
    return " ".join(last_sections(report).get(NAMED_SECTIONS[study], "").split())
