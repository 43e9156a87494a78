"""Bootstrap samples of the test patients, as how often each image is in each of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

SMALL = 10


def draw_weights(
    patients: Int[np.ndarray, " images"], strata: Sequence[str], *, samples: int, seed: int = 0
) -> Int[np.ndarray, "samples images"]:
    """Draw patients with replacement, stratum by stratum, as many as the stratum has; images go with their patient.

    A patient's stratum is the set of the strata of his images. So every sample has as many patients of each kind as the
    test split, and with one image per patient as many images of each kind: prevalence is held fixed, and what varies is
    which patients of a kind were met. Strata of fewer than `SMALL` patients are one stratum together: many labels make
    many combinations, and a patient who is alone in a stratum would be in every sample, as if he were certain. Equal
    arguments give equal weights.

    Args:
        patients: number of each image's patient.
        strata: what each image shows.
        samples: how many to draw.
        seed: of the generator.

    Raises:
        ValueError: if there is not one stratum per image.
    """
    if len(strata) != len(patients):
        raise ValueError(f"{len(patients)} images and {len(strata)} strata")
    _, person = np.unique(patients, return_inverse=True)
    generator = np.random.default_rng(seed)
    counts = np.zeros((samples, int(person.max(initial=-1)) + 1), dtype=np.int32)
    for members in _strata_of_patients(person, strata):
        drawn = generator.integers(len(members), size=(samples, len(members)))
        drawn += np.arange(samples)[:, None] * len(members)
        counts[:, members] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(samples, -1)
    return counts[:, person]


def _strata_of_patients(person: Int[np.ndarray, " images"], strata: Sequence[str]) -> list[Int[np.ndarray, " members"]]:
    """Numbers of the patients of each stratum, by the name of the stratum."""
    shown: dict[int, set[str]] = {}
    for number, stratum in zip(person.tolist(), strata, strict=True):
        shown.setdefault(number, set()).add(stratum)
    members: dict[tuple[str, ...], list[int]] = {}
    for number in sorted(shown):
        members.setdefault(tuple(sorted(shown[number])), []).append(number)
    large = [members[stratum] for stratum in sorted(members) if len(members[stratum]) >= SMALL]
    small = sorted(number for found in members.values() if len(found) < SMALL for number in found)
    return [np.array(found) for found in [*large, small] if found]
