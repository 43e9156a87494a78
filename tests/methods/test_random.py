"""The floor: weights as they are drawn, residual branches switched on."""

import torch

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench_methods.random import RandomInitialisation


def test_every_batch_normalisation_starts_at_scale_one():
    backbone = Backbone("resnet18", Preprocessing(32))
    kind = RandomInitialisation
    before = [module.weight for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert any(bool((scale == 0).any()) for scale in before), "timm silences the last one of each block"
    kind(kind.options_type()).initialise(backbone)
    scales = [module.weight for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(scales) == 20
    assert all(bool((scale == 1).all()) for scale in scales)
