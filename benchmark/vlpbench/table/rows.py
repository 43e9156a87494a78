"""Rows: floors first, then methods, then ceilings, each with a cell per column."""

from __future__ import annotations

from collections.abc import Sequence

from vlpbench.record import Record
from vlpbench.table.cells import Row, rank, summarise, summarise_floor
from vlpbench.table.layout import Layout
from vlpbench.table.titles import Titles, arch_title

SHORT = 6
Column = tuple[Sequence[Record], float]
Who = tuple[str, str, str]


def build_rows(records: Sequence[Record], layout: Layout, titles: Titles, columns: Sequence[Column]) -> tuple[Row, ...]:
    """Rows of one block, ranked.

    Args:
        records: of the block.
        layout: gives order and titles.
        titles: of methods.
        columns: records of the column's dataset, and its fraction.
    """
    whos = sorted({_who(record) for record in records}, key=lambda who: _place(who, layout))
    stated = {name for record in records for name in record.floors}
    floors: list[Row] = []
    for name in [*layout.floors, *sorted(stated - set(layout.floors))]:
        floors += [_method_row(who, whos, layout, titles, columns) for who in whos if who[0] == name]
        if name in stated:
            floors.append(_trivial_row(name, layout, columns))
    apart = {*layout.floors, *layout.ceilings}
    methods = [_method_row(who, whos, layout, titles, columns) for who in whos if who[0] not in apart]
    ceilings = [_method_row(who, whos, layout, titles, columns) for who in whos if who[0] in layout.ceilings]
    return rank([*floors, *methods, *ceilings])


def _who(record: Record) -> Who:
    return record.spec.method, record.spec.arch, record.recipe


def _place(who: Who, layout: Layout) -> tuple[int, Who]:
    known = layout.methods
    return known.index(who[0]) if who[0] in known else len(known), who


def _method_row(who: Who, whos: Sequence[Who], layout: Layout, titles: Titles, columns: Sequence[Column]) -> Row:
    name, arch, recipe = who
    title = layout.floors[name].title if name in layout.floors else titles.method_card(name).row_title
    alike = sum(other[:2] == who[:2] for other in whos)
    cells = tuple(
        summarise([record for record in records if _who(record) == who and record.spec.fraction == fraction])
        for records, fraction in columns
    )
    return Row(
        name=name,
        title=f"{title} ({arch_title(arch)}{f', recipe {recipe[:SHORT]}' if alike > 1 else ''})",
        kind="floor" if name in layout.floors else "ceiling" if name in layout.ceilings else "method",
        arch=arch,
        recipe=recipe,
        cells=cells,
    )


def _trivial_row(name: str, layout: Layout, columns: Sequence[Column]) -> Row:
    title = layout.floors[name].title if name in layout.floors else name.replace("_", " ").capitalize()
    cells = tuple(
        summarise_floor([record for record in records if record.spec.fraction == fraction], name)
        for records, fraction in columns
    )
    return Row(name=name, title=title, kind="trivial", arch="", recipe="", cells=cells)
