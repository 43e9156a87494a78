"""How much faster is a bootstrap by weights than scikit-learn in a loop over the samples?

Draws samples of made-up test images with replacement and computes AUROC and average precision in each: by
`vlpbench_tasks.weighted_labels.resample`, for all samples at once, and by scikit-learn, sample by sample from the rows
drawn. Both must give the same numbers in every sample, or nothing is measured. They take turns; the least processor
time of all turns counts. Writes Markdown to standard output:

    uv run python benchmark/speed/bootstrap.py
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import sklearn
from sklearn.metrics import average_precision_score, roc_auc_score

from vlpbench_tasks.label_metrics import PROBABILITY, TRUTH, tabulate
from vlpbench_tasks.weighted_labels import resample

LABEL = "opacity"
TOLERANCE = 1e-12
PLAIN = {"auroc": roc_auc_score, "average_precision": average_precision_score}


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        metric: that is computed.
        steps: different probabilities there are, so that images tie; 0 for as many as there are images.
    """

    metric: str
    steps: int


CASES = (Case("auroc", 0), Case("auroc", 100), Case("average_precision", 0), Case("average_precision", 100))


def draw(case: Case, images: int, samples: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Predictions of which three in ten are positive, and how often each image is in each sample."""
    generator = np.random.default_rng(0)
    truth = (generator.random((images, 1)) < 0.3).astype(np.float64)
    probability = 1 / (1 + np.exp(-generator.normal(truth, 1.0)))
    if case.steps:
        probability = np.round(probability * case.steps) / case.steps
    weights = generator.multinomial(images, np.full(images, 1 / images), size=samples)
    return tabulate([str(number) for number in range(images)], [LABEL], probability, truth), weights


def looped(predictions: pd.DataFrame, metric: str, weights: np.ndarray) -> np.ndarray:
    """scikit-learn on the rows of each sample."""
    truth, probability = (predictions[prefix + LABEL].to_numpy() for prefix in (TRUTH, PROBABILITY))
    everyone = np.arange(len(predictions))
    rows = (np.repeat(everyone, counts) for counts in weights)
    return np.array([PLAIN[metric](truth[row], probability[row]) for row in rows])


def least(ways: tuple[Callable[[], object], ...], rounds: int) -> list[float]:
    """Processor seconds of each way, in turns, each going first in every other round."""
    best = [float("inf")] * len(ways)
    for number in range(rounds):
        for which in list(range(len(ways)))[:: 1 if number % 2 == 0 else -1]:
            begun = time.process_time()
            ways[which]()
            best[which] = min(best[which], time.process_time() - begun)
    return best


def main() -> int:
    """Check that both agree, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=5000, help="of the test split (5000)")
    parser.add_argument("--samples", type=int, default=2000, help="bootstrap samples (2000)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (3)")
    given = parser.parse_args()
    lines = []
    for case in CASES:
        predictions, weights = draw(case, given.images, given.samples)
        ways = (
            lambda table=predictions, metric=case.metric, counts=weights: resample(table, metric, counts),
            lambda table=predictions, metric=case.metric, counts=weights: looped(table, metric, counts),
        )
        apart = float(np.abs(ways[0]() - ways[1]()).max())
        if not apart < TOLERANCE:
            sys.stderr.write(f"{case}: by weights and by rows differ by {apart:.1e}.\n")
            return 1
        ours, theirs = least(ways, given.rounds)
        ties = f"{case.steps + 1} values" if case.steps else "no ties"
        lines.append(f"| {case.metric}, {ties} | {ours:.3f} | {theirs:.2f} | {theirs / ours:.0f} | {apart:.0e} |\n")
    sys.stdout.write(
        f"{given.samples} samples of {given.images} images, {given.rounds} turns, scikit-learn {sklearn.__version__}, "
        f"numpy {np.__version__}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n\n"
        "| metric | by weights, s | loop, s | loop / weights | largest difference |\n|---|---:|---:|---:|---:|\n"
    )
    sys.stdout.write("".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
