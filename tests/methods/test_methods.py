"""What every registered method keeps to, and what each of the shipped ones promises."""

import math
from dataclasses import replace

import pytest
import torch

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench.encoders import scratch_encoder
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Initialisation, Method, PairBatch
from vlpbench.registry import REGISTRY
from vlpbench_methods.convirt import Convirt, ConvirtOptions
from vlpbench_methods.sista import Sista, SistaOptions

SIZE = 32
REPORTS = (
    "There is a small left effusion.",
    "No pneumothorax.",
    "Right upper opacity, which has grown since.",
    "Normal heart size.",
    "There is a small left effusion.",
    "Opacities.",
)
SUMMARIES = ("left effusion", "no pneumothorax", "growing opacity", "normal heart", "left effusion", "opacities")


def build(kind, arch="resnet18", options=None, size=SIZE):
    torch.manual_seed(0)
    tower, tokeniser = scratch_encoder([*REPORTS, *SUMMARIES], vocabulary=90, width=16, max_tokens=24)
    backbone = Backbone(arch, Preprocessing(size))
    return kind(backbone, tower, kind.options_type() if options is None else options), tokeniser


def batch(tokeniser, count=6, size=SIZE):
    images = torch.randn(2, count, 3, size, size, generator=torch.Generator().manual_seed(3))
    return PairBatch(images[0], images[1], tokeniser.tokenise(REPORTS[:count]), tokeniser.tokenise(SUMMARIES[:count]))


def total(method, pairs):
    return torch.stack(list(method.loss(pairs).values())).sum()


@pytest.fixture(params=[name for name in REGISTRY.names("method") if REGISTRY.card("method", name).trains])
def trained(request):
    return build(REGISTRY.target("method", request.param))


def test_the_loss_is_finite_and_reaches_the_image_tower(trained):
    method, tokeniser = trained
    terms = method.loss(batch(tokeniser))
    assert all(term.shape == () and math.isfinite(float(term.detach())) for term in terms.values())
    assert len(terms) == len(method.card.losses)
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in method.backbone.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    first = next(method.backbone.parameters())
    assert first.grad.abs().sum() > 0


def test_evaluation_is_deterministic(trained):
    method, tokeniser = trained
    method.eval()
    with torch.no_grad():
        assert float(total(method, batch(tokeniser))) == float(total(method, batch(tokeniser)))


def test_the_emitted_backbone_is_the_trained_one(trained, tmp_path):
    method, tokeniser = trained
    total(method, batch(tokeniser)).backward()
    torch.optim.SGD(method.parameters(), lr=0.1).step()
    method.backbone.save(tmp_path, {"method": method.card.name})
    again = Backbone.load(tmp_path).eval()
    images = batch(tokeniser).images
    with torch.no_grad():
        assert torch.equal(again.pool(images), method.backbone.eval().pool(images))


def test_an_initialisation_changes_the_backbone_in_place():
    backbone = Backbone("resnet18", Preprocessing(SIZE))
    REGISTRY.target("method", "random")().initialise(backbone)
    scales = [module.weight for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(scales) == 20
    assert all(bool((scale == 1).all()) for scale in scales)


def test_every_card_says_where_it_comes_from():
    for name in REGISTRY.names("method"):
        card = REGISTRY.card("method", name)
        assert card.trains != issubclass(REGISTRY.target("method", name), Initialisation)
        assert card == REGISTRY.target("method", name).card
        assert card.licence
        assert card.deviations


def test_convirt_weighs_the_directions():
    method, tokeniser = build(Convirt)
    method.eval()
    pairs = batch(tokeniser)
    with torch.no_grad():
        images = method.image_head(method.backbone.pool(pairs.augmented))
        tokens = method.text(pairs.reports.ids, pairs.reports.mask, pairs.reports.word).tokens
        pooled = [tokens[row, : int(pairs.reports.mask[row].sum())].max(dim=0).values for row in range(6)]
        scores = images @ method.text_head(torch.stack(pooled)).T / 0.1
        terms = method.loss(pairs)
    assert float(terms["image to report"]) == pytest.approx(
        0.75 * float((scores.logsumexp(1) - scores.diagonal()).mean()), rel=1e-5
    )
    assert float(terms["report to image"]) == pytest.approx(
        0.25 * float((scores.logsumexp(0) - scores.diagonal()).mean()), rel=1e-5
    )


def test_convirt_freezes_the_lower_layers_of_a_deep_encoder_only():
    shallow, _ = build(Convirt)
    assert all(parameter.requires_grad for parameter in shallow.text.parameters())
    backbone, tower = shallow.backbone, shallow.text
    tower.layers = 12
    deep = Convirt(backbone, tower, ConvirtOptions(frozen_layers=1))
    frozen = {name for name, parameter in deep.text.named_parameters() if not parameter.requires_grad}
    assert any(name.startswith("encoder.embeddings.") for name in frozen)
    assert any(".layer.0." in name for name in frozen)
    assert not any(".layer.1." in name for name in frozen)


def test_sista_terms_can_be_switched_off():
    everything, tokeniser = build(Sista)
    terms = everything.loss(batch(tokeniser))
    assert list(terms) == ["SIA", "SIA^a", "SIVA", "SILA", "STA"]
    for name in terms:
        method, _ = build(Sista, options=SistaOptions(terms=(name,)))
        assert list(method.loss(batch(tokeniser))) == [name]


def test_sista_counts_reports_that_are_the_same():
    method, tokeniser = build(Sista, options=SistaOptions(pseudo_positive_threshold=0.999))
    method.loss(batch(tokeniser))
    assert float(method.diagnostics["pseudo-positives per pair"]) == pytest.approx(2 / 6)
    assert 0 < float(method.diagnostics["kept patch share"]) <= 1


@pytest.mark.parametrize(
    ("changed", "term"),
    [
        ({"reading": "targets", "pseudo_positive_threshold": 0.0}, "SIA"),
        ({"soft_weight": 0.5, "pseudo_positive_threshold": 0.0}, "SILA"),
        ({"similarity_from_summaries": True, "pseudo_positive_threshold": 0.0}, "SIA^a"),
        ({"temperature": 0.1}, "SIVA"),
        ({"sta_threshold": 0.0}, "STA"),
        ({"word_weights": "uniform"}, "STA"),
        ({"word_vectors": "mean"}, "STA"),
        ({"local_stride": 8}, "STA"),
        ({"local_input_size": 48}, "STA"),
        ({"final_norm": False}, "SIA"),
    ],
)
def test_every_switch_of_sista_changes_its_term(changed, term):
    kept = {"pseudo_positive_threshold": changed.get("pseudo_positive_threshold", 0.9)}
    default, tokeniser = build(Sista, options=replace(SistaOptions(), **kept))
    switched, _ = build(Sista, options=replace(SistaOptions(), **changed))
    pairs = batch(tokeniser)
    with torch.no_grad():
        assert float(default.loss(pairs)[term]) != pytest.approx(float(switched.loss(pairs)[term]), rel=1e-6)


def test_sista_refuses_switches_that_mean_nothing():
    with pytest.raises(UnknownNameError, match="reading of sista named 'weight'"):
        SistaOptions(reading="weight")
    with pytest.raises(UnknownNameError, match="term of sista named 'SIB'"):
        SistaOptions(terms=("SIB",))
    with pytest.raises(VlpbenchError, match="terms of sista is empty"):
        SistaOptions(terms=())
    with pytest.raises(VlpbenchError, match=r"maps of stride \[2, 4, 8, 16, 32\]"):
        build(Sista, options=SistaOptions(local_stride=7))


def test_sista_takes_patches_from_the_last_map_of_a_transformer():
    method, tokeniser = build(Sista, arch="vit_tiny_patch16_224", size=SIZE)
    assert isinstance(method, Method)
    assert method.local_map == 3
    assert math.isfinite(float(total(method, batch(tokeniser)).detach()))
    assert build(Sista)[0].local_map == 3
