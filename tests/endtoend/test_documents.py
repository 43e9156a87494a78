from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.endtoend.test_chain import arguments, records, vlpbench
from tests.endtoend.tiny import write_suite
from vlpbench.suite import load_suite

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/adding_a_method.md"])
def test_the_method_of_the_page_runs_as_it_stands(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    write_suite(tmp_path)
    more = ["--plugin", str(tmp_path / "mine.py"), "--tasks", "classification", "--fractions", "1"]
    assert vlpbench(monkeypatch, *arguments(tmp_path, "mine", *more)) == 0
    (record,) = records(tmp_path).values()
    assert isinstance(record["spec"], dict)
    assert record["spec"]["method"] == "mine"


def test_the_suite_of_the_data_page_reads(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/data.md").read_text(encoding="utf-8"), re.DOTALL)
    (source,) = [block for block in blocks if block.startswith("name = ")]
    (tmp_path / "mine.toml").write_text(source, encoding="utf-8")
    assert load_suite(str(tmp_path / "mine.toml")).pairs[0].labels == ("effusion", "edema")
