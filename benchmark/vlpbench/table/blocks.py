"""Blocks: records that may stand in one table, and their columns.

Records share a block only if suite, protocol, input size, limit, resolved settings and task version agree, and a column
only if data fingerprint and split agree as well. Records of an older state get a block of their own that says what
differs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vlpbench.protocol import SETTINGS
from vlpbench.record import Record, latest_attempts
from vlpbench.settings import later_defaults
from vlpbench.suite import Suite
from vlpbench.table.cells import Row
from vlpbench.table.layout import Layout
from vlpbench.table.rows import build_rows
from vlpbench.table.titles import Titles

Key = TypeVar("Key", bound=Hashable)
Place = tuple[str, str, str]
"""Task, dataset and headline of a column group."""


@dataclass(frozen=True)
class ColumnGroup:
    """The columns of one dataset and metric, one per fraction.

    Attributes:
        task: registered task.
        dataset: name.
        title: as printed.
        metric: headline metric.
        metric_title: as printed.
        fractions: of the training labels, ascending.
        records: everything in these columns.
    """

    task: str
    dataset: str
    title: str
    metric: str
    metric_title: str
    fractions: tuple[float, ...]
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Block:
    """One table as rendered.

    Attributes:
        layout: its layout.
        suite: suite name.
        protocol: protocol name.
        image_size: side of the input, pixels.
        limit: cap on images per split, None for none.
        groups: column groups in order.
        rows: floors first.
        records: everything in it.
        superseded: older records of the same cells and seeds that are left out.
        differences: what sets an older state apart from the newest; empty for the newest.
    """

    layout: Layout
    suite: str
    protocol: str
    image_size: int
    limit: int | None
    groups: tuple[ColumnGroup, ...]
    rows: tuple[Row, ...]
    records: tuple[Record, ...]
    superseded: int
    differences: tuple[str, ...]

    @property
    def columns(self) -> list[tuple[ColumnGroup, float]]:
        """Column groups and fractions from left to right."""
        return [(group, fraction) for group in self.groups for fraction in group.fractions]

    @property
    def newest(self) -> Record:
        """The record made last."""
        return max(self.records, key=lambda record: (record.started_at, record.key))

    @property
    def missing(self) -> int:
        """Cells of methods and of random initialisation without a record."""
        return sum(cell is None for row in self.rows if row.kind != "trivial" for cell in row.cells)

    @property
    def expected(self) -> int:
        """Cells of methods and of random initialisation in all."""
        return sum(len(row.cells) for row in self.rows if row.kind != "trivial")


def build_blocks(records: Iterable[Record], layout: Layout, titles: Titles) -> tuple[Block, ...]:
    """Sort the records of one table into blocks, the newest state of each suite and protocol first."""
    mine = [record for record in latest_attempts(records) if _belongs(record, layout, titles)]
    if layout.variants_of and all(not titles.method_card(record.spec.method).variant_of for record in mine):
        return ()
    blocks: list[Block] = []
    for _, alike in sorted(_grouped(mine, _identity).items()):
        states = _states(alike)
        first = states[0]
        for state in states:
            blocks.append(_block(state, layout, titles, newest=first))
    return tuple(blocks)


def _belongs(record: Record, layout: Layout, titles: Titles) -> bool:
    """Whether a record has a place in a table: its column, and a row among methods or among ablations."""
    spec = record.spec
    parent = titles.method_card(spec.method).variant_of
    if not layout.variants_of:
        wanted = not parent
    else:
        wanted = layout.variants_of in {spec.method, parent} or spec.method in layout.floors
    return wanted and layout.has_column(spec.task, spec.dataset)


def _identity(record: Record) -> tuple[str, str, int, int]:
    spec = record.spec
    return spec.suite, spec.protocol, spec.image_size, -1 if spec.limit is None else spec.limit


def _states(records: Sequence[Record]) -> list[list[Record]]:
    """Records by settings and task version, and within these by the state of their data; newest first.

    Where a table has several tasks, their newest states stand together, and so on back in time.
    """
    by_task = [_task_states(alike) for alike in _grouped(records, lambda one: one.spec.task).values()]
    return [
        [record for states in by_task if depth < len(states) for record in states[depth]]
        for depth in range(max(map(len, by_task)))
    ]


def _task_states(records: Sequence[Record]) -> list[list[Record]]:
    states: list[list[Record]] = []
    for judged in _newest_first(records, lambda one: (one.foundations.settings_hash, one.foundations.task_version)):
        by_column = [
            _newest_first(column, lambda one: (one.foundations.data_fingerprint, one.foundations.split_hash))
            for column in _grouped(judged, lambda one: (one.spec.dataset, one.headline)).values()
        ]
        for depth in range(max(map(len, by_column))):
            states.append([record for versions in by_column if depth < len(versions) for record in versions[depth]])
    return states


def _block(records: Sequence[Record], layout: Layout, titles: Titles, *, newest: Sequence[Record]) -> Block:
    spec = records[0].spec
    kept = _without_superseded(records)
    is_newest = records is newest
    groups = _groups(kept, layout, titles.suite(spec.suite), is_newest=is_newest)
    return Block(
        layout=layout,
        suite=spec.suite,
        protocol=spec.protocol,
        image_size=spec.image_size,
        limit=spec.limit,
        groups=groups,
        rows=build_rows(
            kept, layout, titles, [(group.records, fraction) for group in groups for fraction in group.fractions]
        ),
        records=tuple(kept),
        superseded=len(records) - len(kept),
        differences=() if is_newest else _differences(records, newest),
    )


def _without_superseded(records: Sequence[Record]) -> list[Record]:
    """The newest record of each cell and seed: a backbone trained again replaces the one before."""
    kept: dict[tuple[object, ...], Record] = {}
    for record in sorted(records, key=lambda one: (one.started_at, one.key)):
        kept[record.spec, record.recipe, record.headline] = record
    return list(kept.values())


def _groups(
    records: Sequence[Record], layout: Layout, suite: Suite | None, *, is_newest: bool
) -> tuple[ColumnGroup, ...]:
    """Columns: the suite's pairs in their order, whether there are records or not, then whatever else there is."""
    found = _grouped(records, lambda one: (one.spec.task, one.spec.dataset, one.headline))
    fractions = {record.spec.fraction for record in records}
    order: list[Place] = []
    if suite is not None:
        order = _suite_columns(suite, layout, sorted(found), with_empty=is_newest)
        fractions |= set(suite.fractions) if is_newest else set()
    rest = sorted(found, key=lambda place: (layout.position(place[0], place[1]), place))
    order += [place for place in rest if place not in order]
    return tuple(
        ColumnGroup(
            task=task,
            dataset=dataset,
            title=_dataset_title(dataset, suite, found.get((task, dataset, metric), [])),
            metric=metric,
            metric_title=layout.metrics.get(metric, metric),
            fractions=tuple(sorted(fractions)),
            records=tuple(found.get((task, dataset, metric), [])),
        )
        for task, dataset, metric in order
    )


def _suite_columns(suite: Suite, layout: Layout, found: Sequence[Place], *, with_empty: bool) -> list[Place]:
    """Places of the suite's pairs; a pair without records takes the headline of its neighbours."""
    pairs = [pair for pair in suite.pairs if layout.has_column(pair.task, pair.dataset)]
    order: list[Place] = []
    for pair in pairs:
        alone = sum((other.task, other.dataset) == (pair.task, pair.dataset) for other in pairs) == 1
        mine = [
            (task, dataset, headline)
            for task, dataset, headline in found
            if (task, dataset) == (pair.task, pair.dataset) and (alone or headline.startswith(pair.metric))
        ]
        if not mine and with_empty:
            near = sorted({headline for task, _, headline in found if task == pair.task})
            usual = next((headline for headline in near if headline.startswith(pair.metric)), pair.metric)
            mine = [(pair.task, pair.dataset, usual)]
        order += [place for place in mine if place not in order]
    return order


def _dataset_title(name: str, suite: Suite | None, records: Sequence[Record]) -> str:
    if suite is not None and name in suite.datasets:
        return suite.datasets[name].title
    return str(records[0].provenance.get("data", {}).get("title", name)) if records else name


def _differences(records: Sequence[Record], newest: Sequence[Record]) -> tuple[str, ...]:
    """What an older state stands on that the newest does not."""
    lines: list[str] = []
    states: Mapping[tuple[str, str], Record] = {_pair(record): record for record in newest}
    for task, old in {record.spec.task: record for record in records}.items():
        new = next((record for record in newest if record.spec.task == task), old)
        if old.foundations.task_version != new.foundations.task_version:
            lines.append(f"task version {old.foundations.task_version}, not {new.foundations.task_version}")
        if old.foundations.settings_hash != new.foundations.settings_hash:
            lines += _changed_settings(old, new) or [f"settings {old.foundations.settings_hash[:8]}"]
    for pair, record in {_pair(record): record for record in records}.items():
        if (other := states.get(pair)) is None:
            continue
        here, there, dataset = record.foundations, other.foundations, record.spec.dataset
        if here.data_fingerprint != there.data_fingerprint:
            lines.append(f"{dataset}: data {here.data_fingerprint[:8]}, not {there.data_fingerprint[:8]}")
        if here.split_hash != there.split_hash:
            lines.append(f"{dataset}: split {here.split_hash[:8]}, not {there.split_hash[:8]}")
    return tuple(lines)


def _pair(record: Record) -> tuple[str, str]:
    return record.spec.task, record.spec.dataset


def _changed_settings(old: Record, new: Record) -> list[str]:
    """Settings that differ, and the protocol's version, as far as provenance tells."""
    before, after = _judgement(old), _judgement(new)
    return [
        f"{name} {before.get(name)}, not {after.get(name)}"
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    ]


def _judgement(record: Record) -> dict[str, Any]:
    version = record.provenance.get("protocol", {}).get("version")
    kind = SETTINGS.get(record.spec.task)
    return {
        "protocol version": version,
        **(later_defaults(kind) if kind else {}),
        **record.provenance.get("settings", {}),
    }


def _grouped(records: Iterable[Record], key: Callable[[Record], Key]) -> dict[Key, list[Record]]:
    groups: dict[Key, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def _newest_first(records: Iterable[Record], key: Callable[[Record], Hashable]) -> list[list[Record]]:
    groups = _grouped(records, key).values()
    return sorted(groups, key=lambda group: max((one.started_at, one.key) for one in group), reverse=True)
