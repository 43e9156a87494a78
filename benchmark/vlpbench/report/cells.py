"""Cells: every record in one compact table that the page's script searches, sorts and unfolds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlpbench.record import Record
from vlpbench.report.naming import method_title
from vlpbench.reproduction import run_command
from vlpbench.table.layout import Layout
from vlpbench.table.titles import Titles

DIGITS = 6
COLUMNS = (
    "key", "method", "task", "dataset", "fraction", "seed", "headline", "value", "seconds", "metrics", "command",
    "suite", "protocol", "pretrain_seed", "arch", "attempt", "started", "selection", "weights",
)  # fmt: skip


class Index:
    """Words that many rows share, each kept once."""

    def __init__(self) -> None:
        """Start without words."""
        self.words: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, word: Any) -> int:
        """Place of a word in the list, where it is put if it is new."""
        if word not in self._numbers:
            self._numbers[word] = len(self.words)
            self.words.append(word)
        return self._numbers[word]


def cells_data(records: Sequence[Record], layouts: Sequence[Layout], titles: Titles) -> dict[str, Any]:
    """All cells as plain data.

    Args:
        records: in the order they are listed first.
        layouts: give metrics their printed names.
        titles: of methods, and the suites that commands need not spell out.

    Returns:
        "columns" names the places of each of "rows"; rows hold numbers into the lists of the same name as the column
        for method, task, dataset, headline, command, suite, protocol, arch and selection. "metrics" of a row is its
        metric set's number and then the values, fractions in [0, 1] or null.
    """
    indices = {
        name: Index()
        for name in (
            "method", "task", "dataset", "headline", "metrics", "command", "suite", "protocol", "arch", "selection",
        )
    }  # fmt: skip
    rows = [_row(record, layouts, titles, indices) for record in records]
    return {"columns": list(COLUMNS), "rows": rows, **{name: index.words for name, index in indices.items()}}


def _row(record: Record, layouts: Sequence[Layout], titles: Titles, indices: dict[str, Index]) -> list[Any]:
    spec = record.spec
    dataset = record.provenance.get("data", {}).get("title", spec.dataset)
    names = tuple(sorted(record.metrics))
    cell = {
        "key": record.key,
        "method": (spec.method, method_title(spec.method, titles, layouts)),
        "task": spec.task,
        "dataset": (spec.dataset, dataset),
        "fraction": spec.fraction,
        "seed": spec.seed,
        "headline": metric_title(spec.task, record.headline, layouts),
        "value": _rounded(record.metrics.get(record.headline)),
        "seconds": record.provenance.get("wall_seconds"),
        "metrics": names,
        "command": run_command(record, titles.suite(spec.suite)),
        "suite": spec.suite,
        "protocol": spec.protocol,
        "pretrain_seed": spec.pretrain_seed,
        "arch": spec.arch,
        "attempt": record.attempt,
        "started": record.started_at,
        "selection": _selection(record),
        "weights": record.foundations.weights_sha256[:12],
    }
    row = [indices[name].number(cell[name]) if name in indices else cell[name] for name in COLUMNS]
    row[COLUMNS.index("metrics")] = [
        indices["metrics"].number(names),
        *(_rounded(record.metrics[name]) for name in names),
    ]
    return row


def metric_title(task: str, metric: str, layouts: Sequence[Layout]) -> str:
    """A metric as the tables print it."""
    titles = [layout.metrics[metric] for layout in layouts if task in layout.tasks and metric in layout.metrics]
    return titles[0] if titles else metric


def _selection(record: Record) -> str:
    """The rule that chose the model, with what it chose."""
    rest = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in record.selection.items()
        if name != "rule"
    )
    return f"{record.selection.get('rule', '')}{f' ({rest})' if rest else ''}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
