"""Run cards: one per method, with how its weights were made and how it departs from its paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlpbench.canonical import canonical_json
from vlpbench.cards import EXTRA_SUPERVISION, MethodCard
from vlpbench.record import Record
from vlpbench.report.naming import method_title
from vlpbench.report.wording import count
from vlpbench.reproduction import recorded_settings
from vlpbench.table.layout import Layout
from vlpbench.table.titles import Titles, arch_title

Pair = tuple[str, str]


@dataclass(frozen=True)
class Weights:
    """One pre-training run or initialisation.

    Attributes:
        title: architecture, seed and what else sets it apart.
        facts: names and values.
        recipe: name, value, and who set it.
        history_head: names of the history's columns.
        history: a row per epoch, as printed.
    """

    title: str
    facts: tuple[Pair, ...]
    recipe: tuple[tuple[str, str, str], ...]
    history_head: tuple[str, ...]
    history: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class RunCard:
    """One method.

    Attributes:
        name: registered.
        title: as printed in the tables.
        summary: what stands beside the title while the card is closed.
        paper: public address, "" for none.
        facts: names and values of the method's card.
        weights: a run each.
        deviations: from the paper or its code.
        choices: what was ours to choose.
        parent: name and title of the method whose ablation it is, None otherwise.
    """

    name: str
    title: str
    summary: str
    paper: str
    facts: tuple[Pair, ...]
    weights: tuple[Weights, ...]
    deviations: tuple[str, ...]
    choices: tuple[str, ...]
    parent: Pair | None


def run_cards(records: Sequence[Record], layouts: Sequence[Layout], titles: Titles) -> list[RunCard]:
    """Cards of the methods that have records: baselines, methods in table order, then ablations."""
    by_method: dict[str, list[Record]] = {}
    for record in records:
        by_method.setdefault(record.spec.method, []).append(record)
    order = list(dict.fromkeys(name for layout in layouts for name in layout.methods))

    def place(name: str) -> tuple[bool, int, str]:
        return bool(titles.method_card(name).variant_of), order.index(name) if name in order else len(order), name

    return [_card(by_method[name], layouts, titles) for name in sorted(by_method, key=place)]


def _card(records: Sequence[Record], layouts: Sequence[Layout], titles: Titles) -> RunCard:
    card = titles.method_card(records[0].spec.method)
    made: dict[tuple[str, int, str], list[Record]] = {}
    for record in records:
        made.setdefault((record.spec.arch, record.spec.pretrain_seed, record.foundations.weights_sha256), []).append(
            record
        )
    weights = tuple(_weights(made[key], card, titles) for key in sorted(made))
    seconds = sum(float(lineage(alike[0]).get("seconds") or 0) for alike in made.values())
    parts = [card.venue] if card.venue != "-" else []
    parts += (
        [f"pre-trained in {duration(seconds)}"] if seconds else ["no training of its own"] if not card.trains else []
    )
    parts += [count(len(records), "cell")]
    return RunCard(
        name=card.name,
        title=method_title(card.name, titles, layouts),
        summary=", ".join(parts),
        paper=card.paper if card.paper.startswith("https://") else "",
        facts=tuple(_card_facts(card)),
        weights=weights,
        deviations=card.deviations,
        choices=card.choices,
        parent=(card.variant_of, titles.method_card(card.variant_of).row_title) if card.variant_of else None,
    )


def lineage(record: Record) -> Mapping[str, Any]:
    """How the weights behind a record were made; empty when unknown."""
    found: Mapping[str, Any] = record.provenance.get("backbone", {}).get("lineage", {})
    return found


def duration(seconds: float) -> str:
    """A time as printed: "45 s", "6 min 25 s", "3 h 12 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def shown(value: object) -> str:
    """A setting as printed."""
    return value if isinstance(value, str) and value else canonical_json(value)


def _card_facts(card: MethodCard) -> list[Pair]:
    facts = [("registered as", card.name), ("method version", str(card.version))]
    if card.supervision:
        facts.append(("extra supervision", f"{card.supervision} {EXTRA_SUPERVISION.get(card.supervision, '')}".strip()))
    if card.needs:
        facts.append(("needs beyond image and report", ", ".join(card.needs)))
    if card.losses:
        facts.append(("losses, added up", ", ".join(card.losses)))
    if card.licence:
        facts.append(("licence of the released code", card.licence))
    if card.approximate:
        facts.append(("approximate", "paper and code leave out so much that the numbers stand for the idea only"))
    return facts


def _weights(records: Sequence[Record], card: MethodCard, titles: Titles) -> Weights:
    record = records[0]
    spec, made = record.spec, lineage(record)
    head, history = _history(made.get("history", ()))
    return Weights(
        title=f"{arch_title(spec.arch)}, {spec.image_size} px, pre-training seed {spec.pretrain_seed}",
        facts=tuple(_weight_facts(record, made)),
        recipe=tuple(_recipe(record, made, card, titles)),
        history_head=head,
        history=history,
    )


def _weight_facts(record: Record, made: Mapping[str, Any]) -> list[Pair]:
    """What is known of the weights; what is not known is left out."""
    corpus, text = made.get("corpus") or {}, made.get("text") or {}
    best, epochs = made.get("best_epoch"), made.get("epochs")
    facts = [
        ("sha256", record.foundations.weights_sha256),
        ("pre-training key", str(made.get("pretrain_key", ""))),
        ("recipe hash", record.recipe),
        ("time", duration(made["seconds"]) if "seconds" in made else ""),
        ("device", ", ".join(str(made[name]) for name in ("device", "precision") if made.get(name))),
        ("epochs", f"{epochs}, best {best}" if epochs is not None and best is not None else ""),
        ("corpus", "; ".join(f"{name} {shown(value)}" for name, value in corpus.items())),
        ("text encoder", ", ".join(f"{name} {value}" for name, value in text.items())),
        ("torch", str(made.get("torch", ""))),
    ]
    return [(name, value) for name, value in facts if value]


def _recipe(record: Record, made: Mapping[str, Any], card: MethodCard, titles: Titles) -> list[tuple[str, str, str]]:
    """Settings with who set them: the user, the suite, the paper, or nobody."""
    recipe = made.get("recipe") or {}
    suite = titles.suite(record.spec.suite)
    ours = {} if suite is None else {**suite.pretraining, **suite.pretraining.get("methods", {}).get(card.name, {})}
    changed = [text.removeprefix(f"{card.name}.") for text in recorded_settings(record, suite)]

    def who(name: str) -> str:
        if any(text.startswith((f"{name}=", f"{name}.")) for text in changed):
            return "the user"
        return "the suite" if name in ours else "the paper" if name in card.recipe else "default"

    return [(name, shown(value), who(name)) for name, value in sorted(recipe.items())]


def _history(epochs: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Column names and rows of the epochs, as printed; losses that an epoch lacks show –."""
    if not epochs:
        return (), ()
    columns: list[tuple[str, str]] = []
    for part in ("train", "validation", "train_measured", "validation_measured"):
        names = dict.fromkeys(name for epoch in epochs for name in epoch.get(part, {}))
        # The sum first, then its terms.
        columns += [(part, name) for name in sorted(names, key=lambda name: name != "loss")]
    head = (
        "epoch",
        "learning rate",
        "seconds",
        *(f"{name} ({part.replace('_measured', '')})" for part, name in columns),
    )
    rows = tuple(
        (
            str(epoch.get("epoch", "")),
            _short(epoch.get("learning_rate")),
            "–" if epoch.get("seconds") is None else f"{epoch['seconds']:.0f}",
            *(_short(epoch.get(part, {}).get(name)) for part, name in columns),
        )
        for epoch in epochs
    )
    return head, rows


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
