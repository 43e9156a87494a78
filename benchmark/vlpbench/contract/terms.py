"""The checks of terms and gradients: a method can be trained, on any batch that a corpus may bring."""

from __future__ import annotations

from dataclasses import replace

import torch

from vlpbench.cards import NEEDS
from vlpbench.contract.error import ContractError
from vlpbench.contract.sample import bare_batch, keep_needed, sample_batch, sample_method, sample_parts
from vlpbench.contract.steps import (
    as_in_training,
    encode_batch,
    require_finite,
    require_finite_gradients,
    sample_run,
    take_terms,
)
from vlpbench.errors import VlpbenchError
from vlpbench.method import Method, total


@as_in_training()
def check_terms(kind: type[Method], arch: str) -> None:
    """`encode` gives rows, and `loss` finite scalars, as many as the card names.

    Raises:
        ContractError: if they do not.
    """
    method, batch = sample_run(kind, arch)
    for name, tensor in encode_batch(method, batch).items():
        if tensor.shape[:1] != (len(batch),):
            raise ContractError(
                f"encode gives {name!r} of shape {tuple(tensor.shape)} for {len(batch)} pairs. Each tensor has a row "
                "per pair: that is how the core puts chunks and processes together. What mixes pairs belongs into loss."
            )
    terms = take_terms(method, batch)
    require_finite(terms, "on 7 pairs")
    if len(terms) != len(method.card.losses):
        raise ContractError(
            f"loss returns {', '.join(terms)}, and the card names "
            f"{', '.join(method.card.losses) or 'nothing'} as losses: {len(terms)} and {len(method.card.losses)}. "
            "Name them in the order in which loss returns them."
        )
    if not total(terms).requires_grad:
        raise ContractError("No gradient flows from the terms: something detaches them from the towers.")
    for name, value in method.diagnostics.items():
        if value.shape != () or value.requires_grad:
            raise ContractError(f"The diagnostic {name!r} is not a detached scalar: take its mean, and detach it.")


@as_in_training()
def check_needs(kind: type[Method], arch: str) -> None:
    """The method runs on a corpus that offers what it needs and nothing more.

    Raises:
        ContractError: if it uses something that its needs do not name.
    """
    full, _ = sample_method(kind, arch=arch)
    for need in full.needs:
        if need not in NEEDS:
            raise ContractError(f"needs holds {need!r}. What a corpus can offer: {', '.join(NEEDS)}.")
    parts, tokeniser = sample_parts(kind, arch=arch)
    knowledge, batch = keep_needed(parts.knowledge, sample_batch(tokeniser), full.needs)
    try:
        require_finite(take_terms(kind(replace(parts, knowledge=knowledge)), batch), "on what the card asks for")
    except Exception as error:
        others = ", ".join(name for name in NEEDS if name not in full.needs)
        raise ContractError(
            f"On a corpus without {others}, which the card's needs do not name, the method fails: "
            f"{type(error).__name__}: {error}. Add to needs what the method uses, "
            "so that corpora without it are refused."
        ) from error


@as_in_training()
def check_small_batches(kind: type[Method], arch: str) -> None:
    """Two pairs can be trained on; one pair alone gives finite terms in evaluation mode, or says why not.

    Raises:
        ContractError: if a term is not finite.
    """
    method, tokeniser = sample_method(kind, arch=arch)
    with torch.no_grad():
        require_finite(take_terms(method.train(), sample_batch(tokeniser, count=2)), "on 2 pairs")
        try:
            terms = take_terms(method.eval(), sample_batch(tokeniser, count=1))
        except VlpbenchError:
            return
        require_finite(terms, "on 1 pair in evaluation mode")


@as_in_training()
def check_unknowns(kind: type[Method], arch: str) -> None:
    """Terms and gradients stay finite where nothing is known of the pairs, and one report has no word.

    Raises:
        ContractError: if they do not.
    """
    method, tokeniser = sample_method(kind, arch=arch)
    terms = take_terms(method, bare_batch(tokeniser))
    require_finite(terms, "where no label, triplet or entity is known and one report has no word")
    if total(terms).requires_grad:
        total(terms).backward()  # type: ignore[no-untyped-call]
    require_finite_gradients(method, "where no label, triplet or entity is known and one report has no word")


@as_in_training()
def check_gradients(kind: type[Method], arch: str) -> None:
    """The gradient reaches every trainable parameter of the backbone, down to the first.

    Raises:
        ContractError: naming those that it does not reach, or where it is not finite.
    """
    method, batch = sample_run(kind, arch)
    total(take_terms(method, batch)).backward()  # type: ignore[no-untyped-call]
    trainable = {name: value for name, value in method.backbone.named_parameters() if value.requires_grad}
    if not trainable:
        raise ContractError("Every parameter of the backbone is frozen; what trains no backbone is an Initialisation.")
    missed = [name for name, value in trainable.items() if value.grad is None]
    if missed:
        raise ContractError(
            f"No gradient reaches {len(missed)} of {len(trainable)} parameters of the backbone, such as {missed[0]}: "
            "they would leave as random as they came. Use the pooled feature or the last map, or freeze them."
        )
    require_finite_gradients(method, "on 7 pairs")
    name, first = next(iter(trainable.items()))
    if first.grad is not None and not first.grad.any():
        raise ContractError(f"The gradient of the backbone's first parameter, {name}, is zero throughout.")


@as_in_training()
def check_bfloat16(kind: type[Method], arch: str) -> None:
    """With towers in bfloat16 the terms are finite, and computed in float32 at least.

    Raises:
        ContractError: if they are not.
    """
    method, batch = sample_run(kind, arch)
    terms = take_terms(method, batch, precision=torch.bfloat16)
    require_finite(terms, "with towers in bfloat16")
    for name, term in terms.items():
        if term.dtype not in {torch.float32, torch.float64}:
            raise ContractError(
                f"The term {name!r} is {term.dtype} under autocast: 8 bits of mantissa are too few for a loss. Compute "
                "it in torch.autocast(device_type, enabled=False) on features made float()."
            )
