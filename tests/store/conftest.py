from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def golden() -> ModuleType:
    """The module that fabricates records."""
    path = Path(__file__).parents[1] / "table" / "golden" / "fabricate.py"
    spec = importlib.util.spec_from_file_location("vlpbench_golden_records", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
