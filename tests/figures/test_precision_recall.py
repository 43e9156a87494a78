from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.figures.small_store import labels_table
from vlpbench.errors import VlpbenchError
from vlpbench.figures.figure import NothingToDrawError
from vlpbench.figures.precision_recall import RECALL, box_curve, draw_precision_recall, label_curves, read_panels
from vlpbench.figures.predictions import read_predictions
from vlpbench.figures.ranking import compared_rows
from vlpbench.record import Record
from vlpbench.store import RecordStore
from vlpbench.table.blocks import Block
from vlpbench.table.titles import Titles


def _table(truth: list[float], probability: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [str(one) for one in range(len(truth))], "p:a": probability, "y:a": truth})


def _at(curve: np.ndarray, recall: float) -> float:
    return float(curve[int(np.argmin(np.abs(RECALL - recall)))])


def test_precision_at_a_recall_is_that_of_the_highest_threshold_that_reaches_it() -> None:
    curve, prevalence = label_curves(_table([1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5]))["a"]
    assert prevalence == 0.4
    assert [_at(curve, recall) for recall in (0.01, 0.5)] == [1.0, 1.0]
    assert [_at(curve, recall) for recall in (0.51, 1.0)] == pytest.approx([2 / 3, 2 / 3])


def test_a_first_box_of_nothing_is_not_hidden() -> None:
    curve, _ = label_curves(_table([0, 1, 1], [0.9, 0.8, 0.7]))["a"]
    assert _at(curve, 0.01) == 0.5
    assert _at(curve, 1.0) == pytest.approx(2 / 3)


def test_images_whose_label_is_unknown_do_not_count() -> None:
    known = label_curves(_table([1, 0, 1], [0.9, 0.8, 0.7]))["a"]
    more = label_curves(_table([1, np.nan, 0, 1], [0.9, 0.85, 0.8, 0.7]))["a"]
    assert np.array_equal(known[0], more[0])
    assert known[1] == more[1]


def test_a_label_without_both_classes_has_no_curve() -> None:
    assert label_curves(_table([1, 1], [0.9, 0.8])) == {}


def test_boxes_without_annotations_have_no_curve() -> None:
    table = pd.DataFrame(
        [("one", "image", "", np.nan, *[np.nan] * 4), ("one", "prediction", "a", 0.5, 0, 0, 9, 9)],
        columns=["image_id", "kind", "label", "score", "x", "y", "width", "height"],
    )
    assert box_curve(table) is None


def test_curves_are_means_over_the_seeds(blocks: dict[str, Block], store: RecordStore) -> None:
    block = blocks["classification"]
    panels, reasons = read_panels(block, compared_rows(block), store)
    assert reasons == []
    assert [panel.title for panel in panels] == ["CheXpert-like: Atelectasis", "CheXpert-like: Edema"]
    untrained = next(row for row in block.rows if row.name == "random")
    seeds = [label_curves(labels_table(0.2, seed))["edema"][0] for seed in (0, 1)]
    assert not np.array_equal(*seeds)
    assert panels[1].curves[untrained] == pytest.approx(np.mean(seeds, axis=0))
    assert panels[1].prevalence == 0.5


def _without_predictions(block: Block, methods: set[str]) -> Block:
    def strip(record: Record) -> Record:
        return replace(record, predictions="") if record.spec.method in methods else record

    groups = tuple(replace(group, records=tuple(map(strip, group.records))) for group in block.groups)
    return replace(block, groups=groups)


def test_runs_without_predictions_are_counted(blocks: dict[str, Block], store: RecordStore, titles: Titles) -> None:
    block = _without_predictions(blocks["detection"], {"clip"})
    figure = draw_precision_recall(block, store, titles)
    assert "2 run(s) are missing: The record" in figure.caption
    assert "CLIP" not in figure.alternative
    assert "SISTA" in figure.alternative


def test_without_any_predictions_there_is_nothing_to_draw(
    blocks: dict[str, Block], store: RecordStore, titles: Titles
) -> None:
    with pytest.raises(NothingToDrawError, match="keeps no predictions"):
        draw_precision_recall(_without_predictions(blocks["detection"], set(map(str, _methods(blocks)))), store, titles)


def _methods(blocks: dict[str, Block]) -> list[str]:
    return [record.spec.method for record in blocks["detection"].records]


def test_predictions_of_another_form_are_refused(store: RecordStore, records: list[Record]) -> None:
    record = next(record for record in records if record.spec.task == "classification")
    assert len(read_predictions(store, record)) == 12
    with pytest.raises(VlpbenchError, match=r"predictions of detection lack .*kind.*--force"):
        read_predictions(store, replace(record, spec=replace(record.spec, task="detection")))
