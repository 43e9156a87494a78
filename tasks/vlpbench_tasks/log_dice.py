"""The Dice term of the released MGCA code."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from vlpbench.data.source import IGNORED

SMOOTH = 1.0


class LogDiceLoss(nn.Module):
    """Minus the logarithm of (2 sum pt + 1) / (sum p + sum t + 1) over all counted pixels of the batch.

    As mgca/utils/segmentation_loss.py:7-24, 86-90. A batch without a foreground pixel counts too: what is predicted in
    it is pushed down.
    """

    loss_name = "loss_dice"

    def forward(self, logits: Float[Tensor, "n 1 h w"], target: Int[Tensor, "n h w"]) -> Float[Tensor, ""]:
        """Loss of weight 1, not bounded above."""
        counted = (target != IGNORED).to(logits.dtype)
        share = logits[:, 0].sigmoid() * counted
        truth = (target == 1).to(logits.dtype)
        quotient = (2 * (share * truth).sum() + SMOOTH) / (share.sum() + truth.sum() + SMOOTH)
        return -quotient.log()
