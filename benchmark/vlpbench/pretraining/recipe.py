"""The recipe of a pre-training run, resolved from defaults, suite and user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from vlpbench.canonical import canonical_json
from vlpbench.errors import UnknownNameError, VlpbenchError

LOCAL_BERT = "scratch"


@dataclass(frozen=True)
class Recipe:
    """Optimisation, text tower and augmentation. The defaults are those of the SISTA paper, section IV.A, unless noted.

    Attributes:
        epochs: passes over the corpus, at most.
        batch_size: pairs a step.
        accumulate: batches whose gradients are added up before the optimiser steps; negatives stay within a batch.
        learning_rate: of AdamW, at the end of warm-up.
        weight_decay: of AdamW.
        warmup_epochs: of linear warm-up.
        lowest_learning_rate: start of warm-up and end of the cosine.
        patience: epochs without a lower total validation loss before stopping.
        precision: "auto" (mixed where the device has it), "float32" or "bfloat16".
        text_model: Hugging Face name or path of the text encoder, or "scratch" for a small BERT trained from scratch with a
            WordPiece vocabulary of the corpus.
        text_layers: layers kept of the text encoder, 0 for all.
        max_tokens: reports are cut to this many tokens (MGCA mgca/datasets/pretrain_dataset.py:70-158; SISTA does not say).
        vocabulary: WordPiece vocabulary size of the text encoder from scratch.
        text_width: hidden width of the text encoder from scratch.
        crop: side of the random crop as a share of the image side (MGCA crops 224 of 256).
        rotation: of the augmented view, degrees either way (SISTA names the augmentations, not their strength; so for the next three).
        brightness: of the augmented view, relative.
        contrast: of the augmented view, relative.
        blur: largest standard deviation of the augmented view's Gaussian blur, in 1/224 of the image side.
        workers: processes that load batches.
        options: the method's own switches.
    """

    epochs: int = 50
    batch_size: int = 256
    accumulate: int = 1
    learning_rate: float = 2e-5
    weight_decay: float = 0.05
    warmup_epochs: int = 10
    lowest_learning_rate: float = 1e-8
    patience: int = 5
    precision: str = "auto"
    text_model: str = "emilyalsentzer/Bio_ClinicalBERT"
    text_layers: int = 0
    max_tokens: int = 112
    vocabulary: int = 2000
    text_width: int = 128
    crop: float = 0.875
    rotation: float = 15.0
    brightness: float = 0.4
    contrast: float = 0.4
    blur: float = 2.0
    workers: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def canonical(self) -> str:
        """The recipe as canonical JSON, what a `PretrainSpec` carries; loading processes change no number and are left out."""
        values = asdict(self)
        del values["workers"]
        return canonical_json(values)


def resolve_recipe(*layers: Mapping[str, Any]) -> Recipe:
    """Put layers of settings over the defaults, later ones first in rank; `options` are merged, not replaced.

    Raises:
        UnknownNameError: for a setting that does not exist.
        VlpbenchError: for a value of the wrong kind or out of range.
    """
    recipe = Recipe()
    known = {field.name: field.type for field in fields(Recipe)}
    for layer in layers:
        for name, value in layer.items():
            if name not in known:
                raise UnknownNameError("recipe setting", name, known)
            default = getattr(Recipe(), name)
            if name == "options":
                value = {**recipe.options, **value}
            elif isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            elif type(value) is not type(default):
                raise VlpbenchError(f"Recipe setting {name} = {value!r}: expected {type(default).__name__}, as in {default!r}.")
            recipe = replace(recipe, **{name: value})
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    at_least_one = ("epochs", "batch_size", "accumulate", "patience", "max_tokens")
    for name in at_least_one:
        if getattr(recipe, name) < 1:
            raise VlpbenchError(f"Recipe setting {name} = {getattr(recipe, name)}: expected 1 or more.")
    if not 0 < recipe.crop <= 1:
        raise VlpbenchError(f"Recipe setting crop = {recipe.crop}: expected a share of the image side in (0, 1].")
    if recipe.precision not in {"auto", "float32", "bfloat16"}:
        raise VlpbenchError(f"Recipe setting precision = {recipe.precision!r}: expected auto, float32 or bfloat16.")
