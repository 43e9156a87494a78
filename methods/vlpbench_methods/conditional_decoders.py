"""PRIOR's decoders: an image from its own patches and the report, sentences from the image."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vlpbench_methods.contrastive import wide
from vlpbench_methods.sentence_alignment import heads_of

BERT_HEADS = 12
BERT_WIDENING = 4


class ImageDecoder(nn.Module):
    """Nearest-neighbour doublings with two convolutions each, channels halving, and one grey channel at the end.

    PRIOR codes/prior/decoders/image.py:7-46,118-160; it reconstructs 7 x 7 patches at 224.
    """

    def __init__(self, width: int, *, doublings: int, dropout: float) -> None:
        """Build the decoder.

        Args:
            width: of the maps of patches and of what they are told.
            doublings: of the side of the map.
            dropout: of whole channels of the patches, so that the report is needed.
        """
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        channels = [max(1, 2 * width >> step) for step in range(doublings + 1)]
        blocks = [_doubling(before, after) for before, after in pairwise(channels)]
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(
        self, patches: Float[Tensor, "b p d"], told: Float[Tensor, "b p d"], *, height: int
    ) -> Float[Tensor, "b 1 _h _w"]:
        """Reconstruct the image.

        Args:
            patches: row by row.
            told: what each patch is told by the report.
            height: number of rows.
        """
        split = (height, patches.shape[1] // height)
        image, report = (cells.transpose(1, 2).reshape(*cells.shape[::2], *split) for cells in (patches, told))
        decoded: Tensor = self.blocks(torch.cat([self.dropout(image), report], dim=1))
        return decoded


class SentenceGenerator(nn.Module):
    """Learnt queries that read the patches, all at once: no query is masked from another.

    PRIOR codes/prior/decoders/sentence.py, models/prior.py:46-48, but for its causal mask. Layers are BERT's, with
    cross-attention.
    """

    def __init__(self, width: int, *, queries: int, layers: int) -> None:
        """Build queries and layers.

        Args:
            width: of sentences and patches.
            queries: sentences generated.
            layers: of self-attention, cross-attention and feed-forward network.
        """
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width))
        # Not nn.TransformerDecoder, which starts all layers from the same weights.
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width,
                heads_of(width, most=BERT_HEADS),
                dim_feedforward=BERT_WIDENING * width,
                activation="gelu",
                batch_first=True,
            )
            for _ in range(layers)
        )

    def forward(self, patches: Float[Tensor, "b p d"]) -> Float[Tensor, "b queries d"]:
        """Generate sentences, in no order."""
        sentences = self.queries.expand(len(patches), -1, -1)
        for layer in self.layers:
            sentences = layer(sentences, patches)
        return sentences


def reconstruction_loss(decoded: Float[Tensor, "b 1 h w"], images: Float[Tensor, "b 3 _h _w"]) -> Float[Tensor, ""]:
    """Mean absolute difference from the image, of whose equal channels the first is taken, at the decoder's size."""
    target = images[:, :1]
    if target.shape[2:] != decoded.shape[2:]:
        target = F.interpolate(target, decoded.shape[2:], mode="bilinear", align_corners=True)
    return (wide(decoded) - wide(target)).abs().mean()


def _doubling(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        *_convolution(before, after),
        *_convolution(after, after),
    )


def _convolution(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
