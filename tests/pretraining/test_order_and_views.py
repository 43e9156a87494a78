"""Order of batches and the two views."""

import time

import numpy as np
import pytest
import torch

from vlpbench.pretraining.loader import Pairs, TrainingOrder, ValidationOrder, batches
from vlpbench.pretraining.recipe import Recipe
from vlpbench.pretraining.views import Views
from vlpbench.tokens import Tokeniser, wordpiece_tokenizer


def drawn(order):
    return [(draw.pairs.tolist(), draw.seed) for draw in order]


def test_the_order_is_a_function_of_seed_and_epoch():
    first, second = (TrainingOrder(20, batch_size=6, seed=4) for _ in range(2))
    start = drawn(first)
    assert start == drawn(second)
    assert len(start) == len(first) == 3
    seen = [pair for pairs, _ in start for pair in pairs]
    assert len(set(seen)) == 18
    first.set_epoch(1)
    assert drawn(first) != start
    assert drawn(TrainingOrder(20, batch_size=6, seed=5)) != start
    assert len({seed for _, seed in start}) == 3


@pytest.mark.parametrize(("pairs", "size", "steps"), [(20, 6, 3), (20, 3, 6), (5, 32, 1), (8, 4, 2)])
def test_batches_are_full(pairs, size, steps):
    order = TrainingOrder(pairs, batch_size=size, seed=0)
    assert len(drawn(order)) == len(order) == steps
    assert {len(draw.pairs) for draw in order} == {min(size, pairs)}


def test_validation_sees_every_pair_once_in_the_same_way():
    order = ValidationOrder(11, batch_size=4, seed=0)
    assert drawn(order) == drawn(order)
    assert [pair for pairs, _ in drawn(order) for pair in pairs] == list(range(11))
    assert len({seed for _, seed in drawn(order)}) == 3


def test_batches_keep_images_and_texts_together(corpus):
    tokeniser = Tokeniser(wordpiece_tokenizer(corpus.reports(corpus.rows("train")), vocabulary=90), 40)
    vectors = np.random.default_rng(0).random((len(corpus.rows("train")), 3), dtype=np.float32)
    pairs = Pairs(corpus, "train", tokeniser, vectors)
    order = TrainingOrder(len(pairs), batch_size=4, seed=1)
    rows = corpus.rows("train")
    for draw, batch in zip(order, batches(pairs, order, workers=0), strict=True):
        assert np.array_equal(batch.images.numpy(), corpus.images(rows[draw.pairs]))
        assert torch.equal(batch.reports.ids, tokeniser.tokenise(corpus.reports(rows[draw.pairs])).ids)
        assert torch.equal(batch.summaries.ids, tokeniser.tokenise(corpus.summaries(rows[draw.pairs])).ids)
        assert np.array_equal(batch.labels.numpy(), corpus.labels(rows[draw.pairs]))
        assert np.array_equal(batch.triplets.numpy(), corpus.triplets(rows[draw.pairs]))
        assert np.array_equal(batch.entities.numpy(), corpus.entities(rows[draw.pairs]))
        assert np.array_equal(batch.report_vectors.numpy(), vectors[draw.pairs])
        assert batch.seed == draw.seed


def bars(count=4, side=32):
    """Images with one bright quadrant."""
    images = torch.zeros(count, side, side, dtype=torch.uint8)
    images[:, : side // 2, : side // 2] = 200
    return images


def test_views_are_functions_of_their_seed():
    views, images = Views(Recipe()), bars()
    for view in (views.plain, views.augmented):
        assert torch.equal(view(images, 5), view(images, 5))
        assert not torch.equal(view(images, 5), view(images, 6))
    state = torch.get_rng_state()
    views.augmented(images, 5)
    assert torch.equal(state, torch.get_rng_state())


def test_every_image_has_its_own_crop_and_grey_values():
    views = Views(Recipe(rotation=0.0, blur=0.0))
    assert len({tuple(view.flatten().tolist()) for view in views.plain(bars(), 1)}) == 4
    assert len({float(view.max()) for view in views.augmented(bars(8), 1)}) > 3


def test_without_any_strength_the_views_are_the_image():
    plain = Views(Recipe(crop=1.0, rotation=0.0, brightness=0.0, contrast=0.0, blur=0.0))
    for view in (plain.plain(bars(), 3), plain.plain(bars(), None), plain.augmented(bars(), 3)):
        assert torch.allclose(view, bars().float(), atol=1e-3)


def test_the_central_crop_is_central_and_scaled():
    images = torch.zeros(1, 40, 40, dtype=torch.uint8)
    images[:, 10:30, 10:30] = 100
    view = Views(Recipe(crop=0.5)).plain(images, None)
    assert torch.allclose(view, torch.full_like(view, 100.0), atol=51)
    assert torch.allclose(view[:, 1:-1, 1:-1], torch.full((1, 38, 38), 100.0))


def test_nothing_is_flipped():
    for seed in range(20):
        views = Views(Recipe())
        for view in (views.plain(bars(), seed), views.augmented(bars(), seed)):
            left, right = view[:, :, :16].mean(dim=(1, 2)), view[:, :, 16:].mean(dim=(1, 2))
            assert (left > right).all()


def test_rotation_turns_the_picture():
    still = Views(Recipe(crop=1.0, rotation=0.0, brightness=0.0, contrast=0.0, blur=0.0))
    turned = Views(Recipe(crop=1.0, rotation=15.0, brightness=0.0, contrast=0.0, blur=0.0))
    assert (still.augmented(bars(), 2) - turned.augmented(bars(), 2)).abs().max() > 50


def test_blur_takes_away_contrast_of_some_images():
    noise = torch.randint(0, 255, (16, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    sharp = Views(Recipe(crop=1.0, rotation=0.0, brightness=0.0, contrast=0.0, blur=0.0)).augmented(noise, 4)
    soft = Views(Recipe(crop=1.0, rotation=0.0, brightness=0.0, contrast=0.0, blur=20.0)).augmented(noise, 4)
    changed = (sharp - soft).abs().amax(dim=(1, 2)) > 1
    assert 0 < int(changed.sum()) < 16
    assert (soft[changed].std(dim=(1, 2)) < sharp[changed].std(dim=(1, 2))).all()


@pytest.mark.slow
def test_two_views_of_a_batch_take_little_time():
    views, images = Views(Recipe()), torch.randint(0, 255, (32, 96, 96)).to(torch.uint8)
    best = 1.0
    for seed in range(20):
        start = time.process_time()
        views.plain(images, seed)
        views.augmented(images, seed)
        best = min(best, time.process_time() - start)
    assert best < 0.1
