"""From records to contests: what may be compared with each other, as the tables sort it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from vlpbench.cards import MethodCard
from vlpbench.record import Record
from vlpbench.statistics.comparison import ABLATIONS, Column, Contest, Contestant
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.cells import Row
from vlpbench.table.layout import Layout, load_layouts
from vlpbench.table.titles import Titles, arch_title

TRIVIAL = "trivial"
Identity = tuple[str, str, int, int | None]
Who = tuple[str, str, str]


def build_contests(records: Sequence[Record], titles: Titles, *, task: str | None = None) -> list[Contest]:
    """Contests of the newest state of each suite and protocol, over all its tasks, and then those of older states.

    Args:
        records: from the store.
        titles: of methods.
        task: only this one; None for all with records.
    """
    newest: dict[Identity, list[Block]] = {}
    older: list[Block] = []
    for layout in _layouts(records, task):
        seen = set()
        for block in build_blocks(records, layout, _without_parents(titles)):
            identity = _identity(block)
            if identity in seen:
                older.append(block)
            else:
                newest.setdefault(identity, []).append(block)
            seen.add(identity)
    return [_contest(blocks, titles) for blocks in [*newest.values(), *([block] for block in older)]]


def _layouts(records: Sequence[Record], task: str | None) -> list[Layout]:
    """Layouts of the tasks, and a bare one for a task that no table is laid out for."""
    layouts = [layout for layout in load_layouts() if not layout.variants_of]
    known = {layout.task for layout in layouts}
    others = sorted({record.spec.task for record in records} - known)
    layouts += [replace(layouts[0], number=0, numeral="", task=other, title=other, columns=()) for other in others]
    return [layout for layout in layouts if task in (None, layout.task)]


def _without_parents(titles: Titles) -> Titles:
    """Titles by which ablations stand among methods, since any two may be compared."""

    def card(name: str) -> MethodCard:
        return replace(titles.method_card(name), variant_of="")

    return replace(titles, method=card)


def _identity(block: Block) -> Identity:
    return block.suite, block.protocol, block.image_size, block.limit


def _contest(blocks: Sequence[Block], titles: Titles) -> Contest:
    first = blocks[0]
    runs: dict[tuple[Contestant, Column], list[Record]] = {}
    columns: dict[Column, None] = {}
    arch, contestants = _contestants(blocks, titles)
    for block in blocks:
        for column, record in _placed(block):
            columns[column] = None
            runs.setdefault((contestants[_who(record)], column), []).append(record)
    return Contest(
        suite=first.suite,
        protocol=first.protocol,
        image_size=first.image_size,
        limit=first.limit,
        older=first.differences,
        arch=arch,
        remarks=tuple(_remarks(first)),
        columns=tuple(columns),
        contestants=tuple(contestants.values()),
        runs=runs,
    )


def _placed(block: Block) -> Iterable[tuple[Column, Record]]:
    """Every record of a block with its column, from left to right."""
    for group, fraction in block.columns:
        column = Column(
            task=group.task,
            dataset=group.dataset,
            metric=group.metric,
            fraction=fraction,
            title=group.title,
            metric_title=group.metric_title,
            decimals=block.layout.decimals,
        )
        for record in sorted(group.records, key=lambda one: (one.spec.pretrain_seed, one.spec.seed, one.key)):
            if record.spec.fraction == fraction:
                yield column, record


def _who(record: Record) -> Who:
    return record.spec.method, record.spec.arch, record.recipe


def _contestants(blocks: Sequence[Block], titles: Titles) -> tuple[str, dict[Who, Contestant]]:
    """Every row but trivial predictors; the architecture they share leads, and is then left out of their titles."""
    rows = {(row.name, row.arch, row.recipe): row for block in blocks for row in block.rows if row.kind != TRIVIAL}
    archs = {row.arch for row in rows.values()}
    shared = arch_title(archs.pop()) if len(archs) == 1 else ""
    return shared, {who: _contestant(row, titles, shared) for who, row in rows.items()}


def _contestant(row: Row, titles: Titles, arch: str) -> Contestant:
    ablation = row.section == "methods" and titles.method_card(row.name).variant_of
    title = row.title
    if arch:
        title = title.removesuffix(f" ({arch})").replace(f" ({arch}, ", " (")
    return Contestant(row.name, row.arch, row.recipe, title, ABLATIONS if ablation else row.section)


def _remarks(block: Block) -> Iterable[str]:
    """The sentence that belongs under every number of the suite."""
    told: dict[str, Any] = block.newest.provenance.get("suite") or {}
    note = str(told.get("note", ""))
    if told.get("synthetic") and "synthetic" not in note.lower():
        note = f"Synthetic data. {note}".strip()
    if note:
        yield note
