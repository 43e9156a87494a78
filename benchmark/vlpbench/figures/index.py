"""The index of a folder of figures: each with its caption and its alternative text, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from vlpbench.figures.figure import Figure

MARKS = "\\`*_|<>[]#"


def render_index(figures: Sequence[Figure], left_out: Sequence[str]) -> str:
    """Every figure in its order, then what is left out and why.

    Args:
        figures: written beside the index as NAME.svg and NAME.png.
        left_out: a line each.
    """
    parts = ["# Figures\n"]
    for figure in figures:
        parts.append(
            f"## {_plain(figure.title)}\n\n![{_plain(figure.title)}]({figure.name}.png)\n\n{_plain(figure.caption)}\n\n"
            f"In words: {_plain(figure.alternative)}\n\n[{_plain(figure.name)}.svg]({figure.name}.svg)\n"
        )
    if left_out:
        parts.append("## Left out\n\n" + "".join(f"- {_plain(line)}\n" for line in left_out))
    return "\n".join(parts)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    for sign in MARKS:
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
