"""`vlpbench reproduce`: one cell evaluated again, beside its record."""

from __future__ import annotations

import sys
from textwrap import wrap

from rich import box
from rich.console import Console
from rich.table import Table

from vlpbench.commands.agreement import (
    DIFFERS,
    Agreement,
    Foundation,
    compare_predictions,
    compare_records,
    difference,
)
from vlpbench.commands.arguments import load_plugins
from vlpbench.commands.reevaluation import RETRAIN, STORED, Means, evaluate_again
from vlpbench.commands.show import find_attempt, print_plainly
from vlpbench.errors import UnknownNameError
from vlpbench.record import Record
from vlpbench.store import RecordStore, describe

__all__ = ["Means", "reproduce"]


def reproduce(key: str, means: Means) -> None:
    """Evaluate the cell of a record again and print whether the metrics agree; exit code 1 where they do not.

    The new record goes into a folder of its own below `work`, beside those of earlier reproductions.

    Raises:
        UnknownKeyError: if there is no such record.
        VlpbenchError: if its suite, method, data or weights cannot be had, or the cell fails.
        StoppedError: on Ctrl-C.
    """
    if means.weights not in {STORED, RETRAIN}:
        raise UnknownNameError("choice of --weights", means.weights, (STORED, RETRAIN))
    load_plugins(means.plugins)
    store = RecordStore(means.results)
    record, _, _ = find_attempt(store, key)
    console = Console(soft_wrap=True)
    print_plainly(console, f"{record.key}: {describe(record.spec)}", style="bold")
    again, scratch = evaluate_again(record, means, console)
    predictions = compare_predictions(record, store, again, scratch)
    agreement = compare_records(record, again, predictions=predictions)
    _print(console, agreement, again, scratch)
    if agreement.verdict == DIFFERS:
        sys.exit(1)


def _print(console: Console, agreement: Agreement, again: Record, scratch: RecordStore) -> None:
    """The verdict, each metric stored and now, and what they stand on."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("metric", overflow="fold")
    for column in ("stored", "now", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, (stored, now) in agreement.metrics.items():
        gap = difference(stored, now)
        table.add_row(name, _number(stored), _number(now), "–" if gap is None else f"{gap:.2g}")
    console.print(table)
    changed = [one for one in agreement.foundations if not one.same]
    same = [one.name for one in agreement.foundations if one.same and not one.package]
    _paragraph(console, f"same: {', '.join(same)}")
    for one in changed:
        _paragraph(console, f"another {one.name}: {_told(one)}")
    _paragraph(console, f"predictions: {agreement.predictions}")
    _paragraph(console, f"record of this run: {scratch.record_path(again)}")
    count = f"{len(agreement.metrics)} metrics"
    print_plainly(console, f"\n{agreement.verdict}: {count}", style="bold")
    if agreement.reason:
        _paragraph(console, f"probable reason: {agreement.reason}")


def _told(one: Foundation) -> str:
    detail = f" ({one.detail})" if one.detail else ""
    return f"{one.stored}, now {one.now}{detail}"


def _paragraph(console: Console, text: str) -> None:
    for line in wrap(text, max(console.width, 40), subsequent_indent="  ", break_long_words=False):
        print_plainly(console, line)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.9f}"
