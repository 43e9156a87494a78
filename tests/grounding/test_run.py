"""The scoring run: records of a method on the drawn test studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.grounding.conftest import plan_of
from vlpbench.errors import VlpbenchError
from vlpbench.grounding.run import GroundingBench, score_maps
from vlpbench.grounding.scores import summarise, summarise_floors
from vlpbench.grounding.truth import NAMES
from vlpbench.patients import read_patients
from vlpbench.plan import Plan, open_task
from vlpbench.pretraining.trained import Trained, load_trained
from vlpbench.suite import load_suite


@pytest.fixture(scope="module")
def bench(work: Path, tmp_path_factory: pytest.TempPathFactory) -> GroundingBench:
    plan = plan_of(work, "sista", "medklip")
    folder = tmp_path_factory.mktemp("results")
    return GroundingBench(Plan(replace(plan.request, results=folder)))


@pytest.fixture(scope="module")
def sista(bench: GroundingBench) -> Trained:
    return load_trained(bench.plan.backbone_folder("sista"), bench.plan.corpus, device=torch.device("cpu"))


def test_truth_is_that_of_the_test_studies_with_a_finding(bench: GroundingBench) -> None:
    (truth,) = bench.truths
    rows = truth.dataset.splits["test"]
    assert 0 < len(truth.image_ids) < len(rows)
    assert set(truth.image_ids) < set(truth.dataset.image_ids(rows))
    assert {pair.study for pair in truth.pairs} == set(range(len(truth.image_ids)))
    assert {pair.finding for pair in truth.pairs} <= set(NAMES)
    every = truth.dataset.image_ids(np.arange(len(truth.dataset.prepared.manifest)))
    for study, name in enumerate(truth.image_ids):
        assert np.array_equal(truth.images[study], truth.dataset.prepared.images[every.index(name)])


def test_a_record_for_each_headline_with_all_metrics_and_one_row_per_pair(
    bench: GroundingBench, sista: Trained
) -> None:
    found = list(bench.evaluate(sista))
    assert [one.headline for one in found] == ["pointing_game", "mask_energy"]
    (truth,) = bench.truths
    for one in found:
        pairs = bench.plan.store.read_predictions(one)
        assert list(zip(pairs["image_id"], pairs["finding"], strict=True)) == [
            (truth.image_ids[pair.study], pair.finding) for pair in truth.pairs
        ]
        assert one.metrics == pytest.approx(summarise(pairs))
        assert one.floors == {name: pytest.approx(values) for name, values in summarise_floors(pairs).items()}
        assert (one.spec.task, one.spec.fraction, one.spec.seed) == ("grounding", 0.0, 0)
        assert one.counts["pairs"] == len(pairs) == sum(count for name, count in one.counts.items() if "pairs:" in name)
        assert (one.counts["train images"], one.counts["patches"], one.counts["pairs without a map"]) == (0, 16, 0)
        assert one.foundations.weights_sha256 == sista.card.sha256
        assert one.provenance["backbone"]["lineage"]["method"] == "sista"
        assert len(one.provenance["backbone"]["heads_sha256"]) == 64
        assert one.provenance["suite"]["synthetic"] is True
    assert found[0].key != found[1].key


def test_what_is_there_is_kept(bench: GroundingBench, sista: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list(bench.evaluate(sista))
    monkeypatch.setattr("vlpbench.grounding.run.score_maps", None)
    assert list(bench.evaluate(sista)) == first


def test_patients_of_all_test_images_are_kept_and_resampling_gives_the_headline(
    bench: GroundingBench, sista: Trained
) -> None:
    task = open_task("grounding")
    for one in bench.evaluate(sista):
        pairs = bench.plan.store.read_predictions(one)
        images = task.images(pairs)
        patients = read_patients(bench.plan.request.results, one)
        assert patients is not None
        assert set(images["image_id"]) < set(patients.index)
        assert images["image_id"].is_unique
        weights = np.ones((1, len(images)), dtype=int)
        assert task.resample(pairs, None, one.headline, weights) == pytest.approx([one.metrics[one.headline]])  # type: ignore[arg-type]
        assert task.score(pairs, None, one.headline) == pytest.approx(one.metrics)  # type: ignore[arg-type]


def test_a_finding_that_a_method_knows_nothing_of_has_a_uniform_map(
    bench: GroundingBench, sista: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    (truth,) = bench.truths
    place = list(NAMES).index("consolidation")

    def knows_one(trained, images, phrases):
        maps = np.full((len(images), len(phrases), 4, 4), np.nan, dtype=np.float32)
        maps[:, place] = np.arange(16).reshape(4, 4)
        return maps

    monkeypatch.setattr("vlpbench.grounding.run.align_phrases", knows_one)
    result, counts = score_maps(sista, truth)
    pairs = result.predictions
    others = pairs[pairs["finding"] != "consolidation"]
    assert counts["pairs without a map"] == len(others) > 0
    assert others["energy"].tolist() == pytest.approx(others["area"].tolist(), abs=1e-6)
    known = pairs[pairs["finding"] == "consolidation"]
    assert (known["energy"] - known["area"]).abs().max() > 1e-3


def test_only_drawn_radiographs_have_truth(bench: GroundingBench) -> None:
    suite = load_suite("open")
    with pytest.raises(VlpbenchError, match="The suite open has no drawn radiographs"):
        GroundingBench(Plan(replace(bench.plan.request, suite=suite)))


def test_the_task_itself_says_who_computes_it(bench: GroundingBench, sista: Trained) -> None:
    task = open_task("grounding")
    assert "vlpbench heatmap --score" in str(task.refuses(sista.card))
