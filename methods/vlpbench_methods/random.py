"""Random initialisation: the floor that every pre-training method has to stand above."""

from __future__ import annotations

from torch import nn

from vlpbench.backbone import Backbone
from vlpbench.method import Initialisation
from vlpbench.registry import register_method


@register_method(
    "random",
    title="Random",
    licence="Apache-2.0",
    trains=False,
    architectures=("resnet18", "resnet50", "vit_b16"),
    published="Random",
    deviations=(
        "The published rows do not say how weights were drawn: timm's initialisation is used, with every BatchNorm "
        "scale at 1 as torchvision has it, because timm's zero scale on the last one of a block would silence all "
        "residual branches.",
    ),
    version=1,
)
class RandomInitialisation(Initialisation):
    """The weights a backbone is built with, residual branches switched on."""

    def initialise(self, backbone: Backbone) -> None:
        """Set the scale of every batch normalisation to 1."""
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
