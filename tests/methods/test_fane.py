"""FaNe's terms against loops written from its equations, in float64, its running centre and its switches."""

import math
from dataclasses import fields, replace

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench_methods.fane import Fane, FaneOptions
from vlpbench_methods.sigmoid_contrast import (
    SparseAttention,
    hard_negative_repulsion,
    mask_size,
    mean_cosine_to_prototype,
    mined_positives,
    sigmoid_contrast,
)

TERMS = ["global", "intra-modal", "local", "sparsity"]


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def fane(**changed):
    method, tokeniser = sample_method(Fane, options=replace(FaneOptions(), **changed))
    return method.double(), tokeniser


def features(pairs, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """What the towers might say: one cell of ResNet-18's layer4, five of layer3, and sentences 16 wide."""
    count = len(pairs)
    return {
        "image": rows(count, 1, 512, seed=seed),
        "patches": rows(count, 5, 256, seed=seed + 1),
        "sentences": rows(count, pairs.reports.sentences, 16, seed=seed + 2),
    }


def double(pairs):
    return replace(pairs, report_vectors=pairs.report_vectors.double())


def values(terms) -> dict[str, float]:
    return {name: float(value) for name, value in terms.items()}


def sparse_attention(width: int) -> SparseAttention:
    module = SparseAttention(width).double()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(rows(*parameter.shape, seed=number) / 2)
    return module


def some_positive(count: int) -> torch.Tensor:
    """A pattern that is not symmetric; the first row has no negative at all."""
    positive = rows(count, count, seed=99) > 0.5
    positive[0] = True
    return positive.fill_diagonal_(True)


def naive_centre(vectors: torch.Tensor) -> float:
    units = [vector / vector.norm() for vector in vectors]
    prototype = sum(units) / len(units)
    return sum(cosine(vector, prototype) for vector in units) / len(units)


def naive_positives(vectors: torch.Tensor, centre: float, threshold: float) -> list[list[bool]]:
    return [
        [i == j or (cosine(a, b) - centre) / (1 - centre + 1e-6) > threshold for j, b in enumerate(vectors)]
        for i, a in enumerate(vectors)
    ]


def naive_sigmoid(first, second, positive, scale: float, bias: float) -> float:
    total = 0.0
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            sign = 1 if positive[i][j] else -1
            total += math.log1p(math.exp(-sign * (scale * cosine(a, b) + bias)))
    return total / len(first)


def naive_repulsion(features, positive, temperature: float, sharpness: float) -> float:
    total = 0.0
    for i, a in enumerate(features):
        logits = [cosine(a, b) / temperature for j, b in enumerate(features) if not positive[i][j]]
        weights = [math.exp(logit / sharpness) for logit in logits]
        total += sum(weight / sum(weights) * logit for weight, logit in zip(weights, logits, strict=True))
    return total / len(features)


def naive_attention(module: SparseAttention, sentence: torch.Tensor, patches: torch.Tensor):
    """One sentence: what it sees, and its mask; the mask's first layer is one matrix on [q; k]."""
    query = module.query(sentence)
    seen, masks = torch.zeros_like(query), []
    for patch in patches:
        key = module.key(patch)
        hidden = torch.relu(module.of_pair(torch.cat([query, key])))
        masks.append(sigmoid(float(module.to_mask(hidden))))
        seen = seen + sigmoid(masks[-1] * float(query @ key) / math.sqrt(len(query))) * module.value(patch)
    return module.output(seen), masks


def naive_local(sentences: list[torch.Tensor], seen: list[torch.Tensor], temperature: float) -> float:
    total = 0.0
    for anchors, others in ((sentences, seen), (seen, sentences)):
        for i, anchor in enumerate(anchors):
            scores = [math.exp(cosine(anchor, other) / temperature) for other in others]
            total -= math.log(scores[i] / sum(scores)) / 2
    return total / len(sentences)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2, 7])
def test_positives_are_mined_as_in_the_equations(count):
    vectors = rows(count, 5, seed=1).abs()
    vectors[count // 2] = vectors[0] * 3
    centre = mean_cosine_to_prototype(vectors)
    assert float(centre) == pytest.approx(naive_centre(vectors), abs=1e-12)
    for threshold in (0.0, 0.95):
        expected = naive_positives(vectors, float(centre), threshold)
        assert mined_positives(vectors, centre, threshold=threshold).tolist() == expected
    assert count < 7 or sum(map(sum, naive_positives(vectors, float(centre), 0.0))) not in {7, 49}


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_sigmoid_contrast_is_its_equation(count):
    first, second, positive = rows(count, 5, seed=1), rows(count, 5, seed=2), some_positive(count)
    found = sigmoid_contrast(first, second, positive, scale=3.0, bias=-2.0)
    assert float(found) == pytest.approx(naive_sigmoid(first, second, positive, 3.0, -2.0), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_repulsion_is_its_equation(count):
    given, positive = rows(count, 5, seed=1), some_positive(count)
    found = hard_negative_repulsion(given, ~positive, temperature=0.2, sharpness=0.5)
    assert float(found) == pytest.approx(naive_repulsion(given, positive, 0.2, 0.5), abs=1e-12)
    assert count < 7 or float(found) != 0


def test_an_anchor_without_negatives_has_no_gradient_and_no_nan_on_the_way():
    given = rows(3, 5, seed=1).requires_grad_()
    negative = torch.tensor([[False] * 3, [True, False, True], [False] * 3])
    with torch.autograd.set_detect_anomaly(True):
        hard_negative_repulsion(given, negative, temperature=0.2, sharpness=0.5).backward()
    alone = given.detach().clone().requires_grad_()
    hard_negative_repulsion(alone, torch.zeros_like(negative), temperature=0.2, sharpness=0.5).backward()
    assert torch.isfinite(given.grad).all()
    assert given.grad.abs().sum() > 0
    assert (alone.grad == 0).all()


@torch.no_grad()
def test_the_sparse_attention_is_its_equation():
    module = sparse_attention(4)
    sentences, patches = rows(20, 3, 4, seed=1), rows(20, 5, 4, seed=2)
    seen, mask = module(sentences, patches)
    for row in (0, 15, 16, 19):
        for sentence in range(3):
            expected, masks = naive_attention(module, sentences[row, sentence], patches[row])
            assert torch.allclose(seen[row, sentence], expected, atol=1e-12)
            assert mask[row, sentence].tolist() == pytest.approx(masks, abs=1e-12)


def test_more_reports_than_are_kept_at_once_have_the_gradient_of_all(monkeypatch):
    """Twenty reports: masks of 16 and of 4, each made again on the way back."""
    sizes, make = [], SparseAttention._mask
    monkeypatch.setattr(
        SparseAttention, "_mask", lambda self, queries, keys: sizes.append(len(queries)) or make(self, queries, keys)
    )
    module = sparse_attention(4)
    sentences, patches = rows(20, 3, 4, seed=1).requires_grad_(), rows(20, 5, 4, seed=2).requires_grad_()
    gradients = []
    for parts in ([slice(0, 20)], [slice(start, start + 5) for start in (0, 5, 10, 15)]):
        leaves = (sentences, patches, *module.parameters())
        sums = [module(sentences[part], patches[part]) for part in parts]
        weighted = sum((seen**3).sum() + (mask**2).sum() for seen, mask in sums)
        gradients.append(torch.autograd.grad(weighted, leaves))
    assert sorted(sizes) == [4, 4, 5, 5, 5, 5, 16, 16]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_gradients_where_the_losses_are_smooth():
    first, second, positive = rows(4, 3, seed=1).requires_grad_(), rows(4, 3, seed=2).requires_grad_(), some_positive(4)
    scale, bias = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (3.0, -2.0))
    assert torch.autograd.gradcheck(
        lambda a, b, k, c: sigmoid_contrast(a, b, positive, scale=k, bias=c), (first, second, scale, bias)
    )
    assert torch.autograd.gradcheck(
        lambda a: hard_negative_repulsion(a, ~positive, temperature=0.2, sharpness=0.5), (first,)
    )
    module = sparse_attention(3)
    assert torch.autograd.gradcheck(
        lambda s, p: module(s, p), (rows(2, 2, 3, seed=1).requires_grad_(), rows(2, 4, 3, seed=2).requires_grad_())
    )


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize(("sign", "factor"), [("siglip", 1), ("released", -1)])
def test_the_terms_are_their_equations(count, sign, factor):
    method, tokeniser = fane(bias_sign=sign, positive_threshold=0.2)
    pairs = double(sample_batch(tokeniser, count=count))
    encoded = features(pairs)
    terms = values(method.loss(encoded, pairs))
    lengths = pairs.reports.sentence_mask.sum(dim=1).tolist()
    assert count < 7 or set(lengths) == {1, 2, 3}
    sentences = [method.sentence_projection(encoded["sentences"][i, :length]) for i, length in enumerate(lengths)]
    one = torch.ones(1, 1, dtype=torch.bool)
    images = [method.image_projection(method.image_pooling(image[None], one)[0]) for image in encoded["image"]]
    reports = [method.sentence_pooling(some[None], torch.ones(1, len(some)).bool())[0] for some in sentences]
    positive = naive_positives(pairs.report_vectors, naive_centre(pairs.report_vectors), 0.2)
    assert count < 7 or 7 < sum(map(sum, positive)) < 49
    local = sparsity = 0.0
    for some, patches in zip(sentences, encoded["patches"], strict=True):
        cells = method.patch_projection(patches)
        seen, masks = zip(*(naive_attention(method.attention, sentence, cells) for sentence in some), strict=True)
        local += naive_local(list(some), list(seen), 0.07) / count
        sparsity += sum(map(sum, masks)) / (len(some) * len(cells)) / count
    repulsion = sum(naive_repulsion(kind, positive, 0.07, 0.07) for kind in (images, reports))
    assert terms == pytest.approx(
        {
            "global": naive_sigmoid(images, reports, positive, 26.6, -10.0 * factor),
            "intra-modal": repulsion / 2,
            "local": local,
            "sparsity": sparsity,
        },
        abs=1e-5,
    )


@pytest.mark.parametrize(("sign", "positive_loss", "negative_loss"), [("siglip", 10, 0), ("released", 0, 10)])
def test_negatives_start_near_zero_unless_as_released(sign, positive_loss, negative_loss):
    method, tokeniser = fane(bias_sign=sign)
    pairs = double(sample_batch(tokeniser, count=4))
    with torch.no_grad():
        method.sentence_pooling.attention.out_proj.weight.zero_()
        found = float(method.loss(features(pairs), pairs)["global"])
    assert found == pytest.approx(positive_loss + 3 * negative_loss, abs=0.01)


def test_the_running_centre_moves_in_training_and_is_resumed():
    method, tokeniser = fane(centre_momentum=0.25)
    batches = []
    for seed in range(3):
        pairs = sample_batch(tokeniser, count=4)
        batches.append(replace(pairs, report_vectors=rows(4, 6, seed=seed).abs()))
    encoded = {name: tensor.detach() for name, tensor in features(batches[0]).items()}
    first, second, third = (naive_centre(pairs.report_vectors) for pairs in batches)

    def step(of, pairs, *, training):
        of.train(training)
        with torch.no_grad():
            of.loss(encoded, pairs)
        return float(of.centre)

    assert step(method, batches[0], training=False) == 0.0
    assert step(method, batches[0], training=True) == pytest.approx(first)
    assert step(method, batches[2], training=False) == pytest.approx(first)
    moved = step(method, batches[1], training=True)
    assert moved == pytest.approx(0.25 * second + 0.75 * first)
    resumed, _ = fane(centre_momentum=0.25)
    resumed.load_state_dict(method.state_dict())
    expected = 0.25 * third + 0.75 * moved
    assert step(resumed, batches[2], training=True) == step(method, batches[2], training=True)
    assert float(resumed.centre) == pytest.approx(expected)


@torch.no_grad()
def test_the_centre_decides_what_is_positive():
    """Evaluation uses the running centre, or the batch's own before any training."""
    method, tokeniser = fane(positive_threshold=0.2)
    pairs = double(sample_batch(tokeniser))
    method.eval()
    own = naive_centre(pairs.report_vectors)
    for known, centre in ((False, own), (True, -4.0)):
        method.centre.fill_(-4.0)
        method.centre_known.fill_(known)
        method.loss(features(pairs), pairs)
        expected = sum(map(sum, naive_positives(pairs.report_vectors, centre, 0.2))) / 7 - 1
        assert float(method.diagnostics["positives per pair"]) == pytest.approx(expected)
    assert expected == 6


@torch.no_grad()
def test_padding_and_the_order_of_the_batch_change_nothing():
    method, tokeniser = fane(positive_threshold=0.2)
    method.eval()
    pairs = double(sample_batch(tokeniser))
    encoded = features(pairs)
    expected = values(method.loss(encoded, pairs))
    noise = 100 * rows(*encoded["sentences"].shape, seed=9)
    real = pairs.reports.sentence_mask[:, :, None]
    padded = {**encoded, "sentences": torch.where(real, encoded["sentences"], noise)}
    assert values(method.loss(padded, pairs)) == pytest.approx(expected, abs=1e-9)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    reports = {name: getattr(pairs.reports, name)[order] for name in ("ids", "mask", "word", "sentence")}
    tensors = {f.name: getattr(pairs, f.name) for f in fields(pairs)}
    rest = {name: value[order] for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    moved = replace(pairs, **rest, reports=replace(pairs.reports, **reports))
    found = method.loss({name: tensor[order] for name, tensor in encoded.items()}, moved)
    assert values(found) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("texts", [["", "No effusion. Normal heart."], ["", ""], ["Opacities."], [""]])
def test_few_sentences_are_finite(texts):
    method, tokeniser = fane()
    pairs = replace(double(sample_batch(tokeniser, count=len(texts))), reports=tokeniser.tokenise(texts))
    encoded = {name: tensor.requires_grad_() for name, tensor in features(pairs).items()}
    terms = method.loss(encoded, pairs)
    torch.stack(list(terms.values())).sum().backward()
    found = {name: float(term.detach()) for name, term in terms.items()}
    assert list(found) == TERMS
    assert all(math.isfinite(value) for value in found.values())
    assert all(torch.isfinite(tensor.grad).all() for tensor in encoded.values())
    for name, parameter in method.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    if len(texts) == 1:
        assert found["local"] == found["intra-modal"] == 0
    assert (found["sparsity"] == 0) == (not any(texts))


@torch.no_grad()
def test_identical_reports_are_positives_of_each_other():
    method, tokeniser = fane()
    pairs = double(sample_batch(tokeniser))
    assert torch.equal(pairs.report_vectors[0], pairs.report_vectors[4])
    method.loss(features(pairs), pairs)
    assert float(method.diagnostics["positives per pair"]) == pytest.approx(2 / 7)


@torch.no_grad()
def test_bfloat16_features_give_the_losses_within_three_per_cent():
    first, second, positive = rows(7, 64, seed=1), rows(7, 64, seed=2), some_positive(7)
    exact = [
        float(sigmoid_contrast(first, second, positive, scale=26.6, bias=-10.0)),
        float(hard_negative_repulsion(first, ~positive, temperature=0.07, sharpness=0.07)),
    ]
    with torch.autocast("cpu", torch.bfloat16):
        one, two = first.bfloat16(), second.bfloat16()
        rounded = [
            sigmoid_contrast(one, two, positive, scale=26.6, bias=-10.0),
            hard_negative_repulsion(one, ~positive, temperature=0.07, sharpness=0.07),
        ]
    assert [value.dtype for value in rounded] == [torch.float32] * 2
    assert [float(value) for value in rounded] == pytest.approx(exact, rel=0.03)


def test_heads_in_bfloat16_give_float32_losses_close_to_the_exact_ones():
    method, tokeniser = sample_method(Fane)
    pairs = sample_batch(tokeniser)
    encoded = {name: tensor.float() for name, tensor in features(pairs).items()}
    with torch.no_grad():
        exact = values(method.loss(encoded, pairs))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = method.loss({name: tensor.bfloat16() for name, tensor in encoded.items()}, pairs)
        torch.stack(list(rounded.values())).sum().backward()
    assert all(term.dtype == torch.float32 for term in rounded.values())
    assert {name: float(term.detach()) for name, term in rounded.items()} == pytest.approx(exact, rel=0.05, abs=0.05)


def test_the_size_of_the_mask_counts_real_sentences_only():
    mask, real = rows(3, 2, 4, seed=1), torch.tensor([[True, True], [True, False], [False, False]])
    expected = (float(mask[0].mean()) + float(mask[1, 0].mean())) / 3
    assert float(mask_size(mask, real)) == pytest.approx(expected, abs=1e-12)


def terms_with(**changed) -> dict[str, float]:
    method, tokeniser = sample_method(Fane, options=replace(FaneOptions(), **changed))
    pairs = sample_batch(tokeniser)
    with torch.no_grad():
        return values(method.loss(method.encode(pairs), pairs))


@pytest.fixture(scope="module")
def default_terms():
    return terms_with()


@pytest.mark.parametrize(
    ("changed", "term"),
    [
        ({"positive_threshold": 0.0}, "global"),
        ({"positive_threshold": 0.0}, "intra-modal"),
        ({"temperature": 0.2}, "global"),
        ({"scale": 5.0}, "global"),
        ({"bias": -5.0}, "global"),
        ({"bias_sign": "released"}, "global"),
        ({"intra_temperature": 0.1}, "intra-modal"),
        ({"negative_temperature": 1.0}, "intra-modal"),
        ({"local_temperature": 0.1}, "local"),
        ({"global_weight": 2.0}, "global"),
        ({"intra_weight": 2.0}, "intra-modal"),
        ({"local_weight": 2.0}, "local"),
        ({"sparsity_weight": 2.0}, "sparsity"),
        ({"image_pooling": "backbone"}, "global"),
        ({"projected": 32}, "local"),
        ({"local_stride": 8}, "local"),
    ],
)
def test_every_switch_changes_its_term(default_terms, changed, term):
    assert terms_with(**changed)[term] != pytest.approx(default_terms[term], rel=1e-6)


@pytest.mark.parametrize(("pooling", "shape"), [("auto", (2, 192)), ("attention", (2, 4, 192))])
def test_a_transformer_hands_on_its_class_token_unless_told_otherwise(pooling, shape):
    method, tokeniser = sample_method(Fane, arch="vit_tiny_patch16_224", options=FaneOptions(image_pooling=pooling))
    pairs = sample_batch(tokeniser, count=2)
    with torch.no_grad():
        encoded = method.encode(pairs)
        assert encoded["image"].shape == shape
        assert all(math.isfinite(value) for value in values(method.loss(encoded, pairs)).values())
    assert method.local_map == 3


def test_switches_that_mean_nothing_are_refused():
    with pytest.raises(UnknownNameError, match="bias_sign of fane named 'sigLIP'"):
        FaneOptions(bias_sign="sigLIP")
    with pytest.raises(UnknownNameError, match="image_pooling of fane named 'max'"):
        FaneOptions(image_pooling="max")
    with pytest.raises(VlpbenchError, match="centre_momentum of fane is 0"):
        FaneOptions(centre_momentum=0.0)
    with pytest.raises(VlpbenchError, match="local_temperature of fane is 0"):
        FaneOptions(local_temperature=0.0)
