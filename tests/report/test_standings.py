from __future__ import annotations

from types import ModuleType

from tests.report.conftest import Gather, unlabelled

from vlpbench.record import Record


def records(golden: ModuleType) -> list[Record]:
    """Three methods on two columns, ranked alike in both."""
    values = {"sista": (0.6, 0.7), "mlip": (0.3, 0.4), "convirt": (0.299, 0.1)}
    return [
        golden.fabricate(value, method=method, dataset=dataset)
        for method, row in values.items()
        for dataset, value in zip(("siim", "rsna"), row, strict=True)
    ]


def test_ranks_and_pairs(gathered: Gather, golden: ModuleType) -> None:
    (standing,) = gathered(records(golden)).standings
    assert standing.title == ""
    assert standing.heads == ("Segmentation",)
    assert [(place.title, place.ranks) for place in standing.places][:2] == [("SISTA‡", (1.0,)), ("MLIP‡≈", (2.0,))]
    first, second, third = standing.places
    assert first.records == (None, (2, 0, 0), (2, 0, 0))
    assert second.records == ((0, 0, 2), None, (1, 1, 0))
    assert third.total == (0, 1, 3)
    assert "Friedman's test over 2 columns" in standing.sentences[0]
    assert "SISTA‡ 1.00; MLIP‡≈ 2.00" in standing.diagram.alternative


def test_what_uses_no_labels_is_ranked_apart(gathered: Gather, golden: ModuleType) -> None:
    grounding = [
        unlabelled(golden.fabricate(value, method=method, task="detection"))
        for method, value in {"sista": 0.1, "mlip": 0.2}.items()
    ]
    (standing,) = gathered([*records(golden), *grounding]).standings
    assert standing.heads == ("Segmentation", "detection")
    assert [place.ranks for place in standing.places] == [(1.0, 2.0), (2.0, 1.0), (3.0, None)]
    assert standing.places[0].records[1] == (2, 0, 0)


def test_several_tasks_are_ranked_together_and_apart(gathered: Gather, golden: ModuleType) -> None:
    more = [
        golden.fabricate(value, method=method, task="detection")
        for method, value in {"sista": 0.1, "mlip": 0.2}.items()
    ]
    (standing,) = gathered([*records(golden), *more]).standings
    assert standing.heads == ("all columns", "Segmentation", "detection")
    ranks = {place.title: place.ranks for place in standing.places}
    assert ranks["SISTA‡"] == (4 / 3, 1.0, 2.0)
    assert [None if rank is None else round(rank) for rank in standing.places[-1].ranks] == [None, 3, None]


def test_one_method_gives_no_standing(gathered: Gather, golden: ModuleType) -> None:
    assert gathered([golden.fabricate(0.5)]).standings == []
