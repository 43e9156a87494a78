"""Protocols: how a frozen backbone is judged. Every field carries its source or the word `unknown`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any

from vlpbench.canonical import content_hash
from vlpbench.errors import UnknownNameError, VlpbenchError


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
    """

    headline: str
    standardise: bool
    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int
    min_steps: int


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
        max_steps: optimiser steps, at most.
        precision: of the head in training and testing: "float32", "bfloat16", or "auto" for mixed precision where the
            device has it; losses and metrics are computed in float32 or better.
        validate_every: steps between two looks at the validation split.
        patience: looks without a lower validation loss before stopping.
        metric_batch: batch size of the batch-mean Dice variant.
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
        max_steps: optimiser steps, at most.
        precision: of the head in training and testing: "float32", "bfloat16", or "auto" for mixed precision where the
            device has it; losses and metrics are computed in float32 or better.
        validate_every: steps between two looks at the validation split.
        patience: looks without a higher validation mAP before stopping.
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


Settings = ClassificationSettings | SegmentationSettings | DetectionSettings
SETTINGS: dict[str, type[Settings]] = {
    "classification": ClassificationSettings,
    "segmentation": SegmentationSettings,
    "detection": DetectionSettings,
}


@dataclass(frozen=True)
class Protocol:
    """A named way to judge backbones.

    Attributes:
        name: key.
        title: one line.
        version: raised whenever a number may change.
        settings: resolved settings per task.
        sources: where each field comes from, "task.field" to text.
    """

    name: str
    title: str
    version: int
    settings: Mapping[str, Settings]
    sources: Mapping[str, str]

    def for_task(self, task: str, overrides: Mapping[str, Any] | None = None) -> Settings:
        """Settings of one task, with a suite's own schedule put over them.

        Raises:
            VlpbenchError: if the protocol does not cover the task, or an override names no field.
        """
        if task not in self.settings:
            raise VlpbenchError(
                f"Protocol {self.name!r} says nothing about the task {task!r}; it covers {list(self.settings)}."
            )
        settings = self.settings[task]
        if not overrides:
            return settings
        unknown = sorted(set(overrides) - {field.name for field in fields(settings)})
        if unknown:
            raise UnknownNameError(f"{task} setting", unknown[0], (field.name for field in fields(settings)))
        return replace(settings, **{name: _tupled(value) for name, value in overrides.items()})

    def settings_hash(self, settings: Settings) -> str:
        """Hash of resolved settings together with the protocol's version."""
        return content_hash({"version": self.version, "settings": asdict(settings)}, 16)


def protocol_names() -> list[str]:
    """Names of the protocols that ship with vlpbench."""
    folder = files("vlpbench_configs") / "protocols"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@cache
def load_protocol(name: str) -> Protocol:
    """Read a protocol.

    Raises:
        UnknownNameError: for a name that does not ship.
        VlpbenchError: for a field without value or source.
    """
    if name not in protocol_names():
        raise UnknownNameError("protocol", name, protocol_names())
    raw = tomllib.loads((files("vlpbench_configs") / "protocols" / f"{name}.toml").read_text(encoding="utf-8"))
    settings: dict[str, Settings] = {}
    sources: dict[str, str] = {}
    for task, kind in SETTINGS.items():
        values: dict[str, Any] = {}
        for field in fields(kind):
            entry = raw.get(task, {}).get(field.name)
            if not isinstance(entry, dict) or set(entry) != {"value", "source"}:
                raise VlpbenchError(f"protocols/{name}.toml: [{task}] {field.name} needs a value and a source.")
            values[field.name] = _tupled(entry["value"])
            sources[f"{task}.{field.name}"] = entry["source"]
        settings[task] = kind(**values)
    return Protocol(raw["name"], raw["title"], raw["version"], settings, sources)


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
