"""The text tower: any Hugging Face encoder that also hands out word vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class TextFeatures:
    """What the text tower says about a batch of reports.

    Attributes:
        report: class-token vector of the last layer.
        tokens: last-layer vectors of all tokens.
        words: sum of the vectors of each word's sub-words (MGCA mgca/models/backbones/encoder.py:333), zero beyond the
            last word.
        word_mask: True for real words: no class, separator, punctuation or padding token.
        word_attention: last-layer attention of the class token, mean over heads, summed over each word's sub-words;
            detached.
    """

    report: Float[Tensor, "b d"]
    tokens: Float[Tensor, "b t d"]
    words: Float[Tensor, "b w d"]
    word_mask: Bool[Tensor, "b w"]
    word_attention: Float[Tensor, "b w"]


class TextTower(nn.Module):
    """A Hugging Face encoder that also hands out word vectors.

    Each word gets the attention of its own sub-words; the released MGCA code is off by one token there
    (mgca/models/backbones/encoder.py:329,382,388).

    Attributes:
        encoder: the transformer, with attentions to be had.
        width: of its vectors.
        layers: number of its layers.
    """

    def __init__(self, encoder: Any) -> None:
        """Take a `PreTrainedModel` loaded with `attn_implementation="eager"`."""
        super().__init__()
        self.encoder = encoder
        self.width = int(encoder.config.hidden_size)
        self.layers = int(encoder.config.num_hidden_layers)
        # A pooler feeds nothing here; without a gradient it would only decay.
        pooler = getattr(encoder, "pooler", None)
        if isinstance(pooler, nn.Module):
            pooler.requires_grad_(False)

    def forward(self, ids: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"], word: Int[Tensor, "b t"]) -> TextFeatures:
        """Encode tokenised reports.

        Args:
            ids: token ids, the class token first.
            mask: True for real tokens.
            word: number of each token's word, counted from 0 without gaps; -1 for none.
        """
        output = self.encoder(input_ids=ids, attention_mask=mask.long(), output_attentions=True)
        tokens = output.last_hidden_state
        attention = output.attentions[-1][:, :, 0].detach().float().mean(dim=1)
        counts = word.amax(dim=1) + 1
        numbers = torch.arange(max(1, int(counts.max())), device=word.device)
        # A 0/1 matrix product instead of a scatter: it has one order of summation, so that a GPU repeats itself too.
        member = (word[:, None, :] == numbers[None, :, None]).float()
        with torch.autocast(tokens.device.type, enabled=False):
            words = member @ tokens.float()
            word_attention = (member @ attention[:, :, None]).squeeze(-1)
        return TextFeatures(tokens[:, 0], tokens, words, numbers < counts[:, None], word_attention)

    def freeze_lowest(self, layers: int) -> None:
        """Freeze the embeddings and the lowest layers, dropout staying as it is."""
        blocks = getattr(getattr(self.encoder, "encoder", self.encoder), "layer", [])
        for part in (self.encoder.get_input_embeddings(), getattr(self.encoder, "embeddings", None), *blocks[:layers]):
            if isinstance(part, nn.Module):
                part.requires_grad_(False)
