"""Where a decoder looks: the weights of its cross-attention, which its layers do not hand out."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn


def cross_attention(
    decoder: nn.TransformerDecoder, queries: Float[Tensor, "b q d"], memory: Float[Tensor, "b m d"]
) -> Float[Tensor, "b q m"]:
    """Weights of each query over the memory, mean over heads and layers; each row adds up to 1 without dropout."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        del module, given
        seen.append(output[1])

    handles = []
    for layer in decoder.layers:
        attention = cast(nn.TransformerDecoderLayer, layer).multihead_attn
        handles.append(attention.register_forward_pre_hook(_ask_for_weights, with_kwargs=True))
        handles.append(attention.register_forward_hook(keep))
    try:
        decoder(queries, memory)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(seen).mean(dim=0)


def _ask_for_weights(
    module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A layer's call of its attention, which asks for no weights, with the weights asked for."""
    del module
    return given, {**named, "need_weights": True}
