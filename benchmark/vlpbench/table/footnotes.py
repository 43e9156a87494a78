"""Footnotes: protocol, seeds, code, date and weights behind a table, and which of its cells are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vlpbench.record import Record
from vlpbench.splits import CLEAN
from vlpbench.table.blocks import Block
from vlpbench.table.columns import ColumnGroup
from vlpbench.table.entries import same_n
from vlpbench.table.listing import group_name, list_cells, row_name
from vlpbench.table.titles import percent

SHORT = 8
TRAIN, VALIDATION, TEST = "train images", "val images", "test images"


def protocol_note(block: Block) -> str:
    """The protocol, its version and the settings it came to."""
    told = block.newest.provenance.get("protocol", {})
    version = f", version {told['version']}" if "version" in told else ""
    title = f": {told['title']}" if "title" in told else ""
    hashes = dict.fromkeys(
        record.foundations.settings_hash[:SHORT] for group in block.groups for record in group.records[:1]
    )
    return f"Protocol {block.protocol}{version}{title} (resolved settings {', '.join(hashes)})."


def data_note(block: Block, group: ColumnGroup) -> str:
    """Split of one dataset, its sizes, and those of the label fractions."""
    title = group_name(block, group)
    if not group.records:
        return f"{title}: no record yet."
    newest = max(group.records, key=lambda record: (record.started_at, record.key))
    told = newest.provenance.get("data", {})
    sizes = [
        told.get("splits", {}).get("train", _largest(group.records, TRAIN)),
        newest.counts.get(VALIDATION),
        newest.counts.get(TEST),
    ]
    named = " / ".join("?" if size is None else str(size) for size in sizes)
    counts = {
        fraction: [record.counts.get(TRAIN) for record in group.records if record.spec.fraction == fraction]
        for fraction in group.fractions
    }
    used = ", ".join(f"{percent(fraction)} = {_span(found)}" for fraction, found in counts.items() if found)
    base = newest.foundations
    return (
        f"{title}: {named} images to train, validate and test (data {base.data_fingerprint[:SHORT]}, split "
        f"{told.get('split', {}).get('name', CLEAN)} {base.split_hash[:SHORT]}); training labels used: {used} images."
    )


def run_notes(block: Block) -> list[str]:
    """Seeds, and what a row with a recipe is."""
    seeds = (
        f"pre-training seeds {_listed(record.spec.pretrain_seed for record in block.records)}, "
        f"evaluation seeds {_listed(record.spec.seed for record in block.records)}"
    )
    n = same_n(block)
    if n == 1:
        lines = [f"One run per cell ({seeds}), so the spread between runs is not known."]
    else:
        count = f"n = {n} runs" if n is not None else "n runs, n in brackets"
        lines = [f"Mean ± sample standard deviation over {count} ({seeds})."]
    if any("recipe" in row.short_title for row in block.rows):
        lines.append("Rows of one method that name a recipe differ in pre-training settings, corpus or method version.")
    return lines


def missing_notes(block: Block) -> list[str]:
    """Cells without a record, and without a number, counted and named."""
    listed = f": {list_cells(block, block.missing_places)}" if block.missing else ""
    lines = [f"Missing cells (–): {block.missing} of {block.expected}{listed}."]
    undefined = [
        (number, column)
        for number, row in enumerate(block.rows)
        if row.counted
        for column, cell in enumerate(row.cells)
        if cell is not None and cell.undefined
    ]
    if undefined:
        lines.append(
            f"Cells with an undefined metric in some run, which their mean leaves out: {len(undefined)}: "
            f"{list_cells(block, undefined)}."
        )
    return lines


def origin_notes(block: Block) -> list[str]:
    """Records, code, date and weights, and the way to a record."""
    count = f"{len(block.records)} record{'s' if len(block.records) != 1 else ''}"
    older = f"; {block.superseded} older of the same cells and seeds left out" if block.superseded else ""
    versions = _listed(record.provenance.get("vlpbench", "?") for record in block.records)
    newest = block.newest
    date = f" of {newest.started_at[:10]}" if newest.started_at else ""
    weights = "; ".join(
        f"{row_name(block, row)} {_listed(one.foundations.weights_sha256[:SHORT] for one in mine)}"
        for row in block.rows
        if (mine := [record for cell in row.cells if row.counted and cell for record in cell.records])
    )
    return [
        f"From {count}{older}, made by vlpbench {versions} ({_commits(block.records)}). The newest is{date}: vlpbench "
        f"show {newest.key} prints it; the CSV of this table names the records of every cell.",
        f"Weights (sha256): {weights}.",
    ]


def _commits(records: Sequence[Record]) -> str:
    """Commits of the code, and how many records were made with changes beside them."""
    states = [record.provenance.get("git") or {} for record in records]
    known = sorted({str(state["commit"])[:SHORT] for state in states if "commit" in state})
    unknown = sum("commit" not in state for state in states)
    dirty = sum(bool(state.get("dirty")) for state in states)
    told = [f"git {', '.join(known)}"] if known else []
    told += [f"{dirty} with uncommitted changes"] if dirty else []
    told += [f"git commit of {unknown if known else 'all'} unknown"] if unknown else []
    return "; ".join(told)


def _largest(records: Sequence[Record], count: str) -> int | None:
    return max((record.counts[count] for record in records if count in record.counts), default=None)


def _span(values: Iterable[int | None]) -> str:
    known = sorted({value for value in values if value is not None})
    if not known:
        return "?"
    return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in sorted(set(values), key=str))
