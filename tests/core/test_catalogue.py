from __future__ import annotations

import re

import pytest

from vlpbench.commands.catalogue import describe, list_names
from vlpbench.errors import UnknownNameError
from vlpbench.registry import REGISTRY


def test_list_names_every_method_task_suite_protocol_and_source(capsys: pytest.CaptureFixture[str]) -> None:
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


@pytest.mark.parametrize("name", ["random", "segmentation", "table", "clean", "phantom", "open"])
def test_everything_listed_can_be_described(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    describe(name, plugins=())
    assert name in capsys.readouterr().out


def test_describing_a_method_shows_losses_departures_and_the_meaning_of_every_switch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    describe("sista", plugins=())
    out = capsys.readouterr().out
    assert "STA" in out
    assert "deviations" in out
    switches = re.findall(r"    - (\w+) = ([^\n]*?): (\S[^\n]*)", out)
    assert ("soft_weight", "0.1", "of a pseudo-positive.") in switches
    assert len(switches) == len(REGISTRY.target("method", "sista").options_type.__dataclass_fields__)  # type: ignore[attr-defined]


def test_unknown_names_show_their_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="Near: sista"):
        describe("sist", plugins=())
    with pytest.raises(UnknownNameError, match="Near: methods"):
        list_names("method", plugins=())
