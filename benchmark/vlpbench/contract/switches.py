"""The switches of a method or an initialisation, as its options dataclass documents them."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Switch:
    """One switch.

    Attributes:
        name: of the field.
        default: its value where none is set.
        meaning: from the docstring's Attributes section, "" where it says nothing.
    """

    name: str
    default: Any
    meaning: str


def read_switches(options_type: Any) -> list[Switch]:
    """Fields of a dataclass with what its docstring, or that of a class it derives from, says of them."""
    meanings = attribute_meanings(options_type)
    return [
        Switch(
            field.name,
            field.default_factory() if field.default_factory is not MISSING else field.default,
            meanings.get(field.name, ""),
        )
        for field in fields(options_type)
    ]


def attribute_meanings(documented: type) -> dict[str, str]:
    """Name to meaning, from the Attributes sections of a class and those it derives from, the nearest one first."""
    found: dict[str, str] = {}
    for kind in reversed(documented.__mro__):
        found |= _attributes(kind.__doc__) if kind.__doc__ else {}
    return found


def _attributes(docstring: str) -> dict[str, str]:
    """Name to meaning, from the Attributes section of a Google-style docstring."""
    section = inspect.cleandoc(docstring).partition("Attributes:")[2]
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section).splitlines():
        if not line.startswith(" "):
            name, _, line = line.partition(": ")
        found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found
