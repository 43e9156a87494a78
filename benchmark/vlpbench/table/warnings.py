"""Warnings: what a reader must know before he believes a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vlpbench.record import Record
from vlpbench.table.blocks import Block
from vlpbench.table.columns import ColumnGroup
from vlpbench.table.listing import group_name
from vlpbench.table.titles import percent

SEEN = "test images seen in pre-training"
FEW_TEST, FEW_TRAIN = 10, 2
TEST_COUNTS = {"test_images_positive": "images", "test_boxes": "boxes"}
TRAIN_COUNTS = {"train_images_positive": "images", "train_boxes": "boxes"}
TEST_LABEL, TRAIN_LABEL = "test_positives:", "train_positives:"
UNDEFINED_LABEL = "auroc_undefined:"


def build_warnings(block: Block) -> list[str]:
    """Warnings of one table, a sentence or more each, without the word itself."""
    return [
        *(line for group in block.groups for line in _group_warnings(block, group)),
        *_seed_warnings(block),
        *_code_warnings(block),
    ]


def _group_warnings(block: Block, group: ColumnGroup) -> Iterable[str]:
    """Shared patients, seen images and few positives of one dataset."""
    if not group.records:
        return
    title = group_name(block, group)
    newest = max(group.records, key=lambda record: (record.started_at, record.key))
    split = newest.provenance.get("data", {}).get("split", {})
    shared = [f"{count} patients are in both {pair}" for pair, count in split.get("shared", {}).items() if count]
    if shared:
        yield f"{title}: {', '.join(shared)}, so its numbers are too high."
    if known := split.get("known", []):
        yield f"{title}, split {split.get('name', 'unnamed')}: {' '.join(known)}"
    if seen := max((record.counts.get(SEEN, 0) for record in group.records), default=0):
        yield f"{title}: up to {seen} test images were seen in pre-training, without their labels."
    if few := _fewest(group.records, TEST_COUNTS, TEST_LABEL, FEW_TEST):
        yield f"{title}: fewer than {FEW_TEST} test positives, so that a few images decide the number: {few}."
    for fraction in group.fractions:
        mine = [record for record in group.records if record.spec.fraction == fraction]
        if few := _fewest(mine, TRAIN_COUNTS, TRAIN_LABEL, FEW_TRAIN):
            yield f"{title} {percent(fraction)}: fewer than {FEW_TRAIN} training positives in some run: {few}."
    found = {name.removeprefix(UNDEFINED_LABEL) for name in newest.counts if name.startswith(UNDEFINED_LABEL)}
    if found:
        one_class = ", ".join(sorted(found))
        yield f"{title}: without {one_class}, of which the test split has one class only, so that AUROC is undefined."


def _fewest(records: Sequence[Record], named: Mapping[str, str], prefix: str, limit: int) -> str:
    """The lowest count of each kind over the records, where it is below the limit; "" for none."""
    lowest: dict[str, int] = {}
    for record in records:
        for name, count in record.counts.items():
            kind = name.removeprefix(prefix) if name.startswith(prefix) else named.get(name)
            if kind is not None:
                lowest[kind] = min(count, lowest.get(kind, count))
    return ", ".join(f"{kind} {count}" for kind, count in sorted(lowest.items()) if count < limit)


def _seed_warnings(block: Block) -> Iterable[str]:
    """A spread over evaluation seeds says nothing of how a second pre-training would have come out."""
    cells = [cell for row in block.rows if row.kind == "method" for cell in row.cells if cell is not None]
    spread = [cell for cell in cells if cell.n > 1]
    single = [cell for cell in spread if cell.pretrain_seeds == 1]
    if not single:
        return
    whole = "" if len(single) == len(spread) else f" ({len(single)} of {len(spread)} cells)"
    yield f"one pre-training seed{whole}, so the spread does not contain pre-training."


def _code_warnings(block: Block) -> Iterable[str]:
    dirty = sum(bool((record.provenance.get("git") or {}).get("dirty")) for record in block.records)
    if dirty:
        yield (
            f"{dirty} of {len(block.records)} records were made by code with changes that no commit holds, so they "
            "cannot be made again."
        )
