"""Patches: the cells of one feature map, which local terms align with words, tokens or sentences."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from vlpbench.backbone import Backbone
from vlpbench.errors import VlpbenchError


def is_plain_transformer(backbone: Backbone) -> bool:
    """Whether all maps have one stride, so that the pooled feature is a class token."""
    return len(set(backbone.strides)) == 1


def local_map(backbone: Backbone, stride: int) -> int:
    """Number of the feature map that patches come from.

    Args:
        backbone: image tower.
        stride: of the map, input pixels per cell; 0 for the second coarsest (layer3 of a ResNet), or the last one of a
            plain transformer.

    Raises:
        VlpbenchError: if there is no map of that stride.
    """
    if stride:
        if stride not in backbone.strides:
            raise VlpbenchError(
                f"Option local_stride = {stride}: {backbone.arch} has maps of stride {list(backbone.strides)}."
            )
        return len(backbone.strides) - 1 - backbone.strides[::-1].index(stride)
    return len(backbone.strides) - (1 if is_plain_transformer(backbone) else 2)


def cells(feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h*w c"]:
    """Cells of a feature map row by row."""
    return feature_map.flatten(2).transpose(1, 2)
