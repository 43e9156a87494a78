"""One loss over the global batch, however it is cut into chunks or dealt to processes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.method import total
from vlpbench.pretraining.global_batch import average_gradients, backward_in_chunks, compute_terms
from vlpbench.registry import REGISTRY

WORKER = Path(__file__).with_name("two_processes.py")


def sample(kind, count=6):
    """A method and its batch in double precision, image statistics still."""
    method, tokeniser = sample_method(kind)
    method.double().backbone.eval()
    batch = sample_batch(tokeniser, count=count)
    return method, replace(batch, images=batch.images.double(), augmented=batch.augmented.double())


def whole(kind, count=6):
    """Terms and gradients of one plain step."""
    method, batch = sample(kind, count)
    terms = compute_terms(method, batch, seed=5, precision=torch.float32)
    total(terms).backward()
    return method, {name: float(value.detach()) for name, value in terms.items()}


def gradients(method):
    return {name: value.grad for name, value in method.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("name", ["sista", "convirt"])
@pytest.mark.parametrize("chunk", [2, 4, 5])
def test_chunks_give_the_loss_and_the_gradients_of_the_whole_batch(name, chunk):
    kind = REGISTRY.target("method", name)
    plain, terms = whole(kind)
    method, batch = sample(kind)
    chunked = backward_in_chunks(method, batch, chunk=chunk, seed=5, precision=torch.float32)
    assert {name: float(value.detach()) for name, value in chunked.items()} == pytest.approx(terms, rel=1e-6)
    expected, found = gradients(plain), gradients(method)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-8, msg=key)


def test_dropout_is_the_same_in_both_passes():
    """Were it not, the gradient would belong to another loss: with no learning it would depend on nothing but luck."""
    kind = REGISTRY.target("method", "convirt")
    found = []
    for _ in range(2):
        method, tokeniser = sample_method(kind)
        seen = []
        method.text.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(output.report.detach()))
        method.text.encoder.embeddings.dropout = torch.nn.Dropout(0.3)
        batch = sample_batch(tokeniser, count=6)
        backward_in_chunks(method, batch, chunk=3, seed=5, precision=torch.float32)
        assert len(seen) == 4
        assert torch.equal(seen[0], seen[2])
        assert torch.equal(seen[1], seen[3])
        assert not torch.equal(seen[0], seen[1])
        found.append(gradients(method))
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_chunks_count_once_in_running_averages():
    kind = REGISTRY.target("method", "sista")
    method, tokeniser = sample_method(kind)
    plain, _ = sample_method(kind)
    first = next(module for module in method.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))
    batch = sample_batch(tokeniser, count=6)
    backward_in_chunks(method, batch, chunk=3, seed=5, precision=torch.float32)
    assert int(first.num_batches_tracked) == 2
    assert first.momentum == 0.1
    with torch.no_grad():
        for rows in (slice(0, 3), slice(3, 6)):
            plain.encode(batch.part(rows))
    twin = next(module for module in plain.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert torch.equal(first.running_mean, twin.running_mean)


def test_one_process_averages_nothing():
    method, _ = whole(REGISTRY.target("method", "convirt"))
    before = {name: value.clone() for name, value in gradients(method).items()}
    average_gradients(method)
    assert all(torch.equal(before[name], value) for name, value in gradients(method).items())


@pytest.mark.parametrize(("name", "count", "chunk"), [("sista", 6, 0), ("sista", 6, 2), ("convirt", 5, 0)])
def test_two_processes_compute_what_one_does(name, count, chunk, tmp_path):
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), name, str(count), str(chunk), str(rank), str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    problems = [worker.communicate(timeout=200)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], problems
    method, terms = whole(REGISTRY.target("method", name), count)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["terms"] == pytest.approx(terms, rel=1e-6)
        for key, value in gradients(method).items():
            torch.testing.assert_close(found["gradients"][key], value, rtol=1e-6, atol=1e-8, msg=key)


def test_a_part_of_a_batch_keeps_its_widths():
    _, tokeniser = sample_method(REGISTRY.target("method", "sista"))
    batch = sample_batch(tokeniser)
    part = batch.part(slice(1, 3))
    assert len(part) == 2
    assert part.reports.word_mask.shape[1] == batch.reports.words == batch.reports.word_mask.shape[1]
    assert part.reports.sentence_mask.shape[1] == batch.reports.sentences
    assert torch.equal(part.triplets, batch.triplets[1:3])
    assert replace(part, images=part.images[:1]).images.shape[0] == 1
