from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from vlpbench.cards import MethodCard
from vlpbench.commands.catalogue import describe, list_names
from vlpbench.errors import UnknownNameError
from vlpbench.pretraining.recipe import OPTIONS, Recipe
from vlpbench.registry import REGISTRY

Captured = pytest.CaptureFixture[str]

PLUGIN = '''
from dataclasses import dataclass

from vlpbench.method import Initialisation, Method, Options
from vlpbench.registry import register_method


@dataclass(frozen=True)
class FirstOptions(Options):
    """Switches.

    Attributes:
        width: of the head,
            in features.
        depth: of the head.
    """

    width: int = 8
    depth: int = 2


@register_method(
    "first",
    title="First",
    venue="AAAI'30",
    supervision="external knowledge",
    needs=("labels",),
    losses=("one", "another"),
    recipe={"epochs": 20, "options": {"depth": 3}},
    deviations=("It departs.",),
    approximate=True,
    choices=("It chooses.",),
)
class First(Method):
    options_type = FirstOptions

    def encode(self, batch):
        return {}

    def loss(self, encoded, batch):
        return {}


@dataclass(frozen=True)
class WideOptions(FirstOptions):
    """Switches of the variant."""

    width: int = 16


@register_method("a_first", title="First, wide", variant_of="first", recipe={"options": {"depth": 3}})
class Wide(First):
    options_type = WideOptions


@register_method("second", trains=False)
class Second(Initialisation):
    options_type = FirstOptions

    def initialise(self, backbone):
        pass
'''


@pytest.fixture
def plugins(tmp_path: Path) -> tuple[Path, ...]:
    """A file with a method, its variant, and an initialisation with switches."""
    path = tmp_path / "catalogued.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return (path,)


def printed(name: str, plugins: tuple[Path, ...], capsys: Captured) -> str:
    describe(name, kind="", plugins=plugins)
    return capsys.readouterr().out


def test_list_names_every_method_task_suite_protocol_and_source(capsys: Captured) -> None:
    list_names("all", plugins=())
    out = capsys.readouterr().out
    for kind in ("method", "task", "source"):
        for name in REGISTRY.names(kind):
            assert name in out
    assert "PMLR" in out
    assert "phantom" in out
    assert "clean" in out
    list_names("tasks", plugins=())
    assert "sista" not in capsys.readouterr().out


def test_methods_are_listed_with_marks_and_variants_behind_their_parent(
    plugins: tuple[Path, ...], capsys: Captured
) -> None:
    list_names("methods", plugins=plugins)
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line.split()}
    order = list(rows)
    assert order.index("first") + 1 == order.index("a_first")
    assert order.index("sista") + 1 == order.index("sista_sia")
    assert rows["first"].split()[1:] == ["First‡≈", "AAAI'30", "yes", "labels", "resnet50"]
    assert rows["second"].split()[1:] == ["second", "-", "no", "-", "resnet50"]
    legend = " ".join(out.split())
    for mark, meaning in (("†", "instance labels"), ("‡", "external knowledge"), ("≈", "stands for the idea only")):
        assert f"{mark} {meaning}" in legend


@pytest.mark.parametrize("name", ["random", "segmentation", "table", "clean", "phantom", "open"])
def test_everything_listed_can_be_described(name: str, capsys: Captured) -> None:
    assert name in printed(name, (), capsys)


@pytest.mark.parametrize("name", REGISTRY.names("method"))
def test_a_method_is_described_with_the_meaning_of_every_switch_and_setting(name: str, capsys: Captured) -> None:
    out = printed(name, (), capsys)
    card = REGISTRY.card("method", name)
    assert isinstance(card, MethodCard)
    lines = re.findall(r"    - (\w+) = (?:[^\n]*?): (\S[^\n]*)", out)
    options = REGISTRY.target("method", name).options_type  # type: ignore[attr-defined]
    settings = [field.name for field in fields(Recipe) if field.name != OPTIONS] if card.trains else []
    assert [line[0] for line in lines] == [*(field.name for field in fields(options)), *settings]
    assert all(text in out for text in (*card.losses, *card.deviations, *card.choices, *card.needs))
    assert out.count("(the paper's own)") == len(set(card.recipe) - {OPTIONS})


def test_a_method_is_described_with_its_own_settings_marked(plugins: tuple[Path, ...], capsys: Captured) -> None:
    out = printed("first", plugins, capsys)
    for line in (
        "method first: First‡≈",
        "  venue: AAAI'30",
        "  extra supervision: external knowledge ‡",
        "    - labels: labels of the images, NaN where unknown",
        "    - another",
        "    - width = 8: of the head, in features.",
        "    - depth = 3: of the head.",
        "    - epochs = 20 (the paper's own): passes over the corpus, at most.",
        "    - patience = 5: epochs without a lower total validation loss before stopping.",
        "    - It chooses.",
        "    - It departs.",
    ):
        assert f"{line}\n" in out
    assert "--set options.NAME=VALUE for all methods of a call, --set first.options.NAME=VALUE for this one" in out
    assert "a suite puts its own settings over these" in out
    assert "stand for the idea only" in out


def test_a_variant_is_described_by_what_it_changes_and_by_its_parent(
    plugins: tuple[Path, ...], capsys: Captured
) -> None:
    out = printed("a_first", plugins, capsys)
    assert "variant of first: shares its file, its code and its deviations\n" in out
    assert "    - width = 16 (first: 8): of the head, in features.\n" in out
    assert "    - depth = 3: of the head.\n" in out
    assert "  choices of first:\n    - It chooses.\n" in out
    assert "  deviations of first:\n    - It departs.\n" in out


def test_an_initialisation_is_described_with_its_switches_and_without_a_recipe(
    plugins: tuple[Path, ...], capsys: Captured
) -> None:
    out = printed("second", plugins, capsys)
    assert "  switches (--set second.options.NAME=VALUE):\n    - width = 8: of the head, in features.\n" in out
    assert "recipe" not in out


def test_unknown_names_show_their_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="Near: sista"):
        describe("sist", kind="", plugins=())
    with pytest.raises(UnknownNameError, match="Near: methods"):
        list_names("method", plugins=())
