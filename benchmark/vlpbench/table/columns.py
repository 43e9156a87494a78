"""Columns: one group per dataset and metric, one column per label fraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlpbench.record import Record
from vlpbench.suite import Suite
from vlpbench.table.agreement import check_agreement
from vlpbench.table.layout import Layout
from vlpbench.table.states import grouped

Place = tuple[str, str, str]
"""Task, dataset and headline of a column group."""


@dataclass(frozen=True)
class ColumnGroup:
    """The columns of one dataset and metric, one per fraction. Records that disagree are refused.

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

    def __post_init__(self) -> None:
        """Check that the records may stand side by side."""
        check_agreement(self.records, f"{self.dataset} ({self.metric})")


def build_columns(
    records: Sequence[Record], layout: Layout, suite: Suite | None, *, with_empty: bool
) -> tuple[ColumnGroup, ...]:
    """Columns: the suite's pairs in their order, whether there are records or not, then whatever else there is.

    Args:
        records: of one block.
        layout: gives order and titles.
        suite: the suite, None for one that is not known here.
        with_empty: whether pairs and fractions of the suite without a record get columns too.

    Raises:
        VlpbenchError: for records of one column that were not judged alike.
    """
    found = grouped(records, lambda one: (one.spec.task, one.spec.dataset, one.headline))
    fractions = {record.spec.fraction for record in records}
    order: list[Place] = []
    if suite is not None:
        order = _suite_columns(suite, layout, sorted(found), with_empty=with_empty)
        fractions |= set(suite.fractions) if with_empty and order else set()
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
