"""PRIOR as a method: its schedule, its terms and what is mended of the released code."""

from dataclasses import replace

import pytest
import torch

from vlpbench.contract.sample import SIZE, sample_batch, sample_method
from vlpbench.errors import VlpbenchError
from vlpbench.method import total
from vlpbench_methods.conditional_decoders import ImageDecoder, SentenceGenerator, reconstruction_loss
from vlpbench_methods.prior import TERMS, Prior, PriorOptions

SMALL = {"generator_layers": 1, "prototypes": 16}
LATER = [name for name, (stage, _) in TERMS.items() if stage > 1]


def prior(*, arch="resnet18", size=SIZE, **options):
    method, tokeniser = sample_method(Prior, arch=arch, options=PriorOptions(**{**SMALL, **options}), size=size)
    return method, tokeniser


def take(method, batch, seed=0):
    torch.manual_seed(seed)
    return method.loss(method.encode(batch), batch)


def evaluated(size=SIZE, **options):
    """Terms and everything behind them, in evaluation, after the last step of the ramp."""
    method, tokeniser = prior(size=size, **{"alignment_steps": 0, "ramp_steps": 0, **options})
    method.eval()
    batch = sample_batch(tokeniser, size=size)
    with torch.no_grad():
        return {name: float(term) for name, term in take(method, batch).items()}


def test_later_terms_grow_with_the_steps_of_training():
    method, tokeniser = prior(alignment_steps=2, ramp_steps=3)
    batch = sample_batch(tokeniser)
    shares, prototypes = [], []
    for _ in range(7):
        shares.append(method.share)
        terms = take(method, batch)
        prototypes.append(float(terms["prototypes"].detach()))
        assert list(terms) == list(TERMS)
        assert all((float(terms[name].detach()) > 0) == (shares[-1] > 0) for name in LATER)
        assert float(method.diagnostics["alpha"]) == pytest.approx(shares[-1])
    assert shares == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert prototypes[2] < prototypes[3] < prototypes[4] < prototypes[5]


def test_steps_are_kept_and_evaluation_does_not_count():
    method, tokeniser = prior(alignment_steps=2, ramp_steps=3)
    batch = sample_batch(tokeniser)
    for _ in range(3):
        take(method.train(), batch)
        take(method.eval(), batch)
    resumed, _ = prior(alignment_steps=2, ramp_steps=3)
    resumed.load_state_dict(method.state_dict())
    assert resumed.share == method.share == 0.5


def test_alignment_passes_from_sentences_to_prototypes():
    method, tokeniser = prior(alignment_steps=1, ramp_steps=1)
    method.eval()
    batch = sample_batch(tokeniser)
    found = []
    method.report_pooling.register_forward_pre_hook(lambda module, arguments: found.append(arguments[0]))
    with torch.no_grad():
        for done in range(3):
            method.steps.fill_(done)
            take(method, batch)
        sentences = method.sentence_projection(method.encode(batch)["sentences"])
        expected = [sentences, (sentences + method.memory(sentences)) / 2, method.memory(sentences)]
    for aligned, wanted in zip(found[::2], expected, strict=True):
        torch.testing.assert_close(aligned, wanted)


def test_evaluation_gives_later_terms_full_weight():
    assert all(evaluated(alignment_steps=9)[name] > 0 for name in LATER)
    untouched = ("prototypes", "sentence generation", "query consistency")
    first, last = evaluated(alignment_steps=9), evaluated()
    assert [first[name] for name in untouched] == [last[name] for name in untouched]
    assert first["global alignment"] != last["global alignment"]


@pytest.mark.parametrize(("stage", "count"), [(1, 3), (2, 4), (3, 8)])
def test_the_last_stage_says_which_terms_there_are(stage, count):
    method, tokeniser = prior(last_stage=stage, alignment_steps=0, ramp_steps=0)
    terms = take(method, sample_batch(tokeniser))
    assert list(terms) == list(TERMS)[:count]
    total(terms).backward()
    trained = [name for name, value in method.named_parameters() if value.grad is not None and value.grad.any()]
    assert any(name.startswith("backbone") for name in trained)
    assert {name.partition(".")[0] for name in trained} >= {"text", "local_attention", "predictor", "image_pooling"}


@pytest.mark.parametrize("name", list(TERMS))
def test_each_weight_weighs_its_term(name):
    option = TERMS[name][1]
    before, after = evaluated(**{option: 1.0}), evaluated(**{option: 3.0})
    for term, value in before.items():
        assert after[term] == pytest.approx(value * (3 if term == name else 1), rel=1e-5), term


@pytest.mark.parametrize(
    ("changed", "term"),
    [
        ({"temperature": 0.1}, "global alignment"),
        ({"temperature": 0.1}, "global prediction"),
        ({"local_temperature": 0.1}, "local text alignment"),
        ({"gumbel_temperature": 5.0}, "prototypes"),
        ({"prototypes": 8}, "prototypes"),
        ({"sentence_queries": 1}, "local text alignment"),
        ({"generator_layers": 2}, "sentence generation"),
    ],
)
def test_each_switch_changes_its_term(changed, term):
    assert evaluated(**changed)[term] != pytest.approx(evaluated()[term], rel=1e-3)


def test_dropout_of_channels_is_the_image_decoders():
    reconstructed = []
    for dropout in (0.0, 0.9):
        method, tokeniser = prior(alignment_steps=0, ramp_steps=0, image_dropout=dropout)
        terms = take(method, sample_batch(tokeniser))
        reconstructed.append(float(terms["image reconstruction"].detach()))
    assert reconstructed[0] != pytest.approx(reconstructed[1], rel=1e-3)


def features(method, batch):
    """What the alignment terms are made of, by the method's own modules."""
    encoded, mask = method.encode(batch), method._sentence_mask(batch.reports)
    places = encoded["map"].flatten(2).transpose(1, 2)
    image = method.image_projection(method.image_pooling(places))
    sentences = method.memory(method.sentence_projection(encoded["sentences"]))
    return image, method.patch_projection(places), sentences, mask


def naive_contrast(first, second, scale):
    """Symmetric InfoNCE of rows, in loops."""
    losses = []
    for one, other in ((first, second), (second, first)):
        for i, row in enumerate(one):
            scores = [scale * torch.cosine_similarity(row, column, dim=0) for column in other]
            losses.append(torch.stack(scores).logsumexp(0) - scores[i])
    return sum(losses) / len(losses)


def test_alignment_contrasts_reports_globally_and_sentences_within_a_report():
    method, tokeniser = prior(alignment_steps=0, ramp_steps=0, temperature=0.2, local_temperature=0.3)
    method.double().eval()
    batch = sample_batch(tokeniser)
    batch = replace(batch, images=batch.images.double())
    with torch.no_grad():
        terms = take(method, batch)
        image, patches, sentences, mask = features(method, batch)
        report = method.report_pooling(sentences, mask)
        seen, _ = method.local_attention(patches, sentences, mask)
        local = [naive_contrast(q[m], x[m], 1 / 0.3) for q, x, m in zip(sentences, seen, mask, strict=True)]
    assert {int(count) for count in mask.sum(dim=1)} == {1, 2, 3}
    assert float(terms["global alignment"]) == pytest.approx(10 * float(naive_contrast(image, report, 5.0)), rel=1e-6)
    assert float(terms["local text alignment"]) == pytest.approx(float(sum(local) / len(local)), rel=1e-6)


class Recited(torch.nn.Module):
    """Generates given sentences, in another order."""

    def __init__(self, sentences):
        super().__init__()
        self.sentences = sentences[:, [1, 2, 0]]

    def forward(self, patches):
        return self.sentences


def test_generated_sentences_are_compared_with_those_they_match():
    method, tokeniser = prior(alignment_steps=0, ramp_steps=0, temperature=0.2)
    method.double().eval()
    batch = sample_batch(tokeniser)
    batch = replace(batch, images=batch.images.double())
    with torch.no_grad():
        _, _, sentences, mask = features(method, batch)
        method.generator = Recited(sentences)
        terms = take(method, batch)
        asked = method.memory.logits(method.sentence_projection(method.encode(batch)["sentences"]))[mask]
        answered = method.memory.logits(sentences)[mask]
        divergences = [
            (p.softmax(0) * (p.log_softmax(0) - q.log_softmax(0))).sum() for p, q in zip(asked, answered, strict=True)
        ]
        reports = [method.report_pooling(rows, mask) for rows in (method.memory(sentences), sentences)]
    assert float(terms["sentence generation"]) == 0
    assert float(terms["query consistency"]) == pytest.approx(float(sum(divergences) / len(divergences)), rel=1e-6)
    assert float(terms["global prediction"]) == pytest.approx(float(naive_contrast(*reports, 5.0)), rel=1e-6)


def test_terms_do_not_depend_on_the_order_of_pairs():
    method, tokeniser = prior(alignment_steps=0, ramp_steps=0)
    method.eval()
    batch = sample_batch(tokeniser)
    rows = [3, 0, 6, 2, 5, 1, 4]
    reports = batch.reports
    shuffled = replace(
        batch,
        images=batch.images[rows],
        reports=replace(
            reports,
            **{name: getattr(reports, name)[rows] for name in ("ids", "mask", "word", "sentence")},
        ),
    )
    with torch.no_grad():
        before, after = take(method, batch), take(method, shuffled)
    for name, term in before.items():
        assert float(after[name]) == pytest.approx(float(term), rel=1e-4), name


def test_a_patch_is_one_place_of_the_image():
    method, tokeniser = prior(size=96)
    method.eval()
    batch = sample_batch(tokeniser, size=96)
    found = []
    method.patch_projection.register_forward_hook(lambda module, arguments, output: found.append(output))
    with torch.no_grad():
        encoded = method.encode(batch)
        method.loss(encoded, batch)
        encoded["map"][:, :, 1, 2] += 1
        method.loss(encoded, batch)
    changed = (found[0] != found[1]).any(dim=2)
    assert changed.tolist() == [[place == 1 * 3 + 2 for place in range(9)]] * 7


@pytest.mark.parametrize("side", ["patches", "told"])
def test_the_image_decoder_keeps_places(side):
    torch.manual_seed(0)
    decoder = ImageDecoder(8, doublings=3, dropout=0.5).eval()
    rows = {"patches": torch.randn(1, 40, 8), "told": torch.randn(1, 40, 8)}
    with torch.no_grad():
        before = decoder(**rows, height=5)
        rows[side][:, 3 * 8 + 6] += 1
        after = decoder(**rows, height=5)
    assert before.shape == (1, 1, 40, 64)
    changed = (after - before).abs()[0, 0]
    row, column = divmod(int(changed.argmax()), 64)
    assert 3 * 8 - 4 <= row < 4 * 8 + 4
    assert 6 * 8 - 4 <= column < 7 * 8 + 4
    assert not changed[:8].any()
    assert not changed[:, :24].any()


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_one_grey_channel_is_reconstructed(batch):
    decoded, images = torch.randn(batch, 1, 4, 4).double(), torch.randn(batch, 3, 4, 4).double()
    expected = [
        (decoded[i, 0, y, x] - images[i, 0, y, x]).abs() for i in range(batch) for y in range(4) for x in range(4)
    ]
    torch.testing.assert_close(reconstruction_loss(decoded, images), torch.stack(expected).mean())
    grown = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert reconstruction_loss(decoded, grown).isfinite()
    flat = torch.full((batch, 3, 9, 9), 2.0).double()
    assert float(reconstruction_loss(torch.ones(batch, 1, 4, 4).double(), flat)) == pytest.approx(1)


def test_every_query_of_the_generator_sees_every_other():
    torch.manual_seed(0)
    generator = SentenceGenerator(8, queries=4, layers=2).eval()
    patches = torch.randn(2, 5, 8)
    for query in range(4):
        (gradient,) = torch.autograd.grad(generator(patches)[:, query].square().sum(), generator.queries)
        assert gradient.any(dim=1).all(), query
    first, second = generator.layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


@pytest.mark.parametrize("reports", [[""], ["No effusion."], ["", "."], ["Normal heart. " * 5, ""]])
def test_reports_of_few_sentences_or_none_are_finite(reports):
    # At 64 pixels, so that the batch statistics of one pair's last map are over more than one cell.
    method, tokeniser = prior(size=64, alignment_steps=0, ramp_steps=0, sentence_queries=4)
    batch = replace(sample_batch(tokeniser, count=len(reports), size=64), reports=tokeniser.tokenise(reports))
    for mode in (True, False):
        method.train(mode)
        terms = take(method, batch)
        assert all(term.isfinite() for term in terms.values())
        total(terms).backward()
        assert all(value.grad.isfinite().all() for value in method.parameters() if value.grad is not None)


def test_a_report_without_a_sentence_is_its_class_token():
    method, tokeniser = prior()
    method.eval()
    batch = replace(sample_batch(tokeniser, count=2), reports=tokeniser.tokenise(["", "No effusion. Normal heart."]))
    with torch.no_grad():
        sentences = method.encode(batch)["sentences"]
        torch.testing.assert_close(sentences[0, 0], method.text(batch.reports).report[0])
    assert method._sentence_mask(batch.reports).tolist() == [[True, False], [True, True]]


def test_only_real_sentences_are_matched():
    method, tokeniser = prior(alignment_steps=0, ramp_steps=0)
    method.eval()
    batch = sample_batch(tokeniser)
    with torch.no_grad():
        encoded = method.encode(batch)
        before = method.loss(encoded, batch)
        padding = ~method._sentence_mask(batch.reports)
        encoded["sentences"][padding] = 5.0
        after = method.loss(encoded, batch)
    assert padding.any()
    for name, term in before.items():
        assert float(after[name]) == pytest.approx(float(term), rel=1e-5), name


def test_a_plain_transformer_gives_its_last_map_and_class_token():
    method, tokeniser = prior(arch="vit_tiny_patch16_224", alignment_steps=0, ramp_steps=0)
    batch = sample_batch(tokeniser)
    terms = take(method, batch)
    assert all(term.isfinite() for term in terms.values())
    with torch.no_grad():
        encoded = method.encode(batch)
        assert encoded["map"].shape == (7, 192, 2, 2)
        torch.testing.assert_close(encoded["pooled"], method.backbone.pool(batch.images))
    (gradient,) = torch.autograd.grad(terms["global alignment"], method.backbone.model.norm.weight)
    assert gradient.any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"last_stage": 0},
        {"alignment_steps": -1},
        {"ramp_steps": -1},
        {"temperature": 0.0},
        {"gumbel_temperature": -1.0},
        {"prototypes": 0},
        {"sentence_queries": 0},
        {"generator_layers": 0},
        {"image_dropout": 1.0},
    ],
)
def test_switches_that_mean_nothing_are_refused(wrong):
    with pytest.raises(VlpbenchError, match=next(iter(wrong))):
        PriorOptions(**wrong)
