"""An encoder whose parameters are frozen while its BatchNorm statistics go on drifting."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from torch import nn

from vlpbench.backbone import Backbone
from vlpbench_tasks.openmm import FrozenMaps


class DriftingMaps(FrozenMaps):
    """The backbone slot of an OpenMMLab model as the released MGCA code fills it.

    That code freezes parameters and never calls `eval()` on the encoder, so that a training batch is normalised by its
    own statistics and moves the running ones (mgca/models/mgca/mgca_segmenter.py:93-95,
    mgca/models/mgca/mgca_detector.py:70-71).
    """

    drifts = True

    def __init__(self, encoder: Backbone, levels: Sequence[int]) -> None:
        """Copy the encoder, which other cells share, and keep the positions of the maps wanted."""
        super().__init__(_thawed(encoder), levels)

    def train(self, mode: bool = True) -> DriftingMaps:
        """Take the encoder along."""
        nn.Module.train(self, mode)
        return self

    def moving(self) -> frozenset[str]:
        """Names of the running statistics, which belong to the head's weights as much as to the encoder."""
        return frozenset(name for name, _ in self.named_buffers())


def _thawed(encoder: Backbone) -> Backbone:
    """A copy in memory of its own that can be in training mode; its parameters stay frozen."""
    copied = deepcopy(encoder)
    # a frozen backbone carries a `train` that does nothing, and the copy with it
    copied.__dict__.pop("train", None)
    return copied.requires_grad_(False)
