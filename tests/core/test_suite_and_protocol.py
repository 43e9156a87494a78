from __future__ import annotations

import io
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vlpbench.commands.protocol_page import print_protocol, word
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.protocol import load_protocol, parse_protocol, protocol_names
from vlpbench.settings import amend, later_defaults, recorded, setting_fields
from vlpbench.suite import load_suite, suite_names

TASKS = ("classification", "segmentation", "detection")
CLEAN = (files("vlpbench_configs") / "protocols" / "clean.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_reads_and_its_schedule_fits_its_protocol(name: str) -> None:
    suite = load_suite(name)
    for pair in suite.pairs:
        load_protocol(suite.protocol).for_task(pair.task, suite.evaluation.get(pair.task))


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_field_has_a_source(name: str) -> None:
    protocol = load_protocol(name)
    assert tuple(protocol.settings) == TASKS
    assert all(protocol.sources.values())
    for task, settings in protocol.settings.items():
        assert {f"{task}.{field.name}" for field in setting_fields(settings)} < set(protocol.sources)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("classification", "6aea8227a8019b0a"),
        ("segmentation", "bbc1c28e0cfe84ff"),
        ("detection", "634a0bdd8c5ed2d8"),
    ],
)
def test_records_of_the_embedded_suite_keep_their_names(task: str, expected: str) -> None:
    protocol = load_protocol("clean")
    settings = protocol.for_task(task, load_suite("phantom").evaluation.get(task))
    # records are named by this hash: hours of committed ones stand on it
    assert protocol.settings_hash(settings) == expected


def test_a_field_that_came_later_counts_once_it_is_used() -> None:
    protocol = load_protocol("clean")
    usual = protocol.for_task("segmentation")
    hashes = {
        protocol.settings_hash(protocol.for_task("segmentation", changed))
        for changed in ({}, {"dice_loss": "minus log"}, {"drop_last": True}, {"max_epochs": 3}, {"threshold": 0.4})
    }
    assert len(hashes) == 5
    amended = replace(usual, amendments=load_protocol("mgca").settings["segmentation"].amendments)
    assert protocol.settings_hash(amended) not in hashes


def test_a_record_holds_values_and_an_older_one_is_read_by_the_defaults() -> None:
    settings = load_protocol("mgca").for_task("segmentation")
    values = recorded(amend(settings, dataset="siim", fraction=0.1))
    assert (values["batch_size"], values["dice_loss"]) == (8, "minus log")
    assert "amendments" not in values
    usual = load_protocol("clean").settings
    for task in TASKS:
        defaults = later_defaults(type(usual[task]))
        assert {"sampling", "drop_last", "augmentation"} <= set(defaults)
        assert all(getattr(usual[task], name) == value for name, value in defaults.items())


def test_the_released_procedure_is_amended_for_dataset_and_fraction() -> None:
    protocol = load_protocol("mgca")

    def of(task: str, dataset: str, fraction: float) -> Any:
        return amend(protocol.for_task(task), dataset=dataset, fraction=fraction)

    assert of("classification", "chexpert", 0.1).augmentation == "moco"
    assert of("classification", "rsna", 0.1).augmentation == "crop"
    assert (of("segmentation", "siim", 1.0).batch_size, of("segmentation", "siim", 1.0).metric_batch) == (8, 8)
    assert of("segmentation", "rsna", 1.0).batch_size == 16
    cells = [of("detection", name, part) for name in ("rsna", "object_cxr") for part in (0.01, 0.1)]
    assert [(cell.learning_rate, cell.batch_size) for cell in cells] == [(2e-4, 8), (5e-4, 16), (2.5e-4, 8), (5e-4, 16)]
    assert all(cell.amendments == () for cell in cells)


def test_what_a_suite_sets_counts_on_every_dataset() -> None:
    protocol = load_protocol("mgca")
    settings = protocol.for_task("detection", {"learning_rate": 2e-3})
    cell: Any = amend(settings, dataset="rsna", fraction=0.01)
    assert (cell.learning_rate, cell.batch_size) == (2e-3, 8)
    nothing = protocol.for_task("classification", {"augmentation": "none"})
    assert nothing.amendments == ()


def test_a_value_names_its_source() -> None:
    protocol = load_protocol("mgca")
    assert "run_seg_finetune.sh:4-6" in protocol.source_of("segmentation", "batch_size", 16)
    assert "SIIM takes the default" in protocol.source_of("segmentation", "batch_size", 8)
    assert protocol.source_of("detection", "learning_rate", 2e-4).endswith("run_det_finetune.sh:4")
    assert protocol.source_of("segmentation", "batch_size", 3) == "the suite, over the protocol"
    assert protocol.source_of("segmentation", "amendments", ()) == "each where it is made"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            'dice_loss = {value = "one minus"',
            'dice_loss = {value = "two minus"',
            r"dice_loss = 'two minus': expected one",
        ),
        (
            'drop_last = {value = false, source = "ours: every image counts"}\n',
            "",
            r"\[classification\] drop_last needs a",
        ),
        (
            "[segmentation]",
            "[classification.datasets.a]\npatience = 3\n[segmentation]",
            r"datasets\.a\] patience needs a",
        ),
        (
            "[segmentation]",
            '[classification.datasets.a]\naugmentation = {value = "mixup", source = "b"}\n[segmentation]',
            "augmentation = 'mixup'",
        ),
        (
            "[segmentation]",
            '[classification.datasets.a.fractions."0.1"]\npatient = {value = 3, source = "b"}\n[segmentation]',
            "Near: patience",
        ),
    ],
)
def test_a_bad_protocol_is_named(before: str, after: str, message: str) -> None:
    assert before in CLEAN
    with pytest.raises(VlpbenchError, match=message):
        parse_protocol(CLEAN.replace(before, after, 1), "mine.toml")


def test_a_word_that_a_suite_gets_wrong_is_named() -> None:
    with pytest.raises(
        VlpbenchError, match=r"\[detection\] batchnorm = 'melting': expected one of 'frozen', 'drifting'"
    ):
        load_protocol("clean").for_task("detection", {"batchnorm": "melting"})
    with pytest.raises(UnknownNameError, match="amendments"):
        load_protocol("clean").for_task("detection", {"amendments": []})


@pytest.mark.parametrize("task", TASKS)
def test_the_documented_comparison_is_what_the_protocols_say(task: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    section = text.split(f"### {task.capitalize()}\n")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (\w+) \| ([^|]*) \| ([^|]*) \|", section, flags=re.MULTILINE)
    clean, mgca = (load_protocol(name).settings[task] for name in ("clean", "mgca"))
    expected = [
        (field.name, word(getattr(clean, field.name)), word(getattr(mgca, field.name)))
        for field in setting_fields(clean)
    ]
    assert rows[-len(expected) :] == expected
    assert len(rows) <= len(expected) + 1


@pytest.mark.parametrize("name", ["clean", "mgca"])
def test_the_page_of_a_protocol_shows_every_field_with_its_source(name: str) -> None:
    written = io.StringIO()
    print_protocol(Console(file=written, width=400), name)
    page = written.getvalue()
    protocol = load_protocol(name)
    for task, settings in protocol.settings.items():
        for field in setting_fields(settings):
            assert protocol.sources[f"{task}.{field.name}"] in page
    assert ("drifting (clean: frozen)" in page) == (name == "mgca")
    assert ("detection of rsna at 1 % of the labels: learning_rate = 0.0002 (MGCA" in page) == (name == "mgca")
    assert "probability above which a pixel is foreground" in page


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
