"""M-FLAG: its two losses against loops, and its frozen text tower."""

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.errors import VlpbenchError
from vlpbench_methods.m_flag import MFlag, MFlagOptions, alignment_loss, orthogonality_loss

OFF_DIAGONAL = 0.0051


def rows(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_alignment(images, reports):
    losses = []
    for image, report in zip(images.tolist(), reports.tolist(), strict=True):
        dot = sum(a * b for a, b in zip(image, report, strict=True))
        lengths = (sum(a * a for a in image) * sum(b * b for b in report)) ** 0.5
        losses.append(4 - 4 * dot / lengths)
    return sum(losses) / len(losses)


def naive_orthogonality(features, off_diagonal):
    z, count, width = features.tolist(), *features.shape
    loss = 0.0
    for d in range(width):
        for e in range(width):
            moment = sum(z[i][d] * z[i][e] for i in range(count)) / count
            loss += (moment - 1) ** 2 if d == e else off_diagonal * moment**2
    return loss / 2


@pytest.mark.parametrize("count", [1, 2, 7])
def test_alignment_is_its_equation(count):
    images, reports = rows(count, 5, seed=1), 3 * rows(count, 5, seed=2)
    assert float(alignment_loss(images, reports)) == pytest.approx(naive_alignment(images, reports), abs=1e-12)


@pytest.mark.parametrize("off_diagonal", [OFF_DIAGONAL, 0.0, 1.0])
@pytest.mark.parametrize(("count", "width"), [(1, 5), (2, 5), (7, 5), (5, 5), (7, 12)])
def test_orthogonality_is_its_equation_on_either_side_of_the_square(count, width, off_diagonal):
    features = rows(count, width, seed=3) + 0.5
    found = float(orthogonality_loss(features, off_diagonal=off_diagonal))
    assert found == pytest.approx(naive_orthogonality(features, off_diagonal), rel=1e-12)


def test_orthogonality_is_zero_for_uncorrelated_features_of_unit_size():
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    assert float(orthogonality_loss(signs, off_diagonal=1.0)) == 0.0
    assert float(orthogonality_loss(2 * signs, off_diagonal=1.0)) == (4 - 1) ** 2


def test_orthogonality_of_few_wide_features_keeps_no_square_of_their_width():
    kept = []

    def record(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        orthogonality_loss(rows(3, 40, seed=3).requires_grad_(), off_diagonal=OFF_DIAGONAL)
    assert 0 < max(kept) <= 3 * 40


def test_batch_order_does_not_matter():
    images, reports, order = rows(7, 9, seed=1), rows(7, 9, seed=2), torch.tensor([3, 0, 6, 2, 5, 1, 4])
    assert float(alignment_loss(images[order], reports[order])) == pytest.approx(float(alignment_loss(images, reports)))
    assert float(orthogonality_loss(images[order], off_diagonal=1.0)) == pytest.approx(
        float(orthogonality_loss(images, off_diagonal=1.0)), rel=1e-12
    )


def test_gradients():
    images, reports = rows(4, 3, seed=1).requires_grad_(), rows(4, 3, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(alignment_loss, (images, reports))
    for width in (3, 6):
        features = rows(4, width, seed=3).requires_grad_()
        assert torch.autograd.gradcheck(lambda z: orthogonality_loss(z, off_diagonal=0.3), (features,))


def test_bfloat16_features_give_the_losses_within_two_per_cent():
    """Features are rounded to 8 bits of mantissa; what follows is float32, inside autocast too."""
    images, reports = rows(7, 64, seed=1), rows(7, 64, seed=2)
    exact = [float(alignment_loss(images, reports)), float(orthogonality_loss(images, off_diagonal=OFF_DIAGONAL))]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = [
            alignment_loss(images.bfloat16(), reports.bfloat16()),
            orthogonality_loss(images.bfloat16(), off_diagonal=OFF_DIAGONAL),
        ]
    assert [value.dtype for value in rounded] == [torch.float32, torch.float32]
    assert [float(value) for value in rounded] == pytest.approx(exact, rel=0.02)


def terms(options=None):
    method, tokeniser = sample_method(MFlag, options=options)
    batch = sample_batch(tokeniser)
    with torch.no_grad():
        return method.loss(method.encode(batch), batch)


@pytest.mark.parametrize(
    ("changed", "term"),
    [
        ({"projected": 64}, "alignment"),
        ({"hidden": 64}, "alignment"),
        ({"off_diagonal": 1.0}, "orthogonality"),
    ],
)
def test_every_switch_changes_its_term(changed, term):
    assert float(terms()[term]) != pytest.approx(float(terms(MFlagOptions(**changed))[term]), rel=1e-6)


@pytest.mark.parametrize("term", ["alignment", "orthogonality"])
def test_weights_multiply_their_term_alone(term):
    plain, weighted = terms(), terms(MFlagOptions(**{f"{term}_weight": 3.0}))
    for name in plain:
        assert float(weighted[name]) == pytest.approx((3 if name == term else 1) * float(plain[name]), rel=1e-6)


def test_switches_that_mean_nothing_are_refused():
    with pytest.raises(VlpbenchError, match="off_diagonal of m_flag is -1"):
        MFlagOptions(off_diagonal=-1.0)
    with pytest.raises(VlpbenchError, match="hidden of m_flag is 0"):
        MFlagOptions(hidden=0)


def test_orthogonality_sees_the_raw_features_of_the_augmented_view():
    method, tokeniser = sample_method(MFlag)
    batch = sample_batch(tokeniser)
    method.eval()
    with torch.no_grad():
        encoded = method.encode(batch)
        assert torch.equal(encoded["image"], method.backbone.pool(batch.augmented))
        found = float(method.loss(encoded, batch)["orthogonality"])
    assert found == pytest.approx(float(orthogonality_loss(encoded["image"].double(), off_diagonal=OFF_DIAGONAL)))


def test_the_text_tower_is_frozen_without_dropout_and_its_projection_learns():
    method, tokeniser = sample_method(MFlag)
    method.train()
    assert not any(parameter.requires_grad for parameter in method.text.parameters())
    assert not any(module.training for module in method.text.modules())
    batch = sample_batch(tokeniser)
    encoded = method.encode(batch)
    assert not encoded["report"].requires_grad
    assert torch.equal(encoded["report"], method.encode(batch)["report"])
    method.loss(encoded, batch)["alignment"].backward()
    assert float(method.text_head.layers[0].weight.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in method.text.parameters())


def test_the_diagnostic_is_the_mean_cosine_of_pairs():
    method, tokeniser = sample_method(MFlag)
    batch = sample_batch(tokeniser)
    alignment = float(method.loss(method.encode(batch), batch)["alignment"].detach())
    assert float(method.diagnostics["cosine of pairs"]) == pytest.approx(1 - alignment / 4, abs=1e-6)
