"""Codes and swapped prediction against loops written from SwAV's equations, in float64."""

import math

import pytest
import torch

from vlpbench_methods.prototypes import prototypes_in_use, sinkhorn_codes, swapped_prediction

EPSILON, ITERATIONS, TAU = 0.05, 3, 0.2
SETTINGS = {"epsilon": EPSILON, "iterations": ITERATIONS, "temperature": TAU}
SHAPES = [(1, 4), (2, 3), (7, 5), (4, 30)]


def cosines(count: int, prototypes: int, *, seed: int) -> torch.Tensor:
    drawn = torch.rand(count, prototypes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 2 * drawn - 1


def naive_codes(scores: list[list[float]], iterations: int = ITERATIONS) -> list[list[float]]:
    """As released: the matrix itself is scaled, prototype by prototype, then sample by sample."""
    mass = [[math.exp(score / EPSILON) for score in row] for row in scores]
    samples, prototypes = len(mass), len(mass[0])
    for _ in range(iterations):
        for k in range(prototypes):
            held = sum(mass[i][k] for i in range(samples))
            for i in range(samples):
                mass[i][k] *= 1 / prototypes / held
        for i in range(samples):
            held = sum(mass[i])
            for k in range(prototypes):
                mass[i][k] *= 1 / samples / held
    return [[value / sum(row) for value in row] for row in mass]


def naive_swapped(first: torch.Tensor, second: torch.Tensor) -> float:
    total, count = 0.0, len(first)
    for coded, predicting in ((first, second), (second, first)):
        codes = naive_codes(coded.tolist())
        for i in range(count):
            scores = [math.exp(score / TAU) for score in predicting[i].tolist()]
            total -= sum(q * math.log(score / sum(scores)) for q, score in zip(codes[i], scores, strict=True))
    return total / (2 * count)


@pytest.mark.parametrize(("count", "prototypes"), SHAPES)
@pytest.mark.parametrize("iterations", [1, 3])
def test_codes_match_the_loops(count, prototypes, iterations):
    scores = cosines(count, prototypes, seed=1)
    found = sinkhorn_codes(scores, epsilon=EPSILON, iterations=iterations)
    expected = torch.tensor(naive_codes(scores.tolist(), iterations), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("count", "prototypes"), SHAPES)
def test_every_sample_has_one_code_and_every_prototype_its_share(count, prototypes):
    codes = sinkhorn_codes(cosines(count, prototypes, seed=2), epsilon=0.5, iterations=200)
    assert codes.sum(dim=1).tolist() == pytest.approx([1.0] * count, abs=1e-12)
    assert codes.sum(dim=0).tolist() == pytest.approx([count / prototypes] * prototypes, abs=1e-6)


def test_codes_follow_the_scores_and_get_no_gradient():
    scores = (torch.eye(4, dtype=torch.float64) * 0.9).requires_grad_()
    codes = sinkhorn_codes(scores, epsilon=EPSILON, iterations=ITERATIONS)
    assert codes.argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert not codes.requires_grad


def test_a_tiny_epsilon_does_not_overflow():
    codes = sinkhorn_codes(cosines(3, 50, seed=3).float(), epsilon=1e-4, iterations=5)
    assert torch.isfinite(codes).all()
    assert codes.sum(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


@pytest.mark.parametrize(("count", "prototypes"), SHAPES)
def test_swapped_prediction_matches_the_loops(count, prototypes):
    first, second = cosines(count, prototypes, seed=4), cosines(count, prototypes, seed=5)
    assert float(swapped_prediction(first, second, **SETTINGS)) == pytest.approx(
        naive_swapped(first, second), abs=1e-12
    )


def test_the_gradient_is_that_of_the_predictions_alone():
    first, second = cosines(5, 4, seed=6).requires_grad_(), cosines(5, 4, seed=7).requires_grad_()
    swapped_prediction(first, second, **SETTINGS).backward()
    codes = torch.tensor(naive_codes(first.tolist()), dtype=torch.float64)
    expected = (torch.softmax(second.detach() / TAU, dim=1) - codes) / (2 * TAU * len(first))
    torch.testing.assert_close(second.grad, expected, rtol=0, atol=1e-12)


def test_sample_order_does_not_matter():
    first, second = cosines(7, 5, seed=8), cosines(7, 5, seed=9)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    assert float(swapped_prediction(first[order], second[order], **SETTINGS)) == pytest.approx(
        float(swapped_prediction(first, second, **SETTINGS)), abs=1e-12
    )


def test_half_precision_scores_are_widened():
    first, second = cosines(7, 5, seed=10), cosines(7, 5, seed=11)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = swapped_prediction(first.bfloat16(), second.bfloat16(), **SETTINGS)
    assert found.dtype == torch.float32
    rounded = naive_swapped(first.bfloat16().double(), second.bfloat16().double())
    assert float(found) == pytest.approx(rounded, rel=1e-5)


def test_prototypes_in_use_are_the_nearest_ones():
    scores = torch.tensor([[0.1, 0.9, 0.0, 0.2], [0.1, 0.8, 0.0, 0.2], [0.9, 0.1, 0.0, 0.2]], requires_grad=True)
    used = prototypes_in_use(scores)
    assert float(used) == 2
    assert not used.requires_grad
