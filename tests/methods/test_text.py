"""The text tower, spans of tokens and text encoders."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, BertConfig

from vlpbench.encoders import hugging_face_encoder, save_encoder, scratch_encoder
from vlpbench.errors import VlpbenchError
from vlpbench.text import TextTower, TokenBatch, span_means, span_sums

TEXTS = (
    "Small left-sided pleural effusion.",
    "No pneumothorax, no consolidation; heart size is normal.",
    "Unremarkable.",
    "...",
)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(1)
    tower, tokeniser = scratch_encoder(TEXTS, vocabulary=60, width=16, max_tokens=40)
    return tower.eval(), tokeniser


def test_words_sum_their_own_sub_words_and_attention(encoder):
    tower, tokeniser = encoder
    batch = tokeniser.tokenise(TEXTS)
    with torch.no_grad():
        features = tower(batch)
        raw = tower.encoder(input_ids=batch.ids, attention_mask=batch.mask.long(), output_attentions=True)
    attention = raw.attentions[-1].mean(dim=1)[:, 0]
    words = span_sums(features.tokens, batch.word, batch.words)
    assert torch.equal(features.report, raw.last_hidden_state[:, 0])
    assert torch.equal(features.tokens, raw.last_hidden_state)
    assert (batch.word == 3).sum() > 3, "the texts have a word of several sub-words"
    for row in range(len(TEXTS)):
        for number in range(batch.words):
            vector, weight = torch.zeros(16), 0.0
            for position in range(batch.ids.shape[1]):
                if batch.word[row, position] == number:
                    vector = vector + raw.last_hidden_state[row, position]
                    weight += float(attention[row, position])
            assert torch.allclose(words[row, number], vector, atol=1e-5)
            assert float(features.word_attention[row, number]) == pytest.approx(weight, abs=1e-6)


def test_attention_is_detached_and_tokens_are_not(encoder):
    tower, tokeniser = encoder
    features = tower(tokeniser.tokenise(TEXTS))
    assert features.tokens.requires_grad
    assert features.last_four.requires_grad
    assert not features.word_attention.requires_grad


def test_padding_changes_no_feature(encoder):
    tower, tokeniser = encoder
    alone, together = tokeniser.tokenise(TEXTS[:1]), tokeniser.tokenise(TEXTS)
    assert alone.ids.shape[1] < together.ids.shape[1]
    with torch.no_grad():
        one, many = tower(alone), tower(together)
    assert torch.allclose(one.report[0], many.report[0], atol=1e-5)
    assert torch.allclose(one.last_four[0], many.last_four[0, : one.last_four.shape[1]], atol=1e-5)
    assert torch.allclose(one.word_attention[0], many.word_attention[0, : alone.words], atol=1e-6)
    assert (many.word_attention[0, alone.words :] == 0).all()
    words = span_sums(many.tokens, together.word, together.words)
    assert not together.word_mask[3].any()
    assert (words[3] == 0).all()


@pytest.mark.parametrize(("layers", "summed"), [(2, 2), (4, 4), (6, 4)])
def test_the_last_four_layers_are_added_up_or_as_many_as_there_are(layers, summed):
    config = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=8
    )
    tower = TextTower(AutoModel.from_config(config, attn_implementation="eager", add_pooling_layer=False)).eval()
    ids = torch.tensor([[1, 2, 3], [4, 5, 0]])
    none = torch.full_like(ids, -1)
    with torch.no_grad():
        found = tower(TokenBatch(ids, ids > 0, none, none, 1, 1)).last_four
        states = tower.encoder(input_ids=ids, attention_mask=(ids > 0).long(), output_hidden_states=True).hidden_states
    assert len(states) == layers + 1
    assert torch.allclose(found, sum(states[layers + 1 - summed :]), atol=1e-5)


def test_a_part_keeps_padding_words_and_sentences(encoder):
    tower, tokeniser = encoder
    batch = tokeniser.tokenise([*TEXTS[:2], "Clear lungs. Normal heart."])
    part = batch.part(slice(0, 1))
    assert len(part) == 1
    assert part.ids.shape == (1, batch.ids.shape[1])
    assert (part.words, part.sentences) == (batch.words, batch.sentences) == (8, 2)
    assert part.word_mask.shape == (1, 8)
    assert part.sentence_mask.tolist() == [[True, False]]
    with torch.no_grad():
        assert torch.allclose(tower(part).tokens[0], tower(batch).tokens[0], atol=1e-5)
        assert tower(part).word_attention.shape == (1, 8)


def test_moving_and_emptiness():
    none = TokenBatch.empty()
    assert len(none) == 0
    assert none.word_mask.shape == (0, 1)
    assert none.part(slice(0, 3)).ids.shape == none.to(torch.device("cpu")).ids.shape == (0, 1)


def naive_spans(vectors, span, count, *, mean):
    found = torch.zeros(len(vectors), count, vectors.shape[2], dtype=vectors.dtype)
    for row in range(len(vectors)):
        for number in range(count):
            own = [vectors[row, k] for k in range(vectors.shape[1]) if span[row, k] == number]
            if own:
                found[row, number] = sum(own) / (len(own) if mean else 1)
    return found


SPANS = torch.tensor([[-1, 0, 0, 1, 2, -1], [-1, 0, 1, 1, 1, 0], [-1, -1, -1, -1, -1, -1]])


@pytest.mark.parametrize(("function", "mean"), [(span_sums, False), (span_means, True)])
def test_vectors_of_spans_are_sums_and_means(function, mean):
    vectors = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = function(vectors, SPANS, 5)
    assert found.dtype == torch.float64
    assert torch.allclose(found, naive_spans(vectors, SPANS, 5, mean=mean), atol=1e-12)
    assert (found[:, 3:] == 0).all()
    assert (found[2] == 0).all()
    changed = torch.where(SPANS[:, :, None] < 0, 100.0, vectors)
    assert torch.equal(function(changed, SPANS, 5), found)
    assert torch.autograd.gradcheck(lambda v: function(v, SPANS, 5), vectors.requires_grad_())


@pytest.mark.parametrize("function", [span_sums, span_means])
def test_vectors_of_spans_are_float32_at_least(function):
    rounded = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = function(rounded, SPANS, 3)
    assert found.dtype == torch.float32
    assert torch.allclose(found, function(rounded.float(), SPANS, 3), atol=1e-6)


def test_masks_are_true_up_to_the_last_word_and_sentence():
    batch = TokenBatch(torch.zeros_like(SPANS), SPANS >= 0, SPANS, SPANS.clamp(max=1), 4, 3)
    assert batch.word_mask.tolist() == [[True, True, True, False], [True, True, False, False], [False] * 4]
    assert batch.sentence_mask.tolist() == [[True, True, False], [True, True, False], [False] * 3]


def test_lower_layers_are_frozen_and_a_frozen_tower_stays_so():
    tower, _ = scratch_encoder(TEXTS, vocabulary=60, width=16, max_tokens=40)
    tower.freeze_lowest(1)
    idle = {name for name, parameter in tower.named_parameters() if not parameter.requires_grad}
    assert idle
    assert all(name.startswith("encoder.embeddings.") or ".layer.0." in name for name in idle)
    assert any(".layer.0." in name for name in idle)
    assert tower.freeze().train() is tower
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert not any(module.training for module in tower.modules())


def test_a_local_bert_is_loaded_by_its_path(encoder, tmp_path):
    tower, tokeniser = encoder
    save_encoder(tower, tokeniser, tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    again, tokens = hugging_face_encoder(str(tmp_path), layers=0, max_tokens=40)
    batch = tokens.tokenise(TEXTS)
    assert torch.equal(batch.ids, tokeniser.tokenise(TEXTS).ids)
    with torch.no_grad():
        found = again.eval()(batch)
        expected = tower(batch)
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.equal(found.word_attention, expected.word_attention)
    cut, _ = hugging_face_encoder(str(tmp_path), layers=1, max_tokens=40)
    assert cut.layers == len(cut.encoder.encoder.layer) == 1
    assert torch.equal(
        cut.encoder.encoder.layer[0].attention.self.query.weight,
        tower.encoder.encoder.layer[0].attention.self.query.weight,
    )


def test_weights_of_older_repositories_are_read_without_running_a_pickle(encoder, tmp_path):
    tower, tokeniser = encoder
    save_encoder(tower, tokeniser, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(tower.encoder.state_dict(), tmp_path / "pytorch_model.bin")
    again, _ = hugging_face_encoder(str(tmp_path), layers=0, max_tokens=40)
    read = again.encoder.state_dict()
    for name, tensor in tower.encoder.state_dict().items():
        assert torch.equal(read[name], tensor)


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def test_a_pickle_that_would_run_code_is_refused(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tower, tokeniser = encoder
    save_encoder(tower, tokeniser, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weight": Malicious()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(VlpbenchError, match="is no text encoder"):
        hugging_face_encoder(str(tmp_path), layers=0, max_tokens=40)
    assert not Path("executed").exists()


def test_an_unreachable_model_names_the_ways_out(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(VlpbenchError) as caught:
        hugging_face_encoder("somebody/no-such-model", layers=0, max_tokens=40)
    message = str(caught.value)
    assert "somebody/no-such-model" in message
    assert "--set text_model=/path/to/folder" in message
    assert "--set text_model=scratch" in message


def test_a_folder_without_an_encoder_is_named(tmp_path):
    with pytest.raises(VlpbenchError, match="is no text encoder"):
        hugging_face_encoder(str(tmp_path), layers=0, max_tokens=40)


def test_more_layers_or_tokens_than_there_are(encoder, tmp_path):
    save_encoder(*encoder, tmp_path)
    with pytest.raises(VlpbenchError, match=r"text_layers = 3.*has 2 layers"):
        hugging_face_encoder(str(tmp_path), layers=3, max_tokens=40)
    with pytest.raises(VlpbenchError, match=r"max_tokens = 41.*takes 40 tokens"):
        hugging_face_encoder(str(tmp_path), layers=0, max_tokens=41)
    with pytest.raises(VlpbenchError, match="text_width = 18"):
        scratch_encoder(TEXTS, vocabulary=60, width=18, max_tokens=40)


def test_a_pooler_is_not_trained():
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    tower = TextTower(AutoModel.from_config(config, attn_implementation="eager"))
    idle = {name for name, parameter in tower.named_parameters() if not parameter.requires_grad}
    assert idle == {"encoder.pooler.dense.weight", "encoder.pooler.dense.bias"}
