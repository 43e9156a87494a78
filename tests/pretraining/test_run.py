"""Whole pre-training runs on a corpus of 23 pairs."""

import json
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vlpbench.backbone import Backbone
from vlpbench.encoders import hugging_face_encoder
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.pretraining.recipe import resolve_recipe
from vlpbench.pretraining.run import pretrain
from vlpbench.specs import PretrainSpec
from vlpbench_methods.convirt import Convirt

CPU = torch.device("cpu")
SMALL = {"text_model": "scratch", "text_width": 16, "vocabulary": 80, "max_tokens": 24, "precision": "float32"}
SMALL |= {"epochs": 2, "warmup_epochs": 1, "batch_size": 6, "learning_rate": 1e-3}


def silent(step, steps, note):
    pass


def spec(method="convirt", seed=0, **settings):
    recipe = resolve_recipe(SMALL, settings)
    return PretrainSpec(method, 1, "resnet18", 32, "hand-made", "", recipe.canonical(), seed)


def run(folder, corpus, report=silent, **given):
    return pretrain(spec(**given), corpus, folder=folder, device=CPU, report=report)


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """One uninterrupted run of SISTA and its folder."""
    folder = tmp_path_factory.mktemp("finished") / "backbone"
    return folder, run(folder, corpus, method="sista", options={"hidden": 32, "projected": 16})


def test_the_folder_holds_backbone_heads_text_and_log(finished):
    folder, card = finished
    names = {"backbone.json", "backbone.safetensors", "heads.safetensors", "log.jsonl", "text"}
    assert {path.name for path in folder.iterdir()} == names
    assert Backbone.load(folder).card.arch == "resnet18"
    heads = load_file(folder / "heads.safetensors")
    assert {name.split(".")[0] for name in heads} == {"image_head", "text_head", "patch_head", "word_head"}
    tower, _ = hugging_face_encoder(str(folder / "text"), layers=0, max_tokens=24)
    assert tower.width == 16
    assert card == replace(Backbone.load(folder).card, sha256=card.sha256, lineage=card.lineage)


def test_the_lineage_says_how_the_weights_came_to_be(finished):
    folder, card = finished
    lineage = card.lineage
    assert lineage["method"] == "sista"
    assert lineage["epochs"] == len(lineage["validation_loss"]) == 2
    assert lineage["best_epoch"] == 1 + int(np.argmin(lineage["validation_loss"]))
    assert lineage["corpus"]["train pairs"] == 18
    assert lineage["corpus"]["summaries"] == "given by the corpus"
    assert lineage["recipe"]["options"] == {"hidden": 32, "projected": 16}
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert entries == lineage["history"]
    for entry in entries:
        terms = {name: value for name, value in entry["validation"].items() if name != "loss"}
        assert set(terms) == {"SIA", "SIA^a", "SIVA", "SILA", "STA"}
        assert entry["validation"]["loss"] == pytest.approx(sum(terms.values()))
        assert set(entry["train_measured"]) == {"pseudo-positives per pair", "kept patch share"}
        assert set(entry["validation_measured"]) == set(entry["train_measured"])


def test_a_finished_run_is_not_repeated(finished, corpus):
    folder, card = finished
    again = run(folder, corpus, method="sista", report=lambda *progress: pytest.fail("trained again"))
    assert again == card


def test_the_schedule_warms_up_and_comes_down(corpus, tmp_path):
    rates = []
    card = run(tmp_path, corpus, epochs=3, warmup_epochs=1)
    rates = [entry["learning_rate"] for entry in card.lineage["history"]]
    assert rates[0] == pytest.approx(1e-3)
    assert rates[2] == pytest.approx(1e-8 + (1e-3 - 1e-8) * (1 + np.cos(np.pi * 5 / 6)) / 2, rel=1e-6)


def interrupted_at(step):
    """A callback that interrupts at one step, or at once."""

    def report(done, *rest):
        if step is None or done == step:
            raise KeyboardInterrupt

    return report


def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_one(corpus, tmp_path):
    straight = run(tmp_path / "straight", corpus, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", corpus, epochs=3, report=interrupted_at(5))
    assert (tmp_path / "broken" / "checkpoints" / "last.pth").is_file()
    steps = []
    resumed = run(tmp_path / "broken", corpus, epochs=3, report=lambda step, *rest: steps.append(step))
    assert steps[0] == 4, "epoch 2 is begun anew, epoch 1 is not"
    assert resumed.sha256 == straight.sha256
    assert resumed.lineage["validation_loss"] == straight.lineage["validation_loss"]
    assert not (tmp_path / "broken" / "checkpoints").exists()


def test_dropout_is_repeated_when_a_run_is_resumed(finished, corpus, tmp_path):
    encoder = tmp_path / "encoder"
    shutil.copytree(finished[0] / "text", encoder)
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.3}))
    straight = run(tmp_path / "straight", corpus, text_model=str(encoder))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", corpus, text_model=str(encoder), report=interrupted_at(5))
    torch.rand(7)
    assert run(tmp_path / "broken", corpus, text_model=str(encoder)).sha256 == straight.sha256


def test_a_run_in_chunks_survives_an_interruption(corpus, tmp_path):
    settings = {"epochs": 3, "batch_size": 6, "chunk": 2, "clip": 1.0}
    straight = run(tmp_path / "straight", corpus, **settings)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", corpus, **settings, report=interrupted_at(6))
    assert run(tmp_path / "broken", corpus, **settings).sha256 == straight.sha256
    assert run(tmp_path / "whole", corpus, **{**settings, "chunk": 0}).sha256 != straight.sha256


def test_equal_seeds_give_equal_weights_and_leave_the_process_alone(corpus, tmp_path, capfd):
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = run(tmp_path / "first", corpus, precision="bfloat16")
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    torch.rand(3)
    np.random.rand(3)
    second = run(tmp_path / "second", corpus, precision="bfloat16")
    other = run(tmp_path / "other", corpus, precision="bfloat16", seed=1)
    assert first.sha256 == second.sha256
    assert first.sha256 != other.sha256
    assert capfd.readouterr() == ("", "")


def test_runs_leave_nothing_in_mmengines_registries(finished):
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.visualization import Visualizer

    for kind in (MMLogger, MessageHub, Visualizer):
        assert not [name for name in kind._instance_dict if name.startswith("pretrain")]


def spoil(monkeypatch, at, value):
    """Make one term of ConVIRT's loss something else at one call."""
    calls, honest = [], Convirt.loss

    def loss(self, encoded, batch):
        calls.append(1)
        terms = honest(self, encoded, batch)
        if len(calls) == at:
            terms["report to image"] = terms["report to image"] * value
        return terms

    monkeypatch.setattr(Convirt, "loss", loss)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(corpus, tmp_path, monkeypatch, value):
    spoil(monkeypatch, at=6, value=value)
    with pytest.raises(VlpbenchError) as caught:
        run(tmp_path, corpus)
    message = str(caught.value)
    assert "At step 5 of 6 (epoch 2)" in message
    assert f"report to image = {value:g}" in message
    assert "image to report = 1." in message
    assert f"The last good checkpoint is {tmp_path / 'checkpoints' / 'last.pth'}" in message
    assert "--set learning_rate=" in message


def test_a_validation_loss_that_is_no_number_is_never_saved(corpus, tmp_path, monkeypatch):
    spoil(monkeypatch, at=4, value=float("nan"))
    with pytest.raises(VlpbenchError, match=r"In the validation after epoch 1 .*There is no checkpoint yet"):
        run(tmp_path, corpus)
    assert not list((tmp_path / "checkpoints").glob("*.pth"))


def worsen(monkeypatch):
    """Let the validation loss grow, whatever is learnt."""
    from vlpbench.pretraining.model import MeanTerms

    honest, seen = MeanTerms.compute_metrics, []

    def compute(self, results):
        seen.append(1)
        return {**honest(self, results), "loss": float(len(seen))}

    monkeypatch.setattr(MeanTerms, "compute_metrics", compute)


def test_training_stops_when_validation_grows_and_the_best_weights_are_kept(corpus, tmp_path, monkeypatch):
    worsen(monkeypatch)
    card = run(tmp_path / "early", corpus, epochs=9, patience=2)
    assert card.lineage["validation_loss"] == [1.0, 2.0, 3.0]
    assert card.lineage["best_epoch"] == 1
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "one", corpus, epochs=9, patience=2, report=interrupted_at(4))
    best = torch.load(tmp_path / "one" / "checkpoints" / "best.pth", weights_only=True)
    kept = Backbone.load(tmp_path / "early").model.state_dict()
    assert all(torch.equal(best[f"backbone.model.{name}"], tensor) for name, tensor in kept.items())


def test_patience_is_not_forgotten_by_an_interruption(corpus, tmp_path, monkeypatch):
    worsen(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, corpus, epochs=9, patience=2, report=interrupted_at(7))
    assert len(run(tmp_path, corpus, epochs=9, patience=2).lineage["validation_loss"]) == 3


def test_a_run_that_was_interrupted_while_saving_is_not_trained_further(corpus, tmp_path, monkeypatch):
    worsen(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "save", interrupted_at(None))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, corpus, epochs=9, patience=1)
    card = run(tmp_path, corpus, epochs=9, patience=1, report=lambda *progress: pytest.fail("trained again"))
    assert card.lineage["validation_loss"] == [1.0, 2.0]


def test_loading_processes_change_no_number(corpus, tmp_path):
    alone = run(tmp_path / "alone", corpus)
    helped = pretrain(spec(), corpus, folder=tmp_path / "helped", device=CPU, report=silent, workers=1)
    assert alone.sha256 == helped.sha256


def test_validation_uses_the_statistics_of_its_batches_and_keeps_none(corpus, tmp_path, monkeypatch):
    """With running averages, heads that learn fast would project all validation reports to nearly the same point."""
    from vlpbench_methods.sista import Sista

    seen, honest = [], Sista.loss

    def loss(self, encoded, batch):
        before = {name: buffer.clone() for name, buffer in self.named_buffers() if "running" in name}
        terms = honest(self, encoded, batch)
        if not self.training:
            report = self.text_head(encoded["report"])
            seen.append((report.detach(), all(torch.equal(before[name], self.get_buffer(name)) for name in before)))
            assert not any(norm.training for norm in self.backbone.modules())
        return terms

    monkeypatch.setattr(Sista, "loss", loss)
    run(tmp_path, corpus, method="sista", options={"hidden": 32, "projected": 16})
    assert len(seen) == 2
    for report, kept in seen:
        assert kept
        assert report.mean(dim=0).abs().max() < 0.1, "features of a batch are centred"


def test_every_epoch_has_its_own_order_and_views(corpus, tmp_path, monkeypatch):
    seen, honest = {True: [], False: []}, Convirt.loss

    def loss(self, encoded, batch):
        seen[self.training].append((float(batch.images.sum()), float(batch.augmented.sum())))
        return honest(self, encoded, batch)

    monkeypatch.setattr(Convirt, "loss", loss)
    run(tmp_path, corpus)
    assert len(set(seen[True])) == 6
    assert seen[False][0] == seen[False][1]


def test_progress_is_reported_step_by_step(corpus, tmp_path):
    told = []
    run(tmp_path, corpus, report=lambda *progress: told.append(progress))
    assert [(step, steps) for step, steps, _ in told] == [(step, 6) for step in range(1, 7)]
    assert told[3][2].startswith("epoch 2 of 2, loss ")


def test_methods_that_train_nothing_need_no_corpus(tmp_path):
    card = pretrain(spec("random"), None, folder=tmp_path / "a", device=CPU, report=silent)
    again = pretrain(spec("random"), None, folder=tmp_path / "b", device=CPU, report=silent)
    other = pretrain(spec("random", seed=1), None, folder=tmp_path / "c", device=CPU, report=silent)
    assert card.sha256 == again.sha256 != other.sha256


def test_what_cannot_be_trained_is_refused(corpus, few_pairs, tmp_path):
    with pytest.raises(VlpbenchError, match="'convirt' trains, and needs a corpus"):
        pretrain(spec(), None, folder=tmp_path, device=CPU, report=silent)
    with pytest.raises(VlpbenchError, match="1 train pairs"):
        run(tmp_path, few_pairs(train=1, val=2))
    with pytest.raises(VlpbenchError, match="one validation pair"):
        run(tmp_path, few_pairs(train=4, val=1))
    with pytest.raises(UnknownNameError, match="option of convirt named 'hidden'"):
        run(tmp_path, corpus, options={"hidden": 3})
