from __future__ import annotations

from pathlib import Path

import pytest

from tests.figures.small_store import fill_store
from vlpbench.record import Record
from vlpbench.store import RecordStore
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import load_layouts
from vlpbench.table.titles import Titles, registered_titles


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> RecordStore:
    """Fabricated records with predictions; not to be written to."""
    return fill_store(Path(tmp_path_factory.mktemp("figures")) / "results")


@pytest.fixture(scope="session")
def records(store: RecordStore) -> list[Record]:
    """All of them."""
    found, problems = store.load_all()
    assert problems == []
    return found


@pytest.fixture
def titles() -> Titles:
    return registered_titles()


@pytest.fixture
def blocks(records: list[Record], titles: Titles) -> dict[str, Block]:
    """Their tables, by task or "ablation"."""
    return {layout.task: block for layout in load_layouts() for block in build_blocks(records, layout, titles)}
