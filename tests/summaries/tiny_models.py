"""Language models small enough for a test: random weights, a tokenizer of whole words."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from vlpbench.summaries.prompt import ask

REPORTS = (
    "FINDINGS: Large left pleural effusion. IMPRESSION: Effusion.",
    "Normal.",
    "Small right apical pneumothorax without shift, unchanged since the last study of the same patient.",
    "Normal heart size.",
)
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
TURNS = (
    "<s> user {% for turn in messages %}{{ turn['content'] }}{% endfor %} "
    "{% if add_generation_prompt %}assistant{% endif %}"
    "{% if enable_thinking is defined %} {{ enable_thinking }}{% endif %}"
)


def word_tokenizer(*, chat: bool = False, padding: bool = True) -> PreTrainedTokenizerFast:
    """Every word of the prompt and the reports; `<s>` is put before a text."""
    words = sorted({word for report in REPORTS for word in ask(report).split()} | {"user", "assistant", "False"})
    tokens = Tokenizer(WordLevel({word: number for number, word in enumerate([*SPECIAL, *words])}, unk_token="<unk>"))
    tokens.pre_tokenizer = WhitespaceSplit()
    tokens.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    names = {
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        **({"pad_token": "<pad>"} if padding else {}),
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, **names)
    if chat:
        tokenizer.chat_template = TURNS
    return tokenizer


def write_gpt2(folder: Path, *, positions: int = 300, padding: bool = True) -> Path:
    """A causal model with learnt positions, so that padding on the wrong side shows."""
    tokenizer = word_tokenizer(padding=padding)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=positions,
        n_embd=16,
        n_layer=1,
        n_head=2,
        initializer_range=0.5,
        bos_token_id=2,
        eos_token_id=3,
    )
    return _save(GPT2LMHeadModel(config), tokenizer, folder)


def write_llama(folder: Path) -> Path:
    """A causal model whose tokenizer knows turns."""
    tokenizer = word_tokenizer(chat=True)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=300,
        initializer_range=0.5,
        bos_token_id=2,
        eos_token_id=3,
    )
    return _save(LlamaForCausalLM(config).to(torch.bfloat16), tokenizer, folder)


def write_t5(folder: Path) -> Path:
    """An encoder-decoder model without a limit of positions, whose answers start with the end token, as BART's do."""
    tokenizer = word_tokenizer()
    torch.manual_seed(2)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        initializer_factor=20.0,
        pad_token_id=0,
        eos_token_id=3,
        decoder_start_token_id=3,
    )
    return _save(T5ForConditionalGeneration(config), tokenizer, folder)


def _save(model, tokenizer, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
