"""MLIP: its pieces against loops written from the header of its file, its switches and its knowledge."""

import math
from dataclasses import replace

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method, sample_parts
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Knowledge
from vlpbench_methods import entity_knowledge
from vlpbench_methods.divergence import DivergenceEncoder, near_originals
from vlpbench_methods.entity_knowledge import add_knowledge, describe_entities
from vlpbench_methods.mlip import TERMS, Mlip, MlipOptions
from vlpbench_methods.report_matching import MatchingHead, hardest_others, matching_decisions

TAU = 0.3


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(vector: torch.Tensor) -> torch.Tensor:
    return vector / vector.norm()


def some_mentions(count: int, entities: int) -> torch.Tensor:
    """Ragged, the second report without any, the last like the first."""
    mentioned = rows(count, entities, seed=50) > 0.2
    mentioned[0, 0] = True
    if count > 1:
        mentioned[1] = False
        mentioned[-1] = mentioned[0]
    return mentioned


def naive_knowledge(features, entities, mentioned) -> torch.Tensor:
    informed = torch.empty_like(features)
    for i in range(len(features)):
        for n in range(features.shape[1]):
            x = unit(features[i, n])
            known = [unit(entities[e]) for e in range(len(entities)) if mentioned[i, e]]
            scores = [math.exp(float(x @ k) / TAU) for k in known]
            taken = sum(score / sum(scores) * k for score, k in zip(scores, known, strict=True)) if known else 0 * x
            informed[i, n] = unit(x + taken)
    return informed


@pytest.mark.parametrize("count", [1, 2, 7])
def test_knowledge_is_that_of_mentioned_entities(count):
    features, entities, mentioned = rows(count, 3, 4, seed=1), rows(5, 4, seed=2), some_mentions(count, 5)
    found = add_knowledge(features, entities, mentioned, temperature=TAU)
    torch.testing.assert_close(found, naive_knowledge(features, entities, mentioned), rtol=0, atol=1e-12)


def test_a_report_that_mentions_nothing_stays_as_it_is():
    features, entities = rows(2, 3, 4, seed=3), rows(5, 4, seed=4)
    found = add_knowledge(features, entities, torch.zeros(2, 5, dtype=torch.bool), temperature=TAU)
    torch.testing.assert_close(found, torch.nn.functional.normalize(features, dim=2))


def test_what_is_not_mentioned_does_not_matter():
    features, entities, mentioned = rows(2, 3, 4, seed=5), rows(5, 4, seed=6), torch.zeros(2, 5, dtype=torch.bool)
    mentioned[:, :2] = True
    other = entities.clone()
    other[2:] *= -3
    assert torch.equal(
        add_knowledge(features, other, mentioned, temperature=TAU),
        add_knowledge(features, entities, mentioned, temperature=TAU),
    )


def test_gradients_of_knowledge_are_those_of_finite_differences():
    mentioned = some_mentions(3, 4)
    assert torch.autograd.gradcheck(
        lambda x, k: add_knowledge(x, k, mentioned, temperature=TAU),
        (rows(3, 2, 3, seed=7).requires_grad_(), rows(4, 3, seed=8).requires_grad_()),
    )


def test_knowledge_widens_half_precision():
    features, entities, mentioned = (
        rows(3, 2, 4, seed=9).bfloat16(),
        rows(5, 4, seed=10).bfloat16(),
        some_mentions(3, 5),
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = add_knowledge(features, entities, mentioned, temperature=TAU)
    assert found.dtype == torch.float32
    expected = naive_knowledge(features.double(), entities.double(), mentioned)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_near_originals_is_a_hinge_on_the_cosine(count):
    perturbed, originals = rows(count, 4, seed=11), rows(count, 4, seed=12)
    cosines = [float(unit(perturbed[i]) @ unit(originals[i])) for i in range(count)]
    expected = sum(max(0.0, cosine + 0.3) for cosine in cosines) / count
    assert float(near_originals(perturbed, originals, margin=-0.3)) == pytest.approx(expected, abs=1e-12)


def test_originals_are_not_pushed_away_from_their_perturbation():
    perturbed, originals = rows(3, 4, seed=13).requires_grad_(), rows(3, 4, seed=13).requires_grad_()
    near_originals(perturbed + 0.1, originals, margin=0.0).backward()
    assert originals.grad is None
    assert perturbed.grad.abs().sum() > 0


def test_the_divergence_encoder_draws_in_training_only():
    torch.manual_seed(0)
    encoder, features = DivergenceEncoder(16), torch.nn.functional.normalize(rows(5, 16, seed=14).float(), dim=1)
    first, second = encoder(features), encoder(features)
    assert not torch.allclose(first, second)
    assert first.norm(dim=1).tolist() == pytest.approx([1.0] * 5, abs=1e-5)
    encoder.eval()
    assert torch.equal(encoder(features), encoder(features))
    shift = encoder.layers(features)[:, :16]
    torch.testing.assert_close(encoder(features), torch.nn.functional.normalize(features + shift, dim=1))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_hardest_other_report_mentions_other_entities(count):
    similarity, mentioned = rows(count, count, seed=15), some_mentions(count, 5)
    found, decided = hardest_others(similarity, mentioned)
    for i in range(count):
        candidates = [k for k in range(count) if mentioned[i].tolist() != mentioned[k].tolist()]
        assert bool(decided[i]) == bool(candidates)
        if candidates:
            assert int(found[i]) == max(candidates, key=lambda k: float(similarity[i, k]))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_matching_decisions_match_the_loops(count):
    own, other = 3 * rows(count, 3, seed=16), 3 * rows(count, 3, seed=17)
    shares, other_shares = rows(count, 3, seed=18).softmax(1), rows(count, 3, seed=19).softmax(1)
    decided = torch.arange(count) != 1
    total = 0.0
    for i in range(count):
        for n in range(3):
            if decided[i]:
                total -= float(shares[i, n]) * math.log(1 / (1 + math.exp(-float(own[i, n]))))
                total -= float(other_shares[i, n]) * math.log(1 - 1 / (1 + math.exp(-float(other[i, n]))))
    expected = total / 2 / int(decided.sum())
    assert float(matching_decisions(own, other, shares, other_shares, decided)) == pytest.approx(expected, abs=1e-12)
    nobody = torch.zeros(count, dtype=torch.bool)
    assert float(matching_decisions(own, other, shares, other_shares, nobody)) == 0


def test_a_matching_head_sees_both_vectors_and_not_their_length():
    torch.manual_seed(0)
    head, first, second = MatchingHead(6), rows(4, 3, 6, seed=20).float(), rows(4, 3, 6, seed=21).float()
    logits = head(first, second)
    assert logits.shape == (4, 3)
    torch.testing.assert_close(head(5 * first, second), logits)
    assert not torch.allclose(head(second, second), logits)
    assert not torch.allclose(head(first, first), logits)


def test_descriptions_are_encoded_alike_in_parts_and_keep_the_tower_as_it_was(monkeypatch):
    parts, _ = sample_parts(Mlip)
    texts = parts.knowledge.entity_texts
    whole = describe_entities(parts.text, texts)
    assert parts.text.training
    monkeypatch.setattr(entity_knowledge, "DESCRIPTIONS_AT_ONCE", 3)
    torch.testing.assert_close(describe_entities(parts.text, texts), whole)
    assert not whole.requires_grad
    assert whole.norm(dim=1).tolist() == pytest.approx([1.0] * 4, abs=1e-5)
    # Centred: the vectors of unlike descriptions do not all point the same way.
    assert (whole @ whole.T).min() < 0
    alone = describe_entities(parts.text, texts.part(slice(0, 1)))
    assert torch.isfinite(alone).all()


def build(**options):
    method, tokeniser = sample_method(Mlip, options=MlipOptions(hidden=32, projected=16, prototypes=9, **options))
    return method.eval(), tokeniser


def terms(method, batch):
    with torch.no_grad():
        return {name: float(term) for name, term in method.loss(method.encode(batch), batch).items()}


def changed_terms(before, after):
    return [name for name in before if after[name] != pytest.approx(before[name], rel=1e-6, abs=1e-9)]


CHANGES = [
    ({"temperature": 0.5}, ["global"]),
    ({"divergence_margin": -0.5}, ["divergence"]),
    ({"token_temperature": 0.5}, ["token-knowledge-patch"]),
    ({"attention_temperature": 0.5}, ["token-knowledge-patch", "category", "text swapping"]),
    ({"knowledge": False}, ["token-knowledge-patch", "category", "text swapping"]),
    ({"prototype_temperature": 0.5}, ["category"]),
    ({"sinkhorn_epsilon": 0.5}, ["category"]),
    ({"sinkhorn_iterations": 1}, ["category"]),
]


@pytest.mark.parametrize(("options", "expected"), CHANGES)
def test_a_switch_changes_its_terms_alone(options, expected):
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    assert changed_terms(terms(method, batch), terms(build(**options)[0], batch)) == expected


@pytest.mark.parametrize("term", TERMS)
def test_a_term_alone_is_what_it_is_among_all(term):
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    assert terms(build(terms=(term,))[0], batch) == pytest.approx({term: terms(method, batch)[term]})


def test_patches_come_from_the_map_asked_for():
    method, tokeniser = build(local_stride=8)
    assert method.encode(sample_batch(tokeniser))["patches"].shape[1:] == (16, 128)
    assert "patches" not in build(terms=("global",))[0].encode(sample_batch(tokeniser))


def test_descriptions_guide_the_terms_that_say_so():
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    before = terms(method, batch)
    with torch.no_grad():
        method.entities.copy_(method.entities.flip(0))
    assert changed_terms(before, terms(method, batch)) == ["token-knowledge-patch", "category", "text swapping"]


def test_pair_order_does_not_matter():
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    reports = batch.reports
    shuffled = replace(
        batch,
        images=batch.images[order],
        entities=batch.entities[order],
        reports=replace(
            reports,
            ids=reports.ids[order],
            mask=reports.mask[order],
            word=reports.word[order],
            sentence=reports.sentence[order],
        ),
    )
    assert terms(method, shuffled) == pytest.approx(terms(method, batch), rel=1e-4)


def test_where_all_reports_mention_the_same_there_is_nothing_to_match():
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    alike = terms(method, replace(batch, entities=torch.ones_like(batch.entities)))
    assert alike["image-text matching"] == alike["text swapping"] == 0
    silent = terms(method, replace(batch, entities=torch.zeros_like(batch.entities)))
    assert all(math.isfinite(value) for value in silent.values())
    assert silent["token-knowledge-patch"] == pytest.approx(
        terms(build(knowledge=False)[0], batch)["token-knowledge-patch"], rel=1e-5
    )


def test_matching_compares_a_pair_with_the_report_in_its_place():
    method, tokeniser = build()
    batch = sample_batch(tokeniser)
    with torch.no_grad():
        encoded = method.encode(batch)
        images, reports = method.image_head(encoded["image"]), method.text_head(encoded["report"])
        others, _ = hardest_others(images @ reports.T, batch.entities)
        yes, no = method.matching(images, reports).double(), method.matching(images, reports[others]).double()
        found = float(method.loss(encoded, batch)["image-text matching"])
    expected = sum(
        math.log(1 + math.exp(-float(y))) + math.log(1 + math.exp(float(n))) for y, n in zip(yes, no, strict=True)
    )
    assert found == pytest.approx(expected / 2 / len(batch), rel=1e-5)


def test_two_pairs_train_and_descriptions_stay():
    method, tokeniser = sample_method(Mlip)
    batch = sample_batch(tokeniser, count=2)
    descriptions = method.entities.clone()
    losses = method.loss(method.encode(batch), batch)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: value.grad for name, value in method.named_parameters() if value.requires_grad}
    heads = {name: grad for name, grad in gradients.items() if not name.startswith(("backbone.", "text."))}
    assert all(grad is not None and torch.isfinite(grad).all() for grad in heads.values())
    assert torch.equal(method.entities, descriptions)
    assert "entities" in method.state_dict()


def test_a_corpus_without_entities_is_refused():
    parts, _ = sample_parts(Mlip)
    with pytest.raises(VlpbenchError, match="entities"):
        Mlip(replace(parts, knowledge=Knowledge()))


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"prototypes": 0}, {"sinkhorn_iterations": 0}, {"terms": ()}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(VlpbenchError, match=next(iter(options))):
        MlipOptions(**options)


def test_an_unknown_term_shows_its_neighbours():
    with pytest.raises(UnknownNameError, match="category"):
        MlipOptions(terms=("categories",))
