"""What is said of a report in plain data is what its text says, and saying it changed no text."""

import re
from dataclasses import replace

import pytest

from vlpbench.canonical import content_hash
from vlpbench.data.source import SourceRequest
from vlpbench.phantom import POPULATIONS, Finding, Study, studies
from vlpbench.phantom.knowledge import DESCRIPTIONS, mentions, possible_positions, statements
from vlpbench.phantom.reports import denied_kinds
from vlpbench.phantom.study import KINDS
from vlpbench.phantom.wording import NEGATIONS
from vlpbench.sources.phantom import PhantomSource
from vlpbench.suite import DataSpec

# Of 40 studies with seed 11, taken before reports were read for triplets: ids, reports, summaries and labels; and what
# the source says the pixels are made from.
GOLDEN = {
    "corpus": ("7e022c1f471a17d8", "73138484c41aaa09"),
    "chexpert": ("c6c0f0784e614781", "23dd957028e3eb33"),
    "rsna": ("4689ee60a9845847", "f7845dea647fe32e"),
    "covidx": ("291e99dab7457525", "18d15105a4844157"),
    "siim": ("9036ad58163a4768", "d4a9317e0395118b"),
    "object_cxr": ("4c207a9a9db48051", "2e195bb0528e278a"),
}
# What a sentence must hold to deny a kind.
DENIED = {
    "pleural_effusion": r"(?i)\bno .*effusion|angles are sharp",
    "edema": r"(?i)\bno .*edema|vasculature is normal|lungs are clear|without opacity",
    "atelectasis": r"(?i)\bno atelectasis|lungs are clear|without opacity",
    "cardiomegaly": r"(?i)heart size is normal|within normal limits|no cardiomegaly|not enlarged",
    "consolidation": r"(?i)\bno .*consolidation|no airspace|lungs are clear|without opacity",
    "pneumothorax": r"(?i)\b(no|negative for) .*pneumothorax",
    "foreign_object": r"(?i)\bno .*object",
    "covid": r"(?i)no airspace|lungs are clear|without opacity",
}
SAMPLE = 250


def read_aloud(study: Study, *findings: Finding, text: str) -> set[tuple[str, str, bool]]:
    return set(statements(replace(study, findings=findings, report_findings=text)))


def finding(kind: str, side: str, location: str) -> Finding:
    return Finding(kind, side, "moderate", location, 0.5, 1, 0)


@pytest.fixture(scope="module")
def study() -> Study:
    return studies("corpus", count=1, seed=0)[0]


@pytest.mark.parametrize("population", POPULATIONS)
def test_texts_labels_and_contents_stay_as_they_were(population: str) -> None:
    sample = studies(population, count=40, seed=11)
    said = [[study.study_id, study.report, study.summary, study.labels] for study in sample]
    options = {"population": population, "count": 40, "seed": 11}
    rows = PhantomSource(SourceRequest(DataSpec("p", "P", "phantom", options, (6, 2, 2)), None, 32)).rows()
    assert (content_hash(said, 16), content_hash([row.content for row in rows], 16)) == GOLDEN[population]


def test_findings_are_present_where_they_are_and_denials_absent_wherever_they_could_be(study: Study) -> None:
    text = "There is a small left pleural effusion. No focal consolidation is seen. The heart size is normal."
    assert read_aloud(study, finding("pleural_effusion", "left", "base"), text=text) == {
        ("pleural_effusion", "left costophrenic angle", True),
        ("cardiomegaly", "heart", False),
        ("consolidation", "left upper lung zone", False),
        ("consolidation", "right upper lung zone", False),
        ("consolidation", "left mid lung zone", False),
        ("consolidation", "right mid lung zone", False),
        ("consolidation", "left lower lung zone", False),
        ("consolidation", "right lower lung zone", False),
    }


def test_both_sides_devices_and_objects_have_positions(study: Study) -> None:
    present = (
        finding("edema", "bilateral", "perihilar"),
        finding("cardiomegaly", "none", "heart"),
        finding("chest_tube", "right", "chest"),
        finding("foreign_object", "left", "coin"),
    )
    said = {(kind, place) for kind, place, _ in read_aloud(study, *present, text="The trachea is midline.")}
    assert said == {
        ("edema", "left perihilar region"),
        ("edema", "right perihilar region"),
        ("cardiomegaly", "heart"),
        ("chest_tube", "right chest"),
        ("foreign_object", "left chest"),
    }


def test_a_sentence_denies_only_what_it_names() -> None:
    assert denied_kinds("No focal consolidation is seen.") == ("consolidation",)
    assert denied_kinds("The lungs show no airspace disease.") == ("consolidation", "covid")
    assert denied_kinds("There is no pneumothorax or pleural effusion. The heart is not enlarged.") == (
        "pleural_effusion",
        "cardiomegaly",
        "pneumothorax",
    )
    assert denied_kinds("There is a small left pneumothorax. The bony thorax is intact.") == ()


@pytest.mark.parametrize("population", POPULATIONS)
def test_absent_is_what_some_sentence_denies(population: str) -> None:
    for study in studies(population, count=SAMPLE, seed=3):
        sentences = re.findall(r"[^.]+\.", study.report_findings)
        expected = {kind for kind in KINDS if any(re.search(DENIED[kind], text) for text in sentences)}
        said = statements(study)
        assert {kind for kind, _, present in said if not present} == expected, study.report
        assert {kind for kind, _, present in said if present} == {found.kind for found in study.findings}
        assert not expected & {found.kind for found in study.findings}
        assert len(said) == len({(kind, place) for kind, place, _ in said})


def test_every_sentence_of_a_report_is_understood() -> None:
    known = {sentence for sentences in NEGATIONS.values() for sentence in sentences}
    assert len(known) == sum(map(len, NEGATIONS.values()))
    for study in studies("corpus", count=SAMPLE, seed=4):
        sentences = [text.strip() for text in re.findall(r"[^.]+\.", study.report_findings)]
        assert len(sentences) - sum(text in known for text in sentences) == len(study.findings), study.report


def test_findings_turn_up_at_every_position_where_they_can_be_denied_and_nowhere_else() -> None:
    found = {
        (kind, place)
        for population in POPULATIONS
        for study in studies(population, count=SAMPLE, seed=5)
        for kind, place, present in statements(study)
        if present
    }
    assert found == {(kind, place) for kind in DESCRIPTIONS for place in possible_positions(kind)}
    assert len({place for _, place in found}) == 17


def test_mentions_are_what_is_affirmed(study: Study) -> None:
    twice = (finding("consolidation", "left", "mid"), finding("consolidation", "right", "mid"))
    told = replace(
        study, findings=(*twice, finding("chest_tube", "left", "chest")), report_findings="No foreign object."
    )
    assert mentions(told) == ("consolidation", "chest_tube")
    assert mentions(replace(study, findings=(), report_findings="There is no pneumothorax.")) == ()


def test_every_entity_has_one_sentence() -> None:
    assert set(DESCRIPTIONS) == {*KINDS, "chest_tube"}
    assert all(text.endswith(".") and text.count(".") == 1 for text in DESCRIPTIONS.values())


def test_the_corpus_labels_every_kind() -> None:
    for study in studies("corpus", count=SAMPLE, seed=6):
        assert study.labels == {kind: float(kind in {found.kind for found in study.findings}) for kind in KINDS}
