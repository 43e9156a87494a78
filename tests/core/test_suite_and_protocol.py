from __future__ import annotations

from pathlib import Path

import pytest

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.protocol import load_protocol, protocol_names
from vlpbench.suite import load_suite, suite_names


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_reads_and_its_schedule_fits_its_protocol(name: str) -> None:
    suite = load_suite(name)
    for pair in suite.pairs:
        load_protocol(suite.protocol).for_task(pair.task, suite.evaluation.get(pair.task))


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_field_has_a_source(name: str) -> None:
    protocol = load_protocol(name)
    assert len(protocol.settings) == 3
    assert all(protocol.sources.values())


def test_the_embedded_suite_has_the_seven_pairs_of_the_paper() -> None:
    pairs = [(pair.dataset, pair.task, pair.metric) for pair in load_suite("phantom").pairs]
    assert pairs == [
        ("chexpert", "classification", "auroc"),
        ("rsna", "classification", "auroc"),
        ("covidx", "classification", "accuracy"),
        ("siim", "segmentation", "dice"),
        ("rsna", "segmentation", "dice"),
        ("rsna", "detection", "map"),
        ("object_cxr", "detection", "map"),
    ]


def test_unknown_names_show_their_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="Near: phantom"):
        load_suite("fantom")
    with pytest.raises(UnknownNameError, match="Near: clean"):
        load_protocol("clear")
    with pytest.raises(UnknownNameError, match="Near: max_steps"):
        load_protocol("clean").for_task("segmentation", {"max_step": 3})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not valid TOML"),
        ("name = 'mine'", "the field 'dataset' is missing"),
        (
            "[[dataset]]\nname='a'\nsource='table'\n[[pair]]\ndataset='b'\ntask='detection'\nmetric='map'",
            "No dataset named 'b'",
        ),
    ],
)
def test_a_bad_suite_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(VlpbenchError, match=message):
        load_suite(str(tmp_path / "mine.toml"))
    with pytest.raises(VlpbenchError, match="No suite file"):
        load_suite(str(tmp_path / "other.toml"))
