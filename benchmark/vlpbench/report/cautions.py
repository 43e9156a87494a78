"""Cautions: what a reader must know before the first number, computed from the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vlpbench.record import Record
from vlpbench.report.wording import count, has_or_have, is_or_are, was_or_were, without_folder
from vlpbench.splits import CLEAN
from vlpbench.table.blocks import Block
from vlpbench.table.cells import METHOD
from vlpbench.table.entries import BELOW_FLOOR, MISSING
from vlpbench.table.notes import TEST, TRAIN
from vlpbench.table.titles import Titles, percent
from vlpbench.table.warnings import FEW_TEST, SEEN, TEST_LABEL

TINY = 10
POSITIVES = {"test_images_positive": "positive test images", "test_boxes": "boxes in the test images"}
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Caution:
    """One warning.

    Attributes:
        title: what it is about, a few words.
        text: the warning in a sentence or two.
        lines: the particulars, folded away.
        serious: whether it puts the numbers themselves in doubt, not only their reach.
    """

    title: str
    text: str
    lines: tuple[str, ...] = ()
    serious: bool = False


def build_cautions(
    records: Sequence[Record], problems: Sequence[str], blocks: Sequence[Block], titles: Titles, *, root: Path
) -> list[Caution]:
    """Every caution that the records give reason for, serious ones first.

    Args:
        records: latest attempts.
        problems: files the store could not trust.
        blocks: tables of the report.
        titles: names as printed.
        root: results folder; its path is taken out of the problems, so that the report does not tell where it lay.
    """
    cautions = [
        *_synthetic(records, titles),
        *_untrusted(problems, root),
        *_split_faults(records),
        *_seen(records),
        *_below_floors(blocks),
        *_few_positives(records),
        *_tiny_training(records),
        *_one_pretrain_seed(records, titles),
        *_unknown_patients(blocks),
        *_without_interval(blocks),
        *_missing(blocks),
        *_older(blocks),
        *_approximate(records, titles),
        *_code(records),
        *_unknown_methods(records, titles),
    ]
    return sorted(cautions, key=lambda caution: not caution.serious)


def suite_facts(record: Record, titles: Titles) -> dict[str, Any]:
    """Title, note and whether it is synthetic, of a record's suite: as recorded, else as it ships."""
    suite = titles.suite(record.spec.suite)
    shipped = {} if suite is None else {name: getattr(suite, name) for name in ("title", "note", "synthetic")}
    return {**shipped, **(record.provenance.get("suite") or {})}


def _synthetic(records: Sequence[Record], titles: Titles) -> list[Caution]:
    found = []
    for suite, mine in _grouped(records, lambda one: one.spec.suite).items():
        facts = suite_facts(mine[-1], titles)
        if facts.get("synthetic"):
            note = str(facts.get("note", "")).removeprefix("Synthetic data: ")
            text = f"Suite {suite}: {facts.get('title', '')}. {note[:1].upper()}{note[1:]}"
            found.append(Caution("Synthetic data", text.strip(), serious=True))
    return found


def _untrusted(problems: Sequence[str], root: Path) -> list[Caution]:
    if not problems:
        return []
    lines = tuple(without_folder(problem, root) for problem in problems)
    text = f"{count(len(problems), 'record file')} could not be trusted and {is_or_are(len(problems))} left out."
    return [Caution("Records left out", text, lines, serious=True)]


def _split_faults(records: Sequence[Record]) -> list[Caution]:
    lines: dict[str, None] = {}
    for record in records:
        split = record.provenance.get("data", {}).get("split", {})
        faults = [
            *split.get("known", []),
            *(f"{n} patients are in both {pair}." for pair, n in split.get("shared", {}).items() if n),
        ]
        if faults:
            named = f" (split {split['name']})" if split.get("name", CLEAN) != CLEAN else ""
            lines[f"{_place(record)}{named}: {' '.join(faults)}"] = None
    if not lines:
        return []
    text = "Some splits have known faults or share patients between their parts, so their numbers are too high."
    return [Caution("Faulty splits", text, tuple(sorted(lines)), serious=True)]


def _seen(records: Sequence[Record]) -> list[Caution]:
    most = _largest(records, SEEN)
    lines = tuple(
        f"{place}: up to {number} of {_largest(records, TEST).get(place, '?')} test images."
        for place, number in sorted(most.items())
        if number
    )
    if not lines:
        return []
    text = "Pre-training saw test images, without their labels; methods trained on other images are at a disadvantage."
    return [Caution("Test images seen in pre-training", text, lines, serious=True)]


def _below_floors(blocks: Sequence[Block]) -> list[Caution]:
    """Methods with cells that are not above the highest floor of their column."""
    counts: dict[str, list[int]] = {}
    for block in blocks:
        for row in block.rows:
            cells = [cell for cell in row.cells if cell is not None and cell.mean is not None]
            again = row.name == block.layout.variants_of  # its columns are in the other tables too
            if row.kind == METHOD and cells and not again:
                found = counts.setdefault(row.title, [0, 0])
                found[0] += sum(cell.below_floor for cell in cells)
                found[1] += len(cells)
    worst = sorted(((low, n, title) for title, (low, n) in counts.items() if low), key=lambda one: (-one[0], one[2]))
    if not worst:
        return []
    text = (
        f"{len(worst)} of {count(len(counts), 'method')} {is_or_are(len(worst))} in some column no better than a "
        f"floor: random initialisation, or a predictor that looks at nothing. The tables mark them with {BELOW_FLOOR}."
    )
    return [Caution("Methods below a floor", text, tuple(f"{title}: {low} of {n} columns" for low, n, title in worst))]


def _few_positives(records: Sequence[Record]) -> list[Caution]:
    lines: dict[str, None] = {}
    for record in records:
        for name, number in record.counts.items():
            if number < FEW_TEST and (name in POSITIVES or name.startswith(TEST_LABEL)):
                label = name.removeprefix(TEST_LABEL).replace("_", " ")
                lines[f"{_place(record)}: {number} {POSITIVES.get(name, f'test images with {label}')}."] = None
    if not lines:
        return []
    text = f"Fewer than {FEW_TEST} positives stand behind some metrics: chance decides such a number."
    return [Caution("Few positives", text, tuple(sorted(lines)))]


def _tiny_training(records: Sequence[Record]) -> list[Caution]:
    found: dict[str, int] = {}
    for record in records:
        images = record.counts.get(TRAIN)
        if images is not None and images < TINY and record.spec.fraction:
            place = f"{_place(record)}, {percent(record.spec.fraction)}"
            found[place] = min(images, found.get(place, images))
    if not found:
        return []
    text = (
        f"In {count(len(found), 'column')} the heads are trained on fewer than {TINY} images. What differs there is "
        "which images the seed drew more than which method made the backbone: look at ± before the mean."
    )
    lines = tuple(f"{place}: {count(images, 'training image')}" for place, images in sorted(found.items()))
    return [Caution("Tiny training sets", text, lines)]


def _unknown_patients(blocks: Sequence[Block]) -> list[Caution]:
    named = dict.fromkeys(title for one in blocks if one.sampling for title in one.sampling.without_patients)
    text = (
        "Results do not say which test images are of one patient, so every image counts as a patient and intervals may "
        f"be too narrow: {', '.join(named)}."
    )
    return [Caution("Patients unknown", text)] if named else []


def _without_interval(blocks: Sequence[Block]) -> list[Caution]:
    cells = [cell for block in blocks for row in block.rows for cell in row.cells if cell is not None]
    lacking = Counter(cell.no_interval for cell in cells if cell.no_interval)
    number = sum(lacking.values())
    text = f"{count(number, 'cell')} of the tables {has_or_have(number)} a number but no interval and no test."
    lines = tuple(f"{reason} ({count(cells, 'cell')})" for reason, cells in sorted(lacking.items()))
    return [Caution("Missing intervals", text, lines)] if number else []


def _one_pretrain_seed(records: Sequence[Record], titles: Titles) -> list[Caution]:
    seeds: dict[str, set[int]] = {}
    for record in records:
        if titles.method_card(record.spec.method).trains:
            seeds.setdefault(record.spec.method, set()).add(record.spec.pretrain_seed)
    single = [titles.method_card(name).row_title for name, found in seeds.items() if len(found) == 1]
    if not single:
        return []
    who = (
        "Every method was"
        if len(single) == len(seeds)
        else f"{count(len(single), 'method')} {was_or_were(len(single))}"
    )
    text = (
        f"{who} pre-trained once. What differs between two pre-trainings of one method is not in any ±, interval or "
        "p-value here: those tell of heads, label fractions and test patients."
    )
    return [Caution("One pre-training seed", text, () if len(single) == len(seeds) else tuple(sorted(single)))]


def _missing(blocks: Sequence[Block]) -> list[Caution]:
    lines = tuple(
        f"Table {block.layout.numeral}, suite {block.suite}, protocol {block.protocol}: "
        f"{block.missing} of {count(block.expected, 'cell')}"
        for block in blocks
        if block.missing
    )
    missing = sum(block.missing for block in blocks)
    text = f"{count(missing, 'cell')} of the tables {has_or_have(missing)} no record ({MISSING}) and count in no rank."
    return [Caution("Missing cells", text, lines)] if missing else []


def _older(blocks: Sequence[Block]) -> list[Caution]:
    lines = [
        f"Table {block.layout.numeral}, suite {block.suite}: {'; '.join(block.differences)}."
        for block in blocks
        if block.differences
    ]
    left = sum(block.superseded for block in blocks)
    lines += [f"{count(left, 'older record')} of the same cells and seeds left out of the tables."] if left else []
    text = "Some records stand on an older state of data, split, settings or task; their tables stand apart."
    return [Caution("Older states", text, tuple(lines))] if lines else []


def _approximate(records: Sequence[Record], titles: Titles) -> list[Caution]:
    cards = [titles.method_card(name) for name in sorted({record.spec.method for record in records})]
    named = ", ".join(card.row_title for card in cards if card.approximate)
    text = f"{named}: paper and code leave out so much that the numbers stand for the published idea only."
    return [Caution("Approximate methods", text)] if named else []


def _code(records: Sequence[Record]) -> list[Caution]:
    dirty = sum(bool((record.provenance.get("git") or {}).get("dirty")) for record in records)
    text = f"{count(dirty, 'record')} {was_or_were(dirty)} made by code with changes that no commit holds."
    return [Caution("Uncommitted code", text, serious=True)] if dirty else []


def _unknown_methods(records: Sequence[Record], titles: Titles) -> list[Caution]:
    unknown = sorted({one.spec.method for one in records if titles.method(one.spec.method) is None})
    text = f"Not registered here, so their cards are empty: {', '.join(unknown)}. Name their files with --plugin."
    return [Caution("Unknown methods", text)] if unknown else []


def _place(record: Record) -> str:
    title = record.provenance.get("data", {}).get("title", record.spec.dataset)
    return f"{title}, {record.spec.task} (suite {record.spec.suite})"


def _largest(records: Iterable[Record], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in records:
        if name in record.counts:
            place = _place(record)
            found[place] = max(found.get(place, 0), record.counts[name])
    return found


def _grouped(records: Iterable[Record], key: Callable[[Record], Key]) -> dict[Key, list[Record]]:
    groups: dict[Key, list[Record]] = {}
    for record in sorted(records, key=lambda one: (one.started_at, one.key)):
        groups.setdefault(key(record), []).append(record)
    return groups
