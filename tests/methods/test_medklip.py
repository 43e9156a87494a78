"""MedKLIP: its terms against loops written from the equations, in float64, and its switches."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method, sample_parts
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Knowledge
from vlpbench_methods.medklip import (
    Medklip,
    MedklipOptions,
    draw_positions,
    existence_labels,
    existence_loss,
    position_contrast,
    scale_encodings,
)

ENTITIES, POSITIONS, WIDTH = 4, 6, 5


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_triplets(count: int) -> torch.Tensor:
    """Mostly unsaid, some entities wholly so; one is present everywhere, the last one of each pair nowhere."""
    drawn = torch.randint(-3, 2, (count, ENTITIES, POSITIONS), generator=torch.Generator().manual_seed(5))
    triplets = drawn.clamp(min=-1).to(torch.int8)
    triplets[::2, 1] = -1
    triplets[0, 2] = torch.tensor([-1, 1, 0, -1, 1, -1])
    triplets[-1, 0] = 1
    triplets[:, -1] = triplets[:, -1].clamp(max=0)
    return triplets


def naive_labels(triplets: torch.Tensor) -> list[list[int]]:
    return [[1 if 1 in e else 0 if 0 in e else -1 for e in pair] for pair in triplets.tolist()]


def naive_existence(logits: torch.Tensor, labels: list[list[int]]) -> float:
    losses = []
    for i, pair in enumerate(labels):
        for e, label in enumerate(pair):
            if label != -1:
                scores = [math.exp(value) for value in logits[i, e].tolist()]
                losses.append(-math.log(scores[label] / sum(scores)))
    return sum(losses) / len(losses) if losses else 0.0


def naive_position(entities, positions, positive, negatives, *, cosine: bool, temperature: float) -> float:
    losses = []
    for i in range(len(entities)):
        for e in range(ENTITIES):
            own = [k for k in range(len(positions)) if positive[i, e, k]]
            if not own:
                continue
            others = [k for k in range(len(positions)) if negatives[i, e, k]]
            products = []
            for k in own + others:
                product = float(entities[i, e] @ positions[k])
                if cosine:
                    product /= float(entities[i, e].norm() * positions[k].norm())
                products.append(math.exp(product / temperature))
            losses.append(-math.log(products[0] / sum(products)))
    return sum(losses) / len(losses) if losses else 0.0


def drawn(triplets: torch.Tensor, negatives: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return draw_positions(triplets, negatives=negatives)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_existence_is_its_equation(count):
    triplets, logits = some_triplets(count), rows(count, ENTITIES, 2, seed=1)
    labels = existence_labels(triplets)
    assert labels.tolist() == naive_labels(triplets)
    assert set(labels.flatten().tolist()) == {-1, 0, 1}
    assert float(existence_loss(logits, labels)) == pytest.approx(naive_existence(logits, labels.tolist()), abs=1e-12)


@pytest.mark.parametrize(("cosine", "temperature"), [(False, 1.0), (True, 0.3)])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_position_is_its_equation(count, cosine, temperature):
    entities, positions = rows(count, ENTITIES, WIDTH, seed=1), rows(POSITIONS, WIDTH, seed=2)
    chosen = drawn(some_triplets(count))
    settings = {"cosine": cosine, "temperature": temperature}
    expected = naive_position(entities, positions, *chosen, **settings)
    assert expected > 0
    assert float(position_contrast(entities, positions, *chosen, **settings)) == pytest.approx(expected, abs=1e-12)


def test_a_present_entity_outweighs_an_absent_one():
    assert existence_labels(torch.tensor([[[0, 1, -1], [0, -1, -1], [-1, -1, -1]]], dtype=torch.int8)).tolist() == [
        [1, 0, -1]
    ]


def test_drawn_positions_are_as_many_and_of_the_right_kind():
    triplets = some_triplets(7)
    for negatives in (1, 3, 50):
        positive, others = drawn(triplets, negatives)
        present = triplets == 1
        assert (positive.sum(dim=2) == present.any(dim=2).int()).all()
        assert not (positive & ~present).any()
        assert not (others & present).any()
        assert (others.sum(dim=2) == (~present).sum(dim=2).clamp(max=negatives)).all()


def test_every_position_is_drawn_equally_often():
    triplets = torch.tensor([1, 1, 1, 0, -1, -1], dtype=torch.int8).repeat(6000, 1, 1)
    positive, others = drawn(triplets, 2)
    assert positive[:, 0].double().mean(dim=0).tolist() == pytest.approx([1 / 3] * 3 + [0] * 3, abs=0.025)
    assert others[:, 0].double().mean(dim=0).tolist() == pytest.approx([0] * 3 + [2 / 3] * 3, abs=0.025)


def test_drawing_takes_its_numbers_from_the_global_generator():
    triplets = some_triplets(7)
    assert torch.equal(drawn(triplets, seed=1)[1], drawn(triplets, seed=1)[1])
    assert not torch.equal(drawn(triplets, seed=1)[1], drawn(triplets, seed=2)[1])


def test_nothing_labelled_is_zero_with_gradients():
    logits, entities = rows(2, ENTITIES, 2, seed=1).requires_grad_(), rows(2, ENTITIES, WIDTH, seed=2).requires_grad_()
    triplets = torch.full((2, ENTITIES, POSITIONS), -1, dtype=torch.int8)
    existence = existence_loss(logits, existence_labels(triplets))
    position = position_contrast(
        entities, rows(POSITIONS, WIDTH, seed=3), *drawn(triplets), cosine=False, temperature=1.0
    )
    (existence + position).backward()
    assert (existence.item(), position.item()) == (0.0, 0.0)
    assert (logits.grad == 0).all()
    assert (entities.grad == 0).all()


def test_entities_for_which_nothing_is_drawn_do_not_spoil_the_others():
    entities, positions = rows(2, ENTITIES, WIDTH, seed=1).requires_grad_(), rows(POSITIONS, WIDTH, seed=2)
    positive, negatives = drawn(some_triplets(2))
    settings = {"cosine": False, "temperature": 1.0}
    expected = position_contrast(entities, positions, positive, negatives, **settings)
    left = negatives & positive.any(dim=2, keepdim=True)
    loss = position_contrast(entities, positions, positive, left, **settings)
    loss.backward()
    assert loss.item() == expected.item()
    assert torch.isfinite(entities.grad).all()


def test_an_entity_present_everywhere_has_nothing_to_contrast():
    entities = rows(1, 1, WIDTH, seed=1).requires_grad_()
    everywhere = torch.ones(1, 1, POSITIONS, dtype=torch.int8)
    loss = position_contrast(entities, rows(POSITIONS, WIDTH, seed=2), *drawn(everywhere), cosine=False, temperature=1)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert torch.isfinite(entities.grad).all()


def test_entities_that_do_not_count_change_nothing():
    triplets = some_triplets(7)
    labels, chosen = existence_labels(triplets), drawn(triplets)
    logits, entities, positions = rows(7, 4, 2, seed=1), rows(7, 4, WIDTH, seed=2), rows(POSITIONS, WIDTH, seed=3)
    other_logits = torch.where(labels[:, :, None] == -1, 100 * rows(7, 4, 2, seed=4), logits)
    other_entities = torch.where(labels[:, :, None] != 1, 100 * rows(7, 4, WIDTH, seed=5), entities)
    assert existence_loss(other_logits, labels).item() == existence_loss(logits, labels).item()
    settings = {"cosine": False, "temperature": 1.0}
    assert position_contrast(other_entities, positions, *chosen, **settings).item() == pytest.approx(
        position_contrast(entities, positions, *chosen, **settings).item(), abs=1e-12
    )


def test_batch_order_does_not_matter():
    triplets, order = some_triplets(7), torch.tensor([3, 0, 6, 2, 5, 1, 4])
    logits, entities, positions = rows(7, 4, 2, seed=1), rows(7, 4, WIDTH, seed=2), rows(POSITIONS, WIDTH, seed=3)
    positive, negatives = drawn(triplets)
    labels = existence_labels(triplets)
    assert existence_loss(logits[order], existence_labels(triplets[order])).item() == pytest.approx(
        existence_loss(logits, labels).item(), abs=1e-12
    )
    settings = {"cosine": False, "temperature": 1.0}
    assert position_contrast(
        entities[order], positions, positive[order], negatives[order], **settings
    ).item() == pytest.approx(position_contrast(entities, positions, positive, negatives, **settings).item(), abs=1e-12)


def test_gradients_of_both_terms():
    triplets = some_triplets(2)
    labels, chosen = existence_labels(triplets), drawn(triplets)
    logits, entities = rows(2, 4, 2, seed=1).requires_grad_(), rows(2, 4, WIDTH, seed=2).requires_grad_()
    positions = rows(POSITIONS, WIDTH, seed=3)
    assert torch.autograd.gradcheck(lambda x: existence_loss(x, labels), (logits,))
    for cosine in (False, True):
        assert torch.autograd.gradcheck(
            lambda x, cosine=cosine: position_contrast(x, positions, *chosen, cosine=cosine, temperature=0.7),
            (entities,),
        )


def test_bfloat16_features_give_the_losses_within_two_per_cent():
    triplets = some_triplets(7)
    labels, chosen = existence_labels(triplets), drawn(triplets)
    logits, entities, positions = rows(7, 4, 2, seed=1), rows(7, 4, WIDTH, seed=2), rows(POSITIONS, WIDTH, seed=3)
    settings = {"cosine": False, "temperature": 1.0}
    exact = [existence_loss(logits, labels).item(), position_contrast(entities, positions, *chosen, **settings).item()]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = [
            existence_loss(logits.bfloat16(), labels),
            position_contrast(entities.bfloat16(), positions.float(), *chosen, **settings),
        ]
    assert [value.dtype for value in rounded] == [torch.float32, torch.float32]
    assert [value.item() for value in rounded] == pytest.approx(exact, rel=0.02)


def test_encodings_that_can_be_told_apart_stay_raw():
    vectors, shift = rows(7, WIDTH, seed=1), torch.full((WIDTH,), 1000.0, dtype=torch.float64)
    assert torch.equal(scale_encodings(vectors, "auto"), vectors)
    assert torch.equal(scale_encodings(vectors + shift, "raw"), vectors + shift)
    mean = vectors.mean(dim=0)
    standard = (vectors - mean) / math.sqrt(float(((vectors - mean) ** 2).sum()) / vectors.numel())
    assert torch.allclose(scale_encodings(vectors + shift, "auto"), standard, atol=1e-9)
    assert torch.allclose(scale_encodings(vectors, "standard"), standard, atol=1e-12)
    assert torch.equal(scale_encodings(vectors[:1], "auto"), vectors[:1])
    assert (scale_encodings(torch.ones(3, WIDTH), "auto") == 0).all()


@cache
def terms(options: MedklipOptions) -> dict[str, float]:
    method, tokeniser = sample_method(Medklip, options=options)
    torch.manual_seed(0)
    batch = sample_batch(tokeniser)
    with torch.no_grad():
        return {name: float(term) for name, term in method.loss(method.encode(batch), batch).items()}


@pytest.mark.parametrize(
    ("switch", "changed"),
    [
        ({"depth": 2}, {"existence", "position"}),
        ({"heads": 2}, {"existence", "position"}),
        ({"width": 64}, {"existence", "position"}),
        ({"feed_forward": 64}, {"existence", "position"}),
        ({"dropout": 0.5}, {"existence", "position"}),
        ({"local_stride": 16}, {"existence", "position"}),
        ({"encodings": "raw"}, {"existence", "position"}),
        ({"negatives": 1}, {"position"}),
        ({"similarity": "cosine"}, {"position"}),
        ({"temperature": 0.5}, {"position"}),
        ({"existence_weight": 0.5}, {"existence"}),
        ({"position_weight": 0.5}, {"position"}),
    ],
)
def test_every_switch_changes_its_term(switch, changed):
    plain, switched = terms(MedklipOptions()), terms(MedklipOptions(**switch))
    assert {name for name in plain if plain[name] != switched[name]} == changed


@pytest.mark.parametrize(
    "switch",
    [
        {"depth": 0},
        {"width": 30},
        {"negatives": 0},
        {"dropout": 1.0},
        {"temperature": 0.0},
        {"position_weight": -1.0},
        {"similarity": "euclid"},
        {"encodings": "whitened"},
    ],
)
def test_switches_that_mean_nothing_are_refused(switch):
    with pytest.raises(VlpbenchError, match=next(iter(switch))):
        MedklipOptions(**switch)


def test_unknown_words_are_unknown_names():
    with pytest.raises(UnknownNameError):
        MedklipOptions(similarity="euclid")


def test_a_map_that_is_not_there_is_refused():
    with pytest.raises(VlpbenchError, match=r"local_stride = 7: resnet18 has maps of stride \[2, 4"):
        sample_method(Medklip, options=MedklipOptions(local_stride=7))


@pytest.mark.parametrize("missing", ["entity", "position"])
def test_a_corpus_without_triplets_is_refused(missing):
    parts, _ = sample_parts(Medklip)
    known = parts.knowledge
    left = {
        "entity": {"position_texts": known.position_texts},
        "position": {"triplet_entity_texts": known.entity_texts},
    }
    with pytest.raises(VlpbenchError, match=f"names no triplet {missing}"):
        Medklip(replace(parts, knowledge=Knowledge(**left[missing])))


def test_the_text_tower_is_frozen_and_encodes_the_vocabulary_alone():
    method, tokeniser = sample_method(Medklip, options=MedklipOptions(encodings="raw"))
    method.train()
    assert not method.text.training
    assert not any(parameter.requires_grad for parameter in method.text.parameters())
    parts, _ = sample_parts(Medklip)
    with torch.no_grad():
        expected = parts.text.eval()(parts.knowledge.triplet_entity_texts).report
    assert torch.equal(method.entity_vectors, expected)
    batch = sample_batch(tokeniser)
    encoded = method.encode(replace(batch, reports=batch.summaries))
    assert {name: tensor.shape for name, tensor in encoded.items()} == {"patches": (7, 1, 512)}
    assert {"entity_vectors", "position_vectors"} <= set(method.state_dict())


def test_the_decoder_is_pre_norm_and_drawn_as_released():
    method, _ = sample_method(Medklip)
    assert [layer.norm_first for layer in method.decoder.layers] == [True] * 4
    drawn_anew = [m.weight for m in method.modules() if isinstance(m, torch.nn.Linear) and m.out_features != 2]
    drawn_anew += [layer.self_attn.in_proj_weight for layer in method.decoder.layers]
    heads = [weight for weight in drawn_anew if weight.requires_grad]
    assert len(heads) == 2 + 1 + 1 + 4 * (2 + 2) + 4
    assert [float(weight.detach().std()) for weight in heads] == pytest.approx([0.02] * len(heads), rel=0.05)


def test_patches_are_the_cells_of_the_map_that_was_asked_for():
    for stride, level in ((0, -1), (16, -2)):
        method, tokeniser = sample_method(Medklip, options=MedklipOptions(local_stride=stride), size=64)
        batch = sample_batch(tokeniser, size=64)
        method.eval()
        with torch.no_grad():
            cells = method.backbone(batch.augmented)[level]
            patches = method.encode(batch)["patches"]
        assert torch.equal(patches[2, 3], cells[2, :, 1, 1] if stride == 0 else cells[2, :, 0, 3])


def test_the_class_token_of_a_plain_transformer_stands_among_the_patches():
    method, tokeniser = sample_method(Medklip, arch="vit_tiny_patch16_224")
    batch = sample_batch(tokeniser, count=2)
    method.eval()
    with torch.no_grad():
        patches = method.encode(batch)["patches"]
        assert patches.shape == (2, 1 + 4, 192)
        assert torch.equal(patches[:, 0], method.backbone.pool(batch.augmented))


def test_patches_decide_what_each_entity_says():
    """Swapping the patches of two images swaps their terms: nothing mixes pairs, and every entity has its own query."""
    method, tokeniser = sample_method(Medklip, options=MedklipOptions(dropout=0.0), size=64)
    seen = []
    method.classifier.register_forward_hook(lambda module, given, result: seen.append(result.detach()))
    batch = sample_batch(tokeniser, size=64)
    encoded = method.encode(batch)
    method.loss(encoded, batch)
    method.loss({"patches": encoded["patches"].flip(0)}, batch)
    assert torch.allclose(seen[0], seen[1].flip(0), atol=1e-6)
    assert (seen[0][0] - seen[0][1]).abs().max() > 1e-5
    assert (seen[0][:, 0] - seen[0][:, 1]).abs().min() > 1e-3


def test_the_heads_learn_both_terms():
    options = MedklipOptions(depth=1, width=32, feed_forward=64, dropout=0.0)
    method, tokeniser = sample_method(Medklip, options=options, size=64)
    batch = sample_batch(tokeniser, size=64)
    with torch.no_grad():
        encoded = method.encode(batch)
    method.backbone.freeze()
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(60):
        losses = method.loss(encoded, batch)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
    assert all(loss.item() < 0.1 for loss in losses.values()), losses
