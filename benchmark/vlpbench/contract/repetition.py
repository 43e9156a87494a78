"""The checks of repetition: a method gives the same in parts, in evaluation, from its file and when it is resumed."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save

from vlpbench.backbone import Backbone
from vlpbench.contract.error import ContractError
from vlpbench.contract.steps import SEED, as_in_training, encode_batch, largest, nearly_equal, sample_run, take_terms
from vlpbench.method import Encoded, Method, PairBatch, total
from vlpbench.pretraining.global_batch import backward_in_chunks

PARTS = (slice(0, 3), slice(3, 4), slice(4, 7))
CHUNK = 3


@as_in_training()
def check_parts(kind: type[Method], arch: str) -> None:
    """Parts of a batch, encoded one by one and put together, are the batch encoded as a whole.

    Where `encode` draws at random in evaluation mode too, only widths are compared.

    Raises:
        ContractError: naming the tensor that differs.
    """
    method, batch = sample_run(kind, arch)
    method.eval()
    with torch.no_grad():
        whole, other = encode_batch(method, batch), encode_batch(method, batch, seed=SEED + 1)
        parts = [encode_batch(method, batch.part(rows)) for rows in PARTS]
    for part in parts:
        if part.keys() != whole.keys():
            raise ContractError(f"encode gives {', '.join(part)} for a part of the batch, {', '.join(whole)} for all.")
    for name, tensor in whole.items():
        widths = {tuple(part[name].shape[1:]) for part in parts}
        if widths != {tuple(tensor.shape[1:])}:
            raise ContractError(
                f"encode gives {name!r} of widths {sorted(widths)} for parts of a batch and {tuple(tensor.shape[1:])} "
                "for the whole, so that they cannot be put together. Use batch.reports.words and .sentences, which "
                "parts keep."
            )
        together = torch.cat([part[name] for part in parts])
        if torch.equal(tensor, other[name]) and not nearly_equal(together, tensor):
            raise ContractError(
                f"encode gives another {name!r} for parts of a batch than for the whole: something mixes pairs. It "
                "belongs into loss, which sees the features of all chunks and processes."
            )


@as_in_training()
def check_chunks(kind: type[Method], arch: str) -> None:
    """In evaluation mode a step in chunks has the terms and the backbone's gradients of a whole one.

    Where `encode` draws at random in evaluation mode too, there is nothing to compare.

    Raises:
        ContractError: if it has not.
    """
    method, batch = sample_run(kind, arch)
    chunked, _ = sample_run(kind, arch)
    terms = take_terms(method.eval(), batch)
    total(terms).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        if not _same(encode_batch(method, batch), encode_batch(method, batch, seed=SEED + 1)):
            return
    again = backward_in_chunks(chunked.eval(), batch, chunk=CHUNK, seed=SEED, precision=torch.float32)
    for name, term in terms.items():
        if not nearly_equal(again[name].detach(), term.detach()):
            raise ContractError(
                f"The term {name!r} is {float(term.detach()):g} on a whole batch and {float(again[name].detach()):g} "
                "in chunks. Everything that reaches loss from the towers must be in what encode returns."
            )
    gradients = {name: value.grad for name, value in method.backbone.named_parameters() if value.grad is not None}
    found = {name: value.grad for name, value in chunked.backbone.named_parameters() if value.grad is not None}
    # One scale for all: the gradient of a bias that cancels out is nothing but rounding.
    scale = max(map(largest, gradients.values()), default=0.0)
    for name, gradient in gradients.items():
        if name not in found or not nearly_equal(found[name], gradient, scale=scale):
            raise ContractError(
                f"The gradient of the backbone's {name} is another one in chunks. encode must return all that loss "
                "uses of the towers, and loss must not run them."
            )


@as_in_training()
def check_evaluation(kind: type[Method], arch: str) -> None:
    """With the same seed, evaluation repeats itself bit for bit.

    Raises:
        ContractError: naming the term that differs.
    """
    method, batch = sample_run(kind, arch)
    method.eval()
    with torch.no_grad():
        first, second = take_terms(method, batch), take_terms(method, batch)
    for name, term in first.items():
        if not torch.equal(term, second[name]):
            raise ContractError(
                f"The term {name!r} differs between two evaluations with one seed. Draw from torch's global generator, "
                "which the core seeds, and change no state in evaluation mode."
            )


@as_in_training()
def check_saving(kind: type[Method], arch: str) -> None:
    """The backbone that was trained comes back from its file; the heads fit into one.

    Raises:
        ContractError: if they do not.
    """
    method, batch = sample_run(kind, arch)
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
    total(take_terms(method, batch)).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    with tempfile.TemporaryDirectory() as folder:
        method.backbone.save(Path(folder), {"method": kind.card.name})
        read = Backbone.load(Path(folder)).eval()
    with torch.no_grad():
        if not torch.equal(read.pool(batch.images), method.backbone.eval().pool(batch.images)):
            raise ContractError(
                "The saved backbone gives other features than the trained one: leave self.backbone as is."
            )
    heads = {name: value for name, value in method.state_dict().items() if not name.startswith(("backbone.", "text."))}
    try:
        save({name: value.contiguous() for name, value in heads.items()})
    except RuntimeError as error:
        raise ContractError(
            f"The heads cannot be written as safetensors: {error}. Tensors with two names must become one, or "
            "two copies."
        ) from error


@as_in_training()
def check_resuming(kind: type[Method], arch: str) -> None:
    """A step from saved states is the step of the run that was never interrupted, bit for bit.

    Raises:
        ContractError: naming a weight that differs.
    """
    method, batch = sample_run(kind, arch)
    optimiser = torch.optim.AdamW(method.parameters(), lr=1e-3)
    _step(method, batch, optimiser, seed=SEED)
    file = io.BytesIO()
    torch.save((method.state_dict(), optimiser.state_dict()), file)
    file.seek(0)
    weights, moments = torch.load(file, weights_only=True)
    resumed, _ = sample_run(kind, arch)
    resumed.load_state_dict(weights)
    again = torch.optim.AdamW(resumed.parameters(), lr=1e-3)
    again.load_state_dict(moments)
    _step(method, batch, optimiser, seed=SEED + 1)
    _step(resumed, batch, again, seed=SEED + 1)
    expected = method.state_dict()
    for name, value in resumed.state_dict().items():
        if not torch.equal(value, expected[name]):
            raise ContractError(
                f"After an interruption {name} takes another step. Keep what a step changes (queues, averages, counts) "
                "in buffers or parameters, and draw from torch's global generator, which the core seeds."
            )


def _step(method: Method, batch: PairBatch, optimiser: torch.optim.Optimizer, *, seed: int) -> None:
    optimiser.zero_grad()
    total(take_terms(method, batch, seed=seed)).backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _same(first: Encoded, second: Encoded) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)
