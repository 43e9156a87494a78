"""Local language models: greedy answers, one report at a time or many at once."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, BertConfig, BertForMaskedLM

from tests.summaries.tiny_models import REPORTS, word_tokenizer, write_gpt2, write_llama, write_t5
from vlpbench.errors import VlpbenchError
from vlpbench.summaries.hugging_face import HuggingFaceWriter
from vlpbench.summaries.prompt import ask
from vlpbench.summaries.writer import Answer, Failure

TOKENS = 6


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return write_gpt2(tmp_path_factory.mktemp("gpt2"))


def writer(folder, tokens=TOKENS):
    return HuggingFaceWriter(str(folder), device="cpu", max_new_tokens=tokens)


@torch.no_grad()
def greedy_decoder(folder, text, *, bare=True, tokens=TOKENS):
    """The most likely next word, over and over."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(text, add_special_tokens=bare)["input_ids"]
    new = []
    while len(new) < tokens and 3 not in new:
        new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    return tokenizer.decode(new, skip_special_tokens=True), 3 not in new


@torch.no_grad()
def greedy_encoder_decoder(folder, text):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    new = [3]
    while len(new) <= TOKENS and 3 not in new[1:]:
        new.append(int(model(input_ids=ids, decoder_input_ids=torch.tensor([new])).logits[0, -1].argmax()))
    return tokenizer.decode(new, skip_special_tokens=True), 3 not in new[1:]


def assert_answers(answers, expected):
    assert [(answer.summary, answer.cut) for answer in answers] == expected
    assert len({summary for summary, _ in expected}) > 1, "the model answers everything alike; the test shows nothing"


@pytest.mark.parametrize("batch", [1, 4])
def test_a_causal_model_decodes_greedily_whatever_stands_beside_a_report(gpt2, batch):
    scribe = writer(gpt2)
    answers = [answer for start in range(0, 4, batch) for answer in scribe.write(REPORTS[start : start + batch])]
    assert_answers(answers, [greedy_decoder(gpt2, ask(report)) for report in REPORTS])


def test_an_encoder_decoder_model_decodes_greedily(tmp_path):
    folder = write_t5(tmp_path)
    assert_answers(writer(folder).write(REPORTS), [greedy_encoder_decoder(folder, ask(report)) for report in REPORTS])


def test_a_chat_template_is_used_once_and_thinking_is_off(tmp_path, monkeypatch):
    folder = write_llama(tmp_path)
    scribe = writer(folder)
    texts = [f"<s> user {ask(report)} assistant False" for report in REPORTS]
    expected = [greedy_decoder(folder, text, bare=False) for text in texts]
    generate, given = scribe._loaded[1].generate, []
    monkeypatch.setattr(
        scribe._loaded[1],
        "generate",
        lambda **inputs: given.append(inputs["input_ids"][0].tolist()) or generate(**inputs),
    )
    assert_answers([answer for report in REPORTS for answer in scribe.write([report])], expected)
    assert given == word_tokenizer()(texts, add_special_tokens=False)["input_ids"], "one <s>, not two"
    assert scribe.facts["precision"] == "bfloat16", "the weights keep the number format they were saved in"


def test_settings_of_the_repository_do_not_change_the_decoding(gpt2, tmp_path):
    folder = shutil.copytree(gpt2, tmp_path / "model")
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {"do_sample": True, "temperature": 50.0, "num_beams": 2, "min_new_tokens": 9, "no_repeat_ngram_size": 1}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert_answers(writer(folder).write(REPORTS), [greedy_decoder(gpt2, ask(report)) for report in REPORTS])


def test_an_answer_that_ends_by_itself_is_not_cut_and_every_end_token_counts(gpt2, tmp_path):
    words = greedy_decoder(gpt2, ask(REPORTS[0]))[0].split()
    folder = shutil.copytree(gpt2, tmp_path / "model")
    end = AutoTokenizer.from_pretrained(gpt2).convert_tokens_to_ids(words[-1])
    assert words[-1] not in words[:-1]
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": [3, end]}))
    longer = writer(folder, tokens=12).write(REPORTS[:1])
    assert longer == [Answer(" ".join(words), cut=False)]
    assert writer(gpt2, tokens=12).write(REPORTS[:1])[0].cut


def test_a_tokenizer_without_padding_pads_with_its_end_token(tmp_path):
    folder = write_gpt2(tmp_path, padding=False)
    assert_answers(writer(folder).write(REPORTS), [greedy_decoder(folder, ask(report)) for report in REPORTS])


def test_a_report_that_does_not_fit_fails_alone(tmp_path):
    long = "Normal. " * 100
    folder = write_gpt2(tmp_path, positions=120)
    answers = writer(folder).write([REPORTS[0], long, REPORTS[1]])
    assert isinstance(answers[1], Failure)
    length = 1 + len(ask(long).split())
    assert f"{length} tokens with the prompt" in answers[1].reason
    assert f"takes {120 - TOKENS} beside its answer" in answers[1].reason
    assert not answers[1].fatal
    expected = [greedy_decoder(folder, ask(report)) for report in REPORTS[:2]]
    assert [(answer.summary, answer.cut) for answer in (answers[0], answers[2])] == expected
    exact = "Normal. " * (120 - TOKENS - 1 - len(ask("").split()))
    assert isinstance(writer(folder).write([exact])[0], Answer)
    assert isinstance(writer(folder).write([exact + "Normal."])[0], Failure)


def test_the_identity_of_a_folder_is_what_is_in_it(gpt2, tmp_path):
    moved = shutil.copytree(gpt2, tmp_path / "elsewhere")
    (moved / "README.md").write_text("A note.")
    assert writer(moved).identity == writer(gpt2).identity
    assert writer(gpt2, tokens=7).identity != writer(gpt2).identity
    weights = bytearray((moved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (moved / "model.safetensors").write_bytes(weights)
    assert writer(moved).identity != writer(gpt2).identity
    assert writer(moved).model == "elsewhere"


@pytest.mark.parametrize("given", ["ward/scribe", "ward/scribe@main", "ward/scribe@" + "c" * 40])
def test_a_name_is_pinned_to_the_commit_it_stands_for(gpt2, tmp_path, monkeypatch, given):
    commit = "c" * 40
    repository = tmp_path / "models--ward--scribe"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(gpt2, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    scribe = writer(given)
    assert scribe.identity["model"] == "ward/scribe"
    assert scribe.identity["revision"] == commit
    (repository / "refs" / "main").unlink()
    assert_answers(scribe.write(REPORTS), [greedy_decoder(gpt2, ask(report)) for report in REPORTS])


def test_a_model_that_cannot_be_had_or_cannot_write_is_refused_with_ways_out(tmp_path):
    with pytest.raises(VlpbenchError, match=r"'ward/none' is neither a local folder nor .*--with impression"):
        writer("ward/none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VlpbenchError, match=r"folder .*empty is no language model"):
        writer(tmp_path / "empty")
    tokenizer = word_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(VlpbenchError, match="BertForMaskedLM reads text and writes none"):
        writer(tmp_path / "bert")


def test_a_model_without_room_for_an_answer_is_refused(gpt2):
    with pytest.raises(VlpbenchError, match="no room for an answer of 300 tokens"):
        writer(gpt2, tokens=300)


def test_code_of_a_repository_is_not_run(gpt2, tmp_path):
    folder = shutil.copytree(gpt2, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "strange.Config", "AutoModelForCausalLM": "strange.M"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "strange.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(VlpbenchError, match="is no language model"):
        writer(folder).write(REPORTS[:1])
    assert not (tmp_path / "ran").exists()


def test_memory_that_does_not_suffice_is_told_with_the_way_out(gpt2, monkeypatch):
    scribe = writer(gpt2)
    scribe.write(REPORTS[:1])

    def burst(**_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(scribe._loaded[1], "generate", burst)
    with pytest.raises(VlpbenchError, match=r"2 reports at a time\. Use a smaller --batch"):
        scribe.write(REPORTS[:2])
