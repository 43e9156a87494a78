"""Beside: published numbers put next to measured ones, with a mark for everything in which the two differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vlpbench.record import Record
from vlpbench.table.blocks import Block
from vlpbench.table.cells import PUBLISHED, Cell, Row
from vlpbench.table.columns import ColumnGroup
from vlpbench.table.published import PublishedCell, PublishedNumber, partner_archs, published_of
from vlpbench.table.rows import sort_rows, venue_of
from vlpbench.table.titles import Titles, arch_title

PAPER_SUITE, PAPER_PROTOCOL, PAPER_SIZE = "paper", "mgca", 224
OWN_SPLITS, QUOTED_SPLITS = {"sista-2026"}, {"sista-2026", "mgca-2022"}
RELEASED = {"auroc", "accuracy", "dice_batch_mean", "map_released"}
OVERRIDDEN = "the suite, over the protocol"
DATA, PROTOCOL, SPLIT, METRIC, BACKBONE, RUNS, QUOTED = "D", "P", "S", "M", "B", "R", "Q"
MEANINGS = {
    DATA: "other data than the paper's, whatever the dataset is called",
    PROTOCOL: "another protocol than the released MGCA code, which the paper says it follows, or with other settings",
    SPLIT: "another split than the paper describes",
    METRIC: "another metric than the released MGCA code computes, which the paper's is taken to be",
    BACKBONE: "another backbone than the paper's",
    RUNS: "a mean over several runs, where the paper prints one number and says nothing of runs",
    QUOTED: "a row that the paper quotes from the method's own paper, where protocol and split may be others still",
}
WORDS = {
    DATA: "data",
    PROTOCOL: "protocol",
    SPLIT: "split",
    METRIC: "metric",
    BACKBONE: "backbone",
    RUNS: "runs",
    QUOTED: "quoted",
}
Key = tuple[str, str, float]
"""Dataset, metric in the paper's words and fraction of a column."""
Numbers = dict[tuple[str, str, str, str, float], PublishedNumber]
"""By method, backbone and key."""


def add_published(block: Block, titles: Titles) -> Block:
    """The block with the paper's numbers in its rows, and rows of their own for those that nothing was measured for."""
    keys = [_key(group, fraction) for group, fraction in block.columns]
    numbers = [one for one in published_of(block.layout) if (one.dataset, one.metric, one.fraction) in keys]
    if not numbers:
        return replace(block, with_published=True)
    found = {(one.method, one.arch, one.dataset, one.metric, one.fraction): one for one in numbers}
    rows = [_beside(row, keys, found, _partner(row, block, numbers), block) for row in block.rows]
    taken = {(row.name, _partner(row, block, numbers)) for row in block.rows}
    for one in numbers:
        if (one.method, one.arch) not in taken:
            taken.add((one.method, one.arch))
            rows.append(_beside(_unmeasured(one, len(keys), block, titles), keys, found, one.arch, block))
    return replace(block, rows=tuple(sort_rows(rows, block.layout)), with_published=True)


def has_published(block: Block, group: ColumnGroup) -> bool:
    """Whether a column group has a published number in any row."""
    return any(
        cell is not None
        for row in block.rows
        for (mine, _), cell in zip(block.columns, row.published, strict=False)
        if mine is group
    )


def used_marks(block: Block) -> list[str]:
    """Signs that stand beside a difference somewhere in the block, in the order in which they are explained."""
    used = {mark for row in block.rows for cell in row.published if cell is not None for mark in cell.marks}
    return [mark for mark in MEANINGS if mark in used]


def _key(group: ColumnGroup, fraction: float) -> Key:
    """What the paper calls a column: every Dice is its Dice, every mAP its mAP."""
    metric = next((name for name in ("dice", "map") if group.metric.startswith(name)), group.metric)
    return group.dataset, metric, round(fraction, 9)


def _partner(row: Row, block: Block, numbers: Sequence[PublishedNumber]) -> str:
    """Backbone of the paper whose numbers stand in a row, "" for none."""
    if not row.arch:
        return ""
    measured = list(dict.fromkeys(other.arch for other in block.rows if other.name == row.name))
    printed = list(dict.fromkeys(one.arch for one in numbers if one.method == row.name))
    return partner_archs(measured, printed).get(row.arch, "")


def _beside(
    row: Row,
    keys: Iterable[Key],
    found: dict[tuple[str, str, str, str, float], PublishedNumber],
    arch: str,
    block: Block,
) -> Row:
    cells = []
    for (dataset, metric, fraction), cell, (group, _) in zip(keys, row.cells, block.columns, strict=True):
        number = found.get((row.name, arch, dataset, metric, fraction))
        cells.append(None if number is None else _published(number, cell, group, row))
    return replace(row, published=tuple(cells))


def _published(number: PublishedNumber, cell: Cell | None, group: ColumnGroup, row: Row) -> PublishedCell:
    if cell is None or cell.mean is None:
        return PublishedCell(number.text, number.value, None, ())
    difference = None if number.value is None else cell.mean - number.value
    marks = tuple(_differs(number, cell, max(cell.records, key=lambda one: (one.started_at, one.key)), group, row))
    return PublishedCell(number.text, number.value, difference, marks)


def _differs(number: PublishedNumber, cell: Cell, newest: Record, group: ColumnGroup, row: Row) -> Iterable[str]:
    """Signs of what sets a measured number apart from the published one."""
    spec, told = newest.spec, newest.provenance
    own = _is_own(number)
    if spec.suite != PAPER_SUITE or spec.limit is not None:
        yield DATA
    changed = OVERRIDDEN in told.get("settings_sources", {}).values()
    if spec.protocol != PAPER_PROTOCOL or spec.image_size != PAPER_SIZE or changed:
        yield PROTOCOL
    if told.get("data", {}).get("split", {}).get("name") not in (OWN_SPLITS if own else QUOTED_SPLITS):
        yield SPLIT
    if group.metric not in RELEASED:
        yield METRIC
    if row.arch != number.arch:
        yield BACKBONE
    if cell.n > 1:
        yield RUNS
    if not own:
        yield QUOTED


def _is_own(number: PublishedNumber) -> bool:
    """Whether a row is of the paper's own runs: its method and that method's ablations."""
    return number.method == "sista" or number.method.startswith("sista_")


def _unmeasured(number: PublishedNumber, columns: int, block: Block, titles: Titles) -> Row:
    """A row for published numbers that nothing was measured for."""
    title = titles.method_card(number.method).row_title if block.layout.variants_of else number.row
    return Row(
        name=number.method,
        title=f"{title} ({arch_title(number.arch)})",
        short_title=title,
        kind=PUBLISHED,
        arch=number.arch,
        recipe="",
        cells=(None,) * columns,
        venue=venue_of(number.method, titles) or number.venue,
    )
