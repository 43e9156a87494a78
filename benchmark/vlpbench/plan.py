"""What `vlpbench run` would do, and what is already there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from vlpbench.backbone import Backbone, BackboneCard, Preprocessing, read_card
from vlpbench.canonical import canonical_json
from vlpbench.cards import MethodCard, TaskCard
from vlpbench.data.corpus import Corpus
from vlpbench.data.dataset import Dataset
from vlpbench.data.prepared import Prepared, prepare
from vlpbench.data.source import SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.method import Initialisation
from vlpbench.pretraining.recipe import METHODS, Recipe, resolve_options, resolve_recipe
from vlpbench.protocol import Protocol, Settings, load_protocol
from vlpbench.registry import REGISTRY
from vlpbench.specs import Foundations, PretrainSpec, RunSpec, run_key
from vlpbench.store import RecordStore
from vlpbench.suite import DataSpec, Suite, TaskSpec
from vlpbench.summaries.reading import describe_summaries, load_summaries
from vlpbench.task import Task


@dataclass(frozen=True)
class Request:
    """What the user asked for, names resolved.

    Attributes:
        suite: the suite.
        methods: registered names, in order.
        every_method: whether all there are were asked for, rather than these by name.
        tasks: registered names.
        arch: backbone architecture.
        image_size: side of the input, pixels.
        fractions: of the training labels, each in (0, 1].
        seeds: evaluation seeds.
        pretrain_seed: seed of pre-training and of random initialisation.
        protocol: protocol name.
        splits: split of every dataset, None for the suite's own choice.
        recipe: recipe settings put over the suite's.
        limit: cap on images per split, None for all.
        data: folder of real data, None for embedded suites.
        results: folder of records and predictions.
        work: folder of prepared data, backbones, caches and logs.
        device: "cpu", "cuda" or "cuda:1".
        jobs: processes that prepare data.
        trackers: names of trackers that follow the run.
        backbones: folder of backbones, None for the one in `work`.
    """

    suite: Suite
    methods: tuple[str, ...]
    every_method: bool
    tasks: tuple[str, ...]
    arch: str
    image_size: int
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    pretrain_seed: int
    protocol: str
    splits: str | None
    recipe: Mapping[str, Any]
    limit: int | None
    data: Path | None
    results: Path
    work: Path
    device: str
    jobs: int
    trackers: tuple[str, ...] = ()
    backbones: Path | None = None

    @property
    def pairs(self) -> tuple[TaskSpec, ...]:
        """Dataset-task pairs of the suite that the chosen tasks cover."""
        return tuple(pair for pair in self.suite.pairs if pair.task in self.tasks)

    def wanted_data(self) -> dict[str, DataSpec]:
        """What must be prepared, by name, "corpus" among it where a method trains."""
        wanted = {pair.dataset: self.suite.datasets[pair.dataset] for pair in self.pairs}
        cards = (REGISTRY.card("method", name) for name in self.methods)
        trains = any(isinstance(card, MethodCard) and card.trains for card in cards)
        return {"corpus": self.suite.corpus, **wanted} if trains else wanted


@dataclass(frozen=True)
class PlannedCell:
    """One evaluation cell.

    Attributes:
        spec: who is evaluated on what.
        pair: its dataset-task pair.
        key: name of its record, None while the backbone is not there yet.
        state: "done", "to do" or "refused".
        reason: why it is refused.
    """

    spec: RunSpec
    pair: TaskSpec
    key: str | None
    state: str
    reason: str = ""


@dataclass
class Plan:
    """A request worked out: data, backbones and cells. Data is prepared when it is first asked for.

    Attributes:
        request: what was asked.
        progress: told, while data is prepared, its name and how many of how many images are done.
    """

    request: Request
    progress: Callable[[str, int, int], None] | None = None

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol."""
        return load_protocol(self.request.protocol)

    @cached_property
    def store(self) -> RecordStore:
        """The result store."""
        return RecordStore(self.request.results)

    def recipe(self, method: str) -> Recipe:
        """Recipe of a method: the paper's settings, the suite's over them, the user's over those."""
        layers = (self.method_card(method).recipe, self.request.suite.pretraining, self.request.recipe)
        return resolve_recipe(*layers, method=method)

    @cached_property
    def prepared(self) -> dict[str, Prepared]:
        """Prepared folders by name, "corpus" among them where a method trains."""
        return {name: self._prepare(name, data) for name, data in self.request.wanted_data().items()}

    @cached_property
    def corpus(self) -> Corpus:
        """The pre-training corpus, with the summaries that its suite names.

        Raises:
            VlpbenchError: if these are missing, damaged, or of other reports.
        """
        plain = Corpus(self.prepared["corpus"], self.request.limit)
        if not self.request.suite.corpus.summaries:
            return plain
        path = Path(self.request.suite.corpus.summaries)
        written = load_summaries(path, reports=plain.study_reports())
        return replace(plain, written=written, summary_origin=describe_summaries(path))

    @cached_property
    def datasets(self) -> dict[TaskSpec, Dataset]:
        """Datasets by pair."""
        return {pair: self._dataset(pair) for pair in self.request.pairs}

    def _dataset(self, pair: TaskSpec) -> Dataset:
        data = self.request.suite.datasets[pair.dataset]
        splits = self.request.splits if self.request.splits is not None else data.splits
        return Dataset(self.prepared[pair.dataset], pair, self.request.limit, source=data.source, split_name=splits)

    def method_card(self, name: str) -> MethodCard:
        """Card of a method."""
        card = REGISTRY.card("method", name)
        if not isinstance(card, MethodCard):
            raise TypeError(f"{name} has no method card")
        return card

    def pretrain_spec(self, method: str) -> PretrainSpec:
        """The pre-training run a method needs."""
        card = self.method_card(method)
        request = self.request
        return PretrainSpec(
            method=method,
            method_version=card.version,
            arch=request.arch,
            image_size=request.image_size,
            suite=request.suite.name,
            corpus_fingerprint=self.corpus.fingerprint if card.trains else "",
            recipe=self.recipe(method).canonical() if card.trains else self._start(method),
            seed=request.pretrain_seed,
        )

    def lacks(self, method: str) -> str | None:
        """Why the corpus cannot serve a method, None where it can."""
        card = self.method_card(method)
        if not card.trains:
            return None
        return next((reason for need in card.needs if (reason := self.corpus.lacks(need)) is not None), None)

    def backbone_folder(self, method: str) -> Path:
        """Where a method's backbone lies, or will."""
        spec = self.pretrain_spec(method)
        folder = self.request.backbones if self.request.backbones is not None else self.request.work / "backbones"
        return folder / f"{method}-{spec.arch.replace('/', '_')}-{spec.key}"

    def backbone_card(self, method: str) -> BackboneCard | None:
        """Card of a method's backbone, None while it is not there."""
        folder = self.backbone_folder(method)
        return read_card(folder) if (folder / "backbone.json").is_file() else None

    @cached_property
    def blank_card(self) -> BackboneCard:
        """Card of the architecture before any weights."""
        import torch

        with torch.device("meta"):
            return Backbone(self.request.arch, Preprocessing(self.request.image_size)).card

    def settings(self, pair: TaskSpec) -> Settings:
        """Resolved settings of a pair's task."""
        return self.protocol.for_task(pair.task, self.request.suite.evaluation.get(pair.task))

    def foundations(self, pair: TaskSpec, card: BackboneCard) -> Foundations:
        """What a cell's number stands on."""
        task_card = REGISTRY.card("task", pair.task)
        dataset = self.datasets[pair]
        return Foundations(
            weights_sha256=card.sha256,
            data_fingerprint=dataset.fingerprint,
            split_hash=dataset.split_hash,
            settings_hash=self.protocol.settings_hash(self.settings(pair)),
            task_version=task_card.version if isinstance(task_card, TaskCard) else 0,
        )

    def cells(self, method: str) -> list[PlannedCell]:
        """Every cell of a method, in the order it is run."""
        card = self.backbone_card(method)
        cells = []
        lacks = self.lacks(method)
        for pair in self.request.pairs:
            reason = lacks if lacks is not None else open_task(pair.task).refuses(card or self.blank_card)
            for fraction in self.request.fractions:
                for seed in self.request.seeds:
                    cells.append(self._cell(method, pair, fraction, seed, card, reason))
        return cells

    def _cell(
        self, method: str, pair: TaskSpec, fraction: float, seed: int, card: BackboneCard | None, reason: str | None
    ) -> PlannedCell:
        request = self.request
        spec = RunSpec(
            method=method,
            arch=request.arch,
            image_size=request.image_size,
            suite=request.suite.name,
            task=pair.task,
            dataset=pair.dataset,
            fraction=fraction,
            seed=seed,
            protocol=request.protocol,
            pretrain_seed=request.pretrain_seed,
            limit=request.limit,
        )
        if reason is not None:
            return PlannedCell(spec, pair, None, "refused", reason)
        if card is None:
            return PlannedCell(spec, pair, None, "to do")
        key = run_key(spec, self.foundations(pair, card))
        return PlannedCell(spec, pair, key, "done" if self.store.has(spec, key) else "to do")

    def _start(self, method: str) -> str:
        """What an initialisation depends on, as canonical JSON: its switches, and the files it reads."""
        # Switches without a method's name are meant for methods that train.
        named = [{METHODS: layer.get(METHODS, {})} for layer in (self.request.suite.pretraining, self.request.recipe)]
        given = dict(resolve_recipe(*named, method=method).options)
        kind = REGISTRY.target("method", method)
        if not issubclass(kind, Initialisation):
            raise VlpbenchError(f"The method {method!r} says trains=False and is no vlpbench.method.Initialisation.")
        stamp = kind(resolve_options(method, kind.options_type, given)).stamp()
        return canonical_json({**({"options": given} if given else {}), **({"stamp": stamp} if stamp else {})})

    def _prepare(self, name: str, data: DataSpec) -> Prepared:
        request = SourceRequest(data, self.request.data, self.request.image_size)
        progress = None if self.progress is None else partial(self.progress, name)
        return prepare(request, self.request.work, jobs=self.request.jobs, progress=progress)


def open_task(name: str) -> Task:
    """An instance of a registered task.

    Raises:
        UnknownNameError: for an unknown name.
    """
    task = REGISTRY.target("task", name)()
    if not isinstance(task, Task):
        raise VlpbenchError(f"The task {name!r} is not a vlpbench.task.Task.")
    return task
