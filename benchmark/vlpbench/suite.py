"""Suites: a pre-training corpus, the datasets of each task, and the schedule they are run with."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.splits import CLEAN

TASKS = ("classification", "segmentation", "detection")
METRICS = {"classification": ("auroc", "accuracy"), "segmentation": ("dice",), "detection": ("map",)}


@dataclass(frozen=True)
class DataSpec:
    """Where images come from.

    Attributes:
        name: name within the suite.
        title: name as printed.
        source: registered source.
        options: the source's options; paths in them are relative to the `--data` folder.
        split: how patients are split where the source names none: (train, val, test) shares out of ten.
        split_seed: seed of that split.
        splits: which split is evaluated: "clean" for the data's own, a published recipe by name, or a .csv file.
        max_unreadable: share of images that may be unreadable before the run stops.
        summaries: of a corpus: file that `vlpbench data summarize` wrote, "" for the corpus' own.
    """

    name: str
    title: str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    split: tuple[int, int, int] = (6, 2, 2)
    split_seed: int = 0
    splits: str = CLEAN
    max_unreadable: float = 0.02
    summaries: str = ""


@dataclass(frozen=True)
class TaskSpec:
    """One dataset-task pair.

    Attributes:
        dataset: name of a `DataSpec` of the suite.
        task: registered task.
        metric: "auroc", "accuracy", "dice" or "map".
        labels: label columns (classification) or box labels (detection); empty means all there are.
    """

    dataset: str
    task: str
    metric: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A corpus plus the datasets of each task.

    Attributes:
        name: key.
        title: one line.
        synthetic: True when every pixel was drawn by a program.
        note: sentence printed under every table.
        needs_data: True when `--data` must name a folder.
        arch: default architecture.
        image_size: default side of the input, pixels.
        protocol: default protocol.
        fractions: default fractions of the training labels.
        seeds: default evaluation seeds.
        corpus: data of pre-training.
        datasets: data of evaluation, by name.
        pairs: dataset-task pairs in the order they are run and printed.
        pretraining: recipe fields put over the defaults.
        evaluation: per task, protocol settings put over the protocol's own.
        feature_cache_gb: disk the cache of frozen feature maps of one dataset may take.
    """

    name: str
    title: str
    synthetic: bool
    note: str
    needs_data: bool
    arch: str
    image_size: int
    protocol: str
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    corpus: DataSpec
    datasets: Mapping[str, DataSpec]
    pairs: tuple[TaskSpec, ...]
    pretraining: Mapping[str, Any]
    evaluation: Mapping[str, Mapping[str, Any]]
    feature_cache_gb: float = 4.0


def suite_names() -> list[str]:
    """Names of the suites that ship with vlpbench."""
    folder = files("vlpbench_configs") / "suites"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_suite(name: str) -> Suite:
    """Read a shipped suite by name, or a user's own by the path of a .toml file.

    Raises:
        UnknownNameError: for a name that is neither.
        VlpbenchError: for a field that is missing, unknown or of the wrong kind, naming file and field.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise VlpbenchError(
                f"No suite file at {path}. Expected a TOML file like those `vlpbench list suites` names."
            )
        return _parse(path.read_text(encoding="utf-8"), str(path))
    if name not in suite_names():
        raise UnknownNameError("suite", name, suite_names(), "A path to your own .toml file works too.")
    return _parse((files("vlpbench_configs") / "suites" / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")


def _parse(text: str, where: str) -> Suite:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise VlpbenchError(f"Suite {where} is not valid TOML: {error}") from error
    try:
        return _suite(raw)
    except KeyError as error:
        raise VlpbenchError(f"Suite {where}: the field {error} is missing.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise VlpbenchError(f"Suite {where}: {error}") from error


def _suite(raw: dict[str, Any]) -> Suite:
    raw = dict(raw)
    datasets = {entry["name"]: _data(entry) for entry in raw.pop("dataset")}
    pairs = tuple(_pair(entry, datasets) for entry in raw.pop("pair"))
    suite = Suite(
        corpus=_data({"name": "corpus", "title": "corpus", **raw.pop("corpus")}),
        datasets=datasets,
        pairs=pairs,
        fractions=tuple(float(fraction) for fraction in raw.pop("fractions")),
        seeds=tuple(raw.pop("seeds")),
        **raw,
    )
    for task in suite.evaluation:
        if task not in TASKS:
            raise UnknownNameError("task", task, TASKS)
    return suite


def _data(entry: dict[str, Any]) -> DataSpec:
    entry = dict(entry)
    split = entry.pop("split", [6, 2, 2])
    if len(split) != 3 or min(split[:2]) < 1 or split[2] < 0:
        raise ValueError(f"dataset {entry['name']}: split needs shares of train, val and test, such as [6, 2, 2]")
    return DataSpec(**{"title": entry["name"], **entry}, split=(split[0], split[1], split[2]))


def _pair(entry: dict[str, Any], datasets: Mapping[str, DataSpec]) -> TaskSpec:
    pair = TaskSpec(entry["dataset"], entry["task"], entry["metric"], tuple(entry.get("labels", ())))
    if pair.dataset not in datasets:
        raise UnknownNameError("dataset", pair.dataset, datasets)
    if pair.task not in TASKS:
        raise UnknownNameError("task", pair.task, TASKS)
    if pair.metric not in METRICS[pair.task]:
        raise UnknownNameError(f"{pair.task} metric", pair.metric, METRICS[pair.task])
    return pair
