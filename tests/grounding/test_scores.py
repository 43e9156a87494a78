"""Scores of maps against masks, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from vlpbench.grounding.scores import (
    compare_map,
    energy_inside,
    pixel_auroc,
    point,
    point_anywhere,
    resample,
    summarise,
    summarise_floors,
)

NAN = float("nan")


def mask_of(*cells: tuple[int, int], size: int = 6) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    for row, column in cells:
        mask[row, column] = True
    return mask


def test_the_centre_of_the_highest_patch_counts_and_nothing_else_of_it() -> None:
    # of 3 x 3 patches of 2 x 2 pixels, the centres lie in the pixels 1, 3 and 5
    scaled = np.array([[0.0, 0.2, 1.0], [0.1, 0.3, 0.0], [0.5, 0.9, 0.9]])
    assert point(scaled, mask_of((1, 5))) == 1.0
    assert point(scaled, mask_of((0, 4), (5, 1))) == 0.0
    assert point_anywhere(scaled, mask_of((0, 4))) == 1.0
    assert point_anywhere(scaled, mask_of((2, 4), (5, 1))) == 0.0


def test_equally_high_patches_count_by_their_share() -> None:
    scaled = np.array([[1.0, 0.2, 1.0], [0.1, 0.3, 0.0], [0.5, 1.0, 1.0]])
    assert point(scaled, mask_of((1, 5), (3, 3))) == 0.25
    assert point_anywhere(scaled, mask_of((0, 5), (1, 1), (3, 3))) == 0.5


def test_a_map_that_is_the_same_everywhere_hits_as_often_as_centres_lie_in_the_mask() -> None:
    assert point(np.ones((3, 3)), mask_of((1, 1), (5, 5), (0, 0))) == pytest.approx(2 / 9)


@pytest.mark.parametrize(("inside", "expected"), [([(0, 0)], 0.4), ([(0, 1), (1, 0)], 0.5), ([], 0.0)])
def test_energy_is_the_share_of_the_map_inside_the_mask(inside: list[tuple[int, int]], expected: float) -> None:
    pixels = np.array([[0.8, 0.6], [0.4, 0.2]])
    assert energy_inside(pixels, mask_of(*inside, size=2)) == pytest.approx(expected)


def test_energy_of_a_mask_of_the_whole_image_is_all_of_it() -> None:
    assert energy_inside(np.array([[0.8, 0.6], [0.4, 0.2]]), np.ones((2, 2), dtype=bool)) == pytest.approx(1.0)


def test_auroc_of_pixels_counts_pairs() -> None:
    pixels = np.array([[0.9, 0.5], [0.5, 0.1]])
    # inside 0.9 and 0.5: of four pairs three are right and one is a tie
    assert pixel_auroc(pixels, mask_of((0, 0), (0, 1), size=2)) == pytest.approx(3.5 / 4)
    assert np.isnan(pixel_auroc(pixels, mask_of(size=2)))
    assert np.isnan(pixel_auroc(pixels, np.ones((2, 2), dtype=bool)))


def test_a_pair_of_study_and_finding() -> None:
    mask = mask_of((0, 0), (1, 1), size=4)
    grids = {"a": np.array([[1.0, 0.0], [0.0, 0.0]]), "b": np.array([[0.0, 0.0], [0.0, 1.0]]), "c": np.ones((2, 2))}
    pixels = {name: np.repeat(np.repeat(grid, 2, axis=0), 2, axis=1) for name, grid in grids.items()}
    assert compare_map(grids, pixels, mask, "a") == pytest.approx(
        {
            "area": 2 / 16,
            "centre": 0.0,
            "hit": 1.0,
            "patch_hit": 1.0,
            "energy": 2 / 4,
            "auroc": (2 * 12 + 2 * 2 / 2) / (2 * 14),
            "other_hit": (0 + 1 / 4) / 2,
            "other_energy": (0 + 2 / 16) / 2,
        }
    )


@pytest.fixture
def pairs() -> pd.DataFrame:
    scored = ("area", "centre", "hit", "patch_hit", "energy", "auroc", "other_hit", "other_energy")
    return pd.DataFrame(
        [
            ("x", "edema", 0.5, 1.0, 1.0, 1.0, 0.6, 0.9, 0.5, 0.3),
            ("x", "covid", 0.1, 0.0, 0.0, 1.0, 0.2, NAN, 0.0, 0.1),
            ("y", "edema", 0.3, 0.0, 0.5, 1.0, 0.4, 0.7, 0.25, 0.2),
            ("z", "edema", 0.3, 1.0, 0.0, 0.0, 0.2, 0.5, 0.25, 0.4),
        ],
        columns=["image_id", "finding", *scored],
    )


def test_metrics_are_means_over_pairs_and_over_findings(pairs: pd.DataFrame) -> None:
    assert summarise(pairs) == pytest.approx(
        {
            "pointing_game": 0.375,
            "mask_energy": 0.35,
            "pointing_game_patch": 0.75,
            "pixel_auroc": 0.7,
            "pointing_game_other": 0.25,
            "mask_energy_other": 0.25,
            "pointing_game_macro": (0 + 0.5) / 2,
            "pointing_game_edema": 0.5,
            "pointing_game_covid": 0.0,
            "mask_energy_macro": (0.2 + 0.4) / 2,
            "mask_energy_edema": 0.4,
            "mask_energy_covid": 0.2,
        }
    )


def test_floors_are_the_same_metrics_of_what_does_not_look(pairs: pd.DataFrame) -> None:
    floors = summarise_floors(pairs)
    assert {name: (found["pointing_game"], found["mask_energy"]) for name, found in floors.items()} == {
        "uniform": pytest.approx((0.3, 0.3)),
        "centre": pytest.approx((0.5, 0.5)),
        "other_findings": pytest.approx((0.25, 0.25)),
    }
    assert floors["uniform"]["mask_energy_macro"] == pytest.approx((0.1 + 1.1 / 3) / 2)


@pytest.mark.parametrize("metric", ["pointing_game", "pointing_game_macro", "mask_energy_covid", "pixel_auroc"])
def test_resampling_is_counting_rows_several_times(pairs: pd.DataFrame, metric: str) -> None:
    numbers = pd.factorize(pairs["image_id"])[0]
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 2, 1], [0, 0, 0]])
    found = resample(pairs, metric, numbers, weights)
    for sample, row in zip(found, weights, strict=True):
        repeated = pairs.loc[pairs.index.repeat(row[numbers])]
        expected = summarise(repeated).get(metric, NAN) if len(repeated) else NAN
        assert sample == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found[3])


def test_an_unknown_metric_is_refused(pairs: pd.DataFrame) -> None:
    with pytest.raises(KeyError, match="dice"):
        resample(pairs, "dice", np.zeros(4, dtype=int), np.ones((1, 1), dtype=int))
