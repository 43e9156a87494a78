"""Losses against loops written from the equations, in float64."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vlpbench.errors import UnknownNameError
from vlpbench_methods.contrastive import (
    attenuated_contrast,
    cosine_logits,
    matching_loss,
    pseudo_positives,
    soft_target_contrast,
    sparse_grouping,
    word_contrast,
    word_importance,
)

TAU, SOFT = 0.2, 0.1


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def some_alike(count: int) -> torch.Tensor:
    """A pattern that is not symmetric, so that exchanged rows and columns would show."""
    alike = rows(count, count, seed=99) > 0.3
    return alike.fill_diagonal_(False)


def naive_attenuated(first: torch.Tensor, second: torch.Tensor, alike: torch.Tensor) -> float:
    total, count = 0.0, len(first)
    for anchors, candidates in ((first, second), (second, first)):
        for i in range(count):
            scores = [math.exp(cosine(anchors[i], candidates[k]) / TAU) for k in range(count)]
            weights = [SOFT if alike[i, k] else 1.0 for k in range(count)]
            total -= math.log(scores[i] / sum(u * score for u, score in zip(weights, scores, strict=True)))
    return total / (2 * count)


def naive_soft_targets(first: torch.Tensor, second: torch.Tensor, alike: torch.Tensor) -> float:
    total, count = 0.0, len(first)
    for anchors, candidates in ((first, second), (second, first)):
        for i in range(count):
            scores = [math.exp(cosine(anchors[i], candidates[k]) / TAU) for k in range(count)]
            weights = [1.0 if k == i else SOFT if alike[i, k] else 0.0 for k in range(count)]
            for k in range(count):
                total -= weights[k] / sum(weights) * math.log(scores[k] / sum(scores))
    return total / (2 * count)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize(
    ("loss", "naive"), [(attenuated_contrast, naive_attenuated), (soft_target_contrast, naive_soft_targets)]
)
def test_instance_losses_are_their_equations(loss, naive, count):
    first, second, alike = rows(count, 5, seed=1), rows(count, 5, seed=2), some_alike(count)
    assert float(loss(first, second, alike, temperature=TAU, weight=SOFT)) == pytest.approx(
        naive(first, second, alike), abs=1e-12
    )


@pytest.mark.parametrize("loss", [attenuated_contrast, soft_target_contrast])
def test_without_pseudo_positives_both_readings_are_plain_infonce(loss):
    first, second = rows(7, 5, seed=1), rows(7, 5, seed=2)
    alike = pseudo_positives(rows(7, 5, seed=3), threshold=1.1)
    logits = cosine_logits(first, second, temperature=TAU)
    plain = (matching_loss(logits) + matching_loss(logits.T)) / 2
    assert float(loss(first, second, alike, temperature=TAU, weight=SOFT)) == pytest.approx(float(plain), abs=1e-12)


@pytest.mark.parametrize("count", [2, 7])
def test_identical_reports_and_uniform_similarities_have_a_closed_form(count):
    same = torch.ones(count, 5, dtype=torch.float64)
    alike = pseudo_positives(same, threshold=0.9)
    loss = attenuated_contrast(same, same, alike, temperature=TAU, weight=SOFT)
    assert float(loss) == pytest.approx(math.log(1 + SOFT * (count - 1)), abs=1e-12)


def test_pseudo_positives_are_other_pairs_above_the_threshold():
    reports = torch.tensor([[1.0, 0.0], [2.0, 0.2], [0.0, 1.0], [0.9, 0.9]])
    expected = [[cosine(a, b) > 0.7 and i != k for k, b in enumerate(reports)] for i, a in enumerate(reports)]
    assert pseudo_positives(reports, threshold=0.7).tolist() == expected
    assert sum(map(sum, expected)) == 8
    assert not pseudo_positives(reports.requires_grad_(), threshold=0.7).requires_grad


@pytest.mark.parametrize("loss", [attenuated_contrast, soft_target_contrast])
def test_batch_order_does_not_matter(loss):
    first, second, alike = rows(7, 5, seed=1), rows(7, 5, seed=2), some_alike(7)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    shuffled = loss(first[order], second[order], alike[order][:, order], temperature=TAU, weight=SOFT)
    assert float(shuffled) == pytest.approx(float(loss(first, second, alike, temperature=TAU, weight=SOFT)), abs=1e-12)


def naive_importance(attention: list[float]) -> list[float]:
    """Percentiles by linear interpolation, as numpy has them."""
    ordered = sorted(attention)

    def percentile(share: float) -> float:
        at = share * (len(ordered) - 1)
        below = math.floor(at)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (at - below) * (ordered[above] - ordered[below])

    clipped = [min(max(value, percentile(0.1)), percentile(0.9)) for value in attention]
    return [value * len(clipped) / sum(clipped) for value in clipped]


def test_importance_is_clipped_and_has_mean_one_over_real_words():
    attention = rows(3, 6, seed=4).abs()
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [False] * 6])
    found = word_importance(attention, mask)
    assert found[0].tolist() == pytest.approx(naive_importance(attention[0].tolist()), abs=1e-12)
    assert found[1, :4].tolist() == pytest.approx(naive_importance(attention[1, :4].tolist()), abs=1e-12)
    assert found[1, 4:].tolist() == [0.0, 0.0]
    assert found[2].tolist() == [0.0] * 6


def test_importance_is_uniform_without_any_attention():
    mask = torch.tensor([[True, True, False]])
    assert word_importance(torch.zeros(1, 3), mask).tolist() == [[1.0, 1.0, 0.0]]


def naive_token_alignment(
    words: torch.Tensor, patches: torch.Tensor, lengths: list[int], importance: torch.Tensor, threshold: float
) -> float:
    total = 0.0
    for i, length in enumerate(lengths):
        if length < 2:
            continue
        unit_patches = [patch / patch.norm() for patch in patches[i]]
        grouped = []
        for word in words[i, :length]:
            similarity = [cosine(word, patch) for patch in unit_patches]
            low, high = min(similarity), max(similarity)
            scaled = [(value - low) / (high - low) if high - low >= 1e-6 else 1.0 for value in similarity]
            kept = [(value, patch) for value, patch in zip(scaled, unit_patches, strict=True) if value >= threshold]
            grouped.append(sum(value * patch for value, patch in kept) / sum(value for value, _ in kept))
        score = [[math.exp(cosine(word, group) / TAU) for group in grouped] for word in words[i, :length]]
        report = 0.0
        for row in range(length):
            over_groups = sum(score[row])
            over_words = sum(score[k][row] for k in range(length))
            own = score[row][row]
            report -= float(importance[i, row]) * (math.log(own / over_groups) + math.log(own / over_words))
        total += report / length
    return total / (2 * len(lengths))


def alignment(words, patches, mask, importance, threshold=0.3, *, reduction="report"):
    grouped, _ = sparse_grouping(words, patches, threshold=threshold)
    return word_contrast(words, grouped, mask, importance, temperature=TAU, reduction=reduction)


def ragged(
    lengths: list[int], *, padding: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    longest = max(*lengths, 1)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    words = rows(len(lengths), longest, 5, seed=6)
    words = torch.where(mask[:, :, None], words, padding * rows(len(lengths), longest, 5, seed=7))
    importance = rows(len(lengths), longest, seed=8).abs() * mask
    return words, rows(len(lengths), 9, 5, seed=9), mask, importance


@pytest.mark.parametrize("threshold", [0.3, 0.0, 1.0])
@pytest.mark.parametrize("lengths", [[4], [5, 3], [6, 1, 0, 3, 2, 5, 4], [0, 0]])
def test_token_alignment_is_its_equation(lengths, threshold):
    words, patches, mask, importance = ragged(lengths)
    expected = naive_token_alignment(words, patches, lengths, importance, threshold)
    assert float(alignment(words, patches, mask, importance, threshold)) == pytest.approx(expected, abs=1e-12)


def test_padding_changes_neither_loss_nor_gradients():
    losses, gradients = [], []
    for padding in (0.0, 100.0):
        words, patches, mask, importance = ragged([6, 1, 0, 3], padding=padding)
        words.requires_grad_()
        patches.requires_grad_()
        loss = alignment(words, patches, mask, importance)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append((words.grad, patches.grad))
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-12)
    assert torch.isfinite(gradients[0][0]).all()
    assert (gradients[0][0][2] == 0).all()


@pytest.mark.parametrize("lengths", [[4], [5, 3], [6, 1, 0, 3, 2, 5, 4], [0, 0]])
def test_the_mean_over_words_weighs_reports_by_their_length(lengths):
    words, patches, mask, importance = ragged(lengths)
    total = 0.0
    for row, length in enumerate(lengths):
        alone = slice(row, row + 1)
        total += length * naive_token_alignment(words[alone], patches[alone], [length], importance[alone], 0.3)
    expected = total / max(1, sum(lengths))
    assert float(alignment(words, patches, mask, importance, reduction="word")) == pytest.approx(expected, abs=1e-12)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(UnknownNameError, match="reduction of a contrast of words named 'words'"):
        alignment(*ragged([2]), reduction="words")


def test_report_order_does_not_matter():
    order = torch.tensor([3, 0, 2, 1])
    given = ragged([6, 1, 3, 4])
    for reduction in ("report", "word"):
        shuffled = alignment(*(tensor[order] for tensor in given), reduction=reduction)
        assert float(shuffled) == pytest.approx(float(alignment(*given, reduction=reduction)), abs=1e-12)


def test_scaling_a_word_changes_nothing():
    words, patches, mask, importance = ragged([6, 3])
    longer = words * torch.linspace(0.5, 40, 6, dtype=torch.float64)[None, :, None]
    assert float(alignment(longer, patches, mask, importance)) == pytest.approx(
        float(alignment(words, patches, mask, importance)), abs=1e-12
    )


def naive_unnormalised_grouping(word: torch.Tensor, patches: torch.Tensor, threshold: float) -> torch.Tensor:
    similarity = [float(word @ patch) for patch in patches]
    low, high = min(similarity), max(similarity)
    scaled = [(value - low) / (high - low) for value in similarity]
    kept = [(value, patch) for value, patch in zip(scaled, patches, strict=True) if value >= threshold]
    return sum(value / sum(share for share, _ in kept) * patch for value, patch in kept)


@pytest.mark.parametrize("threshold", [1 / 9, 0.3, 1.0])
def test_patches_as_they_are_are_grouped_by_inner_products(threshold):
    words, patches, _, _ = ragged([4, 3])
    patches = patches * torch.linspace(0.2, 30, 9, dtype=torch.float64)[None, :, None]
    found, _ = sparse_grouping(words, patches, threshold=threshold, normalised=False)
    for row, length in enumerate([4, 3]):
        for word in range(length):
            expected = naive_unnormalised_grouping(words[row, word], patches[row], threshold)
            assert torch.allclose(found[row, word], expected, atol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e4])
def test_equal_inner_products_count_all_patches_alike_at_any_scale(scale):
    patches = scale * torch.ones(1, 4, 3, dtype=torch.float64) / 3
    nearly = patches * (1 + 1e-8 * torch.arange(4, dtype=torch.float64)[None, :, None])
    grouped, kept = sparse_grouping(rows(1, 2, 3, seed=1), nearly, threshold=1.0, normalised=False)
    assert kept.all()
    assert torch.allclose(grouped, patches[:, :2], rtol=1e-7)


def test_a_learned_temperature_gets_its_gradient():
    first, second = rows(4, 3, seed=1), rows(4, 3, seed=2)
    given = ragged([3, 2])
    temperature = torch.tensor(TAU, dtype=torch.float64, requires_grad=True)

    def both(value):
        grouped, _ = sparse_grouping(given[0], given[1], threshold=0.3)
        return matching_loss(cosine_logits(first, second, temperature=value)) + word_contrast(
            given[0], grouped, given[2], given[3], temperature=value
        )

    assert torch.autograd.gradcheck(both, (temperature,))


def test_equal_similarities_count_all_patches_alike():
    patches = torch.ones(1, 4, 3, dtype=torch.float64, requires_grad=True)
    grouped, kept = sparse_grouping(rows(1, 2, 3, seed=1), patches, threshold=0.3)
    assert kept.all()
    assert torch.allclose(grouped, torch.full((1, 2, 3), 3**-0.5, dtype=torch.float64))
    grouped.sum().backward()
    assert torch.isfinite(patches.grad).all()


@pytest.mark.parametrize(("threshold", "share"), [(0.3, 3 / 4), (0.6, 1 / 2), (1.0, 1 / 4)])
def test_patches_below_the_threshold_are_left_out(threshold, share):
    angles = torch.acos(torch.tensor([1.0, 0.7, 0.4, 0.0], dtype=torch.float64))
    patches = torch.stack([angles.cos(), angles.sin()], dim=1)[None]
    _, kept = sparse_grouping(torch.tensor([[[1.0, 0.0]]], dtype=torch.float64), patches, threshold=threshold)
    assert float(kept.double().mean()) == share


def test_gradients_where_the_losses_are_smooth():
    first, second = rows(4, 3, seed=1).requires_grad_(), rows(4, 3, seed=2).requires_grad_()
    alike = some_alike(4)
    for loss in (attenuated_contrast, soft_target_contrast):
        assert torch.autograd.gradcheck(
            lambda a, b, loss=loss: loss(a, b, alike, temperature=TAU, weight=SOFT), (first, second)
        )
    words, patches, mask, importance = ragged([3, 2])
    assert torch.autograd.gradcheck(
        lambda w, p: alignment(w, p, mask, importance), (words.requires_grad_(), patches.requires_grad_())
    )


def test_bfloat16_features_give_the_loss_within_two_per_cent():
    """Features are rounded to 8 bits of mantissa; what follows is float32, inside autocast too."""
    first, second, alike = rows(7, 64, seed=1), rows(7, 64, seed=2), some_alike(7)
    words, patches, mask, importance = ragged([6, 3])
    exact = [
        float(attenuated_contrast(first, second, alike, temperature=TAU, weight=SOFT)),
        float(soft_target_contrast(first, second, alike, temperature=TAU, weight=SOFT)),
        float(alignment(words, patches, mask, importance)),
    ]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = [
            attenuated_contrast(first.bfloat16(), second.bfloat16(), alike, temperature=TAU, weight=SOFT),
            soft_target_contrast(first.bfloat16(), second.bfloat16(), alike, temperature=TAU, weight=SOFT),
            alignment(words.bfloat16(), patches.bfloat16(), mask, importance.float()),
        ]
    assert [value.dtype for value in rounded] == [torch.float32] * 3
    assert [float(value) for value in rounded] == pytest.approx(exact, rel=0.02)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation returns, backward included."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return result


@pytest.mark.parametrize("normalised", [True, False])
def test_token_alignment_holds_nothing_larger_than_words_by_patches(normalised):
    """48 pairs of 60 words and 361 patches: never words by patches by width, nor all reports by all images."""
    batch, count, patch_count, width = 48, 60, 361, 128
    generator = torch.Generator().manual_seed(1)
    words = torch.randn(batch, count, width, generator=generator, requires_grad=True)
    patches = torch.randn(batch, patch_count, width, generator=generator, requires_grad=True)
    mask = torch.arange(count) < torch.randint(2, count + 1, (batch, 1), generator=generator)
    with Largest() as largest:
        grouped, _ = sparse_grouping(words, patches, threshold=0.3, normalised=normalised)
        word_contrast(words, grouped, mask, mask.float(), temperature=TAU).backward()
    assert patches.grad is not None
    assert largest.elements == max(batch * count * patch_count, patches.numel())
