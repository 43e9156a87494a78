"""MGCA: its local terms against loops written from the equations, its switches and what it mends."""

import math
from dataclasses import replace

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.text import TokenBatch
from vlpbench_methods.contrastive import word_importance
from vlpbench_methods.local_alignment import contrast_patches, contrast_words, gather_attended, project_words
from vlpbench_methods.mgca import Mgca, MgcaOptions

AMONG, TAU = 0.3, 0.2
TEMPERATURES = {"attention_temperature": AMONG, "temperature": TAU}
WIDTH, WORDS, PATCHES = 4, 5, 3


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ragged(*lengths: int, words: int = WORDS) -> torch.Tensor:
    return torch.arange(words)[None, :] < torch.tensor(lengths)[:, None]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def unit(vector: list[float]) -> list[float]:
    return [value / math.sqrt(dot(vector, vector)) for value in vector]


def naive_gather(query: list[float], candidates: list[list[float]]) -> list[float]:
    scores = [math.exp(dot(query, candidate) / AMONG) for candidate in candidates]
    weighted = [[score / sum(scores) * value for value in c] for score, c in zip(scores, candidates, strict=True)]
    return [sum(column) for column in zip(*weighted, strict=True)]


def naive_side(tokens: list[list[float]], others: list[list[float]], weights: list[float]) -> float:
    """Two-sided cross-entropy of one pair, its weights adding up to 1."""
    tokens, others = [unit(token) for token in tokens], [unit(other) for other in others]
    gathered = [unit(naive_gather(token, others)) for token in tokens]
    logits = [[dot(token, one) / TAU for one in gathered] for token in tokens]
    loss = 0.0
    for place, weight in enumerate(weights):
        row = sum(math.exp(logit) for logit in logits[place])
        column = sum(math.exp(line[place]) for line in logits)
        loss += weight * (math.log(row) + math.log(column) - 2 * logits[place][place]) / 2
    return loss


def naive_words(words, patches, mask, weights) -> float:
    total = 0.0
    for i in range(len(words)):
        real = [place for place in range(words.shape[1]) if mask[i, place]]
        if real:
            own = [words[i, place].tolist() for place in real]
            total += naive_side(own, patches[i].tolist(), [float(weights[i, place]) for place in real])
    return total / len(words)


def naive_patches(words, patches, mask) -> float:
    total = 0.0
    for i in range(len(words)):
        real = [words[i, place].tolist() for place in range(words.shape[1]) if mask[i, place]]
        if real:
            total += naive_side(patches[i].tolist(), real, [1 / patches.shape[1]] * patches.shape[1])
    return total / len(words)


def pairs(*lengths: int):
    """Words, patches, a ragged mask and importance of mean 1 over each report's real words."""
    mask = ragged(*lengths)
    importance = rows(len(lengths), WORDS, seed=3).abs() * mask
    importance = importance * mask.sum(1, keepdim=True) / importance.sum(1, keepdim=True).clamp(min=1e-9)
    return rows(len(lengths), WORDS, WIDTH, seed=1), rows(len(lengths), PATCHES, WIDTH, seed=2), mask, importance


LENGTHS = [(4,), (1,), (2, 5), (5, 3, 1, 0, 2, 4, 5)]


@pytest.mark.parametrize("lengths", LENGTHS)
def test_both_sides_match_the_loops(lengths):
    words, patches, mask, importance = pairs(*lengths)
    shares = importance / mask.sum(1, keepdim=True).clamp(min=1)
    assert float(contrast_words(words, patches, mask, importance, **TEMPERATURES)) == pytest.approx(
        naive_words(words, patches, mask, shares), abs=1e-12
    )
    assert float(contrast_patches(words, patches, mask, **TEMPERATURES)) == pytest.approx(
        naive_patches(words, patches, mask), abs=1e-12
    )


def test_padding_does_not_matter():
    words, patches, mask, importance = pairs(5, 3, 0)
    other = torch.where(mask[:, :, None], words, 100 * rows(*words.shape, seed=9))
    assert torch.equal(
        contrast_words(other, patches, mask, importance, **TEMPERATURES),
        contrast_words(words, patches, mask, importance, **TEMPERATURES),
    )
    assert torch.equal(
        contrast_patches(other, patches, mask, **TEMPERATURES), contrast_patches(words, patches, mask, **TEMPERATURES)
    )


def test_a_report_without_words_adds_nothing_and_gets_no_gradient():
    words, patches, mask, importance = pairs(0, 0)
    words, patches = words.requires_grad_(), patches.requires_grad_()
    loss = contrast_words(words, patches, mask, importance, **TEMPERATURES) + contrast_patches(
        words, patches, mask, **TEMPERATURES
    )
    loss.backward()
    assert float(loss.detach()) == 0
    assert not words.grad.any()
    assert not patches.grad.any()
    nothing = gather_attended(patches, words, mask, temperature=AMONG)
    assert not nothing.any()


def test_pair_order_does_not_matter():
    words, patches, mask, importance = pairs(5, 3, 1, 0, 2, 4, 5)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    for loss in (
        lambda rows_: contrast_words(words[rows_], patches[rows_], mask[rows_], importance[rows_], **TEMPERATURES),
        lambda rows_: contrast_patches(words[rows_], patches[rows_], mask[rows_], **TEMPERATURES),
    ):
        assert float(loss(order)) == pytest.approx(float(loss(torch.arange(7))), abs=1e-12)


def test_gradients_are_those_of_finite_differences():
    words, patches, mask, importance = (tensor[:, :3] for tensor in pairs(2, 0))
    inputs = (words.requires_grad_(), patches.requires_grad_())
    assert torch.autograd.gradcheck(lambda w, p: contrast_words(w, p, mask, importance, **TEMPERATURES), inputs)
    assert torch.autograd.gradcheck(lambda w, p: contrast_patches(w, p, mask, **TEMPERATURES), inputs)


def test_half_precision_features_are_widened():
    words, patches, mask, importance = pairs(5, 3, 1)
    words, patches = words.bfloat16(), patches.bfloat16()
    shares = importance / mask.sum(1, keepdim=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        word_side = contrast_words(words, patches, mask, importance.float(), **TEMPERATURES)
        patch_side = contrast_patches(words, patches, mask, **TEMPERATURES)
    assert word_side.dtype == patch_side.dtype == torch.float32
    assert float(word_side) == pytest.approx(naive_words(words.double(), patches.double(), mask, shares), rel=1e-5)
    assert float(patch_side) == pytest.approx(naive_patches(words.double(), patches.double(), mask), rel=1e-5)


def test_only_real_words_pass_through_the_head():
    words, mask = rows(3, WORDS, WIDTH, seed=4).float(), ragged(2, 0, 5)
    head = torch.nn.BatchNorm1d(WIDTH, affine=False)
    found = project_words(head, words, mask, projected=WIDTH)
    torch.testing.assert_close(found[mask], head(words[mask]))
    assert not found[~mask].any()
    few = project_words(head, words, ragged(1, 0, 0), projected=WIDTH)
    assert few.shape == words.shape
    assert not few.any()


def build(**options):
    method, tokeniser = sample_method(Mgca, options=MgcaOptions(hidden=32, projected=16, **options))
    return method.eval(), tokeniser


def terms(method, batch):
    with torch.no_grad():
        return {name: float(term) for name, term in method.loss(method.encode(batch), batch).items()}


def test_a_word_has_its_own_attention_not_its_successors():
    method, tokeniser = build(bidirectional=False, attention_temperature=AMONG, token_temperature=TAU)
    batch = sample_batch(tokeniser)
    mask = batch.reports.word_mask
    with torch.no_grad():
        encoded = method.encode(batch)
        # A random encoder looks at all words alike; attention that differs from word to word shows whose it is.
        encoded["word attention"] = rows(*mask.shape, seed=5).abs().float() * mask
        found = float(method.loss(encoded, batch)["CTA"])
        patches = method.patch_head(encoded["patches"].flatten(0, 1)).unflatten(0, encoded["patches"].shape[:2])
        words = method.word_head(encoded["words"].flatten(0, 1)).unflatten(0, mask.shape)

    def expected(attention):
        shares = word_importance(attention, mask) / mask.sum(1, keepdim=True)
        return naive_words(words.double(), patches.double(), mask, shares)

    own = encoded["word attention"]
    successors = torch.cat([own[:, 1:], own[:, :1]], dim=1)
    assert found == pytest.approx(expected(own), rel=1e-4)
    assert found != pytest.approx(expected(successors), rel=1e-2)


def test_longer_padding_changes_nothing():
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    reports = batch.reports
    more = [
        torch.nn.functional.pad(tensor, (0, 6), value=value)
        for tensor, value in ((reports.ids, 0), (reports.mask, False), (reports.word, -1), (reports.sentence, -1))
    ]
    padded = replace(batch, reports=TokenBatch(*more, reports.words + 4, reports.sentences))
    assert terms(method, padded) == pytest.approx(terms(method, batch), rel=1e-5)


def test_instance_alignment_is_the_sum_of_its_two_directions():
    method, tokeniser = build(temperature=TAU)
    batch = sample_batch(tokeniser)
    with torch.no_grad():
        encoded = method.encode(batch)
        images = method.image_head(encoded["image"]).double()
        reports = method.text_head(encoded["report"]).double()
        found = float(method.loss(encoded, batch)["ITA"])
    expected = 0.0
    for anchors, candidates in ((images, reports), (reports, images)):
        for i in range(len(anchors)):
            scores = [math.exp(float(anchors[i] @ candidate) / TAU) for candidate in candidates]
            expected -= math.log(scores[i] / sum(scores)) / len(anchors)
    assert found == pytest.approx(expected, rel=1e-5)


def test_only_the_direction_of_a_prototype_counts():
    method, tokeniser = build(prototypes=9)
    batch = sample_batch(tokeniser)
    before = terms(method, batch)
    with torch.no_grad():
        method.prototypes *= torch.linspace(0.5, 4, 9)[:, None]
    assert terms(method, batch) == pytest.approx(before, rel=1e-5)


CHANGES = [
    ({"temperature": 0.5}, "ITA"),
    ({"attention_temperature": 0.5}, "CTA"),
    ({"token_temperature": 0.5}, "CTA"),
    ({"bidirectional": False}, "CTA"),
    ({"word_weights": "uniform"}, "CTA"),
    ({"prototype_temperature": 0.5}, "CPA"),
    ({"sinkhorn_epsilon": 0.5}, "CPA"),
    ({"sinkhorn_iterations": 1}, "CPA"),
    ({"instance_weight": 2.0}, "ITA"),
    ({"token_weight": 2.0}, "CTA"),
    ({"prototype_weight": 2.0}, "CPA"),
]


@pytest.mark.parametrize(("options", "term"), CHANGES)
def test_a_switch_changes_its_term_alone(options, term):
    method, tokeniser = build()
    changed, _ = build(**options)
    batch = sample_batch(tokeniser)
    before, after = terms(method, batch), terms(changed, batch)
    assert [name for name in before if after[name] != pytest.approx(before[name], rel=1e-6)] == [term]


def test_weights_scale_and_a_weight_of_zero_leaves_its_term_out():
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    before = terms(method, batch)
    doubled = terms(build(instance_weight=2.0)[0], batch)
    assert doubled["ITA"] == pytest.approx(2 * before["ITA"], rel=1e-6)
    assert list(terms(build(token_weight=0.0)[0], batch)) == ["ITA", "CPA"]
    assert list(terms(build(instance_weight=0.0, prototype_weight=0.0)[0], batch)) == ["CTA"]


def test_patches_come_from_the_map_and_size_asked_for():
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    assert method.encode(batch)["patches"].shape[1:] == (4, 256)
    assert build(local_stride=8)[0].encode(batch)["patches"].shape[1:] == (16, 128)
    assert build(local_input_size=64)[0].encode(batch)["patches"].shape[1:] == (16, 256)


def test_two_pairs_with_five_hundred_prototypes_train():
    method, tokeniser = sample_method(Mgca)
    batch = sample_batch(tokeniser, count=2)
    losses = method.loss(method.encode(batch), batch)
    torch.stack(list(losses.values())).sum().backward()
    assert all(math.isfinite(float(term.detach())) for term in losses.values())
    assert all(torch.isfinite(value.grad).all() for value in method.parameters() if value.grad is not None)
    assert method.prototypes.grad.abs().sum() > 0
    assert 1 <= float(method.diagnostics["prototypes in use"]) <= 4


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"sinkhorn_iterations": 0},
        {"prototypes": 0},
        {"token_weight": -1.0},
        {"instance_weight": 0.0, "token_weight": 0.0, "prototype_weight": 0.0},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(VlpbenchError, match=next(iter(options))):
        MgcaOptions(**options)


def test_an_unknown_word_weight_shows_the_known_ones():
    with pytest.raises(UnknownNameError, match="attention"):
        MgcaOptions(word_weights="atention")
