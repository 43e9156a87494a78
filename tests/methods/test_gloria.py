"""GLoRIA: its terms against loops written from the equations, its switches and what it mends."""

import math
from dataclasses import replace

import pytest
import torch

from tests.methods.naive_region_words import cosine, naive_score, ragged, rows, softmax
from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.errors import VlpbenchError
from vlpbench.text import TokenBatch
from vlpbench_methods import region_words
from vlpbench_methods.gloria import Gloria, GloriaOptions, draw_sentences, match_both_ways, mean_words

LOGIT = 10.0


def naive_matching(logits: list[list[float]]) -> float:
    """Cross-entropy of rows and of columns, added."""
    loss, count = 0.0, len(logits)
    for place in range(count):
        loss -= math.log(softmax(logits[place])[place]) / count
        loss -= math.log(softmax([row[place] for row in logits])[place]) / count
    return loss


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_contrast_adds_rows_and_columns(count):
    logits = rows(count, count, seed=3)
    assert float(match_both_ways(logits)) == pytest.approx(naive_matching(logits.tolist()), abs=1e-12)


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
