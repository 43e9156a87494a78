"""Rows: floors first, then methods, then ceilings, each part by backbone, with a cell per column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vlpbench.record import Record
from vlpbench.table.cells import CEILING, FLOOR, METHOD, SECTIONS, TRIVIAL, Row, summarise, summarise_floor
from vlpbench.table.layout import Layout
from vlpbench.table.ranks import mark_floors, rank
from vlpbench.table.titles import ARCHITECTURES, Titles, arch_title

SHORT = 6
NO_VENUE = "-"
Column = tuple[Sequence[Record], float]
Who = tuple[str, str, str]


def build_rows(records: Sequence[Record], layout: Layout, titles: Titles, columns: Sequence[Column]) -> tuple[Row, ...]:
    """Rows of one block, sorted, ranked and compared with their floors.

    Args:
        records: of the block.
        layout: gives order and titles.
        titles: of methods.
        columns: records of the column's dataset, and its fraction.
    """
    whos = sorted({_who(record) for record in records})
    stated = {name for record in records for name in record.floors}
    rows = [_method_row(who, whos, layout, titles, columns) for who in whos]
    rows += [_trivial_row(name, layout, columns) for name in stated]
    return mark_floors(rank(sort_rows(rows, layout)))


def sort_rows(rows: Iterable[Row], layout: Layout) -> list[Row]:
    """Rows by section, backbone, and place in the layout; those without a backbone, and unknown names, come last."""
    return sorted(rows, key=lambda row: _place(row, layout))


def venue_of(name: str, titles: Titles) -> str:
    """Where a method was published, "" for a baseline."""
    venue = titles.method_card(name).venue
    return "" if venue == NO_VENUE else venue


def _who(record: Record) -> Who:
    return record.spec.method, record.spec.arch, record.recipe


def _place(row: Row, layout: Layout) -> tuple[object, ...]:
    order = list(layout.floors) if row.section == "floors" else list(layout.methods)
    archs = list(ARCHITECTURES)
    return (
        SECTIONS.index(row.section),
        not row.arch,
        archs.index(row.arch) if row.arch in archs else len(archs),
        row.arch,
        order.index(row.name) if row.name in order else len(order),
        row.name,
        row.recipe,
    )


def _method_row(who: Who, whos: Sequence[Who], layout: Layout, titles: Titles, columns: Sequence[Column]) -> Row:
    name, arch, recipe = who
    title = layout.floors[name].title if name in layout.floors else titles.method_card(name).row_title
    told = f"recipe {recipe[:SHORT]}" if sum(other[:2] == who[:2] for other in whos) > 1 else ""
    cells = tuple(
        summarise([record for record in records if _who(record) == who and record.spec.fraction == fraction])
        for records, fraction in columns
    )
    return Row(
        name=name,
        title=f"{title} ({', '.join(part for part in (arch_title(arch), told) if part)})",
        short_title=f"{title} ({told})" if told else title,
        kind=FLOOR if name in layout.floors else CEILING if name in layout.ceilings else METHOD,
        arch=arch,
        recipe=recipe,
        cells=cells,
        venue=venue_of(name, titles),
    )


def _trivial_row(name: str, layout: Layout, columns: Sequence[Column]) -> Row:
    title = layout.floors[name].title if name in layout.floors else name.replace("_", " ").capitalize()
    cells = tuple(
        summarise_floor([record for record in records if record.spec.fraction == fraction], name)
        for records, fraction in columns
    )
    return Row(name=name, title=title, short_title=title, kind=TRIVIAL, arch="", recipe="", cells=cells)
