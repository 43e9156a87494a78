"""Text encoders: any of Hugging Face by name or path, or a small BERT from scratch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from vlpbench.errors import VlpbenchError
from vlpbench.text import TextTower
from vlpbench.tokens import Tokeniser, wordpiece_tokenizer

SCRATCH_LAYERS = 2
SCRATCH_HEADS = 4
SCRATCH_WIDENING = 4


def hugging_face_encoder(name: str, *, layers: int, max_tokens: int) -> tuple[TextTower, Tokeniser]:
    """Load an encoder and its tokenizer; no code of the repository is run.

    Weights come from safetensors where there are any. Older repositories (Bio_ClinicalBERT) have only
    `pytorch_model.bin`, which goes through PyTorch's restricted unpickler: it makes tensors and nothing else.

    Args:
        name: Hugging Face name, or path of a folder with `config.json`, weights and the tokenizer's files.
        layers: layers to keep, counted from the input; 0 for all.
        max_tokens: longest report, tokens.

    Raises:
        VlpbenchError: if it cannot be had, has fewer layers than asked for, or takes fewer tokens.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        with quietly():
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, trust_remote_code=False)
            _check(config, name, layers, max_tokens)
            if layers:
                config.num_hidden_layers = layers
            encoder = AutoModel.from_pretrained(
                name, config=config, attn_implementation="eager", weights_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, ImportError, RuntimeError, UnpicklingError) as error:
        raise _unreachable(name, error) from error
    return TextTower(encoder.float()), Tokeniser(tokenizer, max_tokens)


def scratch_encoder(
    texts: Sequence[str], *, vocabulary: int, width: int, max_tokens: int
) -> tuple[TextTower, Tokeniser]:
    """Build a small BERT with random weights, drawn from the global generator, and a WordPiece vocabulary of the texts.

    Two layers, four heads, no dropout; the initialisation is the library's own (normal, standard deviation 0.02).

    Args:
        texts: what the vocabulary is learnt from.
        vocabulary: number of tokens.
        width: of the vectors, a multiple of four.
        max_tokens: longest report, tokens.

    Raises:
        VlpbenchError: if the width cannot be split into four heads.
    """
    from transformers import AutoModel, BertConfig

    if width < SCRATCH_HEADS or width % SCRATCH_HEADS:
        raise VlpbenchError(f"Recipe setting text_width = {width}: expected a multiple of {SCRATCH_HEADS}.")
    tokenizer = wordpiece_tokenizer(texts, vocabulary=vocabulary)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=SCRATCH_LAYERS,
        num_attention_heads=SCRATCH_HEADS,
        intermediate_size=SCRATCH_WIDENING * width,
        max_position_embeddings=max_tokens,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    encoder = AutoModel.from_config(config, attn_implementation="eager", add_pooling_layer=False)
    return TextTower(encoder), Tokeniser(tokenizer, max_tokens)


def save_encoder(tower: TextTower, tokeniser: Tokeniser, folder: Path) -> None:
    """Write encoder and tokenizer as Hugging Face does, so that `text_model = folder` loads them."""
    with quietly():
        tower.encoder.save_pretrained(folder)
        tokeniser.tokenizer.save_pretrained(folder)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers' progress bars and loading reports off the terminal."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _check(config: Any, name: str, layers: int, max_tokens: int) -> None:
    depth = int(getattr(config, "num_hidden_layers", 0))
    if layers > depth:
        raise VlpbenchError(f"Recipe setting text_layers = {layers}: {name} has {depth} layers.")
    positions = int(getattr(config, "max_position_embeddings", max_tokens))
    if max_tokens > positions:
        raise VlpbenchError(f"Recipe setting max_tokens = {max_tokens}: {name} takes {positions} tokens.")


def _unreachable(name: str, error: Exception) -> VlpbenchError:
    """Say what went wrong in one line, and the ways out."""
    reason = str(error).strip().split("\n")[0].rstrip(".")
    where = (
        f"The folder {name} is no text encoder"
        if Path(name).is_dir()
        else (f"The text encoder {name!r} is neither a local folder nor to be had from Hugging Face")
    )
    return VlpbenchError(
        f"{where}: {reason}. Two ways out: a folder that Hugging Face transformers wrote, "
        "--set text_model=/path/to/folder; or a small BERT trained from scratch, --set text_model=scratch."
    )
