"""Trained methods read back from their folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.endtoend.tiny import write_suite
from tests.grounding.conftest import METHODS, plan_of, train_a_step
from vlpbench.contract.sample import sample_batch
from vlpbench.errors import VlpbenchError
from vlpbench.grounding.maps import align_phrases
from vlpbench.grounding.phrases import parse_phrases
from vlpbench.pretraining.trained import Trained, load_trained

CPU = torch.device("cpu")
Copy = Callable[[str], Path]


@pytest.mark.parametrize("name", ["sista", "medklip"])
def test_a_method_says_after_loading_what_it_said_before(tmp_path: Path, name: str) -> None:
    write_suite(tmp_path)
    plan = plan_of(tmp_path, name)
    method = train_a_step(plan, name).eval()
    loaded = load_trained(plan.backbone_folder(name), plan.corpus, device=CPU)
    assert not loaded.method.training
    assert not any(one.requires_grad for one in loaded.method.parameters())
    images = plan.corpus.images(plan.corpus.rows("val")[:2])
    phrases = parse_phrases("pleural effusion,edema")
    own = Trained(method, loaded.tokeniser, loaded.knowledge, loaded.card)
    found, expected = (align_phrases(one, images, phrases) for one in (loaded, own))
    spread = np.ptp(expected, axis=(2, 3)).min()
    assert spread > 0
    # memory in another order rounds otherwise
    assert np.allclose(found, expected, rtol=0, atol=0.01 * spread)


def test_the_tokeniser_reads_as_in_training(work: Path) -> None:
    plan = plan_of(work, "sista")
    loaded = load_trained(plan.backbone_folder("sista"), plan.corpus, device=CPU)
    trained = train_again(plan)
    reports = plan.corpus.reports(plan.corpus.rows("train"))
    for name in ("ids", "mask", "word", "sentence"):
        one, other = (getattr(tokeniser.tokenise(reports), name) for tokeniser in (loaded.tokeniser, trained))
        assert torch.equal(one, other)
    assert loaded.tokeniser.max_tokens == trained.max_tokens


def train_again(plan):
    """The tokeniser as it is made before training."""
    from vlpbench.pretraining.run import _seeded, _text

    with _seeded(0):
        return _text(plan.recipe("sista"), plan.corpus)[1]


def test_loading_leaves_the_generator_where_it_was(work: Path) -> None:
    plan = plan_of(work, "gloria")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_trained(plan.backbone_folder("gloria"), plan.corpus, device=CPU)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("file", ["heads.safetensors", "text/model.safetensors"])
def test_a_missing_file_is_named(work: Path, copied: Copy, file: str) -> None:
    folder = copied("sista")
    (folder / file).unlink()
    with pytest.raises(VlpbenchError, match=rf"{file} is missing; delete .*vlpbench run --method sista"):
        load_trained(folder, plan_of(work, "sista").corpus, device=CPU)


def test_a_pickle_in_place_of_weights_is_never_read(work: Path, copied: Copy) -> None:
    folder = copied("sista")
    (folder / "text" / "model.safetensors").rename(folder / "text" / "pytorch_model.bin")
    with pytest.raises(VlpbenchError, match=r"model\.safetensors is missing"):
        load_trained(folder, plan_of(work, "sista").corpus, device=CPU)


def test_damaged_heads_are_refused(work: Path, copied: Copy) -> None:
    folder = copied("sista")
    (folder / "heads.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(VlpbenchError, match=r"heads\.safetensors does not hold the heads of sista"):
        load_trained(folder, plan_of(work, "sista").corpus, device=CPU)


def test_heads_of_another_method_are_refused(work: Path, copied: Copy) -> None:
    folder, other = copied("sista"), copied("sista_sia")
    (folder / "heads.safetensors").write_bytes((other / "heads.safetensors").read_bytes())
    with pytest.raises(VlpbenchError, match=r"heads of sista: no patch_head\.layers\.0\.weight"):
        load_trained(folder, plan_of(work, "sista").corpus, device=CPU)
    (other / "heads.safetensors").write_bytes((copied_again(work) / "heads.safetensors").read_bytes())
    with pytest.raises(VlpbenchError, match=r"heads of sista_sia: unknown patch_head"):
        load_trained(other, plan_of(work, "sista").corpus, device=CPU)


def copied_again(work: Path) -> Path:
    return plan_of(work, "sista").backbone_folder("sista")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method_version": 1}, "trained by version 1 of sista, and this is version 2"),
        ({"corpus": {"fingerprint": "another"}}, "trained on the corpus another"),
        ({"method": "random"}, "'random' trains nothing"),
        ({"method": "sita"}, "No method named 'sita'. Near: sista"),
    ],
)
def test_other_lineages_are_refused(work: Path, copied: Copy, change: dict[str, object], message: str) -> None:
    folder = copied("sista")
    card = json.loads((folder / "backbone.json").read_text())
    card["lineage"] |= change
    (folder / "backbone.json").write_text(json.dumps(card))
    with pytest.raises(VlpbenchError, match=message):
        load_trained(folder, plan_of(work, "sista").corpus, device=CPU)


def test_every_trained_method_takes_a_batch(work: Path) -> None:
    plan = plan_of(work, *METHODS)
    for name in METHODS:
        loaded = load_trained(plan.backbone_folder(name), plan.corpus, device=CPU)
        assert loaded.method.encode(sample_batch(loaded.tokeniser, size=64))
