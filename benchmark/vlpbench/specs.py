"""What is to be computed: pre-training runs and evaluation cells, frozen and hashable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from vlpbench.canonical import content_hash

KEY_LENGTH = 20
Setting = str | int | float | bool | None | tuple["Setting", ...] | Mapping[str, "Setting"]


@dataclass(frozen=True)
class PretrainSpec:
    """One pre-training run. Its `key` names the folder of the backbone it emits.

    Attributes:
        method: registered name.
        method_version: version on the method's card.
        arch: backbone architecture, short or timm name.
        image_size: side of the square input, pixels.
        suite: name of the suite whose corpus is used.
        corpus_fingerprint: content hash of the prepared corpus and its splits; "" for methods that do not train.
        recipe: resolved recipe, options included, as canonical JSON.
        seed: seed of initialisation and data order.
    """

    method: str
    method_version: int
    arch: str
    image_size: int
    suite: str
    corpus_fingerprint: str
    recipe: str
    seed: int

    @property
    def key(self) -> str:
        """Content hash of everything the weights depend on; two suites on the same corpus share it."""
        fields = asdict(self)
        del fields["suite"]
        return content_hash({"kind": "pretrain", **fields}, KEY_LENGTH)


@dataclass(frozen=True)
class RunSpec:
    """One evaluation cell: who is evaluated on what.

    Attributes:
        method: registered name.
        arch: backbone architecture.
        image_size: side of the square input, pixels.
        suite: suite name.
        task: registered task name.
        dataset: dataset name within the suite.
        fraction: fraction of the training labels, in (0, 1]; 0 for tasks that train on none.
        seed: seed of the fraction sample, head initialisation and order.
        protocol: protocol name.
        pretrain_seed: seed of the pre-training run that made the backbone.
        limit: cap on images per split that the user asked for, None for the whole dataset.
    """

    method: str
    arch: str
    image_size: int
    suite: str
    task: str
    dataset: str
    fraction: float
    seed: int
    protocol: str
    pretrain_seed: int = 0
    limit: int | None = None


@dataclass(frozen=True)
class Foundations:
    """What a cell's number stands on; with the spec it makes the key, so a change in any gives a new record.

    Attributes:
        weights_sha256: hash of the backbone file.
        data_fingerprint: content hash of the prepared dataset, and of the labels and metric asked of it.
        split_hash: hash of the image ids in train, val and test.
        settings_hash: hash of the resolved protocol settings of the task.
        task_version: version on the task's card.
    """

    weights_sha256: str
    data_fingerprint: str
    split_hash: str
    settings_hash: str
    task_version: int


def run_key(spec: RunSpec, foundations: Foundations) -> str:
    """Name of the record of a cell: a hash of the spec and of what it stands on."""
    return content_hash({"kind": "run", "spec": asdict(spec), "on": asdict(foundations)}, KEY_LENGTH)
