"""Scores of maps against true masks, pair by pair of study and finding, and what they come to.

Pointing game: whether the highest patch centre lies inside the mask (Zhang et al., Top-down neural attention by
excitation backprop, IJCV 2018), here without tolerance; where several patches are equally high, the share that does.
Mask energy: share of the map that lies inside the mask (the energy-based pointing game of Wang et al., Score-CAM, CVPR
workshops 2020), the map scaled from 0 to 1 and brought to the mask's size.
Pixel AUROC: probability that a pixel inside the mask is higher than one outside, ties counting half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

Grid = Float[np.ndarray, "side side"]
Mask = Bool[np.ndarray, "size size"]
HEADLINES = {"pointing_game": "hit", "mask_energy": "energy"}
"""Metrics that tables print, and the column each is the mean of."""
MACRO = "_macro"
MEANS = {
    **HEADLINES,
    "pointing_game_patch": "patch_hit",
    "pixel_auroc": "auroc",
    "pointing_game_other": "other_hit",
    "mask_energy_other": "other_energy",
}
FLOORS: Mapping[str, Mapping[str, str]] = {
    "uniform": {"pointing_game": "area", "mask_energy": "area"},
    "centre": {"pointing_game": "centre", "mask_energy": "centre"},
    "other_findings": {"pointing_game": "other_hit", "mask_energy": "other_energy"},
}
"""What the headline columns are for predictors that do not look for the finding."""


def point(scaled: Grid, mask: Mask) -> float:
    """Share of the highest patches whose centre lies in the mask, 0 or 1 unless several are highest."""
    size, side = len(mask), len(scaled)
    centres = (2 * np.arange(side) + 1) * size // (2 * side)
    return float(mask[np.ix_(centres, centres)][scaled == scaled.max()].mean())


def point_anywhere(scaled: Grid, mask: Mask) -> float:
    """Share of the highest patches that hold any pixel of the mask.

    MedKLIP's hit (MediaBrain-SJTU/MedKLIP, Sample_Zero-Shot_Grounding_RSNA/test.py), but for ties.
    """
    size, side = len(mask), len(scaled)
    edges = np.arange(side + 1) * size // side
    spans = list(pairwise(edges.tolist()))
    held = np.array([[mask[top:bottom, left:right].any() for left, right in spans] for top, bottom in spans])
    return float(held[scaled == scaled.max()].mean())


def energy_inside(pixels: Float[np.ndarray, "size size"], mask: Mask) -> float:
    """Share of a non-negative map inside the mask."""
    return float(pixels[mask].sum(dtype=np.float64) / pixels.sum(dtype=np.float64))


def pixel_auroc(pixels: Float[np.ndarray, "size size"], mask: Mask) -> float:
    """Area under the ROC curve of the pixels, by the sum of ranks; NaN for a mask of all pixels or none."""
    from scipy.stats import rankdata

    inside, outside = int(mask.sum()), int((~mask).sum())
    if 0 in (inside, outside):
        return float("nan")
    ranks = float(rankdata(pixels, axis=None).reshape(mask.shape)[mask].sum())
    return (ranks - inside * (inside + 1) / 2) / (inside * outside)


def compare_map(
    scaled: Mapping[str, Grid], pixels: Mapping[str, Float[np.ndarray, "size size"]], mask: Mask, finding: str
) -> dict[str, float]:
    """All there is to say of one study and one of its findings.

    Args:
        scaled: map of every finding's name on the grid of patches, see `scale_maps`.
        pixels: the same maps at the mask's size.
        mask: of the finding, with a pixel at least.
        finding: whose mask it is.
    """
    others = [name for name in scaled if name != finding]
    middle = len(mask) // 2
    return {
        "area": float(mask.mean()),
        "centre": float(mask[middle, middle]),
        "hit": point(scaled[finding], mask),
        "patch_hit": point_anywhere(scaled[finding], mask),
        "energy": energy_inside(pixels[finding], mask),
        "auroc": pixel_auroc(pixels[finding], mask),
        "other_hit": float(np.mean([point(scaled[name], mask) for name in others])),
        "other_energy": float(np.mean([energy_inside(pixels[name], mask) for name in others])),
    }


def summarise(pairs: pd.DataFrame) -> dict[str, float]:
    """Every metric from the rows of `compare_map`, which name their `finding`."""
    return _metrics(pairs, MEANS)


def summarise_floors(pairs: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The headlines of predictors that do not look for the finding."""
    return {floor: _metrics(pairs, columns) for floor, columns in FLOORS.items()}


def resample(
    pairs: pd.DataFrame,
    metric: str,
    images: Int[np.ndarray, " pairs"],
    weights: Int[np.ndarray, "samples images"],
) -> Float[np.ndarray, " samples"]:
    """One metric of `summarise` with images counted as often as the weights say; NaN where no pair counts.

    Args:
        pairs: as `summarise` takes them.
        metric: one that it gives.
        images: number of the image of each pair.
        weights: how often each image is in each sample.

    Raises:
        KeyError: for a metric that `summarise` does not give.
    """
    column, by_finding, only = _meaning(metric, sorted(set(pairs["finding"])))
    values, findings = pairs[column].to_numpy(dtype=np.float64), pairs["finding"].to_numpy()
    counted = weights[:, images] * ~np.isnan(values)
    clean = np.nan_to_num(values)
    groups = [findings == name for name in only] if by_finding else [np.isin(findings, only)]
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [counted[:, group] @ clean[group] / counted[:, group].sum(axis=1) for group in groups]
    return _mean_of_defined(np.array(means))


def _metrics(pairs: pd.DataFrame, columns: Mapping[str, str]) -> dict[str, float]:
    """Means over all pairs, and of the headlines those over findings and of each finding."""
    found = {metric: float(pairs[column].mean()) for metric, column in columns.items()}
    for metric in HEADLINES:
        by_finding = pairs.groupby("finding", sort=True)[columns[metric]].mean()
        found[metric + MACRO] = float(by_finding.mean())
        found |= {f"{metric}_{finding}": float(mean) for finding, mean in by_finding.items()}
    return found


def _meaning(metric: str, findings: Sequence[str]) -> tuple[str, bool, list[str]]:
    """Column of a metric, whether it is a mean of means, and the findings it is of."""
    if metric in MEANS:
        return MEANS[metric], False, list(findings)
    for headline, column in HEADLINES.items():
        if metric == headline + MACRO:
            return column, True, list(findings)
        if (finding := metric.removeprefix(f"{headline}_")) in findings:
            return column, False, [finding]
    raise KeyError(metric)


def _mean_of_defined(rows: Float[np.ndarray, "groups samples"]) -> Float[np.ndarray, " samples"]:
    """Mean over the groups that a sample holds."""
    defined = ~np.isnan(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Float[np.ndarray, " samples"] = np.nan_to_num(rows).sum(axis=0) / defined.sum(axis=0)
    return mean
