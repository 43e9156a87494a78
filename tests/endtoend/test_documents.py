from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.endtoend.test_chain import arguments, records, vlpbench
from tests.endtoend.tiny import write_suite

DOCS = Path(__file__).parents[2] / "docs"


def test_the_method_of_the_guide_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", (DOCS / "adding_a_method.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    write_suite(tmp_path)
    more = ["--plugin", str(tmp_path / "mine.py"), "--tasks", "classification", "--fractions", "1"]
    assert vlpbench(monkeypatch, *arguments(tmp_path, "mine", *more)) == 0
    (record,) = records(tmp_path).values()
    assert isinstance(record["spec"], dict)
    assert record["spec"]["method"] == "mine"
