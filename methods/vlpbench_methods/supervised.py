"""Supervised: the image tower learns the corpus' own image labels, without reports.

With z_il the logit and y_il in {0, 1} the label l of image i, over the labels that are known:

    L = mean_{il known} -[ y_il log sigmoid(z_il) + (1 - y_il) log(1 - sigmoid(z_il)) ]

It is a ceiling, not a competitor: what the same images, augmentations and schedule give when labels are at hand.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vlpbench.errors import VlpbenchError
from vlpbench.method import Encoded, Method, PairBatch, Parts
from vlpbench.registry import register_method
from vlpbench_methods.contrastive import wide


def known_label_loss(logits: Float[Tensor, "b labels"], labels: Float[Tensor, "b labels"]) -> Float[Tensor, ""]:
    """Binary cross-entropy, mean over the labels that are not NaN, in float32 at least; 0 where none is known."""
    with torch.autocast(logits.device.type, enabled=False):
        scores, known = wide(logits), ~labels.isnan()
        targets = torch.where(known, labels, 0.0).to(scores.dtype)
        losses = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return (losses * known).sum() / known.sum().clamp(min=1)


@register_method(
    "supervised",
    title="Supervised",
    licence="Apache-2.0",
    needs=("labels",),
    supervision="instance labels",
    architectures=("resnet18", "resnet50", "vit_b16"),
    losses=("cross-entropy",),
    deviations=(
        "No paper: a ceiling for the others, trained on the image labels of the suite's own corpus with the recipe "
        "that all rows share. Reports play no part.",
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "Unknown labels are left out of the mean, neither counted as absent nor guessed.",
        "The image view is the recipe's augmentation.",
    ),
    version=1,
)
class Supervised(Method):
    """Classification of the corpus' labels."""

    def __init__(self, parts: Parts) -> None:
        """Add a linear classifier, an output for each label, and leave the text tower out of training.

        Raises:
            VlpbenchError: if the corpus has no labels.
        """
        super().__init__(parts)
        if not parts.knowledge.labels:
            raise VlpbenchError(
                "The method 'supervised' learns image labels, and the corpus names none. Choose a suite whose corpus "
                "has labels, or leave the method out."
            )
        self.text.freeze()
        self.classifier = nn.Linear(self.backbone.pooled, len(parts.knowledge.labels))

    def encode(self, batch: PairBatch) -> Encoded:
        """Pooled image features."""
        return {"image": self.backbone.pool(batch.augmented)}

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy over the known labels of the batch."""
        self.diagnostics = {"known labels per image": (~batch.labels.isnan()).sum(dim=1).float().mean()}
        return {"cross-entropy": known_label_loss(self.classifier(encoded["image"]), batch.labels)}
