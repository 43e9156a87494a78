"""The headline of stored predictions under many samples of the test patients, the same samples for all records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from vlpbench.canonical import content_hash
from vlpbench.errors import VlpbenchError
from vlpbench.patients import read_patients
from vlpbench.protocol import SETTINGS, Settings
from vlpbench.record import Record
from vlpbench.registry import REGISTRY
from vlpbench.settings import later_defaults, setting_fields
from vlpbench.statistics.label_scores import LabelScores, read_label_scores
from vlpbench.statistics.samples import draw_weights
from vlpbench.store import RecordStore

if TYPE_CHECKING:
    from vlpbench.task import Task

Split = tuple[str, str, str, str, str]
"""Suite, task, dataset, data fingerprint and split of a test split."""
FEW = 12
BATCH = 16
AGREE = 1e-6


@dataclass(frozen=True)
class Outcome:
    """What one record gave: values and the test images they are of, or the reason why there are none."""

    values: Float[np.ndarray, " samples"] | None
    images: tuple[str, ...]
    strata: str
    reason: str


class Resampler:
    """Resamples records, each once; what it found stays in memory."""

    def __init__(
        self, store: RecordStore, *, samples: int = 2000, jobs: int = 2, plugins: Sequence[Path] = (), seed: int = 0
    ) -> None:
        """Nothing is read yet.

        Args:
            store: of the records and their predictions.
            samples: bootstrap samples of the test patients.
            jobs: processes that read and resample many records; 1 for none but this.
            plugins: files with tasks that those processes must know.
            seed: of the samples.
        """
        self.store = store
        self.samples = samples
        self._jobs, self._plugins, self._seed = jobs, tuple(plugins), seed
        self._found: dict[tuple[str, int], Outcome] = {}
        self._first: dict[Split, Record] = {}
        self._patients: dict[Split, bool] = {}
        self._scores: dict[tuple[str, int], LabelScores] = {}
        self._truths: dict[Split, tuple[Record, LabelScores]] = {}

    def prefetch(self, records: Iterable[Record]) -> None:
        """Resample many records in processes; what fails is told when its values are asked for."""
        wanted = {_name(record): record for record in records if _defined(record)}
        missing = [record for name, record in wanted.items() if name not in self._found]
        missing.sort(key=lambda record: (split_of(record), record.key, record.attempt))
        if self._jobs > 1 and len(missing) > FEW:
            from joblib import Parallel, delayed

            # neighbours share a test split, so that a process draws its samples seldom
            batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
            resample = delayed(_resample_many)
            jobs = (resample(self.store.root, batch, self.samples, self._seed, self._plugins) for batch in batches)
            pool: Any = Parallel(n_jobs=self._jobs)
            found = [outcome for part in pool(jobs) for outcome in part]
        else:
            found = _resample_many(self.store.root, missing, self.samples, self._seed, ())
        for record, outcome in zip(missing, found, strict=True):
            self._found[_name(record)] = self._checked(record, outcome)

    def values(self, record: Record) -> Float[np.ndarray, " samples"]:
        """The record's headline in each sample, NaN where it is undefined there, and all NaN where the record's is.

        The same sample has the same patients in every record of one test split, so that methods, seeds and label
        fractions are paired.

        Raises:
            VlpbenchError: with the reason why there are none: no predictions, a damaged file, a task that cannot weigh
                images, other test images than another record of the split, or predictions that give another headline.
        """
        if not _defined(record):
            return np.full(self.samples, np.nan)
        if _name(record) not in self._found:
            self.prefetch([record])
        found = self._found[_name(record)]
        if found.values is None:
            raise VlpbenchError(found.reason)
        return found.values

    def label_scores(self, record: Record) -> LabelScores:
        """Probabilities and truths of a record of linear classification; read once.

        Raises:
            VlpbenchError: if there are none, or another record of the same test split has other images or truths.
        """
        if _name(record) not in self._scores:
            found = read_label_scores(self.store, record)
            first, other = self._truths.setdefault(split_of(record), (record, found))
            if found.images != other.images:
                raise _unpaired(first, record, other.images, found.images)
            if found.labels != other.labels or not np.array_equal(found.truth, other.truth, equal_nan=True):
                raise _unpaired(first, record, (), ())
            self._scores[_name(record)] = found
        return self._scores[_name(record)]

    def patients_known(self, record: Record) -> bool:
        """Whether results say which images are of one patient; where not, every image counts as a patient.

        Raises:
            VlpbenchError: if the file of patients is damaged.
        """
        split = split_of(record)
        if split not in self._patients:
            self._patients[split] = read_patients(self.store.root, record) is not None
        return self._patients[split]

    def _checked(self, record: Record, outcome: Outcome) -> Outcome:
        """The outcome, or a refusal where another record of the same test split names other images."""
        if outcome.values is None:
            return outcome
        first = self._first.setdefault(split_of(record), record)
        other = self._found.get(_name(first), outcome)
        if other.images == outcome.images and other.strata == outcome.strata:
            return replace(outcome, images=other.images)
        return Outcome(None, (), "", str(_unpaired(first, record, other.images, outcome.images)))


def split_of(record: Record) -> Split:
    """Test split of a record: records that share it have the same test images and truths."""
    spec, base = record.spec, record.foundations
    return spec.suite, spec.task, spec.dataset, base.data_fingerprint, base.split_hash


def open_task(name: str) -> Task:
    """An instance of a registered task.

    Raises:
        UnknownNameError: for an unknown name.
    """
    task: Task = REGISTRY.target("task", name)()
    return task


def judged_by(record: Record) -> Settings | None:
    """The settings a record was judged by, fields it is older than at what they meant then; None for a task without.

    Raises:
        VlpbenchError: if the record does not tell, or tells of settings that no task here has.
    """
    kind = SETTINGS.get(record.spec.task)
    if kind is None:
        return None
    told: dict[str, Any] = {**later_defaults(kind), **record.provenance.get("settings", {})}
    names = {one.name for one in setting_fields(kind)}
    if set(told) != names:
        problems = [f"lacks {name}" for name in sorted(names - set(told))]
        problems += [f"has an unknown {name}" for name in sorted(set(told) - names)]
        raise VlpbenchError(f"The record {record.key}: its {record.spec.task} settings {', '.join(problems)}.")
    return kind(**{name: _tupled(value) for name, value in told.items()})


def patient_numbers(root: Path, record: Record, images: Sequence[str]) -> Int[np.ndarray, " images"]:
    """Number of the patient of each image; where results do not say, every image is a patient of its own.

    Raises:
        VlpbenchError: if the file of patients is damaged or lacks an image.
    """
    known = read_patients(root, record)
    if known is None:
        return np.arange(len(images))
    if lacking := sorted(set(images) - set(known.index)):
        raise VlpbenchError(
            f"The file of patients of {record.spec.dataset} (data {record.foundations.data_fingerprint[:16]}, split "
            f"{record.foundations.split_hash}) lacks {len(lacking)} test image(s) of the record {record.key}, such as "
            f"{lacking[0]!r}. Delete it; the next vlpbench run of the same cells writes it again."
        )
    return known.loc[list(images)].to_numpy()


def _resample_many(
    root: Path, records: Sequence[Record], samples: int, seed: int, plugins: Sequence[Path]
) -> list[Outcome]:
    """Outcome of each record; runs in a process of its own, or in this one."""
    for path in plugins:
        REGISTRY.add_file(path)
    store = RecordStore(root)
    outcomes = []
    for record in records:
        try:
            outcomes.append(_resample(store, record, samples, seed))
        except VlpbenchError as problem:
            outcomes.append(Outcome(None, (), "", str(problem)))
    return outcomes


def _resample(store: RecordStore, record: Record, samples: int, seed: int) -> Outcome:
    task = open_task(record.spec.task)
    predictions = store.read_predictions(record)
    images = task.images(predictions)
    # methods may list the images in another order: samples are drawn in the order of the ids
    order = np.argsort(images["image_id"].astype(str).to_numpy(), kind="stable")
    ids = tuple(images["image_id"].astype(str).to_numpy()[order])
    strata = tuple(images["stratum"].astype(str).to_numpy()[order])
    if twice := sorted({here for here, after in itertools.pairwise(ids) if here == after}):
        raise VlpbenchError(f"The predictions of the record {record.key} name the image {twice[0]!r} twice.")
    patients = patient_numbers(store.root, record, ids)
    weights = np.empty((samples + 1, len(ids)), dtype=np.int32)
    weights[:, order] = _weights(tuple(patients.tolist()), strata, samples, seed)
    values = task.resample(predictions, judged_by(record), record.headline, weights)
    _check_value(record, float(values[0]))
    return Outcome(np.asarray(values[1:], dtype=np.float64), ids, content_hash(strata, 16), "")


def _check_value(record: Record, value: float) -> None:
    """The whole test split must give the record's own number, or its samples are of another metric."""
    told = record.metrics[record.headline]
    if told is None or not math.isclose(value, told, rel_tol=0, abs_tol=AGREE):
        raise VlpbenchError(
            f"The predictions of the record {record.key} give {record.headline} {value:.6f}, and the record says "
            f"{told}. Compute it again: vlpbench rescore --task {record.spec.task}."
        )


@lru_cache(maxsize=2)
def _weights(
    patients: tuple[int, ...], strata: tuple[str, ...], samples: int, seed: int
) -> Int[np.ndarray, "samples_and_all images"]:
    """Weights of the samples, after one row of ones for the test split itself."""
    drawn = draw_weights(np.array(patients, dtype=np.int64), strata, samples=samples, seed=seed)
    return np.concatenate([np.ones((1, len(strata)), dtype=drawn.dtype), drawn])


def _unpaired(first: Record, record: Record, images: Sequence[str], others: Sequence[str]) -> VlpbenchError:
    """Two records of one test split that say otherwise of its images, or, where these are equal, of their truths."""
    strange = sorted(set(images) ^ set(others))
    told = f"only one of them names the image {strange[0]!r}" if strange else "they say otherwise of what images show"
    return VlpbenchError(
        f"The records {first.key} ({first.spec.method}) and {record.key} ({record.spec.method}) have the same data and "
        f"split ({record.spec.dataset}, split {record.foundations.split_hash}), but in their predictions {told}. They "
        "cannot be paired; run the cells of one again with --force."
    )


def _name(record: Record) -> tuple[str, int]:
    return record.key, record.attempt


def _defined(record: Record) -> bool:
    return record.metrics.get(record.headline) is not None


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list | tuple) else value
