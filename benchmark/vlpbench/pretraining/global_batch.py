"""The loss over the global batch: features of all chunks and of all processes, put together with their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vlpbench.method import Encoded, Method, PairBatch, total

Terms = dict[str, Tensor]


def compute_terms(method: Method, batch: PairBatch, *, seed: int, precision: torch.dtype) -> Terms:
    """Terms of the loss over the whole batch, this process having encoded its share of it.

    Every process is given the whole batch. It encodes its own share of the pairs, gathers the features of the others,
    and computes the same loss as they do; gradients flow back through the gathering.

    Args:
        method: heads and towers.
        batch: all pairs of the step.
        seed: of dropout and of whatever the loss draws.
        precision: of the towers' autocast, float32 for none.
    """
    share = _share(len(batch))
    with _autocast(batch, precision):
        encoded = _encode(method, batch, share, seed)
        torch.manual_seed(seed)
        return method.loss(gather_features(encoded, batch), batch)


def backward_in_chunks(method: Method, batch: PairBatch, *, chunk: int, seed: int, precision: torch.dtype) -> Terms:
    """Terms over the whole batch, their gradients left in the parameters; activations of one chunk at a time.

    Cached gradients (Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, section
    3): encode all chunks without a graph, take the loss and its gradient with respect to the features, then encode each
    chunk again and carry that gradient on into the towers.

    Args:
        method: heads and towers.
        batch: all pairs of the step.
        chunk: pairs that pass through the towers at once.
        seed: of dropout, the same in both passes, and of whatever the loss draws.
        precision: of the towers' autocast, float32 for none.
    """
    parts = _parts(_share(len(batch)), chunk)
    with torch.no_grad(), _still_statistics(method), _autocast(batch, precision):
        passes = [_encode(method, batch, part, seed) for part in parts]
    own = {name: torch.cat([encoded[name] for encoded in passes]) for name in passes[0]}
    features = {name: tensor.requires_grad_(tensor.is_floating_point()) for name, tensor in own.items()}
    with _autocast(batch, precision):
        torch.manual_seed(seed)
        terms = method.loss(gather_features(features, batch), batch)
    total(terms).backward()  # type: ignore[no-untyped-call]
    for part in parts:
        with _autocast(batch, precision):
            encoded = _encode(method, batch, part, seed)
        rows = slice(part.start - parts[0].start, part.stop - parts[0].start)
        carried = {name: gradient[rows] for name, tensor in features.items() if (gradient := tensor.grad) is not None}
        attached = [name for name in carried if encoded[name].requires_grad]
        torch.autograd.backward([encoded[name] for name in attached], [carried[name] for name in attached])
    return terms


def gather_features(encoded: Encoded, batch: PairBatch) -> Encoded:
    """Features of the whole batch, those of other processes included; gradients of one's share add up over them all."""
    if _share(len(batch)) == slice(0, len(batch)):
        return encoded
    from torch.distributed.nn import functional as gathering

    gather: Any = gathering.all_gather
    return {name: torch.cat(gather(tensor.contiguous())) for name, tensor in encoded.items()}


def average_gradients(method: Method) -> None:
    """Mean of the gradients over the processes.

    Each process holds the gradient of the same loss for the heads, and, for the towers, what its own share contributes
    to the losses of all processes: the mean is the gradient over the global batch for both.
    """
    if not _distributed():
        return
    for parameter in method.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def _encode(method: Method, batch: PairBatch, part: slice, seed: int) -> Encoded:
    torch.manual_seed(seed + 1 + part.start)
    return method.encode(batch.part(part))


def _share(count: int) -> slice:
    """Pairs this process encodes: an equal share, or all of them where they cannot be dealt out evenly."""
    if not _distributed() or count % dist.get_world_size():
        return slice(0, count)
    rank, world = dist.get_rank(), dist.get_world_size()
    return slice(rank * count // world, (rank + 1) * count // world)


def _parts(share: slice, chunk: int) -> list[slice]:
    """Chunks of nearly equal size, none larger than asked for."""
    count = share.stop - share.start
    pieces = -(-count // chunk)
    edges = [share.start + count * number // pieces for number in range(pieces + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _autocast(batch: PairBatch, precision: torch.dtype) -> torch.autocast:
    return torch.autocast(batch.images.device.type, precision, enabled=precision != torch.float32)


@contextmanager
def _still_statistics(method: Method) -> Iterator[None]:
    """Keep running averages as they are: the second pass is the one that counts."""
    norms: list[Any] = [
        module
        for module in method.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.num_batches_tracked is not None
    ]
    kept = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(counted)
