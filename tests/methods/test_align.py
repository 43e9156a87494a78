"""What each method says of words and patches, against loops written from the papers' equations, in float64."""

import math
from dataclasses import replace

import pytest
import torch

from vlpbench.contract.sample import ENTITIES, sample_batch, sample_method
from vlpbench.method import Method
from vlpbench.registry import REGISTRY
from vlpbench_methods.fane import Fane, FaneOptions
from vlpbench_methods.gloria import Gloria
from vlpbench_methods.medklip import PRESENT, Medklip
from vlpbench_methods.mgca import Mgca
from vlpbench_methods.mlip import Mlip, MlipOptions
from vlpbench_methods.prior import Prior, PriorOptions
from vlpbench_methods.sista import Sista
from vlpbench_methods.sparc import Sparc

PATCHES, WIDTH = 4, 16
ALIGNED = {"fane", "gloria", "medklip", "mgca", "mlip", "prior", "sista", "sista_sia_sta", "sparc"}
SIZE, ROW, COLUMN = 64, 5, 40
TRANSFORMER = "vit_tiny_patch16_224"


def rows(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(kind, count=3, **changed):
    """A method in float64 as if trained, and pairs: running statistics and buffers are no longer what they start as."""
    defaults = kind.options_type()
    method, tokeniser = sample_method(kind, options=replace(defaults, **changed))
    method = method.double().eval()
    for number, module in enumerate(method.modules()):
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.copy_(rows(len(module.running_mean), seed=number))
            module.running_var.copy_(rows(len(module.running_var), seed=number + 1).square() + 0.5)
    return method, sample_batch(tokeniser, count=count)


def cosine(one, other):
    return float(one @ other / (one.norm() * other.norm()))


def project(head, vector):
    return head(vector[None])[0]


def compare(method, encoded, pairs, naive):
    """Every real word and every patch."""
    found = method.align(encoded, pairs)
    counts = pairs.reports.word_mask.sum(dim=1).tolist()
    assert len(set(counts)) > 1
    assert found.shape == (len(pairs), pairs.reports.words, PATCHES)
    for pair, count in enumerate(counts):
        for word in range(count):
            for patch in range(PATCHES):
                assert float(found[pair, word, patch]) == pytest.approx(naive(pair, word, patch), abs=1e-9)


def words_and_patches(method, pairs):
    channels = method.backbone.channels[method.local_map]
    return {
        "words": rows(len(pairs), pairs.reports.words, WIDTH, seed=1),
        "patches": rows(len(pairs), PATCHES, channels, seed=2),
    }


def sentence_of(pairs, pair, word):
    """Number of the sentence that a word stands in."""
    places = (pairs.reports.word[pair] == word).nonzero().flatten()
    return int(pairs.reports.sentence[pair, places[0]])


@torch.no_grad()
@pytest.mark.parametrize("kind", [Sista, Mgca])
def test_projected_words_and_patches_are_compared_by_their_cosine(kind):
    method, pairs = trained(kind)
    encoded = words_and_patches(method, pairs)

    def naive(pair, word, patch):
        one = project(method.word_head, encoded["words"][pair, word])
        return cosine(one, project(method.patch_head, encoded["patches"][pair, patch]))

    compare(method, encoded, pairs, naive)


@torch.no_grad()
@pytest.mark.parametrize("class_token", [False, True])
def test_gloria_multiplies_words_with_linear_regions(class_token):
    method, pairs = trained(Gloria, class_token=class_token)
    encoded = words_and_patches(method, pairs)
    words = encoded["words"]
    if class_token:
        encoded["words"] = torch.cat([rows(len(pairs), 1, WIDTH, seed=9), words], dim=1)
    weight = method.patch_head.weight

    def naive(pair, word, patch):
        region = [sum(weight[d] * encoded["patches"][pair, patch]) for d in range(WIDTH)]
        return float(sum(region[d] * words[pair, word, d] for d in range(WIDTH)))

    compare(method, encoded, pairs, naive)


@torch.no_grad()
def test_sparc_gives_a_word_the_mean_of_its_tokens():
    method, pairs = trained(Sparc)
    tokens = rows(*pairs.reports.ids.shape, WIDTH, seed=1)
    patches = rows(len(pairs), PATCHES, method.backbone.channels[method.local_map], seed=2)
    several = [int((pairs.reports.word == word).sum(dim=1).max()) for word in range(pairs.reports.words)]
    assert max(several) > 1

    def naive(pair, word, patch):
        own = (pairs.reports.word[pair] == word).nonzero().flatten().tolist()
        seen = project(method.image_adaptor, patches[pair, patch])
        return sum(float(project(method.text_adaptor, tokens[pair, token]) @ seen) for token in own) / len(own)

    compare(method, {"tokens": tokens, "patches": patches}, pairs, naive)


@torch.no_grad()
def test_fane_multiplies_the_product_of_query_and_key_by_its_mask():
    method, pairs = trained(Fane)
    channels = method.backbone.channels[method.local_map]
    encoded = {
        "sentences": rows(len(pairs), pairs.reports.sentences, WIDTH, seed=1),
        "patches": rows(len(pairs), PATCHES, channels, seed=2),
    }
    attention, width = method.attention, FaneOptions().projected

    def naive(pair, word, patch):
        sentence = project(method.sentence_projection, encoded["sentences"][pair, sentence_of(pairs, pair, word)])
        query = project(attention.query, sentence)
        key = project(attention.key, project(method.patch_projection, encoded["patches"][pair, patch]))
        hidden = project(attention.of_pair, torch.cat([query, key])).clamp(min=0)
        mask = 1 / (1 + math.exp(-float(project(attention.to_mask, hidden))))
        return mask * float(query @ key) / math.sqrt(width)

    compare(method, encoded, pairs, naive)


@torch.no_grad()
@pytest.mark.parametrize("stage", [1, 3])
def test_prior_multiplies_sentences_as_far_as_they_are_prototypes_with_patches(stage):
    method, pairs = trained(Prior, last_stage=stage, prototypes=5, generator_layers=1, alignment_steps=2, ramp_steps=3)
    method.steps.fill_(3)
    alpha = {1: 0.0, 3: 0.5}[stage]
    encoded = {
        "sentences": rows(len(pairs), pairs.reports.sentences, WIDTH, seed=1),
        "map": rows(len(pairs), method.backbone.channels[-1], 2, 2, seed=2),
    }
    of_patches, of_sentences = method.local_attention.of_patches, method.local_attention.of_sentences

    def naive(pair, word, patch):
        sentence = project(method.sentence_projection, encoded["sentences"][pair, sentence_of(pairs, pair, word)])
        if stage == 3:
            powers = [
                math.exp(float(sentence @ one) / PriorOptions().gumbel_temperature) for one in method.memory.prototypes
            ]
            mixed = sum(p / sum(powers) * one for p, one in zip(powers, method.memory.prototypes, strict=True))
            sentence = (1 - alpha) * sentence + alpha * mixed
        cell = encoded["map"][pair, :, patch // 2, patch % 2]
        query = project(of_sentences, sentence)[:WIDTH]
        key = project(of_patches, project(method.patch_projection, cell))[WIDTH : 2 * WIDTH]
        return float(query @ key) / math.sqrt(WIDTH)

    compare(method, encoded, pairs, naive)


def naive_attention(layer, query, memory, *, heads):
    """Weights of one query over the memory in one cross-attention, mean over heads, and what it gathers."""
    attention = layer.multihead_attn
    width = len(query)
    size = width // heads
    to_query, to_key, to_value = attention.in_proj_weight.chunk(3)
    for_query, for_key, for_value = attention.in_proj_bias.chunk(3)
    weights, gathered = [0.0] * len(memory), []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        own = to_query[part] @ query + for_query[part]
        scores = [float(own @ (to_key[part] @ one + for_key[part])) / math.sqrt(size) for one in memory]
        powers = [math.exp(score) for score in scores]
        shares = [power / sum(powers) for power in powers]
        weights = [weight + share / heads for weight, share in zip(weights, shares, strict=True)]
        values = [to_value[part] @ one + for_value[part] for one in memory]
        gathered.append(sum(share * value for share, value in zip(shares, values, strict=True)))
    return weights, attention.out_proj.weight @ torch.cat(gathered) + attention.out_proj.bias


@torch.no_grad()
def test_medklip_averages_the_attention_of_the_entities_affirmed():
    method, pairs = trained(Medklip, depth=2, heads=2, width=8, feed_forward=12)
    patches = rows(len(pairs), PATCHES, method.backbone.channels[method.local_map], seed=2)
    found = method.align({"patches": patches}, pairs)
    affirmed = [[bool((places == PRESENT).any()) for places in pair] for pair in pairs.triplets]
    assert [sum(pair) for pair in affirmed] == [1, 0, 1]
    for pair in range(len(pairs)):
        if not any(affirmed[pair]):
            assert found[pair].isnan().all()
            continue
        memory = [project(method.patch_head, patches[pair, patch]) for patch in range(PATCHES)]
        states = [project(method.query_head, vector) for vector in method.entity_vectors]
        mean = [[0.0] * PATCHES for _ in ENTITIES]
        for layer in method.decoder.layers:
            normed = torch.stack([layer.norm1(state) for state in states])
            attended = layer.self_attn(normed[None], normed[None], normed[None])[0][0]
            states = [state + more for state, more in zip(states, attended, strict=True)]
            for entity, state in enumerate(states):
                weights, gathered = naive_attention(layer, layer.norm2(state), memory, heads=2)
                mean[entity] = [m + w / 2 for m, w in zip(mean[entity], weights, strict=True)]
                state = state + gathered
                states[entity] = state + layer.linear2(layer.linear1(layer.norm3(state)).clamp(min=0))
        (own,) = [mean[entity] for entity in range(len(ENTITIES)) if affirmed[pair][entity]]
        for word in range(pairs.reports.words):
            assert found[pair, word].tolist() == pytest.approx(own, abs=1e-9)


@torch.no_grad()
def test_medklip_leaves_its_decoder_as_it_was():
    method, pairs = trained(Medklip)
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in method.modules()]
    patches = rows(len(pairs), PATCHES, method.backbone.channels[method.local_map], seed=2)
    attention = method.align({"patches": patches}, pairs)[0, 0]
    assert float(attention.sum()) == pytest.approx(1.0)
    assert [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in method.modules()] == hooks


@torch.no_grad()
@pytest.mark.parametrize("knowledge", [True, False])
def test_mlip_compares_words_that_carry_knowledge(knowledge):
    method, pairs = trained(Mlip, knowledge=knowledge)
    assert pairs.entities.any(dim=1).tolist() == [True, True, True]
    pairs = replace(pairs, entities=pairs.entities & torch.tensor([True, False, True])[:, None])
    encoded = words_and_patches(method, pairs)
    entities = [project(method.knowledge_head, vector) for vector in method.entities]

    def naive(pair, word, patch):
        own = project(method.word_head, encoded["words"][pair, word])
        known = [entities[e] for e in range(len(entities)) if pairs.entities[pair, e]] if knowledge else []
        powers = [math.exp(cosine(own, one) / MlipOptions().attention_temperature) for one in known]
        own = own / own.norm() + sum(
            power / sum(powers) * one / one.norm() for power, one in zip(powers, known, strict=True)
        )
        return cosine(own, project(method.patch_head, encoded["patches"][pair, patch]))

    compare(method, encoded, pairs, naive)


def test_methods_that_align_are_those_whose_papers_do():
    kinds = {name: REGISTRY.target("method", name) for name in REGISTRY.names("method")}
    overriding = {name for name, kind in kinds.items() if issubclass(kind, Method) and kind.align is not Method.align}
    assert overriding == ALIGNED | {"sista_sia", "sista_sia_siva_sila"}


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "changed"),
    [
        *((name, {}) for name in ("clip", "convirt", "m_flag", "supervised", "sista_sia", "sista_sia_siva_sila")),
        ("sista", {"terms": ("SIA",)}),
        ("mgca", {"token_weight": 0.0}),
        ("gloria", {"local_weight": 0.0}),
        ("sparc", {"local_weight": 0.0}),
        ("fane", {"local_weight": 0.0}),
        ("mlip", {"terms": ("global",)}),
    ],
)
def test_without_local_alignment_there_is_none(name, changed):
    kind = REGISTRY.target("method", name)
    method, tokeniser = sample_method(kind, options=replace(kind.options_type(), **changed))
    pairs = sample_batch(tokeniser, count=2)
    assert method.eval().align(method.encode(pairs), pairs) is None


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "arch"),
    [*((name, "resnet18") for name in sorted(ALIGNED)), ("medklip", TRANSFORMER), ("prior", TRANSFORMER)],
)
def test_a_place_in_the_image_is_the_same_place_in_the_map(name, arch):
    """All of the feature maps is 0 but for the cell of one pixel, in the upper half and right of the middle."""
    kind = REGISTRY.target("method", name)
    method, tokeniser = sample_method(kind, arch=arch, size=SIZE)
    pairs = sample_batch(tokeniser, count=3, size=SIZE)
    method.eval()

    def planted(images):
        maps = []
        for channels, stride in zip(method.backbone.channels, method.backbone.strides, strict=True):
            level = torch.zeros(len(images), channels, SIZE // stride, SIZE // stride)
            level[:, :, ROW // stride, COLUMN // stride] = rows(channels, seed=stride).float() + 1
            maps.append(level)
        return tuple(maps), torch.ones(len(images), method.backbone.pooled)

    method.backbone.maps_and_pooled = planted
    found = method.align(method.encode(pairs), pairs)[0, 0]
    side = math.isqrt(len(found))
    assert side * side == len(found)
    assert side > 1
    middle = found.median()
    strange = (found - middle).abs() > 1e-6
    assert strange.view(side, side).nonzero().tolist() == [[ROW * side // SIZE, COLUMN * side // SIZE]]
