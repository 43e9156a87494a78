"""The populations hold what their labels say, by patient, with the site as a nuisance and no hint."""

import numpy as np
import pytest
from scipy import stats

from vlpbench.errors import VlpbenchError
from vlpbench.phantom import POPULATIONS, studies

PREVALENCE = {
    "chexpert": {
        "atelectasis": (0.2, 0.45),
        "cardiomegaly": (0.2, 0.45),
        "consolidation": (0.18, 0.45),
        "edema": (0.2, 0.45),
        "pleural_effusion": (0.2, 0.45),
    },
    "rsna": {"lung_opacity": (0.33, 0.47)},
    "covidx": {"covid": (0.25, 0.42), "other_pneumonia": (0.25, 0.42), "normal": (0.25, 0.42)},
    "siim": {"pneumothorax": (0.33, 0.47)},
    "object_cxr": {"foreign_object": (0.48, 0.62)},
}
SOURCE = {"lung_opacity": "consolidation", "other_pneumonia": "consolidation"}


def test_an_unknown_population_names_the_known_ones() -> None:
    with pytest.raises(VlpbenchError, match="object_cxr"):
        studies("mimic", count=1, seed=0)


@pytest.mark.parametrize(("count", "seed"), [(-1, 0), (1, -1)])
def test_negative_numbers_are_refused(count: int, seed: int) -> None:
    with pytest.raises(VlpbenchError, match="at least 0"):
        studies("corpus", count=count, seed=seed)


@pytest.mark.parametrize("population", PREVALENCE)
def test_prevalences(population: str) -> None:
    sample = studies(population, count=1000, seed=1)
    assert list(sample[0].labels) == list(PREVALENCE[population])
    for name, (low, high) in PREVALENCE[population].items():
        assert low < np.mean([study.labels[name] for study in sample]) < high


@pytest.mark.parametrize("population", POPULATIONS)
def test_labels_follow_the_findings(population: str) -> None:
    for study in studies(population, count=200, seed=2):
        kinds = {finding.kind for finding in study.findings}
        for name, value in study.labels.items():
            if name != "normal":
                assert value == float(SOURCE.get(name, name) in kinds)


def test_covidx_classes_exclude_one_another() -> None:
    for study in studies("covidx", count=300, seed=2):
        assert sum(study.labels.values()) == 1.0
        assert study.labels["normal"] == float(not study.findings)


def test_the_corpus_has_every_kind_and_a_quarter_of_normals() -> None:
    sample = studies("corpus", count=1000, seed=1)
    assert all(sum(study.labels[name] for study in sample) > 30 for name in sample[0].labels)
    assert 0.18 < np.mean([not study.findings for study in sample]) < 0.33


@pytest.mark.parametrize("population", POPULATIONS)
def test_patients_have_up_to_three_studies(population: str) -> None:
    sample = studies(population, count=300, seed=1)
    counts = dict.fromkeys((study.patient_id for study in sample), 0)
    for study in sample:
        counts[study.patient_id] += 1
    assert {1, 2, 3} == set(counts.values())
    assert len({study.study_id for study in sample}) == len(sample)
    anatomies = {(study.patient_id, study.patient_seed, study.sex, study.age) for study in sample}
    assert len(anatomies) == len(counts)


@pytest.mark.parametrize("population", POPULATIONS)
def test_site_and_view_are_no_shortcut(population: str) -> None:
    sample = studies(population, count=3000, seed=11)
    assert len({study.site for study in sample}) >= 4
    for nuisance in ([study.site for study in sample], [int(study.view == "AP") for study in sample]):
        for name in sample[0].labels:
            table = np.zeros((max(nuisance) + 1, 2))
            for value, study in zip(nuisance, sample, strict=True):
                table[value, int(study.labels[name])] += 1
            assert stats.chi2_contingency(table).pvalue > 1e-4
