"""Resampling of stored predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.statistics.fabricate import MeanTask, add, add_mean, add_patients, label_table, mean_table
from vlpbench.errors import VlpbenchError
from vlpbench.protocol import SegmentationSettings
from vlpbench.statistics.resampler import Resampler, judged_by
from vlpbench.statistics.samples import draw_weights
from vlpbench.store import RecordStore

VALUES = np.random.default_rng(0).random(40)


def _resampler(root: Path, **rest: int) -> Resampler:
    return Resampler(RecordStore(root), **{"samples": 200, "jobs": 1, **rest})


@pytest.mark.usefixtures("mean_task")
def test_values_are_the_metric_under_weights_of_patients(tmp_path: Path) -> None:
    people = np.repeat(np.arange(20), 2)
    strata = ["a"] * 20 + ["b"] * 20
    record = add_mean(tmp_path, mean_table(VALUES, strata))
    add_patients(tmp_path, people.astype(str))
    resampler = _resampler(tmp_path)
    weights = draw_weights(people, strata, samples=200)
    assert resampler.values(record) == pytest.approx(weights @ VALUES / weights.sum(axis=1))
    assert resampler.patients_known(record)


@pytest.mark.usefixtures("mean_task")
def test_the_order_of_images_in_the_file_does_not_matter(tmp_path: Path) -> None:
    table = mean_table(VALUES)
    shuffled = table.sample(frac=1, random_state=0)
    first, second = add_mean(tmp_path, table), add_mean(tmp_path, shuffled, method="mgca")
    resampler = _resampler(tmp_path)
    assert resampler.values(first) == pytest.approx(resampler.values(second), abs=1e-12)


@pytest.mark.usefixtures("mean_task")
def test_without_patients_every_image_counts_as_one(tmp_path: Path) -> None:
    record = add_mean(tmp_path, mean_table(VALUES))
    resampler = _resampler(tmp_path)
    weights = draw_weights(np.arange(40), ["all"] * 40, samples=200)
    assert resampler.values(record) == pytest.approx(weights @ VALUES / 40)
    assert not resampler.patients_known(record)


@pytest.mark.usefixtures("mean_task")
def test_an_undefined_headline_gives_nan_and_reads_nothing(tmp_path: Path) -> None:
    record = add(tmp_path, None, value=None)
    assert np.isnan(_resampler(tmp_path).values(record)).all()


@pytest.mark.usefixtures("mean_task")
def test_missing_and_changed_predictions_are_told_and_the_others_go_on(tmp_path: Path) -> None:
    whole = add_mean(tmp_path, mean_table(VALUES))
    none = add(tmp_path, None, method="clip", value=0.5)
    changed = add_mean(tmp_path, mean_table(VALUES + 0.1), method="mgca")
    (tmp_path / changed.predictions).write_bytes(b"PAR1")
    resampler = _resampler(tmp_path)
    resampler.prefetch([none, changed, whole])
    with pytest.raises(VlpbenchError, match=f"{none.key} keeps no predictions"):
        resampler.values(none)
    with pytest.raises(VlpbenchError, match="names by sha256"):
        resampler.values(changed)
    assert len(resampler.values(whole)) == 200


@pytest.mark.usefixtures("mean_task")
def test_records_of_other_test_images_are_refused_by_name(tmp_path: Path) -> None:
    first, other = add_mean(tmp_path, mean_table(VALUES)), add_mean(tmp_path, mean_table(VALUES[1:]), method="mgca")
    resampler = _resampler(tmp_path)
    resampler.values(first)
    with pytest.raises(VlpbenchError) as refusal:
        resampler.values(other)
    for told in (first.key, other.key, "sista", "mgca", "only one of them names the image 'image0039'"):
        assert told in str(refusal.value)


@pytest.mark.usefixtures("mean_task")
def test_one_other_image_among_as_many_is_enough_to_refuse(tmp_path: Path) -> None:
    table = mean_table(VALUES)
    first = add_mean(tmp_path, table)
    other = add_mean(tmp_path, table.replace("image0007", "image0007b"), method="mgca")
    resampler = _resampler(tmp_path)
    resampler.values(first)
    with pytest.raises(VlpbenchError, match="only one of them names the image 'image0007'"):
        resampler.values(other)


@pytest.mark.usefixtures("mean_task")
def test_records_that_disagree_on_what_images_show_are_refused(tmp_path: Path) -> None:
    first = add_mean(tmp_path, mean_table(VALUES, ["a", "b"] * 20))
    other = add_mean(tmp_path, mean_table(VALUES, ["b", "a"] * 20), method="mgca")
    resampler = _resampler(tmp_path)
    resampler.prefetch([first, other])
    outcomes = []
    for record in (first, other):
        try:
            resampler.values(record)
        except VlpbenchError as refusal:
            outcomes.append(str(refusal))
    assert len(outcomes) == 1
    assert "they say otherwise of what images show" in outcomes[0]


@pytest.mark.usefixtures("mean_task")
def test_a_record_whose_number_is_not_that_of_its_predictions_is_refused(tmp_path: Path) -> None:
    record = add(tmp_path, mean_table(VALUES), value=0.9)
    with pytest.raises(VlpbenchError, match=r"give dice_positive 0\.\d{6}, and the record says 0\.9.*vlpbench rescore"):
        _resampler(tmp_path).values(record)


@pytest.mark.usefixtures("mean_task")
def test_an_image_named_twice_is_refused(tmp_path: Path) -> None:
    table = mean_table(VALUES)
    table.loc[3, "image_id"] = "image0002"
    with pytest.raises(VlpbenchError, match="name the image 'image0002' twice"):
        _resampler(tmp_path).values(add_mean(tmp_path, table))


@pytest.mark.usefixtures("mean_task")
def test_an_image_without_a_patient_is_told(tmp_path: Path) -> None:
    record = add_mean(tmp_path, mean_table(VALUES))
    add_patients(tmp_path, [str(place) for place in range(39)])
    with pytest.raises(VlpbenchError, match=r"lacks 1 test image.*image0039"):
        _resampler(tmp_path).values(record)


def test_old_records_are_judged_by_what_later_fields_meant(tmp_path: Path) -> None:
    record = add(tmp_path, None, value=0.5)
    settings = dict(record.provenance["settings"])
    assert settings.pop("dice_loss") == "one minus"
    old = replace(record, provenance={**record.provenance, "settings": settings})
    found = judged_by(old)
    assert isinstance(found, SegmentationSettings)
    assert (found.dice_loss, found.amendments) == ("one minus", ())
    assert isinstance(found.decoder_channels, tuple)


def test_settings_that_cannot_be_rebuilt_are_named(tmp_path: Path) -> None:
    record = add(tmp_path, None, value=0.5)
    settings = {**record.provenance["settings"], "colour": "red"}
    del settings["threshold"]
    with pytest.raises(VlpbenchError, match="lacks threshold, has an unknown colour"):
        judged_by(replace(record, provenance={"settings": settings}))
    assert judged_by(replace(record, spec=replace(record.spec, task="reading"))) is None  # a task without settings


def test_label_scores_are_read_in_the_order_of_the_ids_and_once(tmp_path: Path) -> None:
    truth, scores = np.array([[1.0], [0.0], [np.nan]]), np.array([[0.3], [0.2], [0.1]])
    table = label_table(truth, scores).iloc[::-1]
    record = add(tmp_path, table, value=1.0, metric="auroc", task="classification")
    resampler = _resampler(tmp_path)
    found = resampler.label_scores(record)
    assert found.images == ("image0000", "image0001", "image0002")
    assert np.array_equal(found.probabilities, scores)
    assert np.array_equal(found.truth, truth, equal_nan=True)
    (tmp_path / record.predictions).unlink()
    assert resampler.label_scores(record) is found


@pytest.mark.parametrize("change", ["truth", "image"])
def test_label_scores_of_other_truths_or_images_are_refused(tmp_path: Path, change: str) -> None:
    truth, scores = np.array([[1.0], [0.0]]), np.array([[0.3], [0.2]])
    first = add(tmp_path, label_table(truth, scores), value=1.0, metric="auroc", task="classification")
    table = label_table(truth, scores)
    table.loc[0, "y:label0" if change == "truth" else "image_id"] = 0.0 if change == "truth" else "other"
    other = add(tmp_path, table, method="mgca", value=1.0, metric="auroc", task="classification")
    resampler = _resampler(tmp_path)
    resampler.label_scores(first)
    with pytest.raises(VlpbenchError, match=f"{first.key}.*{other.key}"):
        resampler.label_scores(other)


def test_predictions_without_label_columns_are_told(tmp_path: Path) -> None:
    record = add(tmp_path, mean_table(VALUES), value=0.5, metric="auroc", task="classification")
    with pytest.raises(VlpbenchError, match="expected the columns image_id and, for each label"):
        _resampler(tmp_path).label_scores(record)


def test_a_task_that_cannot_weigh_images_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(MeanTask):
        def images(self, predictions: pd.DataFrame) -> pd.DataFrame:
            raise VlpbenchError("names no images")

    monkeypatch.setattr("vlpbench.statistics.resampler.open_task", lambda name: Silent())
    record = add_mean(tmp_path, mean_table(VALUES))
    with pytest.raises(VlpbenchError, match="names no images"):
        _resampler(tmp_path).values(record)


@pytest.mark.slow
def test_processes_give_the_same_values(tmp_path: Path) -> None:
    truth = np.array([[1.0, 0.0], [0.0, 1.0]] * 10)
    generator = np.random.default_rng(0)
    records = []
    for seed in range(16):
        table = label_table(truth, generator.random((20, 2)))
        right = (table[["p:label0", "p:label1"]].to_numpy().argmax(axis=1) == truth.argmax(axis=1)).mean()
        records.append(add(tmp_path, table, seed=seed, value=right, metric="accuracy", task="classification"))
    alone, together = _resampler(tmp_path), _resampler(tmp_path, jobs=2)
    together.prefetch(records)
    assert len(together._found) == 16
    for record in records:
        assert np.array_equal(alone.values(record), together.values(record))
