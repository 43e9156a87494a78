"""Trained methods: towers and heads as pre-training left them, read back without unpickling anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vlpbench.backbone import Backbone, BackboneCard, read_card
from vlpbench.encoders import hugging_face_encoder
from vlpbench.errors import VlpbenchError
from vlpbench.method import Knowledge, Method, Parts
from vlpbench.pretraining.recipe import resolve_options, resolve_recipe
from vlpbench.pretraining.run import corpus_knowledge
from vlpbench.registry import REGISTRY
from vlpbench.tokens import Tokeniser

if TYPE_CHECKING:
    from vlpbench.data.corpus import Corpus

TOWERS = ("backbone.", "text.")


@dataclass(frozen=True)
class Trained:
    """A trained method, in evaluation mode and frozen.

    Attributes:
        method: towers and heads.
        tokeniser: of its text tower.
        knowledge: vocabulary it was trained with.
        card: of its backbone, lineage included.
    """

    method: Method
    tokeniser: Tokeniser
    knowledge: Knowledge
    card: BackboneCard


def load_trained(folder: Path, corpus: Corpus, *, device: torch.device) -> Trained:
    """Read a method from the folder that `pretrain` filled.

    Args:
        folder: with `backbone.safetensors`, `backbone.json`, `heads.safetensors` and `text/`.
        corpus: what it was trained on; labels, entities and positions are not kept in the folder.
        device: where to put it.

    Raises:
        VlpbenchError: for a file that is missing or damaged, another corpus, another version of the method, or one that
            does not train.
    """
    card = read_card(folder)
    name = str(card.lineage.get("method", ""))
    kind = REGISTRY.target("method", name)
    if not issubclass(kind, Method):
        raise VlpbenchError(f"The method {name!r} trains nothing, so that {folder} holds no towers and heads.")
    _check_lineage(card, kind, corpus, folder)
    recipe = resolve_recipe(card.lineage["recipe"])
    text = folder / "text"
    for file in (folder / "heads.safetensors", text / "model.safetensors"):
        if not file.is_file():
            raise VlpbenchError(f"{file} is missing; delete {folder}, and vlpbench run --method {name} trains it anew.")
    # What is drawn here is overwritten at once; the caller's generator stays where it was.
    with torch.random.fork_rng(devices=[]):
        tower, tokeniser = hugging_face_encoder(str(text), layers=0, max_tokens=recipe.max_tokens)
        knowledge = corpus_knowledge(corpus, tokeniser)
        options = resolve_options(name, kind.options_type, recipe.options)
        method = kind(Parts(Backbone.load(folder), tower, options, knowledge))
    _load_heads(method, folder)
    return Trained(method.to(device).requires_grad_(False).eval(), tokeniser, knowledge, card)


def _check_lineage(card: BackboneCard, kind: type[Method], corpus: Corpus, folder: Path) -> None:
    version, trained_on = card.lineage.get("method_version"), card.lineage.get("corpus", {}).get("fingerprint")
    if version != kind.card.version:
        raise VlpbenchError(
            f"{folder} was trained by version {version} of {kind.card.name}, and this is version {kind.card.version}. "
            f"vlpbench run --method {kind.card.name} trains it anew."
        )
    if trained_on != corpus.fingerprint:
        raise VlpbenchError(
            f"{folder} was trained on the corpus {trained_on}, and this one is {corpus.fingerprint}. Name the suite it "
            "was trained with."
        )


def _load_heads(method: Method, folder: Path) -> None:
    """Put the heads into the method; they are all of its state but the towers."""
    file = folder / "heads.safetensors"
    try:
        missing, unexpected = method.load_state_dict(load_file(file), strict=False)
    except (RuntimeError, SafetensorError, OSError) as error:
        reason = str(error).strip().replace("\n", " ")
        raise VlpbenchError(f"{file} does not hold the heads of {method.card.name}: {reason}") from error
    missing = [name for name in missing if not name.startswith(TOWERS)]
    if missing or unexpected:
        listed = ", ".join([*(f"no {name}" for name in missing), *(f"unknown {name}" for name in unexpected)])
        raise VlpbenchError(f"{file} does not hold the heads of {method.card.name}: {listed}.")
