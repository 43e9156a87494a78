from __future__ import annotations

import pytest

from tests.statistics.fabricate import MeanTask


@pytest.fixture
def mean_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample with the made-up task instead of the registered ones."""
    monkeypatch.setattr("vlpbench.statistics.resampler.open_task", lambda name: MeanTask())
