"""The sheet: every cell in long form, as CSV, for whoever computes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from vlpbench.table.beside import WORDS
from vlpbench.table.blocks import Block
from vlpbench.table.cells import Cell, Row
from vlpbench.table.columns import ColumnGroup
from vlpbench.table.footnotes import TEST, TRAIN, VALIDATION
from vlpbench.table.published import PublishedCell

CSV_FIELDS: tuple[str, ...] = (
    "table", "suite", "protocol", "protocol_version", "settings_hash", "task_version", "image_size", "limit", "task",
    "dataset", "data_fingerprint", "split_hash", "metric", "fraction", "kind", "method", "arch", "venue", "recipe",
    "mean", "sd", "n", "undefined", "pretrain_seeds", "seeds", "rank", "below_floor", "tied", "ci_low", "ci_high",
    "ci_samples", "published", "difference", "published_marks", "train_images", "val_images", "test_images", "records",
)  # fmt: skip


def comma_separated(blocks: Sequence[Block]) -> str:
    """Cells in long form, one line each: fractions in [0, 1] at full precision, empty where there is no number."""
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for block in blocks:
        for row in block.rows:
            printed = row.published if row.published else (None,) * len(row.cells)
            for (group, fraction), cell, number in zip(block.columns, row.cells, printed, strict=True):
                writer.writerow({**_where(block, group, fraction), **_who(row), **_what(cell, row), **_beside(number)})
    return sheet.getvalue()


def _where(block: Block, group: ColumnGroup, fraction: float) -> dict[str, object]:
    """Fields of a column; those of its data are empty while it holds no record."""
    newest = block.newest
    base = group.records[0].foundations if group.records else None
    judged = base if base is not None else newest.foundations
    return {
        "table": block.layout.number,
        "suite": block.suite,
        "protocol": block.protocol,
        "protocol_version": newest.provenance.get("protocol", {}).get("version", ""),
        "settings_hash": judged.settings_hash,
        "task_version": judged.task_version,
        "image_size": block.image_size,
        "limit": "" if block.limit is None else block.limit,
        "task": group.task,
        "dataset": group.dataset,
        "data_fingerprint": base.data_fingerprint if base else "",
        "split_hash": base.split_hash if base else "",
        "metric": group.metric,
        "fraction": repr(fraction),
    }


def _who(row: Row) -> dict[str, object]:
    return {"kind": row.kind, "method": row.name, "arch": row.arch, "venue": row.venue, "recipe": row.recipe}


def _what(cell: Cell | None, row: Row) -> dict[str, object]:
    """Fields of a measured cell, with the keys of its records."""
    if cell is None:
        return {"n": 0, "undefined": 0, "pretrain_seeds": 0, "seeds": 0}
    counts = cell.records[0].counts if cell.records else {}
    span = cell.interval
    return {
        "mean": _number(cell.mean),
        "sd": _number(cell.sd),
        "n": cell.n,
        "undefined": cell.undefined,
        "pretrain_seeds": cell.pretrain_seeds,
        "seeds": cell.seeds,
        "rank": cell.rank if cell.rank else "",
        "below_floor": "yes" if cell.below_floor else "",
        "tied": "yes" if cell.tied else "",
        "ci_low": "" if span is None else _number(span.low),
        "ci_high": "" if span is None else _number(span.high),
        "ci_samples": "" if span is None else span.samples,
        "train_images": counts.get(TRAIN, ""),
        "val_images": counts.get(VALIDATION, ""),
        "test_images": counts.get(TEST, ""),
        "records": " ".join(sorted(record.key for record in cell.records)) if row.counted else "",
    }


def _beside(number: PublishedCell | None) -> dict[str, object]:
    """Fields of a published number; what the paper prints in place of one stands as it is, with its per cent sign."""
    if number is None:
        return {}
    return {
        "published": f"{number.text} %" if number.value is None else _number(number.value),
        "difference": _number(number.difference),
        "published_marks": ";".join(WORDS[mark] for mark in number.marks),
    }


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
