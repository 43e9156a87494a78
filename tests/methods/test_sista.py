"""What SISTA promises beyond the contract: its terms, its switches and the rows of its ablation."""

from dataclasses import replace

import pytest
import torch

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench.cards import MethodCard
from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench_methods.contrastive import attenuated_contrast, pseudo_positives
from vlpbench_methods.sista import Sista, SistaOptions

TERMS = ["SIA", "SIA^a", "SIVA", "SILA", "STA"]
VARIANTS = {
    "sista_sia": ["SIA", "SIA^a"],
    "sista_sia_sta": ["SIA", "SIA^a", "STA"],
    "sista_sia_siva_sila": ["SIA", "SIA^a", "SIVA", "SILA"],
}


def build(options=None, *, kind=Sista, arch="resnet18"):
    method, tokeniser = sample_method(kind, arch=arch, options=options)
    return method, sample_batch(tokeniser)


def terms_of(method, batch):
    with torch.no_grad():
        return method.loss(method.encode(batch), batch)


def test_terms_can_be_switched_off():
    assert list(terms_of(*build())) == TERMS
    for name in TERMS:
        assert list(terms_of(*build(SistaOptions(terms=(name,))))) == [name]


def test_only_features_that_a_term_uses_are_encoded():
    for terms, expected in (
        (("SIA",), {"report", "image"}),
        (("SILA",), {"report", "summary", "image"}),
        (("SIVA",), {"report", "image", "other image"}),
        (("STA",), {"report", "image", "patches", "words", "word attention"}),
    ):
        method, batch = build(SistaOptions(terms=terms))
        assert set(method.encode(batch)) == expected


@pytest.mark.parametrize(("name", "terms"), VARIANTS.items())
def test_a_row_of_the_ablation_is_sista_with_fewer_terms(name, terms):
    card, parent = REGISTRY.card("method", name), REGISTRY.card("method", "sista")
    assert isinstance(card, MethodCard)
    assert card.variant_of == "sista"
    assert card.version == parent.version
    assert list(card.losses) == terms
    method, batch = build(kind=REGISTRY.target("method", name))
    twin, _ = build(SistaOptions(terms=tuple(terms)))
    found, expected = terms_of(method, batch), terms_of(twin, batch)
    assert list(found) == terms
    assert {key: float(value) for key, value in found.items()} == {key: float(value) for key, value in expected.items()}


def test_reports_that_are_the_same_are_counted():
    method, batch = build(SistaOptions(pseudo_positive_threshold=0.999))
    terms_of(method, batch)
    assert float(method.diagnostics["pseudo-positives per pair"]) == pytest.approx(2 / 7)
    assert 0 < float(method.diagnostics["kept patch share"]) <= 1


@pytest.mark.parametrize(
    ("changed", "term"),
    [
        ({"reading": "targets", "pseudo_positive_threshold": 0.0}, "SIA"),
        ({"soft_weight": 0.5, "pseudo_positive_threshold": 0.0}, "SILA"),
        ({"similarity_from_summaries": True, "pseudo_positive_threshold": 0.0}, "SIA^a"),
        ({"similarity": "frozen", "pseudo_positive_threshold": 0.5}, "SIA"),
        ({"local_negatives": 3}, "SIA"),
        ({"temperature": 0.1}, "SIVA"),
        ({"sta_threshold": 0.0}, "STA"),
        ({"word_weights": "uniform"}, "STA"),
        ({"word_vectors": "mean"}, "STA"),
        ({"local_stride": 8}, "STA"),
        ({"local_input_size": 48}, "STA"),
        ({"final_norm": False}, "SIA"),
    ],
)
def test_every_switch_changes_its_term(changed, term):
    kept = {"pseudo_positive_threshold": changed.get("pseudo_positive_threshold", 0.9)}
    default = terms_of(*build(replace(SistaOptions(), **kept)))
    switched = terms_of(*build(replace(SistaOptions(), **changed)))
    assert float(default[term]) != pytest.approx(float(switched[term]), rel=1e-6)


def test_pseudo_positives_of_a_frozen_encoder_come_from_the_report_vectors():
    method, batch = build(SistaOptions(similarity="frozen"))
    assert method.needs == ("summaries", "text similarity")
    assert build()[0].needs == ("summaries",)
    vectors = torch.eye(7)
    vectors[5] = vectors[2]
    for given, count in ((torch.eye(7), 0.0), (vectors, 2 / 7), (torch.ones(7, 3), 6.0)):
        terms_of(method, replace(batch, report_vectors=given))
        assert float(method.diagnostics["pseudo-positives per pair"]) == pytest.approx(count)


def test_local_negatives_are_sought_in_blocks_of_the_batch():
    """Means are over pairs, so that the last, smaller block weighs less."""
    method, batch = build(SistaOptions(terms=("SIA",), local_negatives=3, pseudo_positive_threshold=0.5))
    method.eval()
    with torch.no_grad():
        encoded = method.encode(batch)
        image, report = method.image_head(encoded["image"]), method.text_head(encoded["report"])
        alike = pseudo_positives(report, threshold=0.5)
        assert alike.any()
        expected = 0.0
        for rows in (slice(0, 3), slice(3, 6), slice(6, 7)):
            block = attenuated_contrast(image[rows], report[rows], alike[rows, rows], temperature=0.2, weight=0.1)
            expected += float(block) * (rows.stop - rows.start) / 7
        assert float(method.loss(encoded, batch)["SIA"]) == pytest.approx(expected, rel=1e-6)


def test_blocks_as_large_as_the_batch_are_the_batch():
    whole, blocks = terms_of(*build()), terms_of(*build(SistaOptions(local_negatives=7)))
    assert {name: float(term) for name, term in blocks.items()} == pytest.approx(
        {name: float(term) for name, term in whole.items()}, rel=1e-6
    )


def test_switches_that_mean_nothing_are_refused():
    for name in ("reading", "similarity", "word_weights", "word_vectors"):
        with pytest.raises(UnknownNameError, match=f"{name} of sista named 'weight'"):
            replace(SistaOptions(), **{name: "weight"})
    with pytest.raises(UnknownNameError, match="term of sista named 'SIB'"):
        SistaOptions(terms=("SIB",))
    with pytest.raises(VlpbenchError, match="terms of sista is empty"):
        SistaOptions(terms=())
    for pairs in (-1, 1):
        with pytest.raises(VlpbenchError, match=f"local_negatives of sista is {pairs}: expected 0, or 2 pairs"):
            SistaOptions(local_negatives=pairs)
    with pytest.raises(VlpbenchError, match=r"maps of stride \[2, 4, 8, 16, 32\]"):
        build(SistaOptions(local_stride=7))


@pytest.mark.parametrize(("arch", "number"), [("resnet18", 3), ("vit_tiny_patch16_224", 3)])
def test_patches_come_from_the_second_coarsest_map_or_the_last_of_a_transformer(arch, number):
    method, batch = build(arch=arch)
    encoded = method.encode(batch)
    maps = Backbone(arch, Preprocessing(32)).eval()(batch.images)
    assert method.local_map == number
    assert encoded["patches"].shape == (7, maps[number][0, 0].numel(), maps[number].shape[1])


def test_padding_does_not_shift_the_batch_statistics_of_the_word_projection():
    method, batch = build(SistaOptions(terms=("STA",)))
    encoded = method.encode(batch)
    changed = encoded["words"].masked_fill(~batch.reports.word_mask[:, :, None], 100.0)
    assert not torch.equal(changed, encoded["words"])
    with torch.no_grad():
        first, second = (
            method.loss({**encoded, "words": words}, batch)["STA"] for words in (encoded["words"], changed)
        )
    assert float(first) == float(second)
