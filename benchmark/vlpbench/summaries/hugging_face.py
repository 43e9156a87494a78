"""Summaries by a Hugging Face model on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from vlpbench.canonical import content_hash, file_sha256
from vlpbench.encoders import quietly
from vlpbench.errors import VlpbenchError
from vlpbench.summaries.prompt import MAX_NEW_TOKENS, PROMPT, ask, clean_answer
from vlpbench.summaries.writer import Answer, Failure, Writer

MODEL_FILES = {".json", ".safetensors", ".bin", ".model", ".txt", ".jinja"}
GENERATORS = ("ForCausalLM", "LMHead", "ForConditionalGeneration")
KEPT_TOKENS = ("bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
UNUSABLE = (OSError, ValueError, ImportError, RuntimeError, UnpicklingError)


class HuggingFaceWriter(Writer):
    """A causal or an encoder-decoder model, decoded greedily; no code of its repository is run.

    Weights come from safetensors where there are any, else through PyTorch's restricted unpickler, and keep the number
    format they were saved in.
    """

    way = "hf"
    prompt = PROMPT

    def __init__(self, name: str, *, device: str, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        """Find the model's configuration; the weights are loaded when the first report is summarised.

        Args:
            name: folder, or Hugging Face name with or without `@revision`.
            device: "cpu", "cuda" or "cuda:1".
            max_new_tokens: room for an answer.

        Raises:
            VlpbenchError: if it cannot be had, or is no model that writes.
        """
        self.device = device
        self.max_new_tokens = max_new_tokens
        self._facts: dict[str, object] = {}
        self.folder = Path(name) if Path(name).is_dir() else None
        self.name, _, revision = (name, "", "") if self.folder is not None else name.partition("@")
        self.model = self.folder.resolve().name if self.folder is not None else self.name
        from transformers import AutoConfig

        try:
            with quietly():
                self.revision = None if self.folder is not None else _commit(self.name, revision)
                self._config = AutoConfig.from_pretrained(self.name, revision=self._at, trust_remote_code=False)
        except UNUSABLE as error:
            raise self._unreachable(error) from error
        architectures = self._config.architectures or []
        if architectures and not any(mark in each for each in architectures for mark in GENERATORS):
            raise self._unreachable(ValueError(f"{architectures[0]} reads text and writes none"))
        if self._room <= 0:
            raise self._unreachable(ValueError(f"it has no room for an answer of {max_new_tokens} tokens"))

    @cached_property
    def identity(self) -> Mapping[str, object]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Commit of the repository, or a hash of the folder's files, which takes seconds a gigabyte."""
        version: dict[str, object] = {"revision": self.revision}
        if self.folder is not None:
            files = sorted(path for path in self.folder.iterdir() if path.is_file() and path.suffix in MODEL_FILES)
            version = {"weights": content_hash({path.name: file_sha256(path) for path in files}, 16)}
        # A folder's name says nothing of what is in it.
        named = {} if self.folder is not None else {"model": self.name}
        settings = {"decoding": "greedy", "max_new_tokens": self.max_new_tokens}
        return {"way": self.way, **named, **version, "settings": settings}

    @property
    def facts(self) -> Mapping[str, object]:
        """Device, number format and versions, once the model is loaded."""
        return self._facts

    def write(self, reports: Sequence[str]) -> list[Answer | Failure]:
        """Generate the answers of a batch at once; a report that does not fit the model fails alone.

        Raises:
            VlpbenchError: if the weights cannot be had or memory does not suffice.
        """
        import torch

        tokenizer, _ = self._loaded
        texts = [self._wrapped(report) for report in reports]
        lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=self._bare)["input_ids"]]
        fitting = [row for row, length in enumerate(lengths) if length <= self._room]
        try:
            answers = iter(self._generate([texts[row] for row in fitting]) if fitting else ())
        except torch.OutOfMemoryError as error:
            raise VlpbenchError(
                f"The memory of {self.device} does not suffice for {self.model} and {len(fitting)} reports at a time. "
                "Use a smaller --batch, or a smaller model; what was written stays."
            ) from error
        too_long = f"{{}} tokens with the prompt, and {self.model} takes {self._room} beside its answer"
        return [next(answers) if length <= self._room else Failure(too_long.format(length)) for length in lengths]

    @property
    def _at(self) -> str:
        return self.revision if self.revision is not None else "main"

    @property
    def _bare(self) -> bool:
        """Whether the tokenizer adds its own special tokens, which a chat template has already."""
        return self._loaded[0].chat_template is None

    @property
    def _room(self) -> float:
        """Longest prompt, tokens: an encoder's positions, or what a decoder's leave beside the answer."""
        positions = getattr(self._config.get_text_config(), "max_position_embeddings", None)
        if positions is None:
            return float("inf")
        return int(positions) - (0 if self._config.is_encoder_decoder else self.max_new_tokens)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model."""
        import torch
        import transformers
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

        kind = AutoModelForSeq2SeqLM if self._config.is_encoder_decoder else AutoModelForCausalLM
        try:
            with quietly():
                tokenizer = AutoTokenizer.from_pretrained(self.name, revision=self._at, trust_remote_code=False)
                model: Any = kind.from_pretrained(
                    self.name, revision=self._at, weights_only=True, trust_remote_code=False
                )
                model.to(self.device)
        except UNUSABLE as error:
            raise self._unreachable(error) from error
        # A decoder goes on from the end of the prompt, so padding stands before it.
        tokenizer.padding_side = "right" if self._config.is_encoder_decoder else "left"
        if tokenizer.pad_token is None:
            if tokenizer.eos_token is None:
                raise self._unreachable(ValueError("its tokenizer has neither a padding nor an end token"))
            tokenizer.pad_token = tokenizer.eos_token
        # Of the repository's own settings (sampling, beams, least length) only the token ids are kept.
        kept = {name: getattr(model.generation_config, name) for name in KEPT_TOKENS}
        if kept["eos_token_id"] is None:
            kept["eos_token_id"] = tokenizer.eos_token_id
        model.generation_config = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            **{name: value for name, value in kept.items() if value is not None},
        )
        self._facts = {
            "device": self.device,
            "precision": str(model.dtype).removeprefix("torch."),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        return tokenizer, model.eval()

    def _wrapped(self, report: str) -> str:
        """The prompt, as a user's turn where the tokenizer knows turns; thinking is switched off where it can be."""
        if self._bare:
            return ask(report)
        turns = [{"role": "user", "content": ask(report)}]
        text: str = self._loaded[0].apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text

    def _generate(self, texts: Sequence[str]) -> list[Answer | Failure]:
        import torch

        tokenizer, model = self._loaded
        batch = tokenizer(list(texts), padding=True, add_special_tokens=self._bare, return_tensors="pt")
        inputs = {name: batch[name].to(self.device) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            written = model.generate(**inputs)
        # A decoder repeats the prompt; an encoder-decoder begins with its start token, which may also be its end token.
        new = written[:, 1 if self._config.is_encoder_decoder else inputs["input_ids"].shape[1] :].cpu()
        ends = torch.as_tensor(model.generation_config.eos_token_id).reshape(-1)
        ended = torch.isin(new, ends).any(dim=1).tolist()
        spoken = tokenizer.batch_decode(new, skip_special_tokens=True)
        return [Answer(clean_answer(text), cut=not end) for text, end in zip(spoken, ended, strict=True)]

    def _unreachable(self, error: Exception) -> VlpbenchError:
        """Say what went wrong in one line, and the ways out."""
        reason = str(error).strip().split("\n")[0].rstrip(".")
        where = (
            f"The folder {self.name} is no language model"
            if self.folder is not None
            else f"The language model {self.name!r} is neither a local folder nor to be had from Hugging Face"
        )
        return VlpbenchError(
            f"{where}: {reason}. Two ways out: an instruction model's folder that Hugging Face transformers wrote, "
            "--with hf:/path/to/folder; or no model at all, --with impression."
        )


def _commit(name: str, revision: str) -> str:
    """The commit that a name stands for, so that a branch that moves makes another file."""
    from transformers.utils import cached_file

    path = cached_file(name, "config.json", revision=revision if revision else "main")
    if path is None:
        raise ValueError("it has no config.json")
    return Path(path).parent.name
