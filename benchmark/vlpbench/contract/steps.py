"""What the checks of a method share: a small method and its batch, steps as the core takes them, comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Shaped
from torch import Tensor

from vlpbench.contract.error import ContractError
from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.method import Encoded, Method, PairBatch
from vlpbench.pretraining.global_batch import Terms, compute_terms

SEED = 5
TOLERANCE = 1e-4


@contextmanager
def as_in_training() -> Iterator[None]:
    """Refuse operations that may sum in another order each time, as training does; leave the global generator alone."""
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


def sample_run(kind: type[Method], arch: str) -> tuple[Method, PairBatch]:
    """A small method in training mode, and seven pairs for it; the same at every call."""
    method, tokeniser = sample_method(kind, arch=arch)
    return method.train(), sample_batch(tokeniser)


def encode_batch(method: Method, batch: PairBatch, *, seed: int = SEED) -> Encoded:
    """Run the towers after seeding the global generator, as the core does."""
    torch.manual_seed(seed)
    return method.encode(batch)


def take_terms(method: Method, batch: PairBatch, *, seed: int = SEED, precision: torch.dtype = torch.float32) -> Terms:
    """Terms of the loss as the core takes them; precision is that of the towers' autocast."""
    return compute_terms(method, batch, seed=seed, precision=precision)


def require_finite(terms: Terms, where: str) -> None:
    """Refuse terms that are no finite scalars.

    Raises:
        ContractError: naming the term.
    """
    if not terms:
        raise ContractError("loss returns no term: it returns a dictionary of the loss's terms by name.")
    for name, term in terms.items():
        if term.shape != ():
            raise ContractError(f"The term {name!r} has shape {tuple(term.shape)}: return its mean over the batch.")
        if not torch.isfinite(term):
            raise ContractError(
                f"The term {name!r} is {float(term.detach())} {where}. Usual causes: the mean of nothing, a logarithm "
                "of 0, the norm of a zero vector, a softmax over masked entries alone."
            )


def require_finite_gradients(method: Method, where: str) -> None:
    """Refuse gradients that are not finite.

    Raises:
        ContractError: naming the parameter.
    """
    for name, value in method.named_parameters():
        if value.grad is not None and not torch.isfinite(value.grad).all():
            raise ContractError(
                f"The gradient of {name} is not finite {where}, though the terms are. Usual causes: a square root or "
                "norm at 0, and torch.where around a branch that is not finite."
            )


def nearly_equal(
    found: Shaped[Tensor, "*shape"], expected: Shaped[Tensor, "*shape"], *, scale: float | None = None
) -> bool:
    """Equal but for the order of summation, measured against `scale`, or the largest expected value."""
    if scale is None:
        scale = largest(expected)
    return bool(((found.double() - expected.double()).abs() <= TOLERANCE * scale).all())


def largest(values: Shaped[Tensor, "*shape"]) -> float:
    """Largest magnitude, 0 where there is no value."""
    return float(values.double().abs().max()) if values.numel() else 0.0
