from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from vlpbench.registry import REGISTRY

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    """Forget what a test registered; a plug-in of one test must not turn up in another."""
    REGISTRY.names("method")
    before, files = set(REGISTRY._entries), list(REGISTRY._files)
    yield
    for key in set(REGISTRY._entries) - before:
        del REGISTRY._entries[key]
    REGISTRY._files[:] = files
