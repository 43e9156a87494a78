"""The worked examples of docs/reading_the_tables.md are what the code computes."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

from vlpbench.box import Box
from vlpbench.cards import APPROXIMATE, EXTRA_SUPERVISION
from vlpbench.registry import REGISTRY
from vlpbench.table.beside import MEANINGS
from vlpbench.table.entries import BELOW_FLOOR, MISSING, UNDEFINED
from vlpbench_tasks import box_metrics, label_metrics, mask_metrics

PAGE = (Path(__file__).parents[2] / "docs" / "reading_the_tables.md").read_text(encoding="utf-8")


def told(metric: str, column: int = 2) -> float:
    """The value of a metric in the page's tables."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{metric}` |")]
    return float([cell.strip() for cell in line.strip().strip("|").split("|")][column])


def per_cent(value: float) -> float:
    return round(100 * value, 1)


def test_classification() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.4]])
    truth = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    found = label_metrics.score(
        label_metrics.tabulate(list("abcd"), ["edema", "fracture"], probabilities, truth), exclusive=False
    )
    for metric in ("auroc", "average_precision"):
        assert told(metric) == per_cent(found[metric])
    always = np.tile([0.6, 0.3, 0.1], (5, 1))
    classes = np.eye(3)[[0, 0, 0, 1, 2]]
    table = label_metrics.tabulate(list("abcde"), ["normal", "pneumonia", "covid"], always, classes)
    found = label_metrics.score(table, exclusive=True)
    for metric in ("accuracy", "balanced_accuracy"):
        assert told(metric) == per_cent(found[metric])


def test_segmentation() -> None:
    masks = np.zeros((4, 4, 4), np.uint8)
    predicted = masks.copy()
    masks[0, 0, :] = masks[1, 0, :2] = 1
    predicted[0, 0, :2] = predicted[0, 1, :2] = predicted[3, 0, :3] = 1
    table = mask_metrics.tabulate(list("ABCD"), predicted, masks)
    found = mask_metrics.score(mask_metrics.count_pixels(table), 3)
    empty = mask_metrics.score(mask_metrics.count_pixels(table, 0), 3)
    assert len(found) == 6
    for metric, value in found.items():
        assert (told(metric), told(metric, 3)) == (per_cent(value), per_cent(empty[metric]))


def test_detection() -> None:
    def box(x: float, y: float, width: float, height: float) -> Box:
        return Box("opacity", x, y, width, height)

    table = box_metrics.tabulate(
        ["1", "2", "3"],
        [[(box(0, 0, 10, 6.2), 0.9)], [(box(5, 5, 10, 10), 0.3)], [(box(20, 20, 5, 5), 0.8)]],
        [[box(0, 0, 10, 10)], [box(5, 5, 10, 10)], []],
    )
    found = box_metrics.score(table, 100)
    assert len(found) == 4
    for metric, value in found.items():
        assert told(metric) == per_cent(value)


def test_grounding() -> None:
    from vlpbench.grounding.scores import energy_inside, pixel_auroc, point, point_anywhere

    found = np.array([[1.0, 0.5], [0.0, 0.5]])
    mask = np.array([[True, True], [False, False]])
    assert told("pointing_game") == per_cent(point(found, mask))
    assert told("pointing_game_patch") == per_cent(point_anywhere(found, mask))
    assert told("mask_energy") == per_cent(energy_inside(found, mask))
    assert told("pixel_auroc") == per_cent(pixel_auroc(found, mask))
    assert energy_inside(np.ones((2, 2)), mask) == 0.5


def test_every_metric_has_an_example() -> None:
    for task in REGISTRY.names("task"):
        for metric in REGISTRY.card("task", task).metrics:  # type: ignore[union-attr]
            if "<" not in metric and not metric.endswith(("_macro", "_other")):
                assert told(metric) >= 0


def test_shares_of_empty_masks() -> None:
    for empty, images, share in re.findall(
        r"([\d,]+) (?:/|of) ([\d,]+)(?: = \*\*|: | images have no opacity: )(0\.\d+)", PAGE
    ):
        assert round(int(empty.replace(",", "")) / int(images.replace(",", "")), 3) == float(share)
    assert len(re.findall(r"(?:\*\*|: )0\.7\d\d", PAGE)) == 3
    assert per_cent(123 / 199) == 61.8


def test_spread() -> None:
    runs = [20.0, 40.0, 90.0]
    assert f"**{fmean(runs):.1f} ± {stdev(runs):.1f}**" in PAGE


@pytest.mark.parametrize(
    "sign",
    [*EXTRA_SUPERVISION.values(), APPROXIMATE, BELOW_FLOOR, MISSING, UNDEFINED, "±", "**bold**", " ".join(MEANINGS)],
)
def test_every_sign_is_explained(sign: str) -> None:
    assert re.search(rf"^\| [^|]*{re.escape(sign)}[^|]*\| ", PAGE, flags=re.MULTILINE)
    for mark in MEANINGS:
        assert re.search(rf"^\| {mark} \| ", PAGE, flags=re.MULTILINE)
