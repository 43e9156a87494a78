from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vlpbench import cli
from vlpbench.record import Record, read_record
from vlpbench.specs import run_key
from vlpbench.store import RecordStore

SAMPLE = Path(__file__).parents[1] / "store" / "samples" / "record-schema-1.json"
KEY = "eac84a8be9fe6ab158ad"
WIDTH = 80


def sample(
    value: float | None = None, *, weights: str | None = None, told: dict[str, Any] | None = None, **spec: Any
) -> Record:
    """The sample record with some things changed, and the key that follows from them."""
    record = read_record(SAMPLE.read_text(encoding="utf-8"), "sample")
    metrics = dict(record.metrics) if value is None else {**record.metrics, record.headline: value}
    base = record.foundations if weights is None else replace(record.foundations, weights_sha256=weights)
    cell = replace(record.spec, **spec)
    provenance = {**record.provenance, **(told or {})}
    return replace(record, key=run_key(cell, base), spec=cell, foundations=base, metrics=metrics, provenance=provenance)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The sample with predictions, two other seeds, one of another recipe, and two seeds of random initialisation."""
    store = RecordStore(tmp_path / "results")
    store.add(sample(), pd.DataFrame({"image_id": ["a"]}))
    store.add(sample(0.3, seed=1))
    store.add(sample(0.4, seed=2))
    store.add(sample(0.9, seed=3, weights="l", told={"backbone": {"recipe_hash": "longer"}}))
    untrained = {"backbone": {"recipe_hash": "random", "lineage": {"method": "random", "method_version": 1}}}
    for seed, value in enumerate((0.25, 0.35)):
        store.add(sample(value, weights="r", told=untrained, method="random", seed=seed))
    return tmp_path / "results"


def show(monkeypatch: pytest.MonkeyPatch, *arguments: str, width: int = WIDTH) -> int:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.argv", ["vlpbench", "show", *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert show(monkeypatch, *arguments) == 0
    return capsys.readouterr().out


def test_the_card_says_everything_a_reader_asks(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(monkeypatch, capsys, KEY[:8], "--results", str(results))
    flat = " ".join(text.split())
    for part in (
        "SISTA: RSNA-like segmentation, 1 % of the labels, seed 0",
        "Synthetic data: these numbers say that the chain works",
        "method SISTA (sista, version 2)",
        "backbone ResNet-18 at 96 px, pre-training seed 0",
        "dataset rsna (RSNA-like): 604 train, 198 val, 198 test images",
        "protocol clean, version 1: Frozen backbone",
        "split not recorded by the version that wrote this",
        "dice_positive 23.58 %",
        "floor always_full 17.58 %",
        "floor random 30.00 ± 7.07 %, mean ± sd of 2 run(s)",
        "it does not beat its floor: random",
        "dice_empty_one 43.16 % (always_empty 62.63 %, always_full 6.57 %)",
        "without foreground 1 if the prediction is empty too",
        f"lowest validation loss (step {sample().selection['step']}, steps 160",
        "learning_rate = 0.002 *",
        "sha256 7ab0dc",
        "epochs 8 in",
        "train pairs 1441",
        "git commit 69faed5c3851a3a96f5c6f41c6bdb231c1a71287",
        "torchmetrics 1.9.0",
        f"{KEY}.parquet (the sha256 the record names)",
        "(its checksum holds)",
    ):
        if part.startswith("sha256"):
            part = f"sha256 {sample().foundations.weights_sha256}"
        assert part in flat, part
    mean = pd.Series([sample().metrics["dice_positive"], 0.3, 0.4]) * 100
    assert f"all seeds {mean.mean():.2f} ± {mean.std():.2f} %, mean ± sd of 3 run(s)" in flat
    assert f"seed 1 30.00 % {sample(seed=1).key}" in flat


def test_lines_fit_the_terminal_but_for_what_must_not_break(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(monkeypatch, capsys, KEY, "--results", str(results))
    wide = [line for line in text.splitlines() if len(line) > WIDTH]
    assert all(str(results) in line for line in wide), wide
    assert not re.search(r"(?<=\S) +$", text.partition("What was evaluated")[2], re.MULTILINE)


def test_the_commands_can_be_copied(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(monkeypatch, capsys, KEY, "--results", str(results))
    commands = text.partition("Make it again\n")[2].replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in commands.strip().splitlines()]
    assert " ".join(lines) == (
        f"vlpbench reproduce {KEY} --results {results} vlpbench run --method sista --tasks segmentation "
        "--datasets rsna --suite phantom --arch resnet18 --image-size 96 --fractions 0.01 --seeds 0 --pretrain-seed 0 "
        "--protocol clean"
    )


def test_full_names_sources_and_terms(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = " ".join(printed(monkeypatch, capsys, KEY, "--results", str(results)).split())
    full = " ".join(printed(monkeypatch, capsys, KEY, "--full", "--results", str(results)).split())
    assert "MGCA run_seg_finetune.sh (RSNA)" in full
    assert "MGCA run_seg_finetune.sh (RSNA)" not in short
    history = sample().provenance["backbone"]["lineage"]["history"]
    assert f"epoch 8 training: SIA {history[7]['train']['SIA']:.4g}" in full


def test_a_named_split_is_shown_with_its_faults(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = dict(sample().provenance["data"])
    data["split"] = {"name": "mgca-2022", "known": ["Test images are in training."], "shared": {"train and test": 12}}
    stored = RecordStore(results).add(sample(pretrain_seed=5, told={"data": data}))
    flat = " ".join(printed(monkeypatch, capsys, stored.key, "--results", str(results)).split())
    assert "split mgca-2022 known: Test images are in training. 12 patient(s) in both train and test" in flat
    assert "--splits mgca-2022" in flat


def test_attempts_and_records_on_other_foundations_are_listed(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RecordStore(results)
    store.add(sample(0.31, told={"rescored": {"from_key": "abc", "from_attempt": 1, "added": ["auroc"]}}))
    other = store.add(sample(0.5, weights="another"))
    flat = " ".join(printed(monkeypatch, capsys, KEY, "--results", str(results)).split())
    assert "dice_positive 31.00 %" in flat
    assert re.search(r"attempt 1 23\.58 %, begun 2026-\S+ attempt 2, this one 31\.00 %", flat)
    assert "scored again from predictions" in flat
    assert "from the predictions of abc, attempt 1, by vlpbench ?; added: auroc" in flat
    assert f"{other.key} 50.00 %, the same cell with another weights_sha256" in flat
    first = " ".join(printed(monkeypatch, capsys, f"{KEY}.1", "--results", str(results)).split())
    assert "dice_positive 23.58 %" in first
    file = str(store.record_path(sample()))
    assert " ".join(printed(monkeypatch, capsys, file, "--results", str(results)).split()) == flat
    assert show(monkeypatch, f"{KEY}.3", "--results", str(results)) == 2
    assert "has no attempt 3 to read; it has: 1, 2" in capsys.readouterr().err


def test_predictions_that_are_gone_or_changed_are_told(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = results.rglob("*.parquet")
    file.write_bytes(b"another")
    assert "found another file" in " ".join(printed(monkeypatch, capsys, KEY, "--results", str(results)).split())
    file.unlink()
    assert "missing; expected the predictions" in " ".join(
        printed(monkeypatch, capsys, KEY, "--results", str(results)).split()
    )


def test_a_damaged_record_is_its_problem(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = RecordStore(results).record_path(sample())
    file.write_text(file.read_text(encoding="utf-8").replace("0.23", "0.93", 1), encoding="utf-8")
    assert show(monkeypatch, KEY, "--results", str(results)) == 1
    assert "changed after it was written" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "found"), [("eac84a8b00", "Nearest:"), ("eac", "too short"), ("x" * 20, "No record")])
def test_a_key_that_is_none_ends_with_code_2(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str, found: str
) -> None:
    assert show(monkeypatch, key, "--results", str(results)) == 2
    assert found in capsys.readouterr().err


def test_a_record_that_says_little_still_has_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = replace(
        sample(method="mine", suite="mine"), predictions="", provenance={}, floors={}, counts={}, selection={}
    )
    RecordStore(tmp_path).add(bare)
    flat = " ".join(printed(monkeypatch, capsys, bare.key, "--results", str(tmp_path)).split())
    assert "mine: rsna segmentation, 1 % of the labels, seed 0" in flat
    assert "none were kept" in flat
    assert "--suite mine.toml" in flat


def test_no_torch_is_imported(results: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from vlpbench.commands.show import show; "
        f"show({KEY!r}, results=Path({str(results)!r})); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
