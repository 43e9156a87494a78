"""How often does the 95 % interval hold the true value? Test splits drawn from made-up populations of patients.

Of each population many test splits are drawn, and from each the interval is computed as `vlpbench` does: bootstrap over
patients through the task's own code, or DeLong's variance. The truth is the metric of 100,000 patients. Which patients
are positive is drawn anew each time, though the bootstrap holds their number fixed: that is part of what is tested.
Writes a Markdown table to standard output; the figures in docs/statistics.md came from

    uv run python benchmark/difficulty/coverage.py
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from vlpbench.plan import open_task
from vlpbench.protocol import load_protocol
from vlpbench.statistics.delong import auroc_with_shares
from vlpbench.statistics.intervals import LEVEL, percentiles
from vlpbench.statistics.samples import draw_weights

Population = Callable[[np.random.Generator, np.ndarray], pd.DataFrame]
SIZES = (50, 200, 1000)
MANY = 100_000
SHARED = 0.5
"""Share of the variance of a prediction that the images of a patient have in common."""
SIDE = 8


@dataclass(frozen=True)
class Case:
    """What is measured: a metric of a task on a population."""

    title: str
    task: str
    metric: str
    population: Population
    test: str = "bootstrap"


def truths(generator: np.random.Generator, owners: np.ndarray, share: float) -> np.ndarray:
    """Whether each image shows a finding: as its patient does, but for one image in ten."""
    patients = generator.random(owners.max() + 1) < share
    return np.asarray(patients[owners] ^ (generator.random(len(owners)) < 0.1))


def errors(generator: np.random.Generator, owners: np.ndarray) -> np.ndarray:
    """Normal errors of variance 1 with a part that a patient's images share."""
    own = generator.standard_normal(len(owners))
    theirs = generator.standard_normal(owners.max() + 1)[owners]
    return np.asarray(math.sqrt(SHARED) * theirs + math.sqrt(1 - SHARED) * own)


def labels(shares: tuple[float, ...], distance: float = 1.2) -> Population:
    """Independent labels of these prevalences; scores of the two classes are `distance` standard deviations apart."""

    def draw(generator: np.random.Generator, owners: np.ndarray) -> pd.DataFrame:
        columns: dict[str, Any] = {"image_id": image_ids(owners)}
        for number, share in enumerate(shares):
            truth = truths(generator, owners, share)
            columns[f"p:{number}"] = 1 / (1 + np.exp(-distance * truth - errors(generator, owners)))
            columns[f"y:{number}"] = truth.astype(float)
        return pd.DataFrame(columns)

    return draw


def classes(generator: np.random.Generator, owners: np.ndarray) -> pd.DataFrame:
    """Three exclusive classes, of half, a third and a sixth of the patients, the rarer the harder."""
    patients = generator.choice(3, size=owners.max() + 1, p=[1 / 2, 1 / 3, 1 / 6])[owners]
    columns: dict[str, Any] = {"image_id": image_ids(owners)}
    for number, distance in enumerate((2.0, 1.5, 1.0)):
        truth = patients == number
        columns[f"p:{number}"] = 1 / (1 + np.exp(-distance * truth - errors(generator, owners)))
        columns[f"y:{number}"] = truth.astype(float)
    return pd.DataFrame(columns)


def masks(generator: np.random.Generator, owners: np.ndarray) -> pd.DataFrame:
    """A quarter of the image as foreground in two patients of five, found to a degree that differs between patients."""
    from vlpbench_tasks.mask_metrics import tabulate

    target = np.zeros((len(owners), SIDE, SIDE), dtype=np.uint8)
    target[truths(generator, owners, 0.4), : SIDE // 2, : SIDE // 2] = 1
    found = 1 / (1 + np.exp(-0.5 - 1.5 * errors(generator, owners)))
    chance = np.where(target == 1, found[:, None, None], 0.03)
    predicted = (generator.random(target.shape) < chance).astype(np.uint8)
    return tabulate(image_ids(owners), predicted, target)


def image_ids(owners: np.ndarray) -> list[str]:
    """Names that sort as the images stand."""
    return [f"{number:07d}" for number in range(len(owners))]


CASES = (
    Case("AUROC", "classification", "auroc", labels((0.3,))),
    Case("AUROC, DeLong", "classification", "auroc", labels((0.3,)), test="DeLong"),
    Case("AUROC, five labels", "classification", "auroc", labels((0.4, 0.3, 0.3, 0.2, 0.2))),
    Case("AUROC, five labels, DeLong", "classification", "auroc", labels((0.4, 0.3, 0.3, 0.2, 0.2)), test="DeLong"),
    Case("Accuracy, three classes", "classification", "accuracy", classes),
    Case("Dice, images with foreground", "segmentation", "dice_positive", masks),
)


def draw_owners(generator: np.random.Generator, patients: int, *, several: bool) -> np.ndarray:
    """The patient of each image: one image each, or one to four."""
    return np.repeat(np.arange(patients), generator.integers(1, 5, size=patients) if several else 1)


def resample(case: Case, table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """The metric under weights, by the task itself."""
    settings = load_protocol("clean").for_task(case.task)
    return np.asarray(open_task(case.task).resample(table, settings, case.metric, weights))


def interval_of(case: Case, table: pd.DataFrame, owners: np.ndarray, samples: int, seed: int) -> tuple[float, float]:
    """The 95 % interval, NaN where it cannot be had."""
    if case.test == "DeLong":
        scores = table.filter(like="p:").to_numpy()[None]
        found = auroc_with_shares(scores, table.filter(like="y:").to_numpy(), owners)
        half = 1.959964 * math.sqrt(found.variance)
        return found.mean - half, found.mean + half
    strata = open_task(case.task).images(table)["stratum"]
    values = resample(case, table, draw_weights(owners, list(strata), samples=samples, seed=seed))
    return percentiles(values[~np.isnan(values)], LEVEL)


def hits(case: Case, truth: float, patients: int, *, several: bool, samples: int, seeds: range) -> int:
    """In how many drawn test splits the interval holds the truth."""
    count = 0
    for seed in seeds:
        generator = np.random.default_rng([seed, patients, several])
        owners = draw_owners(generator, patients, several=several)
        low, high = interval_of(case, case.population(generator, owners), owners, samples, seed)
        count += low <= truth <= high
    return count


def coverage(case: Case, arguments: argparse.Namespace) -> Iterator[float]:
    """Share of intervals that hold the truth, by number of images per patient and of patients."""
    for several in (False, True):
        generator = np.random.default_rng(1)
        owners = draw_owners(generator, MANY, several=several)
        truth = float(resample(case, case.population(generator, owners), np.ones((1, len(owners)), dtype=int))[0])
        for patients in SIZES:
            parts = [range(start, arguments.repetitions, 8) for start in range(8)]
            job = delayed(hits)
            pool: Any = Parallel(n_jobs=arguments.jobs)
            found = pool(
                job(case, truth, patients, several=several, samples=arguments.samples, seeds=part) for part in parts
            )
            yield sum(found) / arguments.repetitions


def main() -> None:
    """Print a row per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=400, help="test splits drawn for each number")
    parser.add_argument("--samples", type=int, default=500, help="bootstrap samples of each")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default="", help="only metrics whose title has this in it")
    arguments = parser.parse_args()
    write = sys.stdout.write
    heads = [f"{size}, {images}" for images in ("one image each", "one to four images") for size in SIZES]
    write(f"| metric | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}\n")
    for case in (case for case in CASES if arguments.only in case.title):
        write(f"| {case.title} | {' | '.join(f'{share:.1%}' for share in coverage(case, arguments))} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
