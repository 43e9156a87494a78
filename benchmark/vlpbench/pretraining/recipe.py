"""The recipe of a pre-training run, resolved from defaults, suite and user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from vlpbench.canonical import canonical_json
from vlpbench.errors import UnknownNameError, VlpbenchError

if TYPE_CHECKING:
    from vlpbench.method import Options

SCRATCH = "scratch"
METHODS, OPTIONS = "methods", "options"


@dataclass(frozen=True)
class Recipe:
    """Optimisation, text tower and augmentation. The defaults are those of the SISTA paper, section IV.A, unless noted.

    Attributes:
        epochs: passes over the corpus, at most.
        batch_size: pairs a step, over all processes; the loss contrasts them all.
        chunk: pairs that pass through the towers at once, 0 for the whole batch. Memory falls with it and the loss
            stays that of the whole batch (cached gradients, Gao et al. 2021); only the image tower's batch statistics
            become those of a chunk.
        learning_rate: of AdamW, at the end of warm-up.
        weight_decay: of AdamW.
        beta1: of AdamW.
        clip: largest norm of the gradient, 0 for no limit.
        warmup_epochs: of linear warm-up.
        lowest_learning_rate: start of warm-up and end of the cosine.
        patience: epochs without a lower total validation loss before stopping.
        precision: "auto" (mixed where the device has it), "float32" or "bfloat16".
        text_model: Hugging Face name or path of the text encoder, or "scratch" for a small BERT trained from scratch
            with a WordPiece vocabulary of the corpus.
        text_layers: layers kept of the text encoder, 0 for all.
        similarity_model: frozen text encoder of methods that need text similarity: a Hugging Face name or path, "text"
            for the text encoder as it is before training, "tfidf" for weighted word counts, or "auto" for "tfidf" where
            the text encoder starts from scratch and "text" otherwise.
        max_tokens: reports are cut to this many tokens (MGCA mgca/datasets/pretrain_dataset.py:70-158; SISTA does not
            say).
        vocabulary: WordPiece vocabulary size of the text encoder from scratch.
        text_width: hidden width of the text encoder from scratch.
        crop: side of the random crop as a share of the image side (MGCA crops 224 of 256).
        rotation: of the augmented view, degrees either way (SISTA names the augmentations, not their strength; so for
            the next three).
        brightness: of the augmented view, relative.
        contrast: of the augmented view, relative.
        blur: largest standard deviation of the augmented view's Gaussian blur, in 1/224 of the image side.
        workers: processes that load batches.
        options: the method's own switches.
    """

    epochs: int = 50
    batch_size: int = 256
    chunk: int = 0
    learning_rate: float = 2e-5
    weight_decay: float = 0.05
    beta1: float = 0.9
    clip: float = 0.0
    warmup_epochs: int = 10
    lowest_learning_rate: float = 1e-8
    patience: int = 5
    precision: str = "auto"
    text_model: str = "emilyalsentzer/Bio_ClinicalBERT"
    text_layers: int = 0
    similarity_model: str = "auto"
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
        """The recipe as canonical JSON, for a `PretrainSpec`; loading processes change no number and are left out."""
        values = asdict(self)
        del values["workers"]
        return canonical_json(values)


def resolve_recipe(*layers: Mapping[str, Any], method: str = "") -> Recipe:
    """Put layers of settings over the defaults, later ones first in rank; `options` are merged, not replaced.

    Args:
        layers: settings by name; under "methods", settings of single methods, which outrank the others of their layer.
        method: whose settings of its own are taken.

    Raises:
        UnknownNameError: for a setting that does not exist.
        VlpbenchError: for a value of the wrong kind or out of range.
    """
    recipe = Recipe()
    for layer in layers:
        common = {name: value for name, value in layer.items() if name != METHODS}
        for part in (common, layer.get(METHODS, {}).get(method, {})):
            recipe = _over(recipe, part)
    _check(recipe)
    return recipe


def _over(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with settings put over it."""
    known = [field.name for field in fields(Recipe)]
    for name, value in settings.items():
        if name not in known:
            raise UnknownNameError("recipe setting", name, known)
        if name == OPTIONS:
            value = {**recipe.options, **value}
        else:
            value = _fitted("Recipe setting", name, value, getattr(Recipe(), name))
        recipe = replace(recipe, **{name: value})
    return recipe


def resolve_options(method: str, kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Switches of a method: its defaults with the given ones put over them.

    Raises:
        UnknownNameError: for a switch that the method does not have.
        VlpbenchError: for a value of the wrong kind.
    """
    defaults = {field.name: getattr(kind(), field.name) for field in fields(kind)}
    for name in given:
        if name not in defaults:
            raise UnknownNameError(f"option of {method}", name, defaults)
    return kind(**{name: _fitted(f"Option of {method}", name, value, defaults[name]) for name, value in given.items()})


def _fitted(what: str, name: str, value: Any, default: Any) -> Any:
    """The value as the default's type; only what loses nothing is converted."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if type(value) is not type(default):
        raise VlpbenchError(f"{what} {name} = {value!r}: expected {type(default).__name__}, as in {default!r}.")
    return value


def _check(recipe: Recipe) -> None:
    at_least_one = ("epochs", "batch_size", "patience", "max_tokens")
    for name in at_least_one:
        if getattr(recipe, name) < 1:
            raise VlpbenchError(f"Recipe setting {name} = {getattr(recipe, name)}: expected 1 or more.")
    if recipe.batch_size < 2:
        raise VlpbenchError("Recipe setting batch_size = 1: a contrast needs 2 pairs or more.")
    if recipe.chunk < 0 or recipe.chunk == 1:
        raise VlpbenchError(
            f"Recipe setting chunk = {recipe.chunk}: expected 0 for whole batches, or 2 pairs or more, which batch "
            "statistics need."
        )
    if not 0 <= recipe.beta1 < 1 or recipe.clip < 0:
        raise VlpbenchError(
            f"Recipe settings beta1 = {recipe.beta1:g} and clip = {recipe.clip:g}: expected 0 <= beta1 < 1 and clip "
            "from 0."
        )
    if not 0 <= recipe.warmup_epochs <= recipe.epochs:
        raise VlpbenchError(
            f"Recipe setting warmup_epochs = {recipe.warmup_epochs}: expected 0 to epochs = {recipe.epochs}. "
            "Set it as well, such as --set warmup_epochs=1."
        )
    if not 0 <= recipe.lowest_learning_rate <= recipe.learning_rate or recipe.learning_rate <= 0:
        raise VlpbenchError(
            f"Recipe settings learning_rate = {recipe.learning_rate:g} and lowest_learning_rate = "
            f"{recipe.lowest_learning_rate:g}: expected 0 <= lowest <= learning_rate, and learning_rate above 0."
        )
    if not 0 < recipe.crop <= 1:
        raise VlpbenchError(f"Recipe setting crop = {recipe.crop}: expected a share of the image side in (0, 1].")
    if recipe.precision not in {"auto", "float32", "bfloat16"}:
        raise VlpbenchError(f"Recipe setting precision = {recipe.precision!r}: expected auto, float32 or bfloat16.")
