"""Backbones: timm models that offer feature maps, saved with their preprocessing and lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vlpbench.canonical import atomic_path, canonical_json, file_sha256, write_text
from vlpbench.errors import UnknownNameError, VlpbenchError

SHORT_NAMES = {"resnet18": "resnet18", "resnet50": "resnet50", "vit_b16": "vit_base_patch16_224"}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How grey pixels become the input a backbone was trained on.

    Attributes:
        image_size: side of the square input, pixels.
        mean: per channel, of pixels scaled to [0, 1].
        std: per channel, likewise.
    """

    image_size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class BackboneCard:
    """What is known of a backbone without loading its weights.

    Attributes:
        arch: short or timm name.
        preprocessing: input it expects.
        channels: of each feature map, fine to coarse.
        strides: of each feature map, input pixels per cell.
        pooled: width of the pooled feature.
        sha256: of the weights file, "" before it is saved.
        lineage: how the weights came to be, in plain data.
    """

    arch: str
    preprocessing: Preprocessing
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pooled: int
    sha256: str = ""
    lineage: Mapping[str, Any] = field(default_factory=dict)


class Backbone(nn.Module):
    """An image encoder: feature maps and a pooled feature, on timm.

    Convolutional networks give one map per stride; plain transformers give maps of one stride from evenly spaced
    blocks, the last
    one being the final block.
    """

    def __init__(self, arch: str, preprocessing: Preprocessing) -> None:
        """Build the architecture with timm's own initialisation, drawn from the global generator.

        Raises:
            UnknownNameError: for a name timm does not know.
            VlpbenchError: for a timm model without feature maps.
        """
        super().__init__()
        self.arch = arch
        self.preprocessing = preprocessing
        self.model = _build(arch, preprocessing.image_size)
        self._taps = _taps(self.model)
        info = self.model.feature_info
        self.channels = tuple(int(info[tap]["num_chs"]) for tap in self._taps)
        self.strides = tuple(int(info[tap]["reduction"]) for tap in self._taps)
        self.pooled = int(self.model.num_features)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    @property
    def card(self) -> BackboneCard:
        """Card of the weights in memory; hash and lineage come with saving."""
        return BackboneCard(self.arch, self.preprocessing, self.channels, self.strides, self.pooled)

    def normalise(self, images: UInt8[Tensor, "b h w"] | Float[Tensor, "b h w"]) -> Float[Tensor, "b 3 h w"]:
        """Grey pixels in 0..255 as normalised input of three equal channels."""
        scaled = images.float().div(255).unsqueeze(1).expand(-1, 3, -1, -1)
        return (scaled - self.mean) / self.std

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b _c _h _w"], ...]:
        """Feature maps of normalised images, fine to coarse."""
        return self.maps_and_pooled(images)[0]

    def pool(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c"]:
        """Pooled features of normalised images: global average, or the class token of a transformer."""
        return self.maps_and_pooled(images)[1]

    def maps_and_pooled(
        self, images: Float[Tensor, "b 3 h w"]
    ) -> tuple[tuple[Float[Tensor, "b _c _h _w"], ...], Float[Tensor, "b c"]]:
        """Feature maps and pooled feature in one pass."""
        last, maps = self.model.forward_intermediates(images, indices=list(self._taps), output_fmt="NCHW")
        pooled: Tensor = self.model.forward_head(last, pre_logits=True)
        return tuple(maps), pooled

    def freeze(self) -> Backbone:
        """Freeze parameters and BatchNorm statistics for good, and return the backbone."""
        self.requires_grad_(False)
        self.eval()
        self.train = lambda mode=True: self  # type: ignore[method-assign]
        return self

    def save(self, folder: Path, lineage: Mapping[str, Any]) -> BackboneCard:
        """Write `backbone.safetensors`, then `backbone.json`, each atomically; return the card with its hash."""
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.model.state_dict().items()}
        weights = folder / "backbone.safetensors"
        with atomic_path(weights) as temporary:
            save_file(state, temporary)
        card = BackboneCard(**{**_fields(self.card), "sha256": file_sha256(weights), "lineage": dict(lineage)})
        write_text(folder / "backbone.json", canonical_json(asdict(card)) + "\n")
        return card

    @classmethod
    def load(cls, folder: Path) -> Backbone:
        """Read a saved backbone.

        Raises:
            VlpbenchError: if a file is missing, the weights are not those the json names, or keys do not match.
        """
        card = read_card(folder)
        weights = folder / "backbone.safetensors"
        if file_sha256(weights) != card.sha256:
            raise VlpbenchError(f"{weights} is not the file that {folder / 'backbone.json'} names by its sha256.")
        backbone = cls(card.arch, card.preprocessing)
        try:
            backbone.model.load_state_dict(load_file(weights), strict=True)
        except RuntimeError as error:
            raise VlpbenchError(f"{weights} does not fit {card.arch}: {error}") from error
        return backbone


def read_card(folder: Path) -> BackboneCard:
    """Read `backbone.json`.

    Raises:
        VlpbenchError: if it is missing or not readable.
    """
    path = folder / "backbone.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        preprocessing = raw.pop("preprocessing")
        return BackboneCard(
            **{**raw, "channels": tuple(raw["channels"]), "strides": tuple(raw["strides"])},
            preprocessing=Preprocessing(
                preprocessing["image_size"], tuple(preprocessing["mean"]), tuple(preprocessing["std"])
            ),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VlpbenchError(f"{path} is not a backbone card: {error}") from error


def _fields(card: BackboneCard) -> dict[str, Any]:
    return {name: getattr(card, name) for name in card.__dataclass_fields__}


def _build(arch: str, image_size: int) -> Any:
    import timm

    name = SHORT_NAMES.get(arch, arch)
    if not timm.is_model(name):
        raise UnknownNameError("architecture", arch, [*SHORT_NAMES, *timm.list_models()])
    sized: dict[str, Any] = {"img_size": image_size} if name.startswith(("vit_", "deit", "beit", "eva", "swin")) else {}
    model = timm.create_model(name, pretrained=False, num_classes=0, **sized)
    if not (
        isinstance(getattr(model, "feature_info", None), list)
        and callable(getattr(model, "forward_intermediates", None))
    ):
        raise VlpbenchError(
            f"The timm model {name!r} offers no feature maps; choose another, such as {', '.join(SHORT_NAMES)}."
        )
    return model


def _taps(model: Any) -> tuple[int, ...]:
    """One tap per stride, or four evenly spaced blocks where every block has the same stride."""
    strides = [int(info["reduction"]) for info in model.feature_info]
    if len(set(strides)) == 1 and len(strides) >= 4:
        return tuple(len(strides) * step // 4 - 1 for step in (1, 2, 3, 4))
    return tuple(range(len(strides)))
