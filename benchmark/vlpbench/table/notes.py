"""Notes: what stands over and under a table, in plain text, so that its numbers can be judged without the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vlpbench.table.beside import MEANINGS, has_published, used_marks
from vlpbench.table.blocks import Block
from vlpbench.table.cells import METHOD, Cell
from vlpbench.table.entries import BELOW_FLOOR
from vlpbench.table.footnotes import (
    TEST,
    TRAIN,
    VALIDATION,
    data_note,
    missing_notes,
    origin_notes,
    protocol_note,
    run_notes,
)
from vlpbench.table.listing import list_cells
from vlpbench.table.published import CITATION
from vlpbench.table.titles import MARKS, Titles, arch_title, percent
from vlpbench.table.warnings import SEEN, build_warnings

__all__ = ["SEEN", "TEST", "TRAIN", "VALIDATION", "build_notes", "heading", "percent"]

RANDOM = "random"
SHOWN = 3


def heading(block: Block) -> str:
    """Number and title of a table, with what sets it apart from its neighbours."""
    parts = [f"suite {block.suite}", f"protocol {block.protocol}", f"{block.image_size} px"]
    if block.limit is not None:
        parts.append(f"at most {block.limit} images per split")
    if block.differences:
        parts.append("older state")
    return f"Table {block.layout.numeral}. {block.layout.title} ({', '.join(parts)})"


def build_notes(block: Block, titles: Titles) -> list[str]:
    """Notes of one table, one line each: what it shows, its signs, and the footnote with the warnings."""
    return [
        *_state_notes(block),
        *_suite_notes(block, titles),
        *_metric_notes(block, titles),
        *(data_note(block, group) for group in block.groups),
        *run_notes(block),
        *_rank_notes(block),
        *_interval_notes(block),
        *_floor_notes(block),
        *_mark_notes(block),
        *_published_notes(block),
        *missing_notes(block),
        protocol_note(block),
        *origin_notes(block),
        *(f"Warning: {warning}" for warning in build_warnings(block)),
    ]


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


def _metric_notes(block: Block, titles: Titles) -> list[str]:
    lines = []
    told = dict.fromkeys((group.task, group.metric, group.metric_title) for group in block.groups)
    for task, metric, title in told:
        meaning = titles.metric_meaning(task, metric).rstrip(".")
        lines.append(f"{title} (metric {metric}), in %, higher is better{f': {meaning}' if meaning else ''}.")
    return lines


def _rank_notes(block: Block) -> list[str]:
    """What bold and underlined mean here."""
    archs = [row.arch for row in block.rows if row.kind == METHOD]
    if len(archs) < 2:
        return []
    among = "the methods in a column" if len(set(archs)) == 1 else "the methods on one backbone in a column"
    if block.sampling is None:
        return [f"Bold: highest mean of {among}; underlined: second highest; no test of significance."]
    told = block.sampling
    tests = " and ".join(
        {"DeLong": "DeLong's test for AUROC", "bootstrap": "the bootstrap over test patients"}.get(test, test)
        for test in told.tests
    )
    lines = [
        f"Bold: highest mean of {among}, and every method whose paired difference to it is not significant at "
        f"{percent(told.alpha)} ({tests or 'no test could be made'}; Holm over the methods of the column; for these "
        "trained weights); underlined: second highest, where that is not bold."
    ]
    if untested := _by_reason(block, lambda cell: cell.untested):
        lines.append(f"Not tested against the best of its column, and so not tied with it: {untested}")
    return lines


def _interval_notes(block: Block) -> list[str]:
    told = block.sampling
    if told is None:
        return []
    lines = [
        f"[low, high]: {percent(told.level)} percentile interval over {told.samples:,} bootstrap samples of the test "
        "patients, of the mean over the runs; the same samples for every method. It says how far the number would move "
        "with other test patients of the same kind, for these trained weights; ± says how far runs differ. Neither "
        "contains the other."
    ]
    if told.without_patients:
        lines.append(
            "Results do not say which images are of one patient, so that every image counts as a patient and intervals "
            f"may be too narrow: {', '.join(told.without_patients)}."
        )
    if lacking := _by_reason(block, lambda cell: cell.no_interval):
        lines.append(f"A number and no interval: {lacking}")
    return lines


def _by_reason(block: Block, reason_of: Callable[[Cell], str]) -> str:
    """Cells to which something could not be given, counted and listed by reason; "" for none."""
    reasons: dict[str, list[tuple[int, int]]] = {}
    for number, row in enumerate(block.rows):
        for column, cell in enumerate(row.cells):
            if cell is not None and (reason := reason_of(cell)):
                reasons.setdefault(reason, []).append((number, column))
    if not reasons:
        return ""
    count = sum(map(len, reasons.values()))
    told = [f"{list_cells(block, places)}: {reason.rstrip('.')}." for reason, places in reasons.items()]
    more = sum(len(places) for places in list(reasons.values())[SHOWN:])
    rest = [f"And {more} more cell{'s' if more > 1 else ''} for reasons of the same kind."] if more else []
    return " ".join([f"{count} cell{'s' if count > 1 else ''}.", *told[:SHOWN], *rest])


def _floor_notes(block: Block) -> list[str]:
    present = {row.name: row.title for row in block.rows if row.kind != METHOD}
    told = [
        f"{floor.title}: {floor.meaning}."
        for name, floor in block.layout.floors.items()
        if name in present and floor.meaning
    ]
    lines = [f"Floors, which a method should beat. {' '.join(told)}"] if told else []
    if any(cell is not None and cell.below_floor for row in block.rows for cell in row.cells):
        lines.append(
            f"{BELOW_FLOOR} not above the highest floor of its column: a predictor that looks at nothing, or random "
            "initialisation of the same backbone."
        )
    above = [f"{one.title}: {one.meaning}." for name, one in block.layout.ceilings.items() if name in present]
    lines += [f"For comparison only, without a rank. {' '.join(above)}"] if above else []
    return [*lines, *_random_notes(block)]


def _random_notes(block: Block) -> Iterable[str]:
    """Backbones without the floor that is made by a run."""
    if RANDOM not in block.layout.floors:
        return
    there = {row.arch for row in block.rows if row.name == RANDOM and row.counted}
    lacking = dict.fromkeys(row.arch for row in block.rows if row.kind == METHOD and row.arch not in there)
    for arch in lacking:
        yield (
            f"There is no row of random initialisation of {arch_title(arch)} yet: vlpbench run --method random "
            f"--arch {arch} makes it."
        )


def _mark_notes(block: Block) -> list[str]:
    printed = "".join(row.short_title for row in block.rows)
    return [f"{mark} {meaning}." for mark, meaning in MARKS.items() if mark in printed]


def _published_notes(block: Block) -> list[str]:
    if not block.with_published:
        return []
    if not any(has_published(block, group) for group in block.groups):
        return [f"No published numbers: {CITATION} has none for these datasets."]
    lines = [
        f"Published: as printed in {CITATION}, in %; difference: measured less published, in points. They take no part "
        "in bold and underlined; rows that only the paper has show – under measured and count as nothing missing."
    ]
    marks = used_marks(block)
    if marks:
        told = "; ".join(f"{mark} {MEANINGS[mark]}" for mark in marks)
        lines.append(f"What differs, so that the two numbers must not be compared as they stand: {told}.")
    return lines
