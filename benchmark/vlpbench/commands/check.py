"""`vlpbench check`: whether methods keep the contract."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vlpbench.errors import VlpbenchError
from vlpbench.registry import REGISTRY

STYLES = {"passed": "green", "failed": "bold red", "not available here": "yellow"}


def check(names: str, *, arch: str, plugins: tuple[Path, ...]) -> None:
    """Print a table of checks per method; exit code 1 when one failed.

    Args:
        names: of methods, separated by commas, or "all".
        arch: of the backbone.
        plugins: files with methods.

    Raises:
        UnknownNameError: for a method or an architecture that does not exist.
    """
    for path in plugins:
        REGISTRY.add_file(path)
    methods = _resolve(names)
    _require_architecture(arch)
    console = Console(soft_wrap=False)
    broken = [name for name in methods if not _try(console, name, arch)]
    if broken:
        console.print(
            f"{len(broken)} of {len(methods)} method(s) break the contract: {', '.join(broken)}. "
            "docs/adding_a_method.md has the contract.",
            markup=False,
            highlight=False,
        )
        sys.exit(1)


def _resolve(names: str) -> list[str]:
    if names.strip() == "all":
        return REGISTRY.names("method")
    found = list(dict.fromkeys(part.strip() for part in names.split(",") if part.strip()))
    if not found:
        raise VlpbenchError(f"Name at least one method, or all. Known: {', '.join(REGISTRY.names('method'))}.")
    for name in found:
        REGISTRY.card("method", name)  # raises with near names and the plug-ins that failed to load
    return found


def _require_architecture(arch: str) -> None:
    """Refuse an unknown architecture once, before every check would."""
    from vlpbench.backbone import Backbone, Preprocessing
    from vlpbench.contract.sample import SIZE

    Backbone(arch, Preprocessing(SIZE))


def _try(console: Console, name: str, arch: str) -> bool:
    """Print what came of the checks of one method; True unless one failed."""
    from vlpbench.contract.verdicts import try_method

    table = Table(title=f"{name} on {arch}", title_justify="left", title_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("result", overflow="fold")
    count: Counter[str] = Counter()
    with console.status(f"checking {name}"):
        for verdict in try_method(REGISTRY.target("method", name), arch):
            count[verdict.state] += 1
            reason = f": {verdict.reason}" if verdict.reason else ""
            table.add_row(Text(verdict.check), Text.assemble((verdict.state, STYLES[verdict.state]), reason))
    console.print(table)
    counted = ", ".join(f"{count[state]} {state}" for state in STYLES if count[state])
    console.print(f"{name}: {counted}", markup=False, highlight=False)
    return not count["failed"]
