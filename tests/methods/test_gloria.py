"""GLoRIA: its scores against a loop that builds every context, their memory, its switches and what it mends."""

import math
from dataclasses import replace

import pytest
import torch

from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.errors import VlpbenchError
from vlpbench.text import TokenBatch
from vlpbench_methods import region_words
from vlpbench_methods.gloria import Gloria, GloriaOptions, draw_sentences, match_both_ways, mean_words
from vlpbench_methods.region_words import region_word_scores

ATTENTION, POOLING, LOGIT = 4.0, 5.0, 10.0
WIDTH, WORDS, REGIONS = 4, 5, 3


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ragged(*lengths: int, words: int = WORDS) -> torch.Tensor:
    return torch.arange(words)[None, :] < torch.tensor(lengths)[:, None]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def cosine(one: list[float], other: list[float]) -> float:
    return dot(one, other) / math.sqrt(dot(one, one) * dot(other, other))


def naive_score(words: list[list[float]], regions: list[list[float]]) -> float:
    """One image and one report, every context built."""
    over_words = [softmax([dot(region, word) for word in words]) for region in regions]
    total = 0.0
    for place, word in enumerate(words):
        attention = softmax([ATTENTION * weights[place] for weights in over_words])
        context = [dot(attention, list(column)) for column in zip(*regions, strict=True)]
        total += math.exp(POOLING * cosine(word, context))
    return math.log(total)


def naive_matching(logits: list[list[float]]) -> float:
    """Cross-entropy of rows and of columns, added."""
    loss, count = 0.0, len(logits)
    for place in range(count):
        loss -= math.log(softmax(logits[place])[place]) / count
        loss -= math.log(softmax([row[place] for row in logits])[place]) / count
    return loss


def real(words: torch.Tensor, mask: torch.Tensor) -> list[list[list[float]]]:
    return [report[told].tolist() for report, told in zip(words, mask, strict=True)]


def scores(words, mask, regions, **memory):
    return region_word_scores(words, mask, regions, attention_scale=ATTENTION, pooling_scale=POOLING, **memory)


def features(texts: int, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    return rows(texts, WORDS, WIDTH, seed=1), rows(images, REGIONS, WIDTH, seed=2)


LENGTHS = {1: (4,), 2: (3, 5), 7: (5, 1, 3, 2, 5, 4, 1)}


@pytest.mark.parametrize("at_once", [1, 2 * WORDS * REGIONS, 2**20])
@pytest.mark.parametrize(("texts", "images"), [(1, 1), (2, 2), (7, 7), (7, 2), (1, 7)])
def test_scores_are_those_of_the_contexts(texts, images, at_once):
    words, regions = features(texts, images)
    mask = ragged(*LENGTHS[texts])
    expected = [[naive_score(report, image) for report in real(words, mask)] for image in regions.tolist()]
    found = scores(words, mask, regions, at_once=at_once)
    assert found.dtype == torch.float64
    assert found.flatten().tolist() == pytest.approx([value for row in expected for value in row], abs=1e-12)


def test_real_words_may_stand_anywhere():
    words, regions = features(2, 2)
    mask = torch.tensor([[False, True, False, True, True], [True, False, False, False, True]])
    expected = [[naive_score(report, image) for report in real(words, mask)] for image in regions.tolist()]
    assert scores(words, mask, regions).tolist() == [pytest.approx(row, abs=1e-12) for row in expected]


@pytest.mark.parametrize("kept", [0, 2 * WORDS * REGIONS, 2**20])
@pytest.mark.parametrize("at_once", [1, 2 * WORDS * REGIONS, 2**20])
def test_gradients_are_those_of_the_scores(at_once, kept):
    words, regions = features(3, 2)
    mask = torch.tensor([[True, True, True, False, False], [False, True, False, True, True], [True] + 4 * [False]])
    assert torch.autograd.gradcheck(
        lambda w, r: scores(w, mask, r, at_once=at_once, kept=kept),
        (words.requires_grad_(), regions.requires_grad_()),
    )


def test_a_second_pass_back_gives_the_same_gradient():
    """The first one uses up what was kept."""
    words, regions = (value.requires_grad_() for value in features(7, 7))
    loss = match_both_ways(LOGIT * scores(words, ragged(*LENGTHS[7]), regions))
    first = torch.autograd.grad(loss, (words, regions), retain_graph=True)
    second = torch.autograd.grad(loss, (words, regions))
    assert all(torch.allclose(one, other, rtol=0, atol=1e-14) for one, other in zip(first, second, strict=True))


def test_a_second_derivative_is_refused():
    words, regions = (value.requires_grad_() for value in features(2, 2))
    (gradient,) = torch.autograd.grad(scores(words, ragged(3, 5), regions).square().sum(), words, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.fixture
def attended(monkeypatch) -> list[bool]:
    """Whether each block computed so far used what was kept."""
    calls: list[bool] = []
    attend = region_words._attend

    def counted(block, regions, gram, attention_scale, kept=None):
        calls.append(kept is not None)
        return attend(block, regions, gram, attention_scale, kept)

    monkeypatch.setattr(region_words, "_attend", counted)
    return calls


def test_products_are_kept_only_as_far_as_allowed(attended):
    words, regions = (value.requires_grad_() for value in features(2, 3))
    block = 2 * WORDS * REGIONS
    scores(words, ragged(5, 5), regions, at_once=block, kept=2 * block).sum().backward()
    assert attended == [False] * 3 + [True, True, False]


@pytest.mark.parametrize(
    ("lengths", "blocks"), [((5, 5, 5), 1), ((1, 4, 5), 2), ((5, 3, 1), 3), ((2, 2, 3), 2), ((0, 5, 0), 2)]
)
def test_a_block_holds_reports_of_about_one_length(attended, lengths, blocks):
    words, regions = features(3, 1)
    scores(words, ragged(*lengths), regions)
    assert len(attended) == blocks


@pytest.mark.parametrize(
    ("options", "blocks", "kept"),
    [
        (GloriaOptions(), 28, 28),
        (GloriaOptions(attention_kept=0), 28, 0),
        (GloriaOptions(attention_at_once=1), 49, 49),
    ],
)
def test_switches_of_memory_reach_the_local_term(attended, options, blocks, kept):
    method, tokeniser = sample_method(Gloria, options=options)
    batch = sample_batch(tokeniser)
    method.loss(method.encode(batch), batch)["local"].backward()
    assert (len(attended), sum(attended)) == (2 * blocks, kept)


@pytest.mark.parametrize("garbage", [0.0, 100.0, -1e30, math.nan, math.inf])
def test_padding_matters_neither_to_scores_nor_to_gradients(garbage):
    mask = ragged(*LENGTHS[7])
    clean, regions = features(7, 2)
    found = []
    for filler in (7.0, garbage):
        words = clean.masked_fill(~mask[:, :, None], filler).requires_grad_()
        images = regions.clone().requires_grad_()
        value = scores(words, mask, images)
        found.append((value, *torch.autograd.grad((value * rows(2, 7, seed=5)).sum(), (words, images))))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    assert (found[1][1][~mask] == 0).all()


@pytest.mark.parametrize("at_once", [1, 2**20])
def test_a_report_without_words_scores_nothing_and_leaves_the_others_alone(at_once):
    words, regions = (value.requires_grad_() for value in features(3, 2))
    mask, told = ragged(4, 0, 2), [0, 2]
    value = scores(words, mask, regions, at_once=at_once)
    expected = scores(words[told], mask[told], regions)
    assert (value[:, 1] == -torch.inf).all()
    assert torch.allclose(value[:, told], expected, rtol=0, atol=1e-13)
    gradients = torch.autograd.grad(value.sum(), (words, regions))
    for one, other in zip(gradients, torch.autograd.grad(expected.sum(), (words, regions)), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_no_report_at_all_scores_nothing():
    words, regions = (value.requires_grad_() for value in features(1, 1))
    value = scores(words[:0], ragged(4)[:0], regions[:0])
    assert value.shape == (0, 0)
    assert match_both_ways(value).item() == 0
    match_both_ways(value).backward()
    assert (words.grad == 0).all()


def test_vectors_of_zeros_leave_everything_finite():
    words, regions = features(2, 2)
    words[0, 1], regions[1] = 0, 0
    words.requires_grad_(), regions.requires_grad_()
    value = scores(words, ragged(3, 5), regions)
    assert value[1].tolist() == pytest.approx([math.log(3), math.log(5)])
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(value.sum(), (words, regions)))


def test_large_similarities_do_not_overflow():
    words, regions = (1e3 * value for value in features(2, 2))
    found = scores(words.float(), ragged(3, 5), regions.float())
    assert torch.allclose(found.double(), scores(words, ragged(3, 5), regions), atol=1e-4)


def test_identical_reports_score_alike_and_batch_order_does_not_matter():
    words, regions = features(7, 7)
    words[4] = words[0]
    mask = ragged(*LENGTHS[7])
    value = scores(words, mask, regions)
    assert torch.allclose(value[:, 0], value[:, 4], rtol=0, atol=1e-14)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    shuffled = scores(words[order], mask[order], regions[order])
    assert torch.allclose(shuffled, value[order][:, order], rtol=0, atol=1e-13)
    assert float(match_both_ways(shuffled)) == pytest.approx(float(match_both_ways(value)), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_contrast_adds_rows_and_columns(count):
    logits = rows(count, count, seed=3)
    assert float(match_both_ways(logits)) == pytest.approx(naive_matching(logits.tolist()), abs=1e-12)


def test_bfloat16_features_give_the_scores_within_five_thousandths():
    """Features are rounded to 8 bits of mantissa; what follows is float32, backwards and inside autocast too."""
    words, regions, mask = rows(7, WORDS, 64, seed=1) / 8, rows(7, 9, 64, seed=2), ragged(*LENGTHS[7])
    rounded = [value.bfloat16().requires_grad_() for value in (words, regions)]
    with torch.autocast("cpu", torch.bfloat16):
        found = scores(rounded[0], mask, rounded[1])
        found.sum().backward()
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), scores(words, mask, regions), rtol=0, atol=0.005)
    exact = [value.detach().double().requires_grad_() for value in rounded]
    scores(exact[0], mask, exact[1]).sum().backward()
    for one, other in zip(rounded, exact, strict=True):
        assert torch.allclose(one.grad.double(), other.grad, rtol=0, atol=0.005 * float(other.grad.abs().max()))


def test_mean_words_leaves_padding_out():
    words = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [math.nan, 9.0]]])
    assert mean_words(words, ragged(2, words=3)).tolist() == [[2.0, 3.0]]


def terms(options: GloriaOptions | None = None, *, training: bool = True, batch=None) -> dict[str, float]:
    method, tokeniser = sample_method(Gloria, options=GloriaOptions() if options is None else options)
    pairs = sample_batch(tokeniser) if batch is None else batch
    torch.manual_seed(0)
    method.train(training)
    with torch.no_grad():
        found = method.loss(method.encode(pairs), pairs)
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("class_token", [False, True])
def test_terms_are_the_equations_on_what_the_towers_say(class_token):
    options = GloriaOptions(global_weight=0.5, local_weight=2.0, class_token=class_token)
    method, tokeniser = sample_method(Gloria, options=options)
    batch = sample_batch(tokeniser)
    with torch.no_grad():
        tokens = method.text(batch.reports).last_four
        torch.manual_seed(0)
        encoded = method.encode(batch)
        found = method.loss(encoded, batch)
        images = method.image_head(encoded["image"]).tolist()
        regions = method.patch_head(encoded["patches"]).tolist()
    assert len(regions[0]) == 4
    reports = []
    for row in range(len(batch)):
        numbers = batch.reports.word[row].tolist()
        places = [[k for k, number in enumerate(numbers) if number == word] for word in range(max(numbers) + 1)]
        spoken = [tokens[row, at].sum(dim=0).tolist() for at in places]
        reports.append([tokens[row, 0].tolist(), *spoken] if class_token else spoken)
    means = [[sum(column) / len(report) for column in zip(*report, strict=True)] for report in reports]
    logits = [[LOGIT * cosine(image, mean) for mean in means] for image in images]
    assert float(found["global"]) == pytest.approx(0.5 * naive_matching(logits), rel=1e-4)
    logits = [[LOGIT * naive_score(report, image) for report in reports] for image in regions]
    assert float(found["local"]) == pytest.approx(2.0 * naive_matching(logits), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (GloriaOptions(global_weight=2.0), {"global"}),
        (GloriaOptions(local_weight=2.0), {"local"}),
        (GloriaOptions(attention_scale=8.0), {"local"}),
        (GloriaOptions(pooling_scale=1.0), {"local"}),
        (GloriaOptions(logit_scale=5.0), {"global", "local"}),
        (GloriaOptions(class_token=True), {"global", "local"}),
        (GloriaOptions(drawn_sentence=True), {"global", "local"}),
        (GloriaOptions(local_stride=8), {"local"}),
        (GloriaOptions(local_input_size=48), {"global", "local"}),
        (GloriaOptions(attention_at_once=1), set()),
        (GloriaOptions(attention_kept=0), set()),
    ],
)
def test_each_switch_changes_its_terms(options, changed):
    plain, found = terms(), terms(options)
    assert {name for name in plain if found[name] != pytest.approx(plain[name], rel=1e-5)} == changed


@pytest.mark.parametrize(("off", "left"), [("global_weight", "local"), ("local_weight", "global")])
def test_a_term_of_weight_zero_is_left_out(off, left):
    assert terms(GloriaOptions(**{off: 0.0})) == {left: pytest.approx(terms()[left], rel=1e-6)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"global_weight": -1.0},
        {"global_weight": 0.0, "local_weight": 0.0},
        {"attention_scale": 0.0},
        {"pooling_scale": math.nan},
        {"logit_scale": -1.0},
        {"attention_at_once": 0},
        {"attention_kept": -1},
        {"local_input_size": -1},
    ],
)
def test_options_that_mean_nothing_are_refused(wrong):
    with pytest.raises(VlpbenchError, match=next(iter(wrong))):
        GloriaOptions(**wrong)


def test_a_pair_without_words_takes_part_in_neither_contrast():
    method, tokeniser = sample_method(Gloria)
    batch = sample_batch(tokeniser)
    with torch.no_grad():
        encoded = method.eval().encode(batch)
    mute = batch.reports.word.clone()
    mute[2] = -1
    others = [0, 1, 3, 4, 5, 6]
    reports = replace(batch.reports, word=mute)
    fewer = TokenBatch(*(value[others] for value in (reports.ids, reports.mask, mute, reports.sentence)), 99, 9)
    fewer = replace(fewer, words=reports.words, sentences=reports.sentences)
    found = method.loss(encoded, replace(batch, reports=reports))
    expected = method.loss({name: value[others] for name, value in encoded.items()}, replace(batch, reports=fewer))
    for name in ("global", "local"):
        assert float(found[name].detach()) == pytest.approx(float(expected[name].detach()), rel=1e-5)
        assert float(found[name].detach()) != pytest.approx(float(method.loss(encoded, batch)[name].detach()), rel=1e-4)


def test_without_any_word_the_terms_are_zero_and_have_gradients():
    method, tokeniser = sample_method(Gloria)
    batch = sample_batch(tokeniser)
    mute = replace(batch, reports=replace(batch.reports, word=torch.full_like(batch.reports.word, -1)))
    found = method.loss(method.encode(mute), mute)
    assert [float(value.detach()) for value in found.values()] == [0.0, 0.0]
    sum(found.values()).backward()
    assert all(bool((value.grad == 0).all()) for value in method.backbone.parameters())


def test_sentences_are_drawn_among_those_with_words():
    _, tokeniser = sample_method(Gloria)
    reports = tokeniser.tokenise(["A small effusion. Normal heart. Clear.", "Opacities.", "!", "Ah. (?)"])
    torch.manual_seed(0)
    drawn = {tuple(draw_sentences(reports)[0].tolist()) for _ in range(40)}
    width = reports.words
    sentences = [[0, 1, 2], [3, 4], [5]]
    assert drawn == {tuple(word in words for word in range(width)) for words in sentences}
    for _ in range(10):
        rest = draw_sentences(reports)[1:]
        assert rest.tolist() == reports.word_mask[1:].tolist()


def test_sentences_are_drawn_in_training_alone():
    switched, plain = (GloriaOptions(drawn_sentence=on) for on in (True, False))
    assert terms(switched, training=False) == terms(plain, training=False)


def test_the_patch_projection_has_no_bias_and_the_image_projection_has():
    method, _ = sample_method(Gloria)
    assert method.patch_head.bias is None
    assert method.image_head.bias is not None
