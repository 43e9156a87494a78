"""GLoRIA's local scores against a loop that builds every context, and their memory."""

import math

import pytest
import torch

from tests.methods.naive_region_words import ATTENTION, POOLING, naive_score, rows
from tests.methods.naive_region_words import ragged as ragged_mask
from vlpbench_methods import region_words
from vlpbench_methods.gloria import match_both_ways
from vlpbench_methods.region_words import region_word_scores

LOGIT = 10.0
WIDTH, WORDS, REGIONS = 4, 5, 3


def ragged(*lengths: int, words: int = WORDS) -> torch.Tensor:
    return ragged_mask(*lengths, words=words)


def real(words: torch.Tensor, mask: torch.Tensor) -> list[list[list[float]]]:
    return [report[told].tolist() for report, told in zip(words, mask, strict=True)]


def scores(words, mask, regions, **memory):
    return region_word_scores(words, mask, regions, attention_scale=ATTENTION, pooling_scale=POOLING, **memory)


def features(texts: int, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    return rows(texts, WORDS, WIDTH, seed=1), rows(images, REGIONS, WIDTH, seed=2)


LENGTHS = {1: (4,), 2: (3, 5), 7: (5, 1, 3, 2, 5, 4, 1)}


@pytest.mark.parametrize("at_once", [1, 2 * WORDS * REGIONS, 2**20])
@pytest.mark.parametrize(("texts", "images"), [(1, 1), (2, 2), (7, 7), (7, 2), (1, 7)])
def test_scores_are_those_of_the_contexts(texts, images, at_once):
    words, regions = features(texts, images)
    mask = ragged(*LENGTHS[texts])
    expected = [[naive_score(report, image) for report in real(words, mask)] for image in regions.tolist()]
    found = scores(words, mask, regions, at_once=at_once)
    assert found.dtype == torch.float64
    assert found.flatten().tolist() == pytest.approx([value for row in expected for value in row], abs=1e-12)


def test_real_words_may_stand_anywhere():
    words, regions = features(2, 2)
    mask = torch.tensor([[False, True, False, True, True], [True, False, False, False, True]])
    expected = [[naive_score(report, image) for report in real(words, mask)] for image in regions.tolist()]
    assert scores(words, mask, regions).tolist() == [pytest.approx(row, abs=1e-12) for row in expected]


@pytest.mark.parametrize("kept", [0, 2 * WORDS * REGIONS, 2**20])
@pytest.mark.parametrize("at_once", [1, 2 * WORDS * REGIONS, 2**20])
def test_gradients_are_those_of_the_scores(at_once, kept):
    words, regions = features(3, 2)
    mask = torch.tensor([[True, True, True, False, False], [False, True, False, True, True], [True] + 4 * [False]])
    assert torch.autograd.gradcheck(
        lambda w, r: scores(w, mask, r, at_once=at_once, kept=kept),
        (words.requires_grad_(), regions.requires_grad_()),
    )


def test_a_second_pass_back_gives_the_same_gradient():
    """The first one uses up what was kept."""
    words, regions = (value.requires_grad_() for value in features(7, 7))
    loss = match_both_ways(LOGIT * scores(words, ragged(*LENGTHS[7]), regions))
    first = torch.autograd.grad(loss, (words, regions), retain_graph=True)
    second = torch.autograd.grad(loss, (words, regions))
    assert all(torch.allclose(one, other, rtol=0, atol=1e-14) for one, other in zip(first, second, strict=True))


def test_a_second_derivative_is_refused():
    words, regions = (value.requires_grad_() for value in features(2, 2))
    (gradient,) = torch.autograd.grad(scores(words, ragged(3, 5), regions).square().sum(), words, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.fixture
def attended(monkeypatch) -> list[bool]:
    """Whether each block computed so far used what was kept."""
    calls: list[bool] = []
    attend = region_words._attend

    def counted(block, regions, gram, attention_scale, kept=None):
        calls.append(kept is not None)
        return attend(block, regions, gram, attention_scale, kept)

    monkeypatch.setattr(region_words, "_attend", counted)
    return calls


def test_products_are_kept_only_as_far_as_allowed(attended):
    words, regions = (value.requires_grad_() for value in features(2, 3))
    block = 2 * WORDS * REGIONS
    scores(words, ragged(5, 5), regions, at_once=block, kept=2 * block).sum().backward()
    assert attended == [False] * 3 + [True, True, False]


@pytest.mark.parametrize(
    ("lengths", "blocks"), [((5, 5, 5), 1), ((1, 4, 5), 2), ((5, 3, 1), 3), ((2, 2, 3), 2), ((0, 5, 0), 2)]
)
def test_a_block_holds_reports_of_about_one_length(attended, lengths, blocks):
    words, regions = features(3, 1)
    scores(words, ragged(*lengths), regions)
    assert len(attended) == blocks


@pytest.mark.parametrize("garbage", [0.0, 100.0, -1e30, math.nan, math.inf])
def test_padding_matters_neither_to_scores_nor_to_gradients(garbage):
    mask = ragged(*LENGTHS[7])
    clean, regions = features(7, 2)
    found = []
    for filler in (7.0, garbage):
        words = clean.masked_fill(~mask[:, :, None], filler).requires_grad_()
        images = regions.clone().requires_grad_()
        value = scores(words, mask, images)
        found.append((value, *torch.autograd.grad((value * rows(2, 7, seed=5)).sum(), (words, images))))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    assert (found[1][1][~mask] == 0).all()


@pytest.mark.parametrize("at_once", [1, 2**20])
def test_a_report_without_words_scores_nothing_and_leaves_the_others_alone(at_once):
    words, regions = (value.requires_grad_() for value in features(3, 2))
    mask, told = ragged(4, 0, 2), [0, 2]
    value = scores(words, mask, regions, at_once=at_once)
    expected = scores(words[told], mask[told], regions)
    assert (value[:, 1] == -torch.inf).all()
    assert torch.allclose(value[:, told], expected, rtol=0, atol=1e-13)
    gradients = torch.autograd.grad(value.sum(), (words, regions))
    for one, other in zip(gradients, torch.autograd.grad(expected.sum(), (words, regions)), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_no_report_at_all_scores_nothing():
    words, regions = (value.requires_grad_() for value in features(1, 1))
    value = scores(words[:0], ragged(4)[:0], regions[:0])
    assert value.shape == (0, 0)
    assert match_both_ways(value).item() == 0
    match_both_ways(value).backward()
    assert (words.grad == 0).all()


def test_vectors_of_zeros_leave_everything_finite():
    words, regions = features(2, 2)
    words[0, 1], regions[1] = 0, 0
    words.requires_grad_(), regions.requires_grad_()
    value = scores(words, ragged(3, 5), regions)
    assert value[1].tolist() == pytest.approx([math.log(3), math.log(5)])
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(value.sum(), (words, regions)))


def test_large_similarities_do_not_overflow():
    words, regions = (1e3 * value for value in features(2, 2))
    found = scores(words.float(), ragged(3, 5), regions.float())
    assert torch.allclose(found.double(), scores(words, ragged(3, 5), regions), atol=1e-4)


def test_identical_reports_score_alike_and_batch_order_does_not_matter():
    words, regions = features(7, 7)
    words[4] = words[0]
    mask = ragged(*LENGTHS[7])
    value = scores(words, mask, regions)
    assert torch.allclose(value[:, 0], value[:, 4], rtol=0, atol=1e-14)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    shuffled = scores(words[order], mask[order], regions[order])
    assert torch.allclose(shuffled, value[order][:, order], rtol=0, atol=1e-13)
    assert float(match_both_ways(shuffled)) == pytest.approx(float(match_both_ways(value)), abs=1e-12)


def test_bfloat16_features_give_the_scores_within_five_thousandths():
    """Features are rounded to 8 bits of mantissa; what follows is float32, backwards and inside autocast too."""
    words, regions, mask = rows(7, WORDS, 64, seed=1) / 8, rows(7, 9, 64, seed=2), ragged(*LENGTHS[7])
    rounded = [value.bfloat16().requires_grad_() for value in (words, regions)]
    with torch.autocast("cpu", torch.bfloat16):
        found = scores(rounded[0], mask, rounded[1])
        found.sum().backward()
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), scores(words, mask, regions), rtol=0, atol=0.005)
    exact = [value.detach().double().requires_grad_() for value in rounded]
    scores(exact[0], mask, exact[1]).sum().backward()
    for one, other in zip(rounded, exact, strict=True):
        assert torch.allclose(one.grad.double(), other.grad, rtol=0, atol=0.005 * float(other.grad.abs().max()))
