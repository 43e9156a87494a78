"""The text tower: any Hugging Face encoder that also hands out vectors of words and sentences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

LAST_LAYERS = 4


@dataclass(frozen=True)
class TokenBatch:
    """Tokenised reports, padded to the longest of the batch.

    Attributes:
        ids: token ids.
        mask: True for real tokens, special ones included.
        word: number of the word each token belongs to, counted from 0 within its report without gaps; -1 for special
            tokens, punctuation and padding.
        sentence: number of the sentence each token belongs to, counted likewise; -1 for special tokens and padding.
        words: largest number of words of a report, at least 1; parts of a batch keep it.
        sentences: largest number of sentences of a report, likewise.
    """

    ids: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    word: Int[Tensor, "b t"]
    sentence: Int[Tensor, "b t"]
    words: int
    sentences: int

    @classmethod
    def empty(cls) -> TokenBatch:
        """No report at all."""
        none = torch.zeros(0, 1, dtype=torch.long)
        return cls(none, none.bool(), none, none, 1, 1)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def word_mask(self) -> Bool[Tensor, "b words"]:
        """True for real words."""
        return _real(self.word, self.words)

    @property
    def sentence_mask(self) -> Bool[Tensor, "b sentences"]:
        """True for real sentences."""
        return _real(self.sentence, self.sentences)

    def part(self, rows: slice) -> TokenBatch:
        """Some of the reports, padded as before."""
        return replace(
            self, ids=self.ids[rows], mask=self.mask[rows], word=self.word[rows], sentence=self.sentence[rows]
        )

    def to(self, device: torch.device) -> TokenBatch:
        """The same on another device."""
        return replace(
            self,
            ids=self.ids.to(device),
            mask=self.mask.to(device),
            word=self.word.to(device),
            sentence=self.sentence.to(device),
        )


@dataclass(frozen=True)
class TextFeatures:
    """What the text tower says about a batch of reports. Which words and sentences are real, the `TokenBatch` knows.

    Attributes:
        report: class-token vector of the last layer.
        tokens: last-layer vectors of all tokens.
        last_four: sum of the vectors of the last four layers, fewer where there are fewer (GLoRIA
            gloria/models/text_model.py:110-114).
        word_attention: last-layer attention of the class token, mean over heads, summed over each word's sub-words;
            detached.
    """

    report: Float[Tensor, "b d"]
    tokens: Float[Tensor, "b t d"]
    last_four: Float[Tensor, "b t d"]
    word_attention: Float[Tensor, "b words"]


class TextTower(nn.Module):
    """A Hugging Face encoder.

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

    def forward(self, reports: TokenBatch) -> TextFeatures:
        """Encode tokenised reports."""
        output = self.encoder(
            input_ids=reports.ids,
            attention_mask=reports.mask.long(),
            output_attentions=True,
            output_hidden_states=True,
        )
        tokens = output.last_hidden_state
        attention = output.attentions[-1][:, :, 0].detach().float().mean(dim=1)
        deep = output.hidden_states[-min(LAST_LAYERS, self.layers) :]
        word_attention = span_sums(attention[:, :, None], reports.word, reports.words).squeeze(-1)
        return TextFeatures(tokens[:, 0], tokens, torch.stack(deep).sum(dim=0), word_attention)

    def freeze_lowest(self, layers: int) -> None:
        """Freeze the embeddings and the lowest layers, dropout staying as it is."""
        blocks = getattr(getattr(self.encoder, "encoder", self.encoder), "layer", [])
        for part in (self.encoder.get_input_embeddings(), getattr(self.encoder, "embeddings", None), *blocks[:layers]):
            if isinstance(part, nn.Module):
                part.requires_grad_(False)

    def freeze(self) -> TextTower:
        """Freeze all of it, dropout off for good, and return it."""
        self.requires_grad_(False)
        self.eval()
        self.train = lambda mode=True: self  # type: ignore[method-assign]
        return self


def span_sums(vectors: Float[Tensor, "b t d"], span: Int[Tensor, "b t"], count: int) -> Float[Tensor, "b s d"]:
    """Sum of the token vectors of each word or sentence; zero beyond the last one.

    Args:
        vectors: of tokens.
        span: number of the word or sentence of each token, -1 for none.
        count: of spans handed out.
    """
    numbers = torch.arange(count, device=span.device)
    # A 0/1 matrix product instead of a scatter: it has one order of summation, so that a GPU repeats itself too.
    with torch.autocast(vectors.device.type, enabled=False):
        wide = vectors if vectors.dtype == torch.float64 else vectors.float()
        return (span[:, None, :] == numbers[None, :, None]).to(wide.dtype) @ wide


def span_means(vectors: Float[Tensor, "b t d"], span: Int[Tensor, "b t"], count: int) -> Float[Tensor, "b s d"]:
    """Mean of the token vectors of each word or sentence; zero beyond the last one."""
    sums = span_sums(vectors, span, count)
    ones = torch.ones(*vectors.shape[:2], 1, dtype=sums.dtype, device=sums.device)
    return sums / span_sums(ones, span, count).clamp(min=1)


def _real(span: Int[Tensor, "b t"], count: int) -> Bool[Tensor, "b s"]:
    return torch.arange(count, device=span.device) <= span.amax(dim=1, keepdim=True)
