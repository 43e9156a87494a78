"""What ConVIRT promises beyond the contract."""

from dataclasses import replace

import pytest
import torch

from vlpbench.contract.sample import REPORTS, sample_batch, sample_method, sample_parts
from vlpbench_methods.convirt import Convirt, ConvirtOptions


def terms_of(method, batch):
    with torch.no_grad():
        return method.loss(method.encode(batch), batch)


def test_the_directions_are_weighed():
    method, tokeniser = sample_method(Convirt)
    method.eval()
    batch = sample_batch(tokeniser)
    with torch.no_grad():
        images = method.image_head(method.backbone.pool(batch.augmented))
        tokens = method.text(batch.reports).tokens
        pooled = [tokens[row, : int(batch.reports.mask[row].sum())].max(dim=0).values for row in range(7)]
        scores = images @ method.text_head(torch.stack(pooled)).T / 0.1
    terms = terms_of(method, batch)
    assert float(terms["image to report"]) == pytest.approx(
        0.75 * float((scores.logsumexp(1) - scores.diagonal()).mean()), rel=1e-5
    )
    assert float(terms["report to image"]) == pytest.approx(
        0.25 * float((scores.logsumexp(0) - scores.diagonal()).mean()), rel=1e-5
    )


def test_padding_is_never_the_largest_value():
    method, tokeniser = sample_method(Convirt)
    method.eval()
    batch = sample_batch(tokeniser)
    alone = replace(batch.part(slice(1, 2)), reports=tokeniser.tokenise([REPORTS[1]]))
    assert alone.reports.mask.all()
    assert not batch.reports.mask[1].all()
    with torch.no_grad():
        short, padded = method.encode(alone)["report"][0], method.encode(batch)["report"][1]
    assert torch.allclose(short, padded, atol=1e-5)


@pytest.mark.parametrize("options", [ConvirtOptions(temperature=0.5), ConvirtOptions(image_weight=0.5)])
def test_every_switch_of_the_loss_changes_it(options):
    default, tokeniser = sample_method(Convirt)
    switched, _ = sample_method(Convirt, options=options)
    batch = sample_batch(tokeniser)
    first, second = terms_of(default, batch), terms_of(switched, batch)
    assert all(float(first[name]) != pytest.approx(float(second[name]), rel=1e-6) for name in first)


def test_the_lower_layers_of_a_deep_encoder_only_are_frozen():
    parts, _ = sample_parts(Convirt, options=ConvirtOptions(projected=8, frozen_layers=1))
    assert Convirt(parts).text_head(torch.zeros(1, 16)).shape == (1, 8)
    assert all(parameter.requires_grad for parameter in parts.text.parameters())
    parts.text.layers = 12
    deep = Convirt(parts)
    frozen = {name for name, parameter in deep.text.named_parameters() if not parameter.requires_grad}
    assert any(name.startswith("encoder.embeddings.") for name in frozen)
    assert any(".layer.0." in name for name in frozen)
    assert not any(".layer.1." in name for name in frozen)
