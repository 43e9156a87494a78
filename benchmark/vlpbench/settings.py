"""What a protocol says of one task, resolved: the settings that tasks read and records hold.

A field with a default came after the first records were written. Its default is what every task did before, and
`judged` leaves it out while it holds that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Any

from vlpbench.errors import VlpbenchError

AMENDMENTS = "amendments"
CHOICES = "choices"


def _one_of(*choices: str) -> Any:
    """A field that takes one of these words; the first is the default."""
    return field(default=choices[0], metadata={CHOICES: choices})


@dataclass(frozen=True)
class Amendment:
    """What a protocol does otherwise on one dataset, or on one label fraction of it.

    Attributes:
        dataset: name within the suite.
        fraction: of the training labels, None for all.
        values: setting and value.
    """

    dataset: str
    fraction: float | None
    values: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class ClassificationSettings:
    """Linear layer on frozen pooled features.

    Attributes:
        headline: how AUROC is averaged over labels ("macro"); whether AUROC or accuracy is printed is the suite's
            choice.
        standardise: scale each feature by the mean and standard deviation of the training rows.
        learning_rate: of AdamW, constant.
        weight_decay: of AdamW.
        batch_size: images a step.
        max_epochs: passes over the training fraction, at most.
        patience: epochs without a lower validation loss before stopping.
        min_steps: steps that are always taken before patience counts, so that small fractions are trained at all.
        sampling: how a label fraction is drawn: "stratified" by the labels, or "uniform" and blind to them; a uniform
            one is trained on even where it lacks a class.
        augmentation: "none"; "crop" for 7/8 of each side, anywhere in training and in the middle otherwise; "moco" for
            that crop with grey values, blur and left and right changed in training.
        drop_last: leave out what does not fill a batch at the end of a training epoch and of the validation split; at
            least one batch is kept.
        amendments: what is otherwise on some datasets.
    """

    headline: str
    standardise: bool
    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int
    min_steps: int
    sampling: str = _one_of("stratified", "uniform")
    augmentation: str = _one_of("none", "crop", "moco")
    drop_last: bool = False
    amendments: tuple[Amendment, ...] = ()


@dataclass(frozen=True)
class SegmentationSettings:
    """U-Net (or up-sampling) decoder on frozen feature maps.

    Attributes:
        headline: metric printed in tables, one of the segmentation task's metrics.
        decoder_channels: channels of the decoder blocks, coarse to fine.
        focal_weight: weight of the focal loss beside the Dice loss of weight 1.
        focal_gamma: its focusing exponent.
        threshold: probability above which a pixel is foreground.
        learning_rate: of AdamW, constant.
        weight_decay: of AdamW.
        batch_size: images a step.
        max_steps: optimiser steps, at most; 0 where epochs alone count.
        precision: of the head in training and testing: "float32", "bfloat16", or "auto" for mixed precision where the
            device has it; losses and metrics are computed in float32 or better.
        validate_every: steps between two looks at the validation split; 0 where epochs are counted.
        patience: looks without a lower validation loss before stopping.
        metric_batch: batch size of the batch-mean Dice variant.
        sampling: how a label fraction is drawn: "stratified" by whether there is foreground, or "uniform" and blind to
            it; a uniform one is trained on even where it has none.
        batchnorm: statistics of the encoder: "frozen", or "drifting" with the training batches in a copy of its own.
        augmentation: of training images with their masks: "none", or "scale and rotate" for a tenth and 10 degrees.
        dice_loss: of the Dice quotient: "one minus" it, batches without foreground left out, or "minus log" of it.
        drop_last: leave out what does not fill a batch at the end of a training epoch and of the validation split,
            where the loss is then taken batch by batch; at least one batch is kept.
        max_epochs: passes over the training fraction, at most; 0 where steps alone count.
        validate_every_epochs: passes between two looks at the validation split; 0 where steps are counted.
        amendments: what is otherwise on some datasets.
    """

    headline: str
    decoder_channels: tuple[int, ...]
    focal_weight: float
    focal_gamma: float
    threshold: float
    learning_rate: float
    weight_decay: float
    batch_size: int
    max_steps: int
    precision: str
    validate_every: int
    patience: int
    metric_batch: int
    sampling: str = _one_of("stratified", "uniform")
    batchnorm: str = _one_of("frozen", "drifting")
    augmentation: str = _one_of("none", "scale and rotate")
    dice_loss: str = _one_of("one minus", "minus log")
    drop_last: bool = False
    max_epochs: int = 0
    validate_every_epochs: int = 0
    amendments: tuple[Amendment, ...] = ()


@dataclass(frozen=True)
class DetectionSettings:
    """YOLOv3 neck and head on frozen feature maps of strides 8, 16 and 32.

    Attributes:
        headline: metric printed in tables, one of the detection task's metrics.
        neck_channels: output channels of the neck, coarse to fine (stride 32, 16, 8).
        anchors: nine anchor boxes (width, height) in fractions of the image side, from stride 32 to stride 8.
        score_threshold: boxes below are dropped before non-maximum suppression.
        nms_threshold: IoU above which the weaker of two boxes is suppressed.
        max_detections: boxes kept per image.
        learning_rate: of AdamW, constant.
        weight_decay: of AdamW.
        batch_size: images a step.
        max_steps: optimiser steps, at most; 0 where epochs alone count.
        precision: of the head in training and testing: "float32", "bfloat16", or "auto" for mixed precision where the
            device has it; losses and metrics are computed in float32 or better.
        validate_every: steps between two looks at the validation split; 0 where epochs are counted.
        patience: looks without a higher validation mAP before stopping.
        sampling: how a label fraction is drawn: "stratified" by the labels of the boxes, or "uniform" and blind to
            them; a uniform one is trained on even where it has no box.
        batchnorm: statistics of the encoder: "frozen", or "drifting" with the training batches in a copy of its own.
        augmentation: of training images: "none".
        yolo_loss: "mmdetection", or "released" for MGCA's targets, weights and means over every cell and anchor.
        initial_weights: of neck and head: "mmdetection", which makes objects rare at first, or "torch" for the default
            of each layer.
        postprocessing: "mmdetection", where a box is scored by its label times its objectness and cut at the border; or
            "released", where objectness alone is threshold and score, a pixel is added to boxes in suppression, and
            none is cut.
        select_on: metric of the validation split that the weights are selected on.
        ties: which of equal validation values is kept: the "last", or the "first", where a first value that is
            undefined counts as a value too.
        drop_last: leave out what does not fill a batch at the end of a training epoch and of the validation split; at
            least one batch is kept.
        max_epochs: passes over the training fraction, at most; 0 where steps alone count.
        validate_every_epochs: passes between two looks at the validation split; 0 where steps are counted.
        amendments: what is otherwise on some datasets.
    """

    headline: str
    neck_channels: tuple[int, ...]
    anchors: tuple[tuple[float, float], ...]
    score_threshold: float
    nms_threshold: float
    max_detections: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    max_steps: int
    precision: str
    validate_every: int
    patience: int
    sampling: str = _one_of("stratified", "uniform")
    batchnorm: str = _one_of("frozen", "drifting")
    augmentation: str = _one_of("none")
    yolo_loss: str = _one_of("mmdetection", "released")
    initial_weights: str = _one_of("mmdetection", "torch")
    postprocessing: str = _one_of("mmdetection", "released")
    select_on: str = "map_40_75"
    ties: str = _one_of("last", "first")
    drop_last: bool = False
    max_epochs: int = 0
    validate_every_epochs: int = 0
    amendments: tuple[Amendment, ...] = ()


Settings = ClassificationSettings | SegmentationSettings | DetectionSettings


def setting_fields(kind: type[Settings] | Settings) -> tuple[Field[Any], ...]:
    """The fields a protocol gives a value and a source, which are all but the amendments."""
    return tuple(one for one in fields(kind) if one.name != AMENDMENTS)


def check_choices(settings: Settings, where: str) -> None:
    """See that each field that takes one of a few words holds one.

    Raises:
        VlpbenchError: naming `where`, the field, its value and the words.
    """
    for one in setting_fields(settings):
        choices, value = one.metadata.get(CHOICES), getattr(settings, one.name)
        if choices is not None and value not in choices:
            raise VlpbenchError(f"{where} {one.name} = {value!r}: expected one of {', '.join(map(repr, choices))}.")


def override(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Settings with some values put over them, and over what amendments say of the same fields."""
    kept = (
        replace(one, values=tuple(pair for pair in one.values if pair[0] not in values)) for one in settings.amendments
    )
    return replace(settings, amendments=tuple(one for one in kept if one.values), **values)


def amend(settings: Settings, *, dataset: str, fraction: float) -> Settings:
    """The settings of one cell: what is amended for its dataset, then for its fraction of it, and no amendment left.

    Args:
        settings: of its task.
        dataset: name within the suite.
        fraction: of the training labels.
    """
    mine = [one for one in settings.amendments if one.dataset == dataset and one.fraction in (None, fraction)]
    values = _merged(sorted(mine, key=lambda one: one.fraction is not None))
    return replace(settings, amendments=(), **values)


def judged(settings: Settings) -> dict[str, Any]:
    """Settings as plain data, without those that hold the default they have had since before they were there.

    Records are named by a hash of this. A field that is added later must leave the names of all earlier records as they
    are, as long as it asks for what was done when they were written.
    """
    values = asdict(settings)
    return {
        one.name: values[one.name]
        for one in fields(settings)
        if one.default is MISSING or getattr(settings, one.name) != one.default
    }


def recorded(settings: Settings) -> dict[str, Any]:
    """A cell's settings as its record holds them, without the amendments they were resolved from."""
    values = asdict(settings)
    return {one.name: values[one.name] for one in setting_fields(settings)}


def later_defaults(kind: type[Settings]) -> dict[str, Any]:
    """What records meant that were written before some fields were there, by the names of these."""
    return {one.name: one.default for one in setting_fields(kind) if one.default is not MISSING}


def _merged(amendments: Iterable[Amendment]) -> dict[str, Any]:
    return {name: value for one in amendments for name, value in one.values}
