"""Drawing: every figure of a set of records, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vlpbench.errors import VlpbenchError
from vlpbench.figures.ablation_bars import draw_ablation
from vlpbench.figures.bands import Bands
from vlpbench.figures.class_auroc import class_names, draw_class_auroc
from vlpbench.figures.figure import Figure
from vlpbench.figures.label_efficiency import draw_label_efficiency
from vlpbench.figures.precision_recall import draw_precision_recall
from vlpbench.figures.predicted_images import WHAT, draw_predictions
from vlpbench.figures.radiographs import Radiographs
from vlpbench.figures.ranking import highlighted_rows
from vlpbench.figures.runs import runs_of
from vlpbench.figures.training_curves import draw_training_loss, draw_training_terms
from vlpbench.record import Record, latest_attempts
from vlpbench.store import RecordStore
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.cells import METHOD
from vlpbench.table.layout import load_layouts
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from vlpbench.statistics.resampler import Resampler

Draw = Callable[[], Figure]
Named = tuple[str, Draw]
"""What a figure is called where it is left out, and how it is drawn."""


def build_figures(
    records: Iterable[Record],
    store: RecordStore,
    resampler: Resampler | None,
    titles: Titles,
    *,
    data: Path | None,
    left_out: Callable[[str], None] | None = None,
) -> Iterator[Figure]:
    """Every figure there is something to draw of, label efficiency first.

    Args:
        records: from the store.
        store: of the records and their predictions.
        resampler: gives intervals; None draws without.
        titles: words for the names in records.
        data: folder of real data, for galleries; None where not given.
        left_out: told of each figure that is left out, and why.
    """
    latest = latest_attempts(records)
    blocks = [block for layout in load_layouts() for block in build_blocks(latest, layout, titles)]
    newest = [block for block in blocks if not block.differences]
    tell = left_out if left_out is not None else _forget
    for block in blocks:
        if block.differences:
            tell(f"{_where(block)}: records of an older state: {'; '.join(block.differences)}")
    if resampler is not None:
        resampler.prefetch(record for block in newest for record in _banded(block))
    bands, radiographs = Bands(resampler), Radiographs(titles, data)
    named = [one for block in newest for one in _of_block(block, store, titles, bands, radiographs)]
    for name, draw in [*named, *_of_pretraining(latest, titles)]:
        try:
            yield draw()
        except VlpbenchError as reason:
            tell(f"{name}: {reason}")


def _of_block(
    block: Block, store: RecordStore, titles: Titles, bands: Bands, radiographs: Radiographs
) -> Iterator[Named]:
    """Figures of one block, a kind after the other."""
    where, task = _where(block), block.layout.task
    if block.layout.variants_of:
        yield f"{where}, ablation", partial(draw_ablation, block, titles, bands)
        return
    # where no labels are used, there is nothing to be efficient with
    if any(fraction > 0 for _, fraction in block.columns):
        yield f"{where}, label efficiency", partial(draw_label_efficiency, block, titles, bands)
    groups = [group for group in block.groups if group.records]
    if task == "classification":
        for group in groups:
            if len(class_names(group)) > 1:
                yield f"{where}, AUROC per class of {group.title}", partial(draw_class_auroc, block, group, titles)
    if task in ("classification", "detection"):
        yield f"{where}, precision and recall", partial(draw_precision_recall, block, store, titles)
    for group in groups:
        if task in WHAT:
            draw = partial(draw_predictions, block, group, store, titles, radiographs)
            yield f"{where}, predicted {WHAT[task]} of {group.title}", draw


def _of_pretraining(records: Sequence[Record], titles: Titles) -> Iterator[Named]:
    """Training curves of each suite and input size."""
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        groups.setdefault((record.spec.suite, record.spec.image_size), []).append(record)
    for (suite, size), mine in sorted(groups.items()):
        where = f"Suite {suite}, {size} px"
        yield f"{where}, loss of pre-training", partial(draw_training_loss, mine, titles)
        yield f"{where}, terms of the loss of pre-training", partial(draw_training_terms, mine, titles)


def _banded(block: Block) -> Iterator[Record]:
    """Records whose intervals are drawn."""
    rows = block.rows if block.layout.variants_of else highlighted_rows(block)
    for group in block.groups:
        for row in rows:
            if row.kind == METHOD:
                for fraction in group.fractions:
                    yield from runs_of(group, row, fraction)


def _where(block: Block) -> str:
    limit = "" if block.limit is None else f", at most {block.limit} images per split"
    return f"{block.layout.title} (suite {block.suite}, protocol {block.protocol}, {block.image_size} px{limit})"


def _forget(reason: str) -> None:
    del reason
