"""Reports say what is drawn, deny only what is absent, and often mean the same as another patient's."""

import re

import pytest

from vlpbench.phantom import POPULATIONS, Study, same_meaning_share, studies

TERMS = {
    "pleural_effusion": r"effusions?\b|pleural fluid|costophrenic",
    "edema": r"edema|vasculature",
    "atelectasis": r"atelectasis",
    "cardiomegaly": r"cardiomegaly|heart|cardiac silhouette",
    "consolidation": r"consolidation|airspace|air bronchograms",
    "pneumothorax": r"pneumothorax",
    "covid": r"ground-glass",
    "chest_tube": r"\btube\b",
    "foreign_object": r"foreign object|projects over the (left|right) chest",
}
DENIAL = re.compile(
    r"\b(no|not|negative|clear|without opacity)\b|is normal|within normal limits|angles are sharp", re.IGNORECASE
)
BOTH = r"bilateral|both|each side"
SAMPLE = 250


def assertions(study: Study) -> list[str]:
    """The sentences of the findings section that assert an abnormality, in lower case."""
    sentences = re.findall(r"[^.]+\.", study.report_findings)
    return [sentence.lower() for sentence in sentences if not DENIAL.search(sentence)]


@pytest.mark.parametrize("population", POPULATIONS)
def test_every_finding_is_reported_with_its_side(population: str) -> None:
    for study in studies(population, count=SAMPLE, seed=3):
        said = assertions(study)
        for finding in study.findings:
            side = BOTH if finding.side == "bilateral" else finding.side
            about = [sentence for sentence in said if re.search(TERMS[finding.kind], sentence)]
            assert any(finding.side == "none" or re.search(side, sentence) for sentence in about), study.report


@pytest.mark.parametrize("population", POPULATIONS)
def test_no_absent_finding_is_asserted(population: str) -> None:
    for study in studies(population, count=SAMPLE, seed=4):
        present = {finding.kind for finding in study.findings}
        for kind in TERMS.keys() - present:
            assert not any(re.search(TERMS[kind], sentence) for sentence in assertions(study)), (kind, study.report)


def test_no_present_finding_is_denied() -> None:
    for study in studies("corpus", count=SAMPLE, seed=5):
        denials = [text.lower() for text in re.findall(r"[^.]+\.", study.report_findings) if DENIAL.search(text)]
        for finding in study.findings:
            assert not any(re.search(TERMS[finding.kind], text) for text in denials), study.report
        if {"edema", "atelectasis", "consolidation", "covid"} & {finding.kind for finding in study.findings}:
            assert not any("clear" in text for text in denials), study.report


def test_a_side_that_is_healthy_is_not_named() -> None:
    for study in studies("siim", count=SAMPLE, seed=6):
        named = {finding.side for finding in study.findings}
        for side in ("left", "right"):
            if side not in named:
                assert not re.search(rf"\b{side}\b", f"{study.report} {study.summary}".lower()), study.report


def test_most_reports_deny_something() -> None:
    sample = studies("corpus", count=SAMPLE, seed=7)
    assert sum(bool(re.search(r"\bno\b", study.report, re.IGNORECASE)) for study in sample) > 0.6 * SAMPLE


@pytest.mark.parametrize("population", POPULATIONS)
def test_length_and_braces(population: str) -> None:
    for study in studies(population, count=SAMPLE, seed=8):
        assert 15 <= len(study.report.split()) <= 70, study.report
        assert not re.search(r"[{}]|\ba [aeiou]|\ban [^aeiou]", f"{study.report} {study.summary}"), study.report


def test_summaries_are_shorter_and_of_other_words() -> None:
    for study in studies("corpus", count=1000, seed=9):
        assert 1 <= len(study.summary.split()) < len(study.report.split())
        assert study.summary.lower() not in study.report.lower()


def test_vocabulary_is_modest_and_wording_varies() -> None:
    sample = studies("corpus", count=1500, seed=0)
    words = {word for study in sample for word in re.findall(r"[a-z0-9-]+", study.report.lower())}
    assert 120 < len(words) < 600
    assert len({study.report for study in sample}) > 1000


def test_at_least_a_third_mean_the_same_as_another_patient() -> None:
    sample = studies("corpus", count=1500, seed=0)
    assert 0.4 < same_meaning_share(sample) < 0.75
    assert same_meaning_share(sample[:1]) == 0.0
    assert same_meaning_share([]) == 0.0


def test_the_same_patient_is_no_match() -> None:
    once = studies("corpus", count=1, seed=0)
    assert same_meaning_share(once * 2) == 0.0
