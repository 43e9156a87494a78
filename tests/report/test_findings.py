from __future__ import annotations

from types import ModuleType

from tests.report.conftest import Gather, unlabelled


def test_the_best_is_set_against_random_and_the_second(gathered: Gather, golden: ModuleType) -> None:
    records = [
        golden.fabricate(value, method=method, dataset=dataset, fraction=fraction)
        for method, values in {"random": (0.1, 0.2), "sista": (0.6, 0.7), "mlip": (0.3, 0.68)}.items()
        for (dataset, fraction), value in zip([("siim", 0.01), ("siim", 1.0)], values, strict=True)
    ]
    (finding,) = gathered(records).findings
    assert finding.title == "Segmentation"
    assert finding.sentences[0] == (
        "SISTA‡ has the best average rank, 1.0 among 2 methods, and the highest mean in 2 of 2 columns."
    )
    assert "50.0 points above random initialisation (+50.0 to +50.0), and above it in 2 of 2" in finding.sentences[1]
    assert "16.0 points above the second, MLIP‡≈ (rank 2.0)" in finding.sentences[2]
    # 0.3 apart is beyond all samples of the made-up resampler, 0.02 is among them
    assert "significant in its favour in 1 of 2 columns." in finding.sentences[2]
    assert [leader.significant for leader in finding.leaders] == [True, False]
    assert [leader.column for leader in finding.leaders] == [f"SIIM_like & more {share}\u00a0%" for share in (1, 100)]


def test_backbones_are_apart(gathered: Gather) -> None:
    findings = gathered().findings
    assert [finding.title for finding in findings] == ["Segmentation, ViT-B/16"]
    assert "no random initialisation to compare it with" in findings[0].sentences[1]


def test_one_method_gives_no_finding(gathered: Gather, golden: ModuleType) -> None:
    assert gathered([golden.fabricate(0.5)]).findings == []


def test_what_cannot_be_tested_is_told(gathered: Gather, golden: ModuleType) -> None:
    records = [golden.fabricate(value, method=method) for method, value in {"supervised": 0.2, "sista": 0.6}.items()]
    contents = gathered(records)
    told = [line for finding in contents.findings for line in finding.remarks]
    assert all("keeps no predictions" in line for line in told)


def test_the_best_may_be_below_a_floor(gathered: Gather, golden: ModuleType) -> None:
    records = [
        golden.fabricate(value, method=method, dataset=dataset, floor=0.3)
        for dataset, values in {"siim": (0.2, 0.1), "rsna": (0.4, 0.1)}.items()
        for method, value in zip(("sista", "mlip"), values, strict=True)
    ]
    (finding,) = gathered(records).findings
    assert "But in 1 of 2 columns it is not above a floor." in finding.sentences


def test_without_labels_there_is_nothing_about_random_initialisation(gathered: Gather, golden: ModuleType) -> None:
    records = [
        unlabelled(golden.fabricate(value, method=method)) for method, value in {"sista": 0.2, "mlip": 0.1}.items()
    ]
    (finding,) = gathered(records).findings
    assert not any("random" in sentence for sentence in finding.sentences)
    assert finding.leaders[0].column == "SIIM_like & more"
    assert not finding.has_random
