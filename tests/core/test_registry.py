from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vlpbench.cards import MethodCard, TaskCard
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import REGISTRY, Registry

METHOD = """
from vlpbench.method import Initialisation
from vlpbench.registry import register_method

@register_method("{name}", title="Mine")
class Mine(Initialisation):
    def initialise(self, backbone):
        pass
"""


def test_a_name_registered_twice_names_both_modules() -> None:
    registry = Registry()
    registry.add("method", MethodCard("mine"), "first.module", None)
    registry.add("method", MethodCard("mine"), "first.module", int)
    with pytest.raises(VlpbenchError, match=r"first\.module and by second\.module"):
        registry.add("method", MethodCard("mine"), "second.module", None)
    registry.add("task", TaskCard("mine"), "second.module", None)


def test_an_unknown_name_shows_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match=r"No task named 'segmentaton'. Near: segmentation"):
        REGISTRY.card("task", "segmentaton")


def test_a_plugin_that_fails_to_import_is_named_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "broken_plugin"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "syntax.py").write_text("register_method(\n")
    (package / "fine.py").write_text(METHOD.format(name="fine") + "\nimport no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry()
    point = type("Point", (), {"name": "broken", "value": "broken_plugin"})
    monkeypatch.setattr("vlpbench.registry.entry_points", lambda group: [point])
    with pytest.raises(UnknownNameError, match=r"failed to load: broken_plugin.syntax \(SyntaxError"):
        registry.card("method", "other")
    assert registry.names("method") == ["fine"]
    with pytest.raises(
        VlpbenchError, match=r"'fine' stands in broken_plugin.fine, which fails to import: ModuleNotFound"
    ):
        registry.target("method", "fine")


def test_cards_read_from_the_source_text_equal_those_of_the_imported_class() -> None:
    for kind in ("method", "task", "source"):
        names = REGISTRY.names(kind)
        assert names
        for name in names:
            read = REGISTRY.card(kind, name)
            assert REGISTRY.target(kind, name).card == read  # type: ignore[attr-defined]


def test_a_plugin_file_registers_its_method(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(METHOD.format(name="mine_from_a_file"))
    REGISTRY.add_file(path)
    REGISTRY.add_file(path)
    card = REGISTRY.card("method", "mine_from_a_file")
    assert isinstance(card, MethodCard)
    assert card.row_title == "Mine"
    with pytest.raises(VlpbenchError, match="No plug-in file"):
        REGISTRY.add_file(tmp_path / "other.py")


@pytest.mark.parametrize("command", [["--help"], ["list"], ["table", "--results", "nowhere"]])
def test_quick_commands_import_no_heavy_package(command: list[str], tmp_path: Path) -> None:
    heavy = ("torch", "mmengine", "mmseg", "mmdet", "sklearn", "transformers", "timm")
    script = (
        "import sys\nfrom vlpbench.cli import app\n"
        f"try:\n    app({command!r})\nexcept BaseException:\n    pass\n"
        f"print('loaded', [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
