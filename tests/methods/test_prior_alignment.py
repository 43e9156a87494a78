"""Pooling, local attention and SimSiam's loss, against loops written from the equations."""

import math

import pytest
import torch

from vlpbench_methods.sentence_alignment import AttentionPooling, ConditionalAttention, heads_of, patch_agreement

WIDTH = 6
COUNTS = (3, 1, 4, 2, 4, 1, 3)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mask_of(batch):
    return torch.arange(4) < torch.tensor(COUNTS[:batch])[:, None]


def pooling(positions=0, width=WIDTH):
    torch.manual_seed(1)
    return AttentionPooling(width, positions=positions).double()


def naive_pooling(module, members, positions=None):
    """One set: heads of softmax attention with the mean as the only query."""
    width, heads = members.shape[1], module.attention.num_heads
    rows = torch.cat([members.mean(dim=0, keepdim=True), members])
    if positions is not None:
        rows = rows + positions
    weights, biases = module.attention.in_proj_weight.chunk(3), module.attention.in_proj_bias.chunk(3)
    query, keys, values = (rows @ weight.T + bias for weight, bias in zip(weights, biases, strict=True))
    size = width // heads
    found = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = torch.stack([query[0, part] @ key[part] / math.sqrt(size) for key in keys])
        found.append(sum(weight * value[part] for weight, value in zip(scores.softmax(0), values, strict=True)))
    return module.attention.out_proj(torch.cat(found))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_pooling_attends_from_the_mean_of_real_members(batch):
    module, members, mask = pooling(), drawn(batch, 4, WIDTH), mask_of(batch)
    expected = [naive_pooling(module, members[row, : COUNTS[row]]) for row in range(batch)]
    torch.testing.assert_close(module(members, mask), torch.stack(expected))


def test_pooling_does_not_see_padding():
    module, members, mask = pooling(), drawn(7, 4, WIDTH), mask_of(7)
    other = torch.where(mask[:, :, None], members, 9 * drawn(7, 4, WIDTH, seed=2))
    torch.testing.assert_close(module(other, mask), module(members, mask))


def test_positions_tell_members_apart():
    every = torch.ones(1, 4, dtype=torch.bool)
    members = drawn(1, 4, WIDTH)
    placed, free = pooling(positions=4), pooling()
    torch.testing.assert_close(free(members, every), free(members.flip(1), every))
    assert not torch.allclose(placed(members, every), placed(members.flip(1), every))
    torch.testing.assert_close(placed(members, every)[0], naive_pooling(placed, members[0], placed.positions))


def naive_attention(module, patches, sentences):
    """One pair: x of each sentence and y of each patch."""
    query_p, key_p, value_p = module.of_patches(patches).chunk(3, dim=1)
    query_s, key_s, value_s = module.of_sentences(sentences).chunk(3, dim=1)
    root = math.sqrt(patches.shape[1])
    seen = [
        sum(torch.sigmoid(query @ key / root) * value for key, value in zip(key_p, value_p, strict=True))
        for query in query_s
    ]
    told = [
        sum(torch.sigmoid(query @ key / root) * value for key, value in zip(key_s, value_s, strict=True))
        for query in query_p
    ]
    return torch.stack(seen), torch.stack(told)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_sentences_see_patches_and_patches_are_told_sentences(batch):
    torch.manual_seed(2)
    module = ConditionalAttention(WIDTH).double()
    patches, sentences, mask = drawn(batch, 5, WIDTH), drawn(batch, 4, WIDTH, seed=1), mask_of(batch)
    seen, told = module(patches, sentences, mask)
    for row, count in enumerate(COUNTS[:batch]):
        expected = naive_attention(module, patches[row], sentences[row, :count])
        torch.testing.assert_close(seen[row, :count], expected[0])
        torch.testing.assert_close(told[row], expected[1])


def test_padded_sentences_are_told_to_nobody():
    torch.manual_seed(2)
    module = ConditionalAttention(WIDTH).double()
    patches, sentences, mask = drawn(7, 5, WIDTH), drawn(7, 4, WIDTH, seed=1), mask_of(7)
    other = torch.where(mask[:, :, None], sentences, 9 * drawn(7, 4, WIDTH, seed=2))
    torch.testing.assert_close(module(patches, other, mask)[1], module(patches, sentences, mask)[1])


def cosine(first, second):
    return first @ second / (first.norm() * second.norm())


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_patches_agree_with_what_they_are_told(batch):
    tensors = [drawn(batch, 5, WIDTH, seed=seed) for seed in range(4)]
    patches, told, predicted_patches, predicted_told = tensors
    expected = [
        -(cosine(predicted_patches[row, k], told[row, k]) + cosine(predicted_told[row, k], patches[row, k])) / 2
        for row in range(batch)
        for k in range(5)
    ]
    torch.testing.assert_close(patch_agreement(*tensors), torch.stack(expected).mean())


def test_the_gradient_of_agreement_goes_through_predictions_alone():
    tensors = [drawn(2, 3, WIDTH, seed=seed).requires_grad_() for seed in range(4)]
    patch_agreement(*tensors).backward()
    assert [tensor.grad is not None for tensor in tensors] == [False, False, True, True]
    patches, told = tensors[0].detach(), tensors[1].detach()
    assert torch.autograd.gradcheck(lambda one, two: patch_agreement(patches, told, one, two), tensors[2:])


def test_agreement_of_bfloat16_is_float32():
    tensors = [drawn(2, 3, WIDTH, seed=seed) for seed in range(4)]
    found = patch_agreement(*(tensor.bfloat16() for tensor in tensors))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(patch_agreement(*tensors)), abs=0.01)


@pytest.mark.parametrize(("width", "most", "heads"), [(768, 8, 8), (768, 12, 12), (128, 12, 8), (20, 8, 5), (7, 6, 1)])
def test_heads_divide_the_width(width, most, heads):
    assert heads_of(width, most=most) == heads
