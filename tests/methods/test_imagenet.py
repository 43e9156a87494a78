"""The ImageNet initialisation: what is loaded, what is refused, and what is said where nothing can be had."""

import hashlib
import pickle
import time
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench.canonical import file_sha256
from vlpbench.errors import UnavailableError, VlpbenchError
from vlpbench_methods.imagenet import ImagenetInitialisation, ImagenetOptions

ARCH, HUB_NAME = "test_resnet", "timm/test_resnet.r160_in1k"
TRANSFORMER = "vit_tiny_patch16_224"


def weights(arch=ARCH, *, classes=3, **sized):
    """A real state dict of timm, with random values in every tensor of numbers, running statistics included."""
    state = timm.create_model(arch, num_classes=classes, **sized).state_dict()
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def start(path=""):
    return ImagenetInitialisation(ImagenetOptions(weights=str(path)))


def initialised(path="", arch=ARCH, size=32):
    backbone = Backbone(arch, Preprocessing(size))
    start(path).initialise(backbone)
    return backbone.model.state_dict()


def assert_same_but_classifier(found, given, classifier="fc"):
    kept = {name: tensor for name, tensor in given.items() if not name.startswith(f"{classifier}.")}
    assert set(found) == set(kept)
    assert all(torch.equal(found[name], kept[name]) for name in kept)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_the_origin_names_the_file_and_its_hash(tmp_path):
    save_file(weights(), tmp_path / "w.safetensors")
    chosen = start(tmp_path / "w.safetensors")
    assert chosen.origin == {}
    chosen.initialise(Backbone(ARCH, Preprocessing(32)))
    assert chosen.origin["name"].endswith("w.safetensors")
    assert chosen.origin["sha256"] == file_sha256(tmp_path / "w.safetensors")


@pytest.mark.parametrize("classes", [3, 0, 1000])
def test_a_safetensors_file_gives_every_weight_but_the_classifier(tmp_path, classes):
    given = weights(classes=classes)
    save_file(given, tmp_path / "w.safetensors")
    assert_same_but_classifier(initialised(tmp_path / "w.safetensors"), given)


@pytest.mark.parametrize("ending", [".bin", ".pth", ".pt"])
def test_a_torch_file_of_tensors_may_wrap_them(tmp_path, ending):
    given = weights()
    torch.save({"state_dict": given, "epoch": 7}, tmp_path / f"w{ending}")
    assert_same_but_classifier(initialised(tmp_path / f"w{ending}"), given)


def test_a_folder_stands_for_its_file_of_weights(tmp_path):
    given = weights()
    save_file(given, tmp_path / "model.safetensors")
    torch.save(weights(classes=5), tmp_path / "other.pth")
    (tmp_path / "config.json").write_text("{}")
    assert_same_but_classifier(initialised(tmp_path), given)
    assert start(tmp_path).stamp() == start(tmp_path / "model.safetensors").stamp()


class Trap:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_nothing_but_tensors_is_unpickled(tmp_path):
    target = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(target)))
    assert target.exists()
    target.unlink()
    torch.save({**weights(), "extra": Trap(target)}, tmp_path / "w.pth")
    with pytest.raises(VlpbenchError, match="cannot be read as a file of tensors"):
        initialised(tmp_path / "w.pth")
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"no tensors here"])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_damaged_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VlpbenchError, match=rf"{name} cannot be read as a file of tensors"):
        initialised(tmp_path / name)


def test_a_file_without_tensors_does_not_stand_for_the_default_weights(tmp_path):
    save_file({}, tmp_path / "w.safetensors")
    with pytest.raises(VlpbenchError, match="cannot be read as a file of tensors"):
        initialised(tmp_path / "w.safetensors")


def test_keys_and_shapes_have_to_fit(tmp_path):
    path = tmp_path / "w.safetensors"
    for change in (
        lambda state: state.pop("layer4.0.conv1.weight"),
        lambda state: state.update({"layer4.0.conv9.weight": torch.zeros(1)}),
        lambda state: state.update({"layer4.0.conv1.weight": torch.zeros(2, 3, 1, 1)}),
        lambda state: state.update({"fc.extra": torch.zeros(1)}),
    ):
        given = weights()
        change(given)
        save_file(given, path)
        with pytest.raises(VlpbenchError, match=r"does not fit test_resnet: .*(layer4\.0\.conv|fc\.ext)"):
            initialised(path)


def test_weights_of_another_architecture_are_refused(tmp_path):
    save_file(weights(), tmp_path / "w.safetensors")
    with pytest.raises(VlpbenchError, match="does not fit vit_tiny_patch16_224"):
        initialised(tmp_path / "w.safetensors", arch=TRANSFORMER)


def test_position_embeddings_are_resampled_to_the_image_size(tmp_path):
    given = weights(TRANSFORMER, img_size=64)
    save_file(given, tmp_path / "w.safetensors")
    found = initialised(tmp_path / "w.safetensors", arch=TRANSFORMER)
    expected = resample_abs_pos_embed(given["pos_embed"], new_size=[2, 2], old_size=[4, 4], num_prefix_tokens=1)
    assert found["pos_embed"].shape == (1, 5, 192)
    assert torch.allclose(found["pos_embed"], expected)
    assert torch.equal(found["pos_embed"][:, 0], given["pos_embed"][:, 0])
    assert_same_but_classifier({**found, "pos_embed": given["pos_embed"]}, given, "head")


def test_position_embeddings_of_the_same_size_stay(tmp_path):
    given = weights(TRANSFORMER, img_size=64)
    save_file(given, tmp_path / "w.safetensors")
    assert_same_but_classifier(initialised(tmp_path / "w.safetensors", arch=TRANSFORMER, size=64), given, "head")


def test_the_stamp_is_the_hash_of_the_file(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    assert start(path).stamp() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert start().stamp() == ""


def test_paths_that_lead_nowhere_are_named(tmp_path):
    for name in ("absent.pth", "absent"):
        with pytest.raises(VlpbenchError, match=rf"no file or folder .*{name}") as caught:
            start(tmp_path / name).stamp()
        assert not isinstance(caught.value, UnavailableError)
    (tmp_path / "w.npz").touch()
    with pytest.raises(VlpbenchError, match=r"w\.npz does not end in \.safetensors"):
        initialised(tmp_path / "w.npz")
    with pytest.raises(VlpbenchError, match=r"holds no file ending in"):
        initialised(tmp_path)
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).touch()
    with pytest.raises(VlpbenchError, match=r"holds a\.pth, b\.pth"):
        initialised(tmp_path)


@pytest.mark.parametrize(
    ("arch", "mean", "std"),
    [
        ("resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("resnet50", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("vit_b16", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("vit_base_patch16_clip_224", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ],
)
def test_the_input_is_normalised_as_the_weights_expect(arch, mean, std):
    assert start().preprocessing(arch, 64) == Preprocessing(64, mean, std)


def test_the_card_names_the_weights_that_timm_has():
    for arch, tag in (("resnet18", "a1_in1k"), ("resnet50", "a1_in1k")):
        assert timm.get_pretrained_cfg(arch).tag == tag
    assert timm.get_pretrained_cfg("vit_base_patch16_224").tag == "augreg2_in21k_ft_in1k"
    said = ImagenetInitialisation.card.deviations[0]
    assert "a1_in1k for ResNet-18 and ResNet-50 and augreg2_in21k_ft_in1k" in said


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_in_the_hugging_face_cache_need_no_network(empty_cache, name):
    given = weights(classes=1000)
    folder = empty_cache / f"models--{HUB_NAME.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    write = save_file if name.endswith(".safetensors") else torch.save
    write(given, folder / "snapshots" / "abc" / name)
    assert_same_but_classifier(initialised(), given)


WAYS_OUT = rf"hf download {HUB_NAME} model\.safetensors`.* --set imagenet\.options\.weights=/path/to/model\.safetensors"


def test_offline_both_ways_out_are_named(empty_cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match=WAYS_OUT) as caught:
        initialised()
    assert str(empty_cache) in str(caught.value)


@pytest.mark.parametrize("error", [ConnectionError("no route"), TimeoutError("silence"), OSError("reset by peer")])
def test_without_a_network_it_fails_at_once(empty_cache, monkeypatch, error):
    """The hub's own download would ask again for half a minute and more."""
    asked = []

    def unreachable(url, *, timeout):
        asked.append((url, timeout))
        raise error

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("downloads where nobody answers"))
    with pytest.raises(UnavailableError, match=WAYS_OUT):
        initialised()
    assert len(asked) == 1
    assert asked[0][1] <= 10


def test_a_closed_socket_fails_within_seconds(empty_cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    backbone, began = Backbone(ARCH, Preprocessing(32)), time.monotonic()
    with pytest.raises(UnavailableError, match=WAYS_OUT):
        start().initialise(backbone)
    assert time.monotonic() - began < 10


def test_a_hub_without_safetensors_is_asked_for_the_older_file(empty_cache, monkeypatch, tmp_path):
    given = weights(classes=1000)
    torch.save(given, tmp_path / "pytorch_model.bin")

    def answer(url, *, timeout):
        if url.endswith(".safetensors"):
            raise huggingface_hub.errors.EntryNotFoundError("404")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", answer)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repository, file: str(tmp_path / file))
    assert_same_but_classifier(initialised(), given)


def test_an_architecture_without_weights_is_unavailable(empty_cache):
    backbone = Backbone("resnet18", Preprocessing(32))
    backbone.arch = "coatnet_0_224"
    with pytest.raises(UnavailableError, match="timm offers no weights of coatnet_0_224"):
        start().initialise(backbone)
