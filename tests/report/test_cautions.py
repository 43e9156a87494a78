from __future__ import annotations

from pathlib import Path
from types import ModuleType

from tests.report.conftest import EVIL, Gather

from vlpbench.report.cautions import Caution, build_cautions
from vlpbench.report.content import Contents
from vlpbench.table.titles import Titles


def named(contents: Contents) -> dict[str, Caution]:
    return {caution.title: caution for caution in contents.cautions}


def test_full_records_give_every_caution_they_give_reason_for(gathered: Gather, golden: ModuleType) -> None:
    low = golden.fabricate(0.0, method="convirt", arch="vit_b16")
    found = named(gathered([*golden.full_records(), low], problems=["results/records/a/b.json: changed"]))
    assert {
        "Synthetic data", "Records left out", "Faulty splits", "Uncommitted code", "Methods below a floor",
        "Few positives", "Tiny training sets", "One pre-training seed", "Patients unknown", "Missing intervals",
        "Missing cells", "Approximate methods",
    } == set(found)  # fmt: skip
    assert found["Methods below a floor"].lines == (f"{EVIL} (ViT-B/16): 1 of 1 columns",)
    assert "ot a measurement" in found["Synthetic data"].text
    assert found["Few positives"].lines == ("rsna, segmentation (suite made_up): 4 positive test images.",)
    assert "12 patients are in both train and test" in found["Faulty splits"].lines[0]
    assert "Drawn by image." in found["Faulty splits"].lines[0]
    assert "(split mgca-2022)" in found["Faulty splits"].lines[0]
    assert "rsna" in found["Patients unknown"].text.lower()
    assert any("keeps no predictions" in line for line in found["Missing intervals"].lines)


def test_serious_cautions_come_first(gathered: Gather) -> None:
    serious = [caution.serious for caution in gathered().cautions]
    assert serious == sorted(serious, reverse=True)
    assert serious[0]
    assert not serious[-1]


def test_untrusted_files_are_named_without_the_results_folder(golden: ModuleType, titles: Titles) -> None:
    root = Path("/somewhere/of/mine")
    problem = f"{root}/records/phantom/x.json: its content does not fit its checksum."
    (caution,) = [
        one
        for one in build_cautions(golden.golden_records(), [problem], [], titles, root=root)
        if one.title == "Records left out"
    ]
    assert caution.lines == ("records/phantom/x.json: its content does not fit its checksum.",)
    assert caution.serious
    assert caution.text.startswith("1 record file could not be trusted and is left out")


def test_methods_with_several_pretraining_seeds_are_not_warned_of(golden: ModuleType, titles: Titles) -> None:
    records = [golden.fabricate(0.5, pretrain_seed=seed) for seed in range(2)]
    single = golden.fabricate(0.4, method="convirt")
    told = build_cautions([*records, single], (), (), titles, root=Path("results"))
    (caution,) = [one for one in told if one.title == "One pre-training seed"]
    assert caution.text.startswith("1 method was pre-trained once")
    assert caution.lines == (EVIL,)
    told = build_cautions(records, (), (), titles, root=Path("results"))
    assert not any(one.title == "One pre-training seed" for one in told)


def test_images_seen_in_pretraining_are_warned_of(golden: ModuleType, titles: Titles) -> None:
    record = golden.fabricate(0.5, counts={"test images seen in pre-training": 7})
    told = build_cautions([record], (), (), titles, root=Path("results"))
    (caution,) = [one for one in told if one.title == "Test images seen in pre-training"]
    assert caution.lines == ("siim, segmentation (suite made_up): up to 7 of 200 test images.",)
    assert caution.serious


def test_older_states_are_warned_of(gathered: Gather, golden: ModuleType) -> None:
    old = golden.fabricate(0.3, base={"split_hash": "0123456789"}, started="2025-01-01T00:00:00+00:00")
    found = named(gathered([*golden.golden_records(), old]))
    assert any("split 01234567, not 59117000" in line for line in found["Older states"].lines)


def test_a_method_without_a_card_is_named(golden: ModuleType, titles: Titles) -> None:
    told = build_cautions([golden.fabricate(0.5, method="mine")], (), (), titles, root=Path("results"))
    assert any(one.title == "Unknown methods" and "mine" in one.text for one in told)
