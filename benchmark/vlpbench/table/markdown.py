"""Markdown: tables as GitHub shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vlpbench.table.blocks import Block
from vlpbench.table.entries import BELOW_FLOOR, MEASURED, Style, dressed, entries, heads
from vlpbench.table.notes import build_notes, heading
from vlpbench.table.titles import Titles, arch_title, percent

STYLE = Style(
    plain=str,
    bold=lambda text: f"**{text}**",
    underline=lambda text: f"<u>{text}</u>",
    sign=lambda text: text if text == BELOW_FLOOR else f"<sup>{text}</sup>",
    below=lambda text: f"<br>{text}",
)


def markdown(blocks: Sequence[Block], remarks: Sequence[str], titles: Titles) -> str:
    """Tables as Markdown that GitHub shows with underlines."""
    from tabulate import tabulate

    parts = []
    for block in blocks:
        stub = ["Method", "Backbone", "Venue"][: 3 if block.with_venues else 2]
        shown = [*stub, *(escape_markdown(head) for head in _heads(block))]
        body = [
            [
                *[escape_markdown(text) for text in (row.short_title, arch_title(row.arch), row.venue)][: len(stub)],
                *(dressed(entry, STYLE) for entry in entries(block, row)),
            ]
            for row in block.rows
        ]
        align = ["left"] * len(stub) + ["right"] * (len(shown) - len(stub))
        table = tabulate(body, shown, "pipe", colalign=align, disable_numparse=True)
        notes = "\n".join(f"- {escape_markdown(note)}" for note in build_notes(block, titles))
        parts.append(f"## {escape_markdown(heading(block))}\n\n{table}\n\n{notes}\n")
    if remarks:
        parts.append("\n".join(f"> {escape_markdown(remark)}" for remark in remarks) + "\n")
    return "\n".join(parts)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    one_line = " ".join(text.split())
    # an ampersand counts only where it would begin an entity such as &lt;
    return re.sub(r"([\\`*_|<>\[\]~$]|&(?=#?\w+;))", r"\\\1", one_line)


def _heads(block: Block) -> list[str]:
    """Column heads on one line; a metric that all columns share is left to the notes."""
    shared = len({group.metric for group in block.groups}) == 1
    return [
        f"{head.group.title}{'' if shared else f' ({head.group.metric_title})'} {percent(head.fraction)}"
        if head.kind == MEASURED
        else head.kind
        for head in heads(block)
    ]
