"""Entries: the cells of a row as they are printed, in per cent, with their emphasis and signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vlpbench.table.beside import has_published
from vlpbench.table.blocks import Block
from vlpbench.table.cells import TRIVIAL, Cell, Row
from vlpbench.table.columns import ColumnGroup
from vlpbench.table.published import PublishedCell
from vlpbench.table.ranks import BEST, SECOND
from vlpbench.table.titles import arch_title

MISSING = "–"
UNDEFINED = "undefined"
BELOW_FLOOR = "▿"
MINUS = "−"
MEASURED, PUBLISHED, DIFFERENCE = "measured", "published", "difference"
SECTION_TITLES = {"floors": "Floors", "methods": "Methods", "ceilings": "For comparison"}
Dress = Callable[[str], str]


@dataclass(frozen=True)
class Entry:
    """One printed cell.

    Attributes:
        text: number and spread, or what stands in their place.
        bold: whether it is the best of its column, or tied with it.
        underlined: whether it is the second best.
        sign: marks set behind the text, "" for none.
        below: the interval, set under the text; "" for none.
        value: the number as a fraction, None where there is none.
    """

    text: str
    bold: bool = False
    underlined: bool = False
    sign: str = ""
    below: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Head:
    """One printed column.

    Attributes:
        group: its dataset and metric.
        fraction: of the training labels.
        kind: "measured", "published" or "difference".
    """

    group: ColumnGroup
    fraction: float
    kind: str


@dataclass(frozen=True)
class Style:
    """How a format sets an entry; each function takes text and gives text.

    Attributes:
        plain: escapes.
        bold: of escaped text.
        underline: likewise.
        sign: of marks that are not escaped yet.
        below: of an interval that is not escaped yet, as what follows the text.
    """

    plain: Dress
    bold: Dress
    underline: Dress
    sign: Dress
    below: Dress


def heads(block: Block) -> list[Head]:
    """Printed columns from left to right."""
    return [
        Head(group, fraction, kind)
        for group in block.groups
        for fraction in group.fractions
        for kind in kinds(block, group)
    ]


def kinds(block: Block, group: ColumnGroup) -> tuple[str, ...]:
    """What is printed for each fraction of a column group."""
    beside = block.with_published and has_published(block, group)
    return (MEASURED, PUBLISHED, DIFFERENCE) if beside else (MEASURED,)


def entries(block: Block, row: Row) -> list[Entry]:
    """The printed cells of a row, one per head."""
    with_n = row.counted and same_n(block) is None
    found = []
    for number, (group, _) in enumerate(block.columns):
        printed = row.published[number] if row.published else None
        for kind in kinds(block, group):
            if kind == MEASURED:
                found.append(_measured(row.cells[number], row, decimals=block.layout.decimals, with_n=with_n))
            elif kind == PUBLISHED:
                found.append(_published(printed))
            else:
                found.append(_difference(printed, decimals=block.layout.decimals))
    return found


def dressed(entry: Entry, style: Style) -> str:
    """An entry as text of a format."""
    text = style.plain(entry.text)
    text = style.bold(text) if entry.bold else style.underline(text) if entry.underlined else text
    return text + (style.sign(entry.sign) if entry.sign else "") + (style.below(entry.below) if entry.below else "")


def cell_text(cell: Cell | None, *, decimals: int, with_n: bool) -> str:
    """A cell in per cent, without emphasis."""
    if cell is None:
        return MISSING
    if cell.mean is None:
        return UNDEFINED
    spread = "" if cell.sd is None else f" ± {100 * cell.sd:.{decimals}f}"
    return f"{100 * cell.mean:.{decimals}f}{spread}{f' (n={cell.n})' if with_n else ''}"


def same_n(block: Block) -> int | None:
    """Runs per cell where all cells of methods agree, else None."""
    counts = {cell.n for row in block.rows if row.counted for cell in row.cells if cell is not None}
    return counts.pop() if len(counts) == 1 else None


def row_groups(block: Block) -> list[tuple[str, list[Row]]]:
    """Rows by section and backbone, each part with its title."""
    parts: dict[tuple[str, str], list[Row]] = {}
    for row in block.rows:
        parts.setdefault((row.section, row.arch), []).append(row)
    return [
        (f"{SECTION_TITLES[section]}, {arch_title(arch) if arch else 'no backbone'}", rows)
        for (section, arch), rows in parts.items()
    ]


def _measured(cell: Cell | None, row: Row, *, decimals: int, with_n: bool) -> Entry:
    if cell is None:
        # a predictor of another task is not missing here
        return Entry("" if row.kind == TRIVIAL else MISSING)
    span = cell.interval
    return Entry(
        text=cell_text(cell, decimals=decimals, with_n=with_n),
        bold=cell.rank == BEST or cell.tied,
        underlined=cell.rank == SECOND and not cell.tied,
        sign=BELOW_FLOOR if cell.below_floor else "",
        below="" if span is None else f"[{100 * span.low:.{decimals}f}, {100 * span.high:.{decimals}f}]",
        value=cell.mean,
    )


def _published(printed: PublishedCell | None) -> Entry:
    return Entry("") if printed is None else Entry(printed.text, value=printed.value)


def _difference(printed: PublishedCell | None, *, decimals: int) -> Entry:
    if printed is None or printed.difference is None:
        return Entry("")
    points = round(100 * printed.difference, decimals)
    sign = MINUS if points < 0 else "+" if points > 0 else ""
    return Entry(f"{sign}{abs(points):.{decimals}f}", sign="".join(printed.marks), value=printed.difference)
