"""The smallest method that keeps the contract."""

import torch

from vlpbench.cards import MethodCard
from vlpbench.method import Method

CARD = MethodCard(
    "plain", licence="Apache-2.0", losses=("contrast",), deviations=("No paper.",), architectures=("resnet18",)
)


class Plain(Method):
    """The smallest method that keeps the contract."""

    card = CARD

    def __init__(self, parts):
        super().__init__(parts)
        self.image_head = torch.nn.Linear(self.backbone.pooled, 8)
        self.text_head = torch.nn.Linear(self.text.width, 8)

    def encode(self, batch):
        return {"image": self.backbone.pool(batch.images), "report": self.text(batch.reports).report}

    def loss(self, encoded, batch):
        images = self.image_head(encoded["image"]).float()
        reports = self.text_head(encoded["report"]).float()
        return {"contrast": self.scale() * (images - reports).square().mean()}

    def scale(self):
        return 1.0
