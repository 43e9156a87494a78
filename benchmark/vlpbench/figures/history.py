"""Histories: the losses of pre-training, epoch by epoch, as records tell them of their backbones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vlpbench.record import Record
from vlpbench.table.layout import load_layouts
from vlpbench.table.titles import Titles, arch_title

LOSS = "loss"
TRAIN, VALIDATION = "train", "validation"
Curve = tuple[tuple[int, float], ...]
"""Epoch and value."""


@dataclass(frozen=True)
class History:
    """Pre-training of one backbone.

    Attributes:
        title: of the method.
        seed: of pre-training.
        best_epoch: whose weights were kept, None where the record does not tell.
        losses: by term, `LOSS` for their sum, and by "train" or "validation".
    """

    title: str
    seed: int
    best_epoch: int | None
    losses: Mapping[str, Mapping[str, Curve]]

    @property
    def terms(self) -> list[str]:
        """Terms of the loss without their sum."""
        return [name for name in self.losses if name != LOSS]


def read_histories(records: Iterable[Record], titles: Titles) -> tuple[list[History], list[str]]:
    """Histories of all backbones in the order of the tables, and titles of methods that have none.

    Of backbones that differ in nothing but when they were made the newest counts.
    """
    newest: dict[tuple[str, str, str, int], Record] = {}
    for record in sorted(records, key=lambda one: (one.started_at, one.key)):
        newest[record.spec.method, record.spec.arch, record.recipe, record.spec.pretrain_seed] = record
    archs = {arch for _, arch, _, _ in newest}
    histories: list[History] = []
    without: dict[str, None] = {}
    for (method, arch, recipe, seed), record in sorted(newest.items(), key=lambda item: _place(item[0], titles)):
        alike = {other[2] for other in newest if other[:2] == (method, arch)}
        parts = [arch_title(arch)] * (len(archs) > 1) + [f"recipe {recipe[:6]}"] * (len(alike) > 1)
        title = titles.method_card(method).row_title + (f" ({', '.join(parts)})" if parts else "")
        lineage = record.provenance.get("backbone", {}).get("lineage", {})
        losses = _losses(lineage.get("history") or [])
        if losses.get(LOSS):
            best = lineage.get("best_epoch")
            histories.append(History(title, seed, best if isinstance(best, int) else None, losses))
        else:
            without[title] = None
    return histories, list(without)


def _losses(history: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Curve]]:
    """Curves by term and by part; values that are no numbers are left out."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for number, entry in enumerate(history, start=1):
        for part in (TRAIN, VALIDATION):
            for name, value in (entry.get(part) or {}).items():
                if isinstance(value, int | float):
                    point = int(entry.get("epoch", number)), float(value)
                    found.setdefault(name, {}).setdefault(part, []).append(point)
    return {name: {part: tuple(curve) for part, curve in parts.items()} for name, parts in found.items()}


def _place(who: tuple[str, str, str, int], titles: Titles) -> tuple[int, int, tuple[str, str, str, int]]:
    """Methods in the order of the tables, each followed by its ablations; others after them by name."""
    order = list(dict.fromkeys(name for layout in load_layouts() for name in layout.methods))
    whole = titles.method_card(who[0]).variant_of or who[0]
    first, second = (order.index(name) if name in order else len(order) for name in (whole, who[0]))
    return first, -1 if whole == who[0] else second, who
