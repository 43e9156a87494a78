"""ImageNet: the weights that timm gives an architecture, or those of a file; nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from vlpbench.backbone import IMAGENET_MEAN, IMAGENET_STD, SHORT_NAMES, Backbone, Preprocessing
from vlpbench.canonical import file_sha256
from vlpbench.errors import UnavailableError, VlpbenchError
from vlpbench.method import Initialisation, Options
from vlpbench.registry import register_method

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
FILE_ENDINGS = (".safetensors", ".bin", ".pth", ".pt")
CLASSIFIERS = ("fc", "head", "classifier")
PATIENCE_SECONDS = 5.0
SHOWN = 300


@dataclass(frozen=True)
class ImagenetOptions(Options):
    """Switches of the ImageNet initialisation.

    Attributes:
        weights: file of the architecture's weights under timm's (for ResNets also torchvision's) names: .safetensors,
            or .bin, .pth or .pt that holds tensors alone; or a folder with one such file, as on Hugging Face. "" for
            timm's default weights, from the Hugging Face cache or the network. The input is normalised as timm does
            for its default weights either way.
    """

    weights: str = ""


@register_method(
    "imagenet",
    title="ImageNet",
    licence="Apache-2.0",
    trains=False,
    architectures=("resnet18", "resnet50", "vit_b16"),
    published="ImageNet",
    deviations=(
        "The published rows do not say which ImageNet weights they start from: timm's default weights of the "
        "architecture are taken, a1_in1k for ResNet-18 and ResNet-50 and augreg2_in21k_ft_in1k, which has seen "
        "ImageNet-21k first, for ViT-B/16 (timm 1.0); another file is a switch.",
        "The classifier is dropped, and grey images come as three equal channels.",
        "Position embeddings of a transformer are resampled by timm where the image size is not the one of its "
        "training.",
    ),
    version=1,
)
class ImagenetInitialisation(Initialisation):
    """Weights learned on ImageNet."""

    options_type = ImagenetOptions

    def __init__(self, options: Options) -> None:
        """Take the switches."""
        super().__init__(options)
        self.switches = cast(ImagenetOptions, options)

    def stamp(self) -> str:
        """SHA-256 of the file named by `weights`, "" where there is none.

        Raises:
            VlpbenchError: if `weights` names no file of weights.
        """
        return file_sha256(_named_file(self.switches.weights)) if self.switches.weights else ""

    def preprocessing(self, arch: str, image_size: int) -> Preprocessing:
        """Mean and deviation of timm's default weights of the architecture."""
        config = _pretrained_config(arch)
        if config is None:
            return Preprocessing(image_size, IMAGENET_MEAN, IMAGENET_STD)
        return Preprocessing(image_size, tuple(config.mean), tuple(config.std))

    def initialise(self, backbone: Backbone) -> None:
        """Load the weights, every one of them.

        Raises:
            UnavailableError: if timm's weights are neither in the Hugging Face cache nor to be had from the network.
            VlpbenchError: if a file is missing, is no file of tensors, or does not fit the architecture.
        """
        named = self.switches.weights
        path = _named_file(named) if named else _hub_file(backbone.arch)
        state = _fitted(backbone, _read(path), path)
        backbone.model.load_state_dict(state, strict=True)
        config = _pretrained_config(backbone.arch)
        name = named if named else str(config.hf_hub_id)
        self.origin = {"name": name, "tag": "" if named else str(config.tag), "sha256": file_sha256(path)}


def _pretrained_config(arch: str) -> Any:
    """What timm knows of its default weights of an architecture, None for nothing."""
    import timm

    return timm.get_pretrained_cfg(SHORT_NAMES.get(arch, arch))


def _named_file(weights: str) -> Path:
    """The file, or the one file of weights in the folder, preferring the names Hugging Face gives them."""
    path = Path(weights).expanduser()
    if path.is_dir():
        usual = [path / name for name in HUB_FILES if (path / name).is_file()]
        found = usual[:1] or sorted(file for file in path.iterdir() if file.suffix in FILE_ENDINGS)
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "no file"
            raise VlpbenchError(
                f"Option weights of imagenet: the folder {path} holds {names} ending in {', '.join(FILE_ENDINGS)}. "
                "Expected one; name the file itself."
            )
        return found[0]
    if not path.is_file():
        raise VlpbenchError(f"Option weights of imagenet: there is no file or folder {path}.")
    if path.suffix not in FILE_ENDINGS:
        raise VlpbenchError(f"Option weights of imagenet: {path} does not end in {', '.join(FILE_ENDINGS)}.")
    return path


def _hub_file(arch: str) -> Path:
    """The default weights of an architecture in timm, from the Hugging Face cache or else the network."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    config = _pretrained_config(arch)
    if config is None or not config.hf_hub_id:
        raise UnavailableError(
            f"timm offers no weights of {arch} on Hugging Face. Choose another architecture, such as "
            f"{', '.join(SHORT_NAMES)}, or name a file: --set imagenet.options.weights=/path/to/model.safetensors."
        )
    repository = config.hf_hub_id
    files = (config.hf_hub_filename,) if config.hf_hub_filename else HUB_FILES
    for file in files:
        cached = try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
    problem: Exception | None = None
    for file in files:
        try:
            # Without a network the download retries for half a minute and more; this question fails at once.
            get_hf_file_metadata(hf_hub_url(repository, file), timeout=PATIENCE_SECONDS)
            return Path(hf_hub_download(repository, file))
        except EntryNotFoundError as error:
            problem = error
        except Exception as error:  # whatever stands between here and the hub, it is worded below
            problem = error
            break
    raise _unavailable(repository, files[0], problem) from problem


def _unavailable(repository: str, file: str, problem: Exception | None) -> UnavailableError:
    """Word both ways out."""
    from huggingface_hub.constants import HF_HUB_CACHE

    reason = f"{type(problem).__name__}: {_first_lines(problem)}"
    return UnavailableError(
        f"The ImageNet weights {repository} are neither in the Hugging Face cache, {HF_HUB_CACHE}, nor to be had from "
        f"the network ({reason}). Either run `hf download {repository} {file}` on a machine with network and copy its "
        f"cache here, or name a file: --set imagenet.options.weights=/path/to/{file}."
    )


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors by name; nothing else is unpickled."""
    from timm.models import load_state_dict

    try:
        state: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
        if not state:
            raise ValueError("no tensor inside")
    except Exception as error:  # readers raise anything on damaged or foreign bytes
        raise VlpbenchError(
            f"{path} cannot be read as a file of tensors ({type(error).__name__}). Expected a timm state dict, written "
            "by safetensors.torch.save_file or by torch.save of tensors alone; convert the file with the code that "
            "wrote it."
        ) from error
    return state


def _fitted(backbone: Backbone, state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights without classifier, converted by timm to its own names and to the backbone's image size."""
    import timm

    config = _pretrained_config(backbone.arch)
    own = getattr(config, "classifier", None) or ()
    for classifier in (*CLASSIFIERS, *((own,) if isinstance(own, str) else own)):
        for kind in ("weight", "bias"):
            state.pop(f"{classifier}.{kind}", None)
    side = getattr(getattr(backbone.model, "patch_embed", None), "img_size", None)
    try:
        # Without a classifier to drop, timm demands that every key fits.
        model = timm.create_model(
            SHORT_NAMES.get(backbone.arch, backbone.arch),
            pretrained=True,
            pretrained_cfg_overlay={"state_dict": state, "classifier": None},
            num_classes=0,
            **({} if side is None else {"img_size": side}),
        )
    except Exception as error:  # timm's conversions assume much of the keys they are given
        raise VlpbenchError(
            f"{path} does not fit {backbone.arch}: {_first_lines(error)} Expected timm's weights of this architecture."
        ) from error
    fitted: dict[str, Tensor] = model.state_dict()
    return fitted


def _first_lines(error: Exception | None) -> str:
    """The beginning of a message, on one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
