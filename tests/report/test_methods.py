from __future__ import annotations

from types import ModuleType

from tests.report.conftest import EVIL, with_lineage

from vlpbench.report.methods import RunCard, duration, run_cards
from vlpbench.table.layout import load_layouts
from vlpbench.table.titles import Titles

EPOCHS = [
    {
        "epoch": 1,
        "learning_rate": 5e-4,
        "seconds": 34.3,
        "train": {"SIA": 3.5, "loss": 7.0},
        "validation": {"loss": 6.6},
    },
    {"epoch": 2, "learning_rate": 4e-4, "seconds": 52.2, "train": {"SIA": 2.5, "loss": 5.0}},
]


def cards(golden: ModuleType, titles: Titles, **lineage: object) -> dict[str, RunCard]:
    records = [golden.fabricate(0.5), golden.fabricate(0.2, method="random"), golden.fabricate(0.3, method="convirt")]
    told = [with_lineage(records[0], **lineage), *records[1:]]
    return {card.name: card for card in run_cards(told, load_layouts(), titles)}


def test_a_card_tells_how_the_weights_were_made(golden: ModuleType, titles: Titles) -> None:
    recipe = {"epochs": 8, "batch_size": 256, "options": {"u": 0.1}}
    found = cards(golden, titles, seconds=385.4, epochs=8, best_epoch=7, history=EPOCHS, recipe=recipe)
    assert list(found) == ["random", "convirt", "sista"]
    sista = found["sista"]
    assert sista.summary == "pre-trained in 6 min 25 s, 1 cell"
    (weights,) = sista.weights
    assert ("epochs", "8, best 7") in weights.facts
    assert ("batch_size", "256", "default") in weights.recipe
    assert ("epochs", "8", "the user") in weights.recipe
    assert weights.history_head[:5] == ("epoch", "learning rate", "seconds", "loss (train)", "SIA (train)")
    assert weights.history[1] == ("2", "0.0004", "52", "5", "2.5", "–")


def test_random_initialisation_is_named_as_in_the_tables(golden: ModuleType, titles: Titles) -> None:
    random = cards(golden, titles)["random"]
    assert random.title == "Random initialisation"
    assert "no training of its own" in random.summary


def test_only_web_addresses_become_links(golden: ModuleType, titles: Titles) -> None:
    convirt = cards(golden, titles)["convirt"]
    assert titles.method_card("convirt").paper.startswith("javascript:")
    assert convirt.paper == ""
    assert convirt.deviations == (EVIL,)


def test_duration() -> None:
    assert [duration(seconds) for seconds in (44.6, 385.4, 11520, 36_000_000)] == [
        "45 s", "6 min 25 s", "3 h 12 min", "10,000 h 0 min",
    ]  # fmt: skip
