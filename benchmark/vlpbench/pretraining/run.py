"""The pre-training run: from a spec and a corpus to a saved backbone."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from vlpbench.backbone import Backbone, BackboneCard, Preprocessing, read_card
from vlpbench.canonical import atomic_path
from vlpbench.data.corpus import Corpus
from vlpbench.encoders import hugging_face_encoder, save_encoder, scratch_encoder
from vlpbench.errors import VlpbenchError
from vlpbench.method import Initialisation, Knowledge, Method, Parts
from vlpbench.precision import precision_name, resolve_precision
from vlpbench.pretraining.recipe import SCRATCH, Recipe, resolve_options, resolve_recipe
from vlpbench.pretraining.similarity import similarity_model
from vlpbench.registry import REGISTRY
from vlpbench.specs import PretrainSpec
from vlpbench.text import TextTower
from vlpbench.tokens import Tokeniser
from vlpbench.tracking.trackers import Log, no_log

Report = Callable[[int, int, str], None]
CHECKPOINTS = "checkpoints"


def pretrain(
    spec: PretrainSpec,
    corpus: Corpus | None,
    *,
    folder: Path,
    device: torch.device,
    report: Report,
    workers: int = 0,
    log: Log = no_log,
) -> BackboneCard:
    """Make the backbone of a spec; an interrupted run carries on from its last finished epoch.

    The folder receives `backbone.safetensors`, `backbone.json` with the lineage and, of methods that train,
    `heads.safetensors`, `text/` and `log.jsonl`. The weights are those of the epoch with the lowest validation loss.

    Args:
        spec: what to make.
        corpus: image-report pairs; None for methods that do not train.
        folder: of this spec alone.
        device: where to train.
        report: told step, steps and a note.
        workers: processes that load batches; they change no number.
        log: told losses by name, and the step they are of.

    Raises:
        VlpbenchError: for a corpus that is missing or too small, a recipe that does not fit, or a loss that is no
            number.
    """
    if (folder / "backbone.json").is_file():
        return read_card(folder)
    kind = REGISTRY.target("method", spec.method)
    if issubclass(kind, Initialisation):
        return _initialise(kind, spec, folder)
    if not issubclass(kind, Method):
        raise VlpbenchError(
            f"The method {spec.method!r} ({kind.__module__}) is neither a Method nor an Initialisation."
        )
    if corpus is None:
        raise VlpbenchError(f"The method {spec.method!r} trains, and needs a corpus of image-report pairs.")
    corpus.require_pairs()
    if len(corpus.rows("val")) < 2:
        raise VlpbenchError("The corpus has one validation pair; the loss contrasts pairs, and needs 2 or more there.")
    return _train(kind, spec, corpus, folder=folder, device=device, report=report, workers=workers, log=log)


def _train(
    kind: type[Method],
    spec: PretrainSpec,
    corpus: Corpus,
    *,
    folder: Path,
    device: torch.device,
    report: Report,
    workers: int,
    log: Log,
) -> BackboneCard:
    """Build, train, and keep everything but the checkpoints."""
    from vlpbench.pretraining.training import train

    recipe = resolve_recipe(json.loads(spec.recipe), {"workers": workers})
    started = time.monotonic()
    with _seeded(spec.seed):
        method, tokeniser = _build(kind, spec, recipe, corpus)
    precision = resolve_precision(recipe.precision, device)
    checkpoints = folder / CHECKPOINTS
    history = train(
        method.to(device),
        tokeniser,
        corpus,
        recipe,
        name=f"pretrain-{spec.key}",
        seed=spec.seed,
        precision=precision,
        folder=checkpoints,
        report=report,
        log=log,
    )
    history.write(folder / "log.jsonl")
    _keep_heads(method, tokeniser, folder)
    lineage = {
        **_origin(spec),
        "recipe": asdict(recipe),
        "corpus": {"fingerprint": corpus.fingerprint, "summaries": corpus.summary_kind, **corpus.counts},
        "text": {"layers": method.text.layers, "width": method.text.width, "tokens": len(tokeniser.tokenizer)},
        "similarity": similarity_model(recipe) if "text similarity" in method.needs else None,
        "epochs": len(history.epochs),
        "best_epoch": history.best + 1,
        "validation_loss": history.validation,
        "history": history.epochs,
        "precision": precision_name(precision),
        "device": _device_name(device),
        "seconds": round(time.monotonic() - started, 1),
    }
    card = method.backbone.save(folder, lineage)
    shutil.rmtree(checkpoints)
    return card


def _initialise(kind: type[Initialisation], spec: PretrainSpec, folder: Path) -> BackboneCard:
    """Build, initialise and save."""
    settings = json.loads(spec.recipe)
    start = kind(resolve_options(spec.method, kind.options_type, settings.get("options", {})))
    with _seeded(spec.seed):
        backbone = Backbone(spec.arch, start.preprocessing(spec.arch, spec.image_size))
        start.initialise(backbone)
    return backbone.save(folder, {**_origin(spec), "recipe": settings, "weights": start.origin})


def _build(kind: type[Method], spec: PretrainSpec, recipe: Recipe, corpus: Corpus) -> tuple[Method, Tokeniser]:
    """Towers and heads, drawn from the global generator."""
    options = resolve_options(spec.method, kind.options_type, recipe.options)
    backbone = Backbone(spec.arch, Preprocessing(spec.image_size))
    backbone.to(memory_format=torch.channels_last)
    tower, tokeniser = _text(recipe, corpus)
    return kind(Parts(backbone, tower, options, corpus_knowledge(corpus, tokeniser))), tokeniser


def _text(recipe: Recipe, corpus: Corpus) -> tuple[TextTower, Tokeniser]:
    if recipe.text_model != SCRATCH:
        return hugging_face_encoder(recipe.text_model, layers=recipe.text_layers, max_tokens=recipe.max_tokens)
    rows = corpus.rows("train")
    texts = [*corpus.reports(rows), *corpus.summaries(rows)]
    return scratch_encoder(texts, vocabulary=recipe.vocabulary, width=recipe.text_width, max_tokens=recipe.max_tokens)


def corpus_knowledge(corpus: Corpus, tokeniser: Tokeniser) -> Knowledge:
    """The corpus' vocabulary; what has no description goes by its name, positions as in MedKLIP train_MedKLIP.py:28."""

    def described(names: tuple[str, ...]) -> list[str]:
        return [corpus.descriptions.get(name, name.replace("_", " ")) for name in names]

    return Knowledge(
        labels=corpus.label_names,
        triplet_entities=corpus.triplet_entities,
        positions=corpus.positions,
        entities=corpus.entity_names,
        triplet_entity_texts=tokeniser.tokenise(described(corpus.triplet_entities)),
        position_texts=tokeniser.tokenise([f"It is located at {name}." for name in corpus.positions]),
        entity_texts=tokeniser.tokenise(described(corpus.entity_names)),
    )


def _origin(spec: PretrainSpec) -> dict[str, Any]:
    return {
        "method": spec.method,
        "method_version": spec.method_version,
        "pretrain_key": spec.key,
        "seed": spec.seed,
        "torch": torch.__version__,
    }


def _keep_heads(method: Method, tokeniser: Tokeniser, folder: Path) -> None:
    """Keep what is neither image encoder nor text encoder, and the text encoder, beside the backbone."""
    state: Mapping[str, torch.Tensor] = method.state_dict()
    heads = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in state.items()
        if not name.startswith(("backbone.", "text."))
    }
    with atomic_path(folder / "heads.safetensors") as temporary:
        save_file(heads, temporary)
    save_encoder(method.text, tokeniser, folder / "text")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generator that weights are drawn from, on the CPU whatever the device, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
