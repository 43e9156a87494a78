"""The page of a protocol that `vlpbench describe` prints."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from vlpbench.contract.switches import attribute_meanings
from vlpbench.protocol import Protocol, load_protocol
from vlpbench.settings import Amendment, Settings, setting_fields

USUAL = "clean"


def print_protocol(console: Console, name: str) -> None:
    """Print what each task does under a protocol, where that comes from, and where it departs from `clean`.

    Raises:
        UnknownNameError: if no protocol has that name.
    """
    protocol = load_protocol(name)
    console.print(
        f"protocol {name}, version {protocol.version}: {protocol.title}", style="bold", highlight=False, markup=False
    )
    usual = load_protocol(USUAL)
    for task, settings in protocol.settings.items():
        _settings(console, protocol, task, usual.settings[task] if name != USUAL else None)
        for amendment in settings.amendments:
            _amendment(console, protocol, task, amendment)
    console.print("A suite puts its own schedule over these; records hold the values that were used.", style="dim")
    if name != USUAL:
        console.print(f"{USUAL!r} stands beside a value that differs from the protocol {USUAL}.", style="dim")


def _settings(console: Console, protocol: Protocol, task: str, usual: Settings | None) -> None:
    """A table of one task's settings; values of the usual protocol stand below those that differ."""
    settings = protocol.settings[task]
    meanings = attribute_meanings(type(settings))
    table = Table(title=task, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True)
    for column in ("field", "value", "what it is", "source"):
        table.add_column(column, overflow="fold")
    for field in setting_fields(settings):
        value = getattr(settings, field.name)
        shown = word(value)
        if usual is not None and getattr(usual, field.name) != value:
            shown += f" ({USUAL}: {word(getattr(usual, field.name))})"
        table.add_row(field.name, shown, meanings.get(field.name, ""), protocol.sources[f"{task}.{field.name}"])
    console.print(table, markup=False)


def _amendment(console: Console, protocol: Protocol, task: str, amendment: Amendment) -> None:
    share = "" if amendment.fraction is None else f" at {100 * amendment.fraction:g} % of the labels"
    for name, value in amendment.values:
        text = (
            f"  {task} of {amendment.dataset}{share}: {name} = {word(value)} ({protocol.source_of(task, name, value)})"
        )
        console.print(text, markup=False, highlight=False)


def word(value: object) -> str:
    """A value of a setting as tables print it: lists without brackets, words without quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "; ".join(map(word, value)) if value and isinstance(value[0], tuple) else ", ".join(map(word, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
