"""CLIP: its contrast against a loop, and its logit scale."""

import math

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.errors import VlpbenchError
from vlpbench_methods.clip import Clip, ClipOptions, symmetric_contrast

SCALE = 1 / 0.2


def rows(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def naive_contrast(images, reports, scale):
    count, loss = len(images), 0.0
    for anchors, others in ((images, reports), (reports, images)):
        for i in range(count):
            scores = [math.exp(scale * cosine(anchors[i], other)) for other in others]
            loss -= math.log(scores[i] / sum(scores))
    return loss / (2 * count)


def contrast(images, reports, scale=SCALE):
    return symmetric_contrast(images, reports, scale=torch.tensor(scale, dtype=torch.float64))


@pytest.mark.parametrize("scale", [SCALE, 1.0, 14.0])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_contrast_is_its_equation(count, scale):
    images, reports = rows(count, 5, seed=1), 3 * rows(count, 5, seed=2)
    assert float(contrast(images, reports, scale)) == pytest.approx(naive_contrast(images, reports, scale), abs=1e-12)


def test_identical_reports_leave_the_contrast_at_chance_from_the_image_side():
    images, reports = rows(7, 5, seed=1), rows(1, 5, seed=2).expand(7, 5)
    assert float(contrast(images, reports)) == pytest.approx(naive_contrast(images, reports, SCALE), abs=1e-12)
    assert float(contrast(torch.ones(7, 5), torch.ones(7, 5))) == pytest.approx(math.log(7), rel=1e-6)


def test_batch_order_does_not_matter_and_neither_does_length():
    images, reports, order = rows(7, 5, seed=1), rows(7, 5, seed=2), torch.tensor([3, 0, 6, 2, 5, 1, 4])
    expected = pytest.approx(float(contrast(images, reports)), abs=1e-12)
    assert float(contrast(images[order], reports[order])) == expected
    assert float(contrast(images * torch.arange(1, 8)[:, None], reports)) == expected


def test_gradients_that_of_the_scale_among_them():
    inputs = (rows(4, 3, seed=1), rows(4, 3, seed=2), torch.tensor(2.0, dtype=torch.float64))
    inputs = tuple(tensor.requires_grad_() for tensor in inputs)
    assert torch.autograd.gradcheck(lambda v, u, s: symmetric_contrast(v, u, scale=s), inputs)


def test_bfloat16_features_give_the_contrast_within_two_per_cent():
    """Features are rounded to 8 bits of mantissa; what follows is float32, inside autocast too."""
    images, reports = rows(7, 64, seed=1), rows(7, 64, seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = symmetric_contrast(images.bfloat16(), reports.bfloat16(), scale=torch.tensor(SCALE))
    assert rounded.dtype == torch.float32
    assert float(rounded) == pytest.approx(float(contrast(images, reports)), rel=0.02)


def sample(options=None):
    method, tokeniser = sample_method(Clip, options=options)
    return method, sample_batch(tokeniser)


def term(options=None):
    method, batch = sample(options)
    return float(method.eval().loss(method.encode(batch), batch)["InfoNCE"].detach())


def test_the_temperature_starts_at_seven_hundredths_and_learns():
    method, batch = sample()
    method.loss(method.encode(batch), batch)["InfoNCE"].backward()
    assert float(method.diagnostics["temperature"]) == pytest.approx(0.07, rel=1e-6)
    assert float(method.log_scale.grad) != 0
    assert "log_scale" in dict(method.named_parameters())


def test_the_scale_stops_at_a_hundred_and_can_come_back():
    method, batch = sample()
    with torch.no_grad():
        method.log_scale.fill_(10.0)
    method.loss(method.encode(batch), batch)["InfoNCE"].backward()
    assert float(method.diagnostics["temperature"]) == pytest.approx(0.01, rel=1e-6)
    assert float(method.log_scale.detach()) == pytest.approx(math.log(100))
    assert float(method.log_scale.grad) != 0


def test_a_given_temperature_stays():
    method, batch = sample(ClipOptions(temperature=0.005))
    method.loss(method.encode(batch), batch)["InfoNCE"].backward()
    assert float(method.diagnostics["temperature"]) == pytest.approx(0.005, rel=1e-6)
    assert method.log_scale.grad is None


@pytest.mark.parametrize("changed", [{"temperature": 0.2}, {"projected": 64}])
def test_every_switch_changes_the_loss(changed):
    assert term(ClipOptions(**changed)) != pytest.approx(term(), rel=1e-6)


def test_switches_that_mean_nothing_are_refused():
    with pytest.raises(VlpbenchError, match="temperature of clip is -1"):
        ClipOptions(temperature=-1.0)
    with pytest.raises(VlpbenchError, match="projected of clip is 0"):
        ClipOptions(projected=0)


def test_the_method_contrasts_linear_maps_of_the_cropped_image_and_the_class_token():
    method, batch = sample()
    method.eval()
    with torch.no_grad():
        found = float(method.loss(method.encode(batch), batch)["InfoNCE"])
        images = method.backbone.pool(batch.images) @ method.image_projection.weight.T
        reports = method.text(batch.reports).tokens[:, 0] @ method.text_projection.weight.T
    assert found == pytest.approx(naive_contrast(images.double(), reports.double(), 1 / 0.07), rel=1e-5)
    assert method.image_projection.bias is None


def test_projections_keep_the_size_of_what_they_map():
    method, _ = sample(ClipOptions(projected=4096))
    for projection in (method.image_projection, method.text_projection):
        assert float(projection.weight.detach().std() * projection.in_features**0.5) == pytest.approx(1, abs=0.02)
