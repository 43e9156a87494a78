from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vlpbench.backbone import Backbone, Preprocessing, read_card
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.features import FrozenFeatures

PIXELS = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("arch", "strides"),
    [
        ("resnet18", (2, 4, 8, 16, 32)),
        ("resnet50", (2, 4, 8, 16, 32)),
        ("vit_b16", (16,) * 4),
        ("convnext_atto", (4, 8, 16, 32)),
    ],
)
def test_declared_channels_and_strides_are_those_of_the_maps(arch: str, strides: tuple[int, ...]) -> None:
    backbone = Backbone(arch, Preprocessing(64)).eval()
    with torch.no_grad():
        maps, pooled = backbone.maps_and_pooled(backbone.normalise(PIXELS))
    assert backbone.strides == strides
    assert [tuple(level.shape) for level in maps] == [
        (3, channels, 64 // stride, 64 // stride) for channels, stride in zip(backbone.channels, strides, strict=True)
    ]
    assert pooled.shape == (3, backbone.pooled)


def test_pooling_a_residual_network_is_the_mean_of_its_last_map() -> None:
    backbone = Backbone("resnet18", Preprocessing(64)).eval()
    with torch.no_grad():
        maps, pooled = backbone.maps_and_pooled(backbone.normalise(PIXELS))
    torch.testing.assert_close(pooled, maps[-1].mean(dim=(2, 3)))


def test_normalising_is_by_mean_and_deviation_of_scaled_pixels() -> None:
    backbone = Backbone("resnet18", Preprocessing(64, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)))
    expected = (PIXELS[1].double() / 255 - 0.6) / 0.3
    torch.testing.assert_close(backbone.normalise(PIXELS)[1, 2].double(), expected, atol=1e-5, rtol=1e-5)


def test_a_saved_backbone_comes_back_and_a_changed_file_is_refused(tmp_path: Path) -> None:
    backbone = Backbone("resnet18", Preprocessing(64)).eval()
    card = backbone.save(tmp_path, {"method": "random"})
    assert read_card(tmp_path) == card
    again = Backbone.load(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again.pool(again.normalise(PIXELS)), backbone.pool(backbone.normalise(PIXELS)))
    with (tmp_path / "backbone.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(VlpbenchError, match="sha256"):
        Backbone.load(tmp_path)


def test_a_frozen_backbone_stays_frozen_when_a_trainer_calls_train() -> None:
    backbone = Backbone("resnet18", Preprocessing(64)).freeze()
    torch.nn.ModuleList([backbone]).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone(backbone.normalise(PIXELS))
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_an_unknown_architecture_shows_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="Near: resnet50"):
        Backbone("resnet5O", Preprocessing(64))


def test_a_cache_of_features_changes_no_number(tmp_path: Path) -> None:
    backbone = Backbone("resnet18", Preprocessing(64)).freeze()
    images = np.random.default_rng(0).integers(0, 255, (70, 64, 64), dtype=np.uint8)

    def features(budget: float) -> FrozenFeatures:
        return FrozenFeatures(
            backbone, images, folder=tmp_path, identity={"of": "test"}, device=torch.device("cpu"), budget_gb=budget
        )

    rows = np.array([69, 3, 3, 17])
    kept, fresh = features(1.0), features(0.0)
    assert kept.fits
    assert not fresh.fits
    for cached, computed in zip(kept.maps(rows), fresh.maps(rows), strict=True):
        torch.testing.assert_close(cached, computed, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(kept.pooled(rows), features(1.0).pooled(rows))
    np.testing.assert_allclose(kept.pooled(rows), kept.maps(rows)[-1].mean(dim=(2, 3)).numpy(), rtol=1e-4, atol=1e-5)
