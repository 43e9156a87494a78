"""Notes: what stands over and under a table, in plain text, so that its numbers can be judged without the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlpbench.record import Record
from vlpbench.splits import CLEAN
from vlpbench.table.blocks import Block, ColumnGroup
from vlpbench.table.cells import Cell
from vlpbench.table.titles import MARKS, Titles

SHORT = 8
RANDOM = "random"
TRAIN, VALIDATION, TEST, SEEN = "train images", "val images", "test images", "test images seen in pre-training"


def heading(block: Block) -> str:
    """Number and title of a table, with what sets it apart from its neighbours."""
    parts = [f"suite {block.suite}", f"protocol {block.protocol}", f"{block.image_size} px"]
    if block.limit is not None:
        parts.append(f"at most {block.limit} images per split")
    if block.differences:
        parts.append("older state")
    return f"Table {block.layout.numeral}. {block.layout.title} ({', '.join(parts)})"


def build_notes(block: Block, titles: Titles) -> list[str]:
    """Notes of one table, one line each."""
    return [
        *_state_notes(block),
        *_suite_notes(block, titles),
        _protocol_note(block),
        *_metric_notes(block, titles),
        *(_data_note(group) for group in block.groups),
        *_run_notes(block),
        *_floor_notes(block),
        *_mark_notes(block, titles),
        _missing_note(block),
        *_origin_notes(block),
    ]


def percent(fraction: float) -> str:
    """A label fraction as printed in a column head."""
    return f"{round(100 * fraction, 6):g} %"


def same_n(block: Block) -> int | None:
    """Runs per cell where all cells of methods agree, else None."""
    counts = {cell.n for cell in _method_cells(block)}
    return counts.pop() if len(counts) == 1 else None


def _state_notes(block: Block) -> list[str]:
    if not block.differences:
        return []
    return [
        f"Records of an older state, kept apart from the newest because they differ: {'; '.join(block.differences)}."
    ]


def _suite_notes(block: Block, titles: Titles) -> list[str]:
    """Title of the suite and the sentence that belongs under every table of it."""
    told: dict[str, Any] = block.newest.provenance.get("suite") or {}
    suite = titles.suite(block.suite)
    title = told.get("title", suite.title if suite else "")
    note = told.get("note", suite.note if suite else "")
    synthetic = told.get("synthetic", suite.synthetic if suite else False)
    if synthetic and "synthetic" not in note.lower():
        note = f"Synthetic data. {note}".strip()
    return [line for line in (note, f"Suite {block.suite}: {title}." if title else "") if line]


def _protocol_note(block: Block) -> str:
    told = block.newest.provenance.get("protocol", {})
    version = f", version {told['version']}" if "version" in told else ""
    title = f": {told['title']}" if "title" in told else ""
    hashes = dict.fromkeys(
        record.foundations.settings_hash[:SHORT] for group in block.groups for record in group.records[:1]
    )
    settings = ", ".join(hashes)
    return f"Protocol {block.protocol}{version}{title} (resolved settings {settings})."


def _metric_notes(block: Block, titles: Titles) -> list[str]:
    lines = []
    told = dict.fromkeys((group.task, group.metric, group.metric_title) for group in block.groups)
    for task, metric, title in told:
        meaning = titles.metric_meaning(task, metric).rstrip(".")
        lines.append(f"{title} (metric {metric}), in %, higher is better{f': {meaning}' if meaning else ''}.")
    return lines


def _data_note(group: ColumnGroup) -> str:
    """Sizes of the splits and of the label fractions of one dataset."""
    if not group.records:
        return f"{group.title}: no record yet."
    newest = max(group.records, key=lambda record: (record.started_at, record.key))
    splits = newest.provenance.get("data", {}).get("splits", {})
    train = splits.get("train", _largest(group.records, TRAIN))
    sizes = [train, newest.counts.get(VALIDATION), newest.counts.get(TEST)]
    named = " / ".join("?" if size is None else str(size) for size in sizes)
    counts = {
        fraction: [record.counts.get(TRAIN) for record in group.records if record.spec.fraction == fraction]
        for fraction in group.fractions
    }
    used = ", ".join(f"{percent(fraction)} = {_span(found)}" for fraction, found in counts.items() if found)
    base = newest.foundations
    text = (
        f"{group.title}: {named} images to train, validate and test (data {base.data_fingerprint[:SHORT]}, "
        f"split {base.split_hash[:SHORT]}); training labels used: {used} images."
    )
    seen = _largest(group.records, SEEN)
    told = [text, *_split_warnings(newest.provenance.get("data", {}).get("split", {}))]
    if seen:
        told.append(f"Up to {seen} test images were seen in pre-training, without their labels.")
    return " ".join(told)


def _split_warnings(split: Mapping[str, Any]) -> list[str]:
    """Name of a split other than the clean one, its known faults, and patients its parts share."""
    named = [f"Split {split['name']}."] if split.get("name", CLEAN) != CLEAN else []
    shared = [f"{count} patients are in both {pair}." for pair, count in split.get("shared", {}).items()]
    return [*named, *split.get("known", []), *shared]


def _run_notes(block: Block) -> list[str]:
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
    if sum(row.kind == "method" for row in block.rows) > 1:
        lines.append(
            "Bold: highest mean of the methods in a column; underlined: second highest; no test of significance."
        )
    if any("recipe" in row.title for row in block.rows):
        lines.append("Rows of one method that name a recipe differ in pre-training settings, corpus or method version.")
    return lines


def _floor_notes(block: Block) -> list[str]:
    present = {row.name: row.title for row in block.rows if row.kind != "method"}
    told = [
        f"{floor.title}: {floor.meaning}."
        for name, floor in block.layout.floors.items()
        if name in present and floor.meaning
    ]
    lines = [f"Floors, which a method should beat. {' '.join(told)}"] if told else []
    above = [f"{one.title}: {one.meaning}." for name, one in block.layout.ceilings.items() if name in present]
    lines += [f"For comparison only, without a rank. {' '.join(above)}"] if above else []
    if RANDOM in block.layout.floors and RANDOM not in present:
        lines.append("There is no row of random initialisation yet: vlpbench run --method random makes it.")
    return lines


def _mark_notes(block: Block, titles: Titles) -> list[str]:
    used = {mark for row in block.rows for mark in titles.method_card(row.name).mark if row.kind != "trivial"}
    return [f"{mark} {meaning}." for mark, meaning in MARKS.items() if mark in used]


def _missing_note(block: Block) -> str:
    undefined = sum(cell.undefined > 0 for row in block.rows if row.kind != "trivial" for cell in row.cells if cell)
    text = f"Missing cells (–): {block.missing} of {block.expected}."
    return f"{text} Cells with an undefined metric in some run: {undefined}." if undefined else text


def _origin_notes(block: Block) -> list[str]:
    count = f"{len(block.records)} record{'s' if len(block.records) != 1 else ''}"
    older = f"; {block.superseded} older of the same cells and seeds left out" if block.superseded else ""
    versions = _listed(record.provenance.get("vlpbench", "?") for record in block.records)
    weights = "; ".join(
        f"{row.title} {_listed(one.foundations.weights_sha256[:SHORT] for one in block.records if _made(one) == made)}"
        for row in block.rows
        if row.kind != "trivial"
        for made in [(row.name, row.arch, row.recipe)]
    )
    return [f"From {count}{older}, made by vlpbench {versions}.", f"Weights (sha256): {weights}."]


def _made(record: Record) -> tuple[str, str, str]:
    return record.spec.method, record.spec.arch, record.recipe


def _method_cells(block: Block) -> list[Cell]:
    return [cell for row in block.rows if row.kind != "trivial" for cell in row.cells if cell is not None]


def _largest(records: Sequence[Record], count: str) -> int | None:
    return max((record.counts[count] for record in records if count in record.counts), default=None)


def _span(values: Iterable[int | None]) -> str:
    known = sorted({value for value in values if value is not None})
    if not known:
        return "?"
    return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in sorted(set(values), key=str))
