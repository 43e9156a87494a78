"""`vlpbench check`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vlpbench import cli
from vlpbench.cards import NEEDS
from vlpbench.contract.checks import METHOD_CHECKS
from vlpbench.contract.initialisations import INITIALISATION_CHECKS
from vlpbench.registry import REGISTRY


def command(monkeypatch, *arguments):
    """Exit code of a command."""
    monkeypatch.setattr("sys.argv", ["vlpbench", *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


PLUGIN = '''
from vlpbench.method import Initialisation
from vlpbench.registry import register_method

@register_method("bare", trains=False, licence="{licence}", deviations=("No paper.",))
class Bare(Initialisation):
    """Leaves weights as they are."""

    def initialise(self, backbone):
        pass
'''


def test_the_command_prints_a_verdict_per_check_and_fails_where_one_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    for licence, code in (("Apache-2.0", 0), ("", 1)):
        path = tmp_path / f"bare_{code}.py"
        path.write_text(PLUGIN.format(licence=licence))
        assert command(monkeypatch, "check", "bare,random", "--plugin", str(path)) == code
        out = capsys.readouterr().out
        assert all(check in out for check in INITIALISATION_CHECKS)
        assert "random: 4 passed" in out
        REGISTRY._entries.pop(("method", "bare"))
    assert "failed: The card has no licence" in out
    assert "bare: 3 passed, 1 failed" in out
    assert "1 of 2 method(s) break the contract: bare" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sist"], "No method named 'sist'. Near: sista"),
        ([","], "Name at least one method, or all"),
        (["random", "--arch", "resnet81"], "No architecture named 'resnet81'"),
    ],
)
def test_bad_arguments_of_the_command_are_told_at_once(arguments, message, monkeypatch, capsys):
    assert command(monkeypatch, "check", *arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_help_and_descriptions_of_the_command_import_no_torch(tmp_path):
    script = (
        "import sys\nfrom vlpbench.cli import app\n"
        "try:\n    app(['check', '--help'])\nexcept BaseException:\n    pass\n"
        "import vlpbench.commands.check, vlpbench.commands.method_page\n"
        "print('loaded', 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "keeps the contract" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "loaded False"


def test_the_method_of_the_page_keeps_the_contract(tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "adding_a_method.md"
    text = page.read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    assert command(monkeypatch, "check", "mine", "--plugin", str(tmp_path / "mine.py")) == 0
    assert f"mine: {len(METHOD_CHECKS)} passed" in capsys.readouterr().out
    assert [check for check in METHOD_CHECKS if f"\n| {check} | " not in text] == []
    assert [name for name in NEEDS if f'"{name}"' not in text] == []
