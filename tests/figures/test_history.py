from __future__ import annotations

from dataclasses import replace

import pytest

from tests.figures.small_store import make_history, make_record
from vlpbench.figures.history import read_histories
from vlpbench.figures.training_curves import nice_ticks
from vlpbench.record import Record
from vlpbench.table.titles import Titles


def test_losses_by_term_and_part(titles: Titles) -> None:
    (history,), without = read_histories([make_record(0.5, history=make_history(3.0, epochs=2))], titles)
    assert without == []
    assert history.title == "SISTA"
    assert history.best_epoch == 2
    assert history.terms == ["one", "two"]
    assert history.losses["loss"]["train"] == ((1, 4.5), (2, 2.25))
    assert [value for _, value in history.losses["two"]["validation"]] == pytest.approx([1.6, 0.85])


def test_methods_stand_in_the_order_of_the_tables_with_their_ablations_after_them(titles: Titles) -> None:
    methods = ["sparc", "sista_sia_sta", "zz_of_mine", "convirt", "sista_sia", "sista", "random"]
    records = [make_record(0.5, method=one, history=None if one == "random" else make_history(1.0)) for one in methods]
    histories, without = read_histories(records, titles)
    assert [history.title for history in histories] == [
        "ConVIRT", "SISTA", "SISTA: SIA + SIA^a", "SISTA: SIA + SIA^a + STA", "SPARC", "zz_of_mine",
    ]  # fmt: skip
    assert without == ["Random"]


def test_every_pre_training_seed_once_and_the_newest_of_equal_ones(titles: Titles) -> None:
    old = make_record(0.5, history=make_history(1.0))
    newer = {**old.provenance, "started_at": "2026-02-02T00:00:00+00:00"}
    newer["backbone"] = {**newer["backbone"], "lineage": {"history": make_history(2.0)}}
    records = [replace(old, provenance=newer), old, make_record(0.5, history=make_history(4.0), pretrain_seed=1)]
    histories, _ = read_histories(records, titles)
    assert [(history.seed, history.losses["one"]["train"][0][1]) for history in histories] == [(0, 2.0), (1, 4.0)]
    assert [history.best_epoch for history in histories] == [None, 3]


def test_two_recipes_and_two_backbones_are_told_apart(titles: Titles) -> None:
    one = make_record(0.5, history=make_history(1.0))
    other = {**one.provenance, "backbone": {**one.provenance["backbone"], "recipe_hash": "another"}}
    records = [one, replace(one, provenance=other), make_record(0.5, arch="vit_b16", history=make_history(1.0))]
    histories, _ = read_histories(records, titles)
    assert [history.title for history in histories] == [
        "SISTA (ResNet-18, recipe anothe)", "SISTA (ResNet-18, recipe sista-)", "SISTA (ViT-B/16)",
    ]  # fmt: skip


@pytest.mark.parametrize("history", [None, [], [{"epoch": 1}], [{"epoch": 1, "train": {"loss": None}}]])
def test_a_record_without_losses_is_named(titles: Titles, history: list[dict[str, object]] | None) -> None:
    histories, without = read_histories([make_record(0.5, history=history)], titles)
    assert histories == []
    assert without == ["SISTA"]


def test_an_epoch_without_validation_is_drawn_with_what_it_has(titles: Titles) -> None:
    told = make_history(3.0)
    del told[1]["validation"]
    (history,), _ = read_histories([make_record(0.5, history=told)], titles)
    assert [epoch for epoch, _ in history.losses["loss"]["validation"]] == [1, 3]
    assert [epoch for epoch, _ in history.losses["loss"]["train"]] == [1, 2, 3]


def test_a_record_that_says_nothing_of_its_backbone(titles: Titles) -> None:
    bare: Record = replace(make_record(0.5), provenance={})
    assert read_histories([bare], titles) == ([], ["SISTA"])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 120.0, [0, 1, 10, 100]),
        (2.7, 160.0, [3, 10, 30, 100]),
        (-0.9, 35.0, [0, 1, 10]),
        (0.55, 8.0, [1, 2, 5]),
        (0.31, 1.3, [0.4, 0.6, 0.8, 1]),
        (0.11, 0.12, [0.11, 0.12]),
        (0.11, 0.11, [0.11]),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == ticks
