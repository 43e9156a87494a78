from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "plugin_package"
NAME = "hospital_squared_distance"
INSTALL = ("install", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--target")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the package into; it needs pip and setuptools, and no network."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "package"
    shutil.copytree(PACKAGE, source)  # setuptools leaves its build beside the source
    done = subprocess.run([sys.executable, "-m", "pip", *INSTALL, folder, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def vlpbench(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that sees the installed package."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "120"}
    script = "from vlpbench.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment, cwd=installed
    )


def test_an_installed_method_is_listed_with_the_others(installed: Path) -> None:
    done = vlpbench(installed, "list", "methods")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
    assert "Squared distance" in rows[NAME]
    assert "Hospital'26" in rows[NAME]
    assert "sista" in rows
    assert "not loaded" not in done.stdout


def test_an_installed_method_is_described_and_keeps_the_contract(installed: Path) -> None:
    described = vlpbench(installed, "describe", NAME)
    assert "width = 32: of the joint space." in described.stdout
    assert "learning_rate = 0.0001 (the paper's own)" in described.stdout
    checked = vlpbench(installed, "check", NAME)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{NAME}: 12 passed" in checked.stdout


def test_without_the_package_the_method_is_not_there(tmp_path: Path) -> None:
    done = vlpbench(tmp_path, "check", NAME)
    assert done.returncode == 1
    assert f"No method named '{NAME}'" in done.stderr
