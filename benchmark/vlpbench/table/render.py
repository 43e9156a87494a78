"""Rendering: percent signs, rounding, bold and underline, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from vlpbench.record import Record
from vlpbench.table.blocks import Block, ColumnGroup
from vlpbench.table.cells import BEST, SECOND, Cell, Row
from vlpbench.table.notes import TEST, TRAIN, VALIDATION, build_notes, heading, percent, same_n
from vlpbench.table.titles import Titles

MISSING = "–"
UNDEFINED = "undefined"
Mark = Callable[[str], str]

CSV_FIELDS: tuple[str, ...] = (
    "table", "suite", "protocol", "protocol_version", "settings_hash", "task_version", "image_size", "limit", "task",
    "dataset", "data_fingerprint", "split_hash", "metric", "fraction", "kind", "method", "arch", "recipe", "mean", "sd",
    "n", "undefined", "pretrain_seeds", "seeds", "train_images", "val_images", "test_images",
)  # fmt: skip


def cell_text(cell: Cell | None, *, decimals: int, with_n: bool) -> str:
    """A cell in per cent, without emphasis."""
    if cell is None:
        return MISSING
    if cell.mean is None:
        return UNDEFINED
    spread = "" if cell.sd is None else f" ± {100 * cell.sd:.{decimals}f}"
    return f"{100 * cell.mean:.{decimals}f}{spread}{f' (n={cell.n})' if with_n else ''}"


def marked_cells(block: Block, row: Row, *, plain: Mark, bold: Mark, underline: Mark) -> list[str]:
    """The cells of a row as text, escaped by `plain` and then marked by rank."""
    with_n = row.kind != "trivial" and same_n(block) is None
    texts = []
    for cell in row.cells:
        text = plain(cell_text(cell, decimals=block.layout.decimals, with_n=with_n))
        rank = cell.rank if cell is not None else 0
        texts.append(bold(text) if rank == BEST else underline(text) if rank == SECOND else text)
    return texts


def markdown(blocks: Sequence[Block], remarks: Sequence[str], titles: Titles) -> str:
    """Tables as Markdown that GitHub shows with underlines."""
    from tabulate import tabulate

    parts = []
    for block in blocks:
        heads = ["Method", *_heads(block)]
        body = [
            [
                escape_markdown(row.title),
                *marked_cells(
                    block, row, plain=str, bold=lambda text: f"**{text}**", underline=lambda text: f"<u>{text}</u>"
                ),
            ]
            for row in block.rows
        ]
        align = ["left", *["right"] * len(block.columns)]
        table = tabulate(body, [escape_markdown(head) for head in heads], "pipe", colalign=align, disable_numparse=True)
        notes = "\n".join(f"- {escape_markdown(note)}" for note in build_notes(block, titles))
        parts.append(f"## {escape_markdown(heading(block))}\n\n{table}\n\n{notes}\n")
    if remarks:
        parts.append("\n".join(f"> {escape_markdown(remark)}" for remark in remarks) + "\n")
    return "\n".join(parts)


def _heads(block: Block) -> list[str]:
    """Column heads on one line; a metric that all columns share is left to the notes."""
    shared = len({group.metric for group in block.groups}) == 1
    return [
        f"{group.title}{'' if shared else f' ({group.metric_title})'} {percent(fraction)}"
        for group, fraction in block.columns
    ]


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    for sign in "\\`*|<>":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.replace("_", "\\_").split())


def comma_separated(blocks: Sequence[Block]) -> str:
    """Cells in long form, one line each: fractions in [0, 1] at full precision, empty where there is no number."""
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for block in blocks:
        for row in block.rows:
            for (group, fraction), cell in zip(block.columns, row.cells, strict=True):
                writer.writerow({**_where(block, group, fraction), **_what(row, group, fraction, cell)})
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


def _what(row: Row, group: ColumnGroup, fraction: float, cell: Cell | None) -> dict[str, object]:
    mine = [record for record in group.records if record.spec.fraction == fraction and _belongs(record, row)]
    counts = mine[0].counts if mine else {}
    return {
        "kind": row.kind,
        "method": row.name,
        "arch": row.arch,
        "recipe": row.recipe,
        "mean": "" if cell is None or cell.mean is None else repr(cell.mean),
        "sd": "" if cell is None or cell.sd is None else repr(cell.sd),
        "n": cell.n if cell else 0,
        "undefined": cell.undefined if cell else 0,
        "pretrain_seeds": cell.pretrain_seeds if cell else 0,
        "seeds": cell.seeds if cell else 0,
        "train_images": counts.get(TRAIN, ""),
        "val_images": counts.get(VALIDATION, ""),
        "test_images": counts.get(TEST, ""),
    }


def _belongs(record: Record, row: Row) -> bool:
    """Whether a record is among those behind a row."""
    if row.kind == "trivial":
        return row.name in record.floors
    return (record.spec.method, record.spec.arch, record.recipe) == (row.name, row.arch, row.recipe)
