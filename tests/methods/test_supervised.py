"""The supervised ceiling: its loss against a loop, and what it leaves alone."""

import math
from dataclasses import replace

import pytest
import torch

from vlpbench.contract.sample import LABELS, sample_batch, sample_method, sample_parts
from vlpbench.errors import VlpbenchError
from vlpbench.method import Knowledge
from vlpbench_methods.supervised import Supervised, known_label_loss


def rows(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_labels(count, width=5):
    """Ones, zeros and unknowns, the latter unevenly spread."""
    draws = rows(count, width, seed=9)
    return torch.where(draws > 0.8, torch.nan, (draws > 0).double())


def naive(logits, labels):
    losses = []
    for scores, truths in zip(logits.tolist(), labels.tolist(), strict=True):
        for score, truth in zip(scores, truths, strict=True):
            if not math.isnan(truth):
                positive = 1 / (1 + math.exp(-score))
                losses.append(-truth * math.log(positive) - (1 - truth) * math.log(1 - positive))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_loss_is_the_mean_over_known_labels(count):
    logits, labels = 3 * rows(count, 5, seed=1), some_labels(count)
    if count == 7:
        assert 0 < int(labels.isnan().sum()) < labels.numel()
    assert float(known_label_loss(logits, labels)) == pytest.approx(naive(logits, labels), abs=1e-12)


def test_an_image_without_any_known_label_changes_nothing():
    logits, labels = rows(3, 5, seed=1), some_labels(3)
    more = torch.cat([labels, torch.full((1, 5), torch.nan, dtype=torch.float64)])
    for fill in (0.0, 50.0):
        longer = torch.cat([logits, torch.full((1, 5), fill, dtype=torch.float64)])
        assert float(known_label_loss(longer, more)) == pytest.approx(naive(logits, labels), abs=1e-12)


def test_without_any_known_label_the_loss_is_zero_with_a_zero_gradient():
    logits = rows(3, 5, seed=1).requires_grad_()
    loss = known_label_loss(logits, torch.full((3, 5), torch.nan))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert (logits.grad == 0).all()


def test_batch_order_does_not_matter():
    logits, labels, order = rows(7, 5, seed=1), some_labels(7), torch.tensor([3, 0, 6, 2, 5, 1, 4])
    assert float(known_label_loss(logits[order], labels[order])) == pytest.approx(naive(logits, labels), abs=1e-12)


def test_gradients():
    labels = some_labels(4, 3)
    assert torch.autograd.gradcheck(lambda z: known_label_loss(z, labels), (rows(4, 3, seed=1).requires_grad_(),))


def test_bfloat16_logits_give_the_loss_within_two_per_cent():
    """Logits are rounded to 8 bits of mantissa; what follows is float32, inside autocast too."""
    logits, labels = rows(7, 5, seed=1), some_labels(7)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = known_label_loss(logits.bfloat16(), labels.float())
    assert rounded.dtype == torch.float32
    assert float(rounded) == pytest.approx(naive(logits, labels), rel=0.02)


def test_the_method_classifies_the_augmented_view():
    method, tokeniser = sample_method(Supervised)
    batch = sample_batch(tokeniser)
    method.eval()
    with torch.no_grad():
        found = float(method.loss(method.encode(batch), batch)["cross-entropy"])
        logits = method.classifier(method.backbone.pool(batch.augmented))
    assert logits.shape == (7, len(LABELS))
    assert found == pytest.approx(naive(logits.double(), batch.labels.double()), rel=1e-5)
    assert float(method.diagnostics["known labels per image"]) == pytest.approx(20 / 7)


def test_reports_play_no_part():
    method, tokeniser = sample_method(Supervised)
    batch = sample_batch(tokeniser)
    assert list(method.encode(batch)) == ["image"]
    assert not any(parameter.requires_grad for parameter in method.text.parameters())
    assert method.card.mark == "†"


def test_a_corpus_without_labels_is_refused():
    parts, _ = sample_parts(Supervised)
    with pytest.raises(VlpbenchError, match="the corpus names none"):
        Supervised(replace(parts, knowledge=Knowledge()))
