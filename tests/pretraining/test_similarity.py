"""How alike reports are to an encoder that never sees an image."""

import numpy as np
import pytest
import torch

from vlpbench.contract.sample import REPORTS, sample_method
from vlpbench.encoders import save_encoder
from vlpbench.pretraining.recipe import resolve_recipe
from vlpbench.pretraining.similarity import report_vectors, similarity_model
from vlpbench.registry import REGISTRY


@pytest.fixture(scope="module")
def tower():
    method, tokeniser = sample_method(REGISTRY.target("method", "convirt"))
    return method.text, tokeniser


def cosines(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize(
    ("settings", "meant"),
    [
        ({"text_model": "scratch"}, "tfidf"),
        ({}, "text"),
        ({"text_model": "scratch", "similarity_model": "text"}, "text"),
        ({"similarity_model": "some/encoder"}, "some/encoder"),
    ],
)
def test_auto_takes_word_counts_where_the_text_encoder_knows_nothing_yet(settings, meant):
    assert similarity_model(resolve_recipe(settings)) == meant


@pytest.mark.parametrize("name", ["tfidf", "text"])
def test_equal_reports_are_alike_and_others_less(tower, name):
    recipe = resolve_recipe({"similarity_model": name, "max_tokens": 40})
    train, val = report_vectors(REPORTS, REPORTS[1:3], recipe, *tower)
    assert train.dtype == val.dtype == np.float32
    similarity = cosines(train)
    assert similarity[0, 4] == pytest.approx(1, abs=1e-5)
    others = np.delete(similarity[0], [0, 4])
    assert others.max() < 0.999
    np.testing.assert_allclose(val, train[1:3], atol=1e-4)


def test_rare_words_tell_reports_apart_more_than_frequent_ones(tower):
    reports = ("the lung is clear", "the lung is opaque", "the lung is clear", "a pacemaker")
    train, _ = report_vectors(reports, reports, resolve_recipe({"similarity_model": "tfidf"}), *tower)
    similarity = cosines(train)
    assert similarity[0, 2] == pytest.approx(1, abs=1e-5)
    assert 0 < similarity[0, 1] < 1
    assert similarity[0, 3] == pytest.approx(0, abs=1e-5)


def test_token_vectors_are_averaged_without_padding(tower):
    text, tokeniser = tower
    recipe = resolve_recipe({"similarity_model": "text", "max_tokens": 40})
    train, _ = report_vectors(REPORTS, REPORTS[:1], recipe, text, tokeniser)
    alone = tokeniser.tokenise(REPORTS[1:2])
    with torch.no_grad():
        expected = text.eval()(alone).tokens.mean(dim=1)[0].numpy()
    np.testing.assert_allclose(train[1], expected, atol=1e-5)


def test_a_named_encoder_is_loaded(tower, tmp_path):
    text, tokeniser = tower
    save_encoder(text, tokeniser, tmp_path / "encoder")
    named = resolve_recipe({"similarity_model": str(tmp_path / "encoder"), "max_tokens": 40})
    own = resolve_recipe({"similarity_model": "text", "max_tokens": 40})
    found, _ = report_vectors(REPORTS, REPORTS, named, text, tokeniser)
    expected, _ = report_vectors(REPORTS, REPORTS, own, text, tokeniser)
    np.testing.assert_allclose(found, expected, atol=1e-5)
