"""SPARC's terms against loops written from its equations, in float64, and its switches."""

import math
from dataclasses import fields, replace

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench_methods.sparc import Sparc, SparcOptions

PATCHES = 5


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def features(pairs, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """What the towers might say: ResNet-18's pooled feature and layer3, and a text tower 16 wide."""
    count, tokens = pairs.reports.ids.shape
    return {
        "image": rows(count, 512, seed=seed),
        "patches": rows(count, PATCHES, 256, seed=seed + 1),
        "tokens": rows(count, tokens, 16, seed=seed + 2),
    }


def sparc(**changed):
    method, tokeniser = sample_method(Sparc, options=replace(SparcOptions(), **changed))
    return method.double(), tokeniser


def reordered(pairs, order: torch.Tensor):
    reports = pairs.reports
    moved = {name: getattr(reports, name)[order] for name in ("ids", "mask", "word", "sentence")}
    tensors = {f.name: getattr(pairs, f.name) for f in fields(pairs)}
    rest = {name: value[order] for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    return replace(pairs, **rest, reports=replace(reports, **moved))


def unit(vector: torch.Tensor) -> torch.Tensor:
    return vector / vector.norm()


def naive_infonce(first: list[torch.Tensor], second: list[torch.Tensor], tau: float) -> list[float]:
    """Minus the log-probability of each row's own partner."""
    losses = []
    for i, anchor in enumerate(first):
        scores = [math.exp(float(unit(anchor) @ unit(other)) / tau) for other in second]
        losses.append(-math.log(scores[i] / sum(scores)))
    return losses


def naive_grouping(token: torch.Tensor, patches: list[torch.Tensor], sigma: float) -> torch.Tensor:
    similarity = [float(token @ patch) for patch in patches]
    low, high = min(similarity), max(similarity)
    scaled = [(value - low) / (high - low) for value in similarity]
    sparse = [value if value >= sigma else 0.0 for value in scaled]
    return sum(value / sum(sparse) * patch for value, patch in zip(sparse, patches, strict=True))


def naive_terms(method, encoded, lengths: list[int], *, sigma: float = 1 / PATCHES, reduction: str = "report"):
    """The module docstring's equations, the first `lengths` tokens of each report being real."""
    tau = math.exp(-float(method.log_scale))
    images, reports, per_report, per_token = [], [], [], []
    for i, length in enumerate(lengths):
        images.append(method.image_adaptor(torch.relu(method.image_layer[0](encoded["image"][i]))))
        reports.append(method.text_adaptor(sum(encoded["tokens"][i, :length]) / length))
        tokens = [method.text_adaptor(token) for token in encoded["tokens"][i, :length]]
        patches = [method.image_adaptor(patch) for patch in encoded["patches"][i]]
        grouped = [naive_grouping(token, patches, sigma) for token in tokens]
        both = [naive_infonce(grouped, tokens, tau), naive_infonce(tokens, grouped, tau)]
        losses = [one + other for one, other in zip(*both, strict=True)]
        per_report.append(sum(losses) / length)
        per_token.extend(losses)
    matching = naive_infonce(images, reports, tau) + naive_infonce(reports, images, tau)
    fine = per_report if reduction == "report" else per_token
    return {"global": 0.5 * sum(matching) / (2 * len(lengths)), "fine-grained": sum(fine) / (2 * len(fine))}


def values(terms) -> dict[str, float]:
    return {name: float(value) for name, value in terms.items()}


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize(
    ("changed", "naive"),
    [({}, {}), ({"reduction": "token"}, {"reduction": "token"}), ({"threshold": 0.6}, {"sigma": 0.6})],
)
def test_the_terms_are_their_equations(count, changed, naive):
    method, tokeniser = sparc(**changed)
    pairs = sample_batch(tokeniser, count=count)
    lengths = pairs.reports.mask.sum(dim=1).tolist()
    assert count == 1 or len(set(lengths)) > 1
    encoded = features(pairs)
    assert values(method.loss(encoded, pairs)) == pytest.approx(
        naive_terms(method, encoded, lengths, **naive), abs=1e-9
    )


@torch.no_grad()
@pytest.mark.parametrize("reduction", ["report", "token"])
def test_without_special_tokens_only_text_takes_part(reduction):
    method, tokeniser = sparc(special_tokens=False, reduction=reduction)
    pairs = sample_batch(tokeniser, count=4)
    encoded = features(pairs)
    inner = {**encoded, "tokens": encoded["tokens"][:, 1:]}
    lengths = [length - 2 for length in pairs.reports.mask.sum(dim=1).tolist()]
    expected = naive_terms(method, inner, lengths, reduction=reduction)
    assert values(method.loss(encoded, pairs)) == pytest.approx(expected, abs=1e-9)


@torch.no_grad()
def test_padding_and_the_order_of_the_batch_change_nothing():
    method, tokeniser = sparc()
    pairs = sample_batch(tokeniser)
    encoded = features(pairs)
    expected = values(method.loss(encoded, pairs))
    noise = 100 * rows(*encoded["tokens"].shape, seed=9)
    padded = {**encoded, "tokens": torch.where(pairs.reports.mask[:, :, None], encoded["tokens"], noise)}
    assert values(method.loss(padded, pairs)) == pytest.approx(expected, abs=1e-12)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    moved = {name: tensor[order] for name, tensor in encoded.items()}
    assert values(method.loss(moved, reordered(pairs, order))) == pytest.approx(expected, abs=1e-12)


@torch.no_grad()
def test_equal_patches_group_to_themselves():
    """Every token is given the same vector: uniform probabilities, log L, of either direction."""
    method, tokeniser = sparc()
    pairs = sample_batch(tokeniser, count=1)
    encoded = features(pairs)
    same = {**encoded, "patches": encoded["patches"][:, :1].expand(-1, PATCHES, -1)}
    tokens = [method.text_adaptor(token) for token in encoded["tokens"][0]]
    grouped = [method.image_adaptor(encoded["patches"][0, 0])] * len(tokens)
    tau = 0.07
    losses = naive_infonce(tokens, grouped, tau) + naive_infonce(grouped, tokens, tau)
    assert naive_infonce(tokens, grouped, tau) == pytest.approx([math.log(len(tokens))] * len(tokens))
    assert float(method.loss(same, pairs)["fine-grained"]) == pytest.approx(sum(losses) / (2 * len(tokens)), abs=1e-9)
    assert float(method.diagnostics["kept patch share"]) == 1.0


def test_reports_without_any_token_are_finite():
    method, tokeniser = sparc(special_tokens=False)
    pairs = sample_batch(tokeniser, count=2)
    for texts in (["", "No effusion."], ["", ""]):
        empty = replace(pairs, reports=tokeniser.tokenise(texts))
        encoded = {name: tensor.requires_grad_() for name, tensor in features(empty).items()}
        terms = method.loss(encoded, empty)
        torch.stack(list(terms.values())).sum().backward()
        assert all(math.isfinite(float(term.detach())) for term in terms.values())
        assert all(torch.isfinite(tensor.grad).all() for tensor in encoded.values())
        assert all(math.isfinite(float(value)) for value in method.diagnostics.values())


def test_gradients():
    method, tokeniser = sparc()
    pairs = sample_batch(tokeniser, count=2)
    encoded = features(pairs)
    names = list(encoded)

    def total(*tensors):
        return torch.stack(list(method.loss(dict(zip(names, tensors, strict=True)), pairs).values())).sum()

    inputs = tuple(tensor.requires_grad_() for tensor in encoded.values())
    assert torch.autograd.gradcheck(total, inputs, fast_mode=True)


@torch.no_grad()
def test_bfloat16_heads_give_the_loss_within_three_per_cent():
    method, tokeniser = sparc()
    pairs = sample_batch(tokeniser)
    encoded = features(pairs)
    exact = values(method.loss(encoded, pairs))
    method.float()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = method.loss({name: tensor.bfloat16() for name, tensor in encoded.items()}, pairs)
    assert all(term.dtype == torch.float32 for term in rounded.values())
    assert values(rounded) == pytest.approx(exact, rel=0.03)


def test_the_temperature_is_learned_and_clipped():
    method, tokeniser = sparc()
    pairs = sample_batch(tokeniser, count=4)
    method.loss(features(pairs), pairs)
    assert float(method.diagnostics["temperature"]) == pytest.approx(0.07)
    with torch.no_grad():
        method.log_scale.fill_(9.0)
    method.loss(features(pairs), pairs)["global"].backward()
    assert float(method.diagnostics["temperature"]) == pytest.approx(0.01)
    assert float(method.log_scale.grad) != 0
    assert not sparc(learned_temperature=False)[0].log_scale.requires_grad


def terms_with(**changed) -> dict[str, float]:
    method, tokeniser = sample_method(Sparc, options=replace(SparcOptions(), **changed))
    pairs = sample_batch(tokeniser, count=4)
    with torch.no_grad():
        return values(method.loss(method.encode(pairs), pairs))


@pytest.fixture(scope="module")
def default_terms():
    return terms_with()


@pytest.mark.parametrize(
    ("changed", "term"),
    [
        ({"global_weight": 1.0}, "global"),
        ({"local_weight": 5.0}, "fine-grained"),
        ({"threshold": 0.6}, "fine-grained"),
        ({"reduction": "token"}, "fine-grained"),
        ({"temperature": 0.1}, "global"),
        ({"special_tokens": False}, "fine-grained"),
        ({"special_tokens": False}, "global"),
        ({"projected": 32}, "global"),
        ({"local_stride": 8}, "fine-grained"),
    ],
)
def test_every_switch_changes_its_term(default_terms, changed, term):
    assert terms_with(**changed)[term] != pytest.approx(default_terms[term], rel=1e-6)


def test_patches_are_the_cells_of_the_chosen_map_in_order():
    method, tokeniser = sample_method(Sparc)
    method.eval()
    pairs = sample_batch(tokeniser, count=2)
    with torch.no_grad():
        layer3 = method.backbone(pairs.images)[3]
        patches = method.encode(pairs)["patches"]
    assert layer3.shape[2:] == (2, 2)
    assert torch.equal(patches[1, 1], layer3[1, :, 0, 1])
    assert sample_method(Sparc, arch="vit_tiny_patch16_224")[0].local_map == 3


def test_switches_that_mean_nothing_are_refused():
    with pytest.raises(UnknownNameError, match="reduction of sparc named 'word'"):
        SparcOptions(reduction="word")
    with pytest.raises(VlpbenchError, match=r"threshold of sparc is 1\.5"):
        SparcOptions(threshold=1.5)
    with pytest.raises(VlpbenchError, match=r"temperature of sparc is 0\.001"):
        SparcOptions(temperature=0.001)
    with pytest.raises(VlpbenchError, match=r"maps of stride \[2, 4, 8, 16, 32\]"):
        sample_method(Sparc, options=SparcOptions(local_stride=7))
