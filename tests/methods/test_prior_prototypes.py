"""The memory of prototypes and the losses of generated sentences, against loops written from the equations."""

from itertools import permutations

import pytest
import torch

from vlpbench_methods.sentence_prototypes import (
    PrototypeMemory,
    generation_loss,
    in_order,
    matching_order,
    memory_loss,
    query_consistency,
)

WIDTH, SLOTS = 5, 4
COUNTS = (3, 1, 4, 0, 2, 4, 1)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mask_of(batch):
    return torch.arange(SLOTS) < torch.tensor(COUNTS[:batch])[:, None]


def memory(temperature=0.9):
    torch.manual_seed(3)
    return PrototypeMemory(WIDTH, prototypes=8, temperature=temperature).double()


def naive_mixture(module, sentence, noise=None):
    scores = torch.stack([sentence @ prototype for prototype in module.prototypes])
    if noise is not None:
        scores = scores + noise
    weights = torch.exp(scores / module.temperature - torch.logsumexp(scores / module.temperature, 0))
    return sum(weight * prototype for weight, prototype in zip(weights, module.prototypes, strict=True))


def test_evaluation_mixes_without_noise():
    module, sentences = memory().eval(), drawn(2, 3, WIDTH)
    expected = [[naive_mixture(module, sentence) for sentence in report] for report in sentences]
    torch.testing.assert_close(module(sentences), torch.stack([torch.stack(row) for row in expected]))
    assert torch.equal(module(sentences), module(sentences))


def test_training_adds_gumbel_noise():
    module, sentences = memory().train(), drawn(2, 3, WIDTH)
    torch.manual_seed(4)
    found = module(sentences)
    torch.manual_seed(4)
    noise = -torch.empty(2, 3, 8, dtype=torch.float64).exponential_().log()
    expected = [torch.stack([naive_mixture(module, sentences[i, j], noise[i, j]) for j in range(3)]) for i in range(2)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_a_low_temperature_picks_one_prototype():
    module = memory(temperature=1e-3).eval()
    found = module(5 * module.prototypes[None, 2:3])
    nearest = (module.prototypes @ module.prototypes[2]).argmax()
    torch.testing.assert_close(found[0, 0], module.prototypes[nearest])


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_memory_loss_is_the_mean_over_real_sentences(batch):
    first, second, mask = drawn(batch, SLOTS, WIDTH), drawn(batch, SLOTS, WIDTH, seed=1), mask_of(batch)
    rows = [(first[i, j] - second[i, j]).abs().mean() for i in range(batch) for j in range(COUNTS[i])]
    torch.testing.assert_close(memory_loss(first, second, mask), torch.stack(rows).mean())


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_generation_loss_is_the_mean_over_reports(batch):
    first, second, mask = drawn(batch, SLOTS, WIDTH), drawn(batch, SLOTS, WIDTH, seed=1), mask_of(batch)
    reports = []
    for i, count in enumerate(COUNTS[:batch]):
        rows = [(first[i, j] - second[i, j]).abs().mean() for j in range(count)]
        reports.append(torch.stack(rows).mean() if rows else torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(generation_loss(first, second, mask), torch.stack(reports).mean())


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_consistency_is_the_divergence_from_the_real_sentences(batch):
    first, second, mask = drawn(batch, SLOTS, 8), drawn(batch, SLOTS, 8, seed=1), mask_of(batch)
    found = []
    for i in range(batch):
        for j in range(COUNTS[i]):
            p, q = first[i, j].exp() / first[i, j].exp().sum(), second[i, j].exp() / second[i, j].exp().sum()
            found.append(sum(p[k] * (p[k] / q[k]).log() for k in range(8)))
    torch.testing.assert_close(query_consistency(first, second, mask), torch.stack(found).mean())


@pytest.mark.parametrize("loss", [memory_loss, generation_loss, query_consistency])
def test_losses_are_smooth_ignore_padding_and_survive_nothing_but_padding(loss):
    first, second, mask = drawn(7, SLOTS, 8), drawn(7, SLOTS, 8, seed=1), mask_of(7)
    noise = 9 * drawn(7, SLOTS, 8, seed=2)
    changed = [torch.where(mask[:, :, None], tensor, noise) for tensor in (first, second)]
    torch.testing.assert_close(loss(*changed, mask), loss(first, second, mask))
    assert float(loss(first, second, torch.zeros_like(mask))) == 0
    rows = torch.tensor([4, 0, 6, 2, 5, 1, 3])
    torch.testing.assert_close(loss(first[rows], second[rows], mask[rows]), loss(first, second, mask))
    leaves = [tensor[:2].clone().requires_grad_() for tensor in (first, second)]
    assert torch.autograd.gradcheck(lambda one, two: loss(one, two, mask[:2]), leaves)


@pytest.mark.parametrize("loss", [memory_loss, generation_loss, query_consistency])
def test_losses_of_bfloat16_are_float32(loss):
    first, second, mask = drawn(7, SLOTS, 8), drawn(7, SLOTS, 8, seed=1), mask_of(7)
    found = loss(first.bfloat16(), second.bfloat16(), mask)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(loss(first, second, mask)), rel=0.01)


def naive_order(generated, targets):
    """The cheapest of all ways to give each target a sentence of its own."""
    ways = permutations(range(len(generated)), len(targets))
    return min(
        ways,
        key=lambda way: sum(float((generated[g] - target).abs().sum()) for g, target in zip(way, targets, strict=True)),
    )


def test_matching_is_the_cheapest_for_real_targets():
    generated, targets, mask = drawn(7, 5, WIDTH), drawn(7, SLOTS, WIDTH, seed=1), mask_of(7)
    order = matching_order(generated, targets, mask)
    for report, count in enumerate(COUNTS):
        assert tuple(order[report, :count].tolist()) == naive_order(generated[report], targets[report, :count])
        assert not order[report, count:].any()
    noisy = torch.where(mask[:, :, None], targets, torch.zeros(()))
    assert torch.equal(matching_order(generated, noisy, mask), order)


def test_matched_sentences_stand_in_the_order_of_their_targets():
    # A cycle of three, which is not its own inverse: the released code would return it the other way round.
    targets = drawn(1, 3, WIDTH)
    generated = targets[:, [1, 2, 0]]
    mask = torch.ones(1, 3, dtype=torch.bool)
    matched = in_order(generated, matching_order(generated, targets, mask))
    torch.testing.assert_close(matched, targets)
    assert float(generation_loss(matched, targets, mask)) == 0


def test_matching_leaves_a_diverged_run_to_the_trainer():
    generated, targets, mask = drawn(2, 3, WIDTH), drawn(2, 3, WIDTH, seed=1), torch.ones(2, 3, dtype=torch.bool)
    generated[0, 1, 2], targets[1, 0, 0] = torch.nan, torch.inf
    order = matching_order(generated, targets, mask)
    assert sorted(order[0].tolist()) == sorted(order[1].tolist()) == [0, 1, 2]
