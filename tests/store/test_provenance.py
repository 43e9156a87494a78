from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vlpbench.canonical import canonical_json
from vlpbench.protocol import load_protocol
from vlpbench.provenance import (
    collect_provenance,
    git_state,
    installed_versions,
    peak_memory_bytes,
    recipe_hash,
    settings_sources,
)
from vlpbench.suite import load_suite

CPU: Any = SimpleNamespace(type="cpu")
LINEAGE: dict[str, Any] = {
    "method": "sista", "method_version": 1, "pretrain_key": "a", "seed": 0, "recipe": {"epochs": 8},
    "corpus": {"fingerprint": "c0", "pairs": 1600},
}  # fmt: skip


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_git_state_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("one", encoding="utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    monkeypatch.chdir(tmp_path)
    clean = git_state()
    assert clean is not None
    assert clean["dirty"] is False
    assert len(str(clean["commit"])) == 40
    (tmp_path / "results.json").write_text("untracked", encoding="utf-8")
    assert git_state() == clean
    (tmp_path / "code.py").write_text("two", encoding="utf-8")
    assert git_state() == {**clean, "dirty": True}


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None
    monkeypatch.setenv("PATH", "")
    assert git_state() is None


def test_installed_versions() -> None:
    found = installed_versions(("numpy", "no-such-distribution"))
    assert found == {"numpy": np.__version__, "no-such-distribution": None}


def test_recipe_hash_is_the_same_for_all_seeds_of_a_recipe() -> None:
    usual = recipe_hash(LINEAGE)
    assert len(usual) == 16
    assert recipe_hash({**LINEAGE, "seed": 1, "pretrain_key": "b", "seconds": 3}) == usual
    assert recipe_hash({**LINEAGE, "recipe": {"epochs": 9}}) != usual
    assert recipe_hash({**LINEAGE, "corpus": {"fingerprint": "c1"}}) != usual
    assert recipe_hash({**LINEAGE, "method_version": 2}) != usual
    assert len(recipe_hash({"method": "random", "method_version": 1, "seed": 0})) == 16
    assert recipe_hash({"method": "sista"}) == ""


def test_settings_name_their_source() -> None:
    protocol = load_protocol("clean")
    settings = protocol.for_task("segmentation", {"max_steps": 160})
    sources = settings_sources(settings, protocol)
    assert sources["max_steps"] == "the suite, over the protocol"
    assert sources["threshold"] == protocol.sources["segmentation.threshold"]


def test_provenance_is_plain_data_and_complete() -> None:
    protocol = load_protocol("clean")
    data: Any = SimpleNamespace(
        name="siim",
        prepared=SimpleNamespace(fingerprint="f00d"),
        split_hash="5911",
        split_facts={"name": "clean", "known": [], "shared": {}},
        splits={"train": np.arange(6), "val": np.arange(2), "test": np.arange(2)},
        label_names=(),
        pair=SimpleNamespace(task="segmentation"),
    )
    backbone: Any = SimpleNamespace(sha256="ab" * 32, lineage=LINEAGE)
    found = collect_provenance(
        device=CPU,
        started=time.time() - 2,
        peak_memory=peak_memory_bytes(CPU),
        plan_settings=replace(protocol.for_task("segmentation")),
        protocol=protocol,
        data=data,
        backbone=backbone,
        suite=load_suite("phantom"),
    )
    assert json.loads(canonical_json(found))["data"]["splits"] == {"train": 6, "val": 2, "test": 2}
    assert found["suite"]["synthetic"] is True
    assert found["data"]["title"] == "SIIM-like"
    assert found["protocol"]["version"] == protocol.version
    assert found["backbone"]["recipe_hash"] == recipe_hash(LINEAGE)
    assert 2 <= found["wall_seconds"] < 60
    assert found["started_at"].endswith("+00:00")
    assert found["peak_memory_bytes"] > 1 << 20
    assert found["packages"]["torch"]
