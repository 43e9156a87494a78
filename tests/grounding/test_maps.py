"""Maps of phrases: which words count, which place is which, and what is between patches."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlpbench.contract.sample import ENTITIES, sample_method, sample_parts
from vlpbench.errors import VlpbenchError
from vlpbench.grounding.maps import (
    NoAlignmentError,
    align_phrases,
    equal_images_once,
    pair_batch,
    scale_maps,
    upsample_maps,
)
from vlpbench.grounding.phrases import Phrase, parse_phrases
from vlpbench.grounding.scores import energy_inside, pixel_auroc, point
from vlpbench.phantom import render, studies
from vlpbench.pretraining.trained import Trained
from vlpbench.registry import REGISTRY
from vlpbench_methods.clip import Clip

SIZE = 64


def trained(name: str, **replaced) -> Trained:
    kind = REGISTRY.target("method", name)
    method, tokeniser = sample_method(kind, size=SIZE)
    for attribute, value in replaced.items():
        setattr(method, attribute, value)
    return Trained(method.eval(), tokeniser, sample_parts(kind)[0].knowledge, SimpleNamespace())  # type: ignore[arg-type]


def grey(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)


def test_a_map_is_the_mean_of_the_rows_of_its_words() -> None:
    rows = torch.arange(6 * 4, dtype=torch.float32).view(6, 4)
    one = trained("sista", align=lambda encoded, batch: rows[: batch.reports.words].expand(len(batch), -1, -1))
    report = "No pneumothorax; small left effusion."
    maps = align_phrases(one, grey(2), [Phrase("small left", report), Phrase("Effusion", report)])
    # no 0 pneumothorax 1 small 2 left 3 effusion 4
    assert maps.shape == (2, 2, 2, 2)
    assert maps[1].tolist() == [[[10.0, 11.0], [12.0, 13.0]], [[16.0, 17.0], [18.0, 19.0]]]


def test_maps_do_not_depend_on_which_images_and_phrases_stand_beside_them() -> None:
    one, images, phrases = trained("sista"), grey(3), parse_phrases("effusion,left effusion,heart")
    images[2] = images[1]
    maps = align_phrases(one, images, phrases)
    for image in range(3):
        for phrase in range(3):
            alone = align_phrases(one, images[image : image + 1], phrases[phrase : phrase + 1])[0, 0]
            assert np.allclose(alone, maps[image, phrase], atol=1e-5)
    assert not np.allclose(maps[0], maps[1], atol=1e-3)
    assert not np.allclose(maps[:, 0], maps[:, 2], atol=1e-3)


def test_the_image_tower_sees_an_image_once_and_answers_for_all() -> None:
    backbone = trained("sista").method.backbone
    images = torch.randn(2, 3, SIZE, SIZE)[[0, 0, 1, 1, 1, 0]]
    seen = []
    forward = backbone.model.forward_intermediates
    backbone.model.forward_intermediates = lambda given, **named: (seen.append(len(given)), forward(given, **named))[1]
    with torch.no_grad():
        maps, pooled = backbone.maps_and_pooled(images)
        with equal_images_once(backbone):
            maps_once, pooled_once = backbone.maps_and_pooled(images)
        backbone.maps_and_pooled(images)
    assert seen == [6, 3, 6]
    for one, other in zip((*maps, pooled), (*maps_once, pooled_once), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_phrase_affirms_the_entities_it_names() -> None:
    one = trained("medklip")
    phrases = parse_phrases("small effusion,right lung,heart")
    texts = one.tokeniser.tokenise([phrase.text for phrase in phrases])
    batch = pair_batch(one.knowledge, torch.zeros(3, 3, SIZE, SIZE), texts, phrases)
    named = [[name == "effusion" for name in ENTITIES], [False] * 4, [name == "heart" for name in ENTITIES]]
    assert batch.entities.tolist() == named
    assert (batch.triplets == 1).all(dim=2).tolist() == named
    assert ((batch.triplets == -1).all(dim=2) ^ (batch.triplets == 1).all(dim=2)).all()


def test_what_a_method_knows_nothing_of_has_no_map() -> None:
    maps = align_phrases(trained("medklip"), grey(2), parse_phrases("effusion,right lung"))
    assert np.isfinite(maps[:, 0]).all()
    assert np.isnan(maps[:, 1]).all()


def test_a_method_without_alignment_says_so() -> None:
    method, tokeniser = sample_method(Clip, size=SIZE)
    one = Trained(method.eval(), tokeniser, sample_parts(Clip)[0].knowledge, SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(NoAlignmentError, match="The method clip compares whole images with whole reports"):
        align_phrases(one, grey(1), parse_phrases("effusion"))


def test_patches_that_are_no_square_are_refused() -> None:
    one = trained("sista", align=lambda encoded, batch: torch.ones(len(batch), batch.reports.words, 6))
    with pytest.raises(VlpbenchError, match="aligns 6 patches, which are no square grid"):
        align_phrases(one, grey(1), parse_phrases("effusion"))


def test_maps_are_scaled_one_by_one() -> None:
    maps = np.array([[[2.0, 3.0], [6.0, 4.0]], [[-1.0, -1.5], [-2.0, -1.0]]])
    assert scale_maps(maps).tolist() == [[[0.0, 0.25], [1.0, 0.5]], [[1.0, 0.5], [0.0, 1.0]]]


@pytest.mark.parametrize("value", [0.0, 7.0, float("nan")])
def test_a_map_that_is_the_same_everywhere_is_1_everywhere(value: float) -> None:
    flat = np.full((2, 2), value)
    flat[0, 0] += value * 1e-8
    assert scale_maps(flat).tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_between_patch_centres_maps_are_linear_and_beyond_them_constant() -> None:
    maps = np.array([[[0.0, 1.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]])
    larger = upsample_maps(maps, 8)
    assert larger.shape == (2, 8, 8)
    assert larger[0, 3].tolist() == pytest.approx([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])
    assert larger[1, :, 3].tolist() == pytest.approx([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])


def test_a_method_that_sees_what_a_finding_changes_finds_it() -> None:
    """From pixels to scores: a stand-in for training that knows the same patient without the finding."""
    kinds = ["pneumothorax"]
    ill = [study for study in studies("siim", count=120, seed=3) if [one.kind for one in study.findings] == kinds]
    drawn = [render(study, SIZE) for study in ill[:12]]
    healthy = torch.from_numpy(np.stack([render(replace(study, findings=()), SIZE).image for study in ill[:12]]))
    one = trained("sista")

    def changed(encoded, batch):
        difference = (batch.images - one.method.backbone.normalise(healthy)).abs()[:, :1]
        cells = torch.nn.functional.avg_pool2d(difference, 8).flatten(1)
        return cells[:, None].expand(-1, batch.reports.words, -1)

    one.method.align = changed  # type: ignore[method-assign]
    maps = align_phrases(one, np.stack([study.image for study in drawn]), parse_phrases("pneumothorax"))[:, 0]
    masks = [study.masks["pneumothorax"] for study in drawn]

    def mean(score, some):
        return np.mean([score(*pair) for pair in zip(some, masks, strict=True)])

    scaled = scale_maps(maps)
    pixels = upsample_maps(scaled, SIZE)
    assert mean(pixel_auroc, pixels) > 0.9
    assert mean(energy_inside, pixels) > 3 * np.mean([mask.mean() for mask in masks])
    assert mean(point, scaled) > 0.3
    assert mean(point, scaled.transpose(0, 2, 1)) < 0.1
