"""Every registered method through the same command; what a corpus or this machine lacks is said, not guessed."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.endtoend.test_chain import arguments, records, vlpbench
from tests.endtoend.tiny import SUITE, write_suite
from vlpbench.commands.arguments import parse_settings
from vlpbench.errors import UnknownNameError
from vlpbench.pretraining.recipe import resolve_recipe
from vlpbench.registry import REGISTRY
from vlpbench.run import describe_batch

ONE_CELL = ("--tasks", "classification", "--fractions", "1")


@pytest.mark.slow
def test_all_methods_run_with_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    assert vlpbench(monkeypatch, *arguments(tmp_path, "all", *ONE_CELL)) == 0
    out = capsys.readouterr().out
    ran = {record["spec"]["method"] for record in records(tmp_path).values()}  # type: ignore[index]
    assert ran == set(REGISTRY.names("method")) - {"imagenet"}
    assert "Refused:\n  - imagenet: " in out
    assert "--set imagenet.options.weights=" in out


def test_weights_that_cannot_be_had_fail_a_call_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    assert vlpbench(monkeypatch, *arguments(tmp_path, "imagenet", *ONE_CELL)) == 1
    assert "Failed:\n  - imagenet: " in capsys.readouterr().out


def test_a_full_disk_ends_the_run_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path)

    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "work" / "cells"))

    monkeypatch.setattr("vlpbench_tasks.classification.Classification.run", full)
    assert vlpbench(monkeypatch, *arguments(tmp_path, "random", *ONE_CELL)) == 1
    assert f"Cannot write {tmp_path / 'work' / 'cells'}: No space left on device" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.fixture
def plain_corpus(tmp_path: Path) -> Path:
    """The tiny suite with a corpus of images and reports and nothing else."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        report = f"There is a small opacity of {number} mm. No effusion."
        rows.append({"image": f"{number}.png", "patient": number, "report": report})
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    before, _, after = SUITE.partition("[corpus]")
    _, _, rest = after.partition("[pretraining]")
    corpus = '[corpus]\nsource = "table"\noptions = {report = "report"}\nsplit = [3, 1, 0]\n\n'
    (tmp_path / "tiny.toml").write_text(
        f"{before}{corpus}[pretraining]{rest}".replace("needs_data = false", "needs_data = true")
    )
    return tmp_path


def test_a_method_is_refused_where_the_corpus_lacks_what_it_needs(
    plain_corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(plain_corpus)]
    assert vlpbench(monkeypatch, *arguments(plain_corpus, "medklip,clip", *ONE_CELL, *data, command="plan")) == 0
    assert "needs triplets" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert vlpbench(monkeypatch, *arguments(plain_corpus, "medklip,mlip,supervised", *ONE_CELL, *data)) == 0
    out = capsys.readouterr().out
    assert "medklip: rsna classification at 100%, seed 0: needs triplets" in out
    assert "mlip: rsna classification at 100%, seed 0: needs entities" in out
    assert "supervised: rsna classification at 100%, seed 0: needs labels" in out
    assert "0 cell(s) evaluated, 0 already there, 3 refused, 0 failed" in out
    assert not (plain_corpus / "work" / "backbones").exists()


def test_settings_of_one_method_leave_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_suite(tmp_path)
    given = ["--set", "clip.options.projected=32", "--set", "clip.chunk=4", "--set", "crop=0.9"]
    assert vlpbench(monkeypatch, *arguments(tmp_path, "clip,convirt,random", *ONE_CELL, *given)) == 0
    cards = [json.loads(path.read_text()) for path in (tmp_path / "work" / "backbones").glob("*/backbone.json")]
    recipes = {card["lineage"]["method"]: card["lineage"].get("recipe", {}) for card in cards}
    assert recipes["clip"]["options"] == {"projected": 32}
    assert (recipes["clip"]["chunk"], recipes["convirt"]["chunk"]) == (4, 0)
    assert recipes["convirt"]["options"] == recipes["random"] == {}
    assert recipes["clip"]["crop"] == recipes["convirt"]["crop"] == 0.9
    assert recipes["convirt"]["weight_decay"] == 1e-6, "ConVIRT's own, which the suite leaves alone"


def test_settings_name_their_method_in_front() -> None:
    given = ("epochs=3", "options.temperature=0.5", "sista.options.reading=targets", "mgca.learning_rate=1e-4")
    assert parse_settings(given) == {
        "epochs": 3,
        "options": {"temperature": 0.5},
        "methods": {"sista": {"options": {"reading": "targets"}}, "mgca": {"learning_rate": 1e-4}},
    }
    with pytest.raises(UnknownNameError, match=r"method named 'sist'.*Near: sista"):
        parse_settings(("sist.epochs=3",))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "clip: the loss sees all 32 pairs of a step"),
        ({"chunk": 32}, "clip: the loss sees all 32 pairs of a step"),
        ({"chunk": 8}, "clip: the loss sees all 32 pairs of a step; the towers take 8 at a time, and"),
        ({"batch_size": 64}, "clip: the loss sees all 40 pairs of a step"),
    ],
)
def test_the_effective_batch_is_said(settings: dict[str, int], said: str) -> None:
    recipe = resolve_recipe({"batch_size": 32, **settings})
    assert describe_batch("clip", recipe, 40).startswith(said)
    assert ("at a time" in describe_batch("clip", recipe, 40)) == ("at a time" in said)
