"""True masks of drawn radiographs, and their names."""

import numpy as np
import pytest

from vlpbench.data.source import SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.grounding.phrases import is_named
from vlpbench.grounding.truth import NAMES, NO_FINDINGS, draw_truth
from vlpbench.phantom import POPULATIONS, studies
from vlpbench.phantom.study import KINDS
from vlpbench.sources.phantom import PhantomSource
from vlpbench.suite import DataSpec

DATA = DataSpec("rsna", "RSNA-like", "phantom", {"population": "rsna", "count": 12, "seed": 2, "mask": "lung_opacity"})


def test_the_image_is_the_one_that_was_prepared() -> None:
    source = PhantomSource(SourceRequest(DATA, None, 48))
    rows = list(source.rows())[:4]
    for row, drawn in zip(rows, draw_truth(DATA, [row.image_id for row in rows], 48), strict=True):
        pixels = source.read(row)
        assert np.array_equal(pixels.image, drawn.image)
        assert np.array_equal(pixels.mask == 1, drawn.masks.get("lung_opacity", np.zeros((48, 48), dtype=bool)))


def test_every_finding_has_words_that_reports_use_and_that_name_it_alone() -> None:
    assert set(NAMES) == {*KINDS, "chest_tube"}
    reports = " ".join(study.report for study in studies("corpus", count=300, seed=11)).lower()
    for finding, words in NAMES.items():
        assert words.lower() in reports
        assert [name for name in NAMES if is_named(words, name)] == [finding]


def test_masks_are_of_findings_but_for_two() -> None:
    for population in POPULATIONS:
        data = DataSpec("any", "any", "phantom", {"population": population, "count": 30, "seed": 5})
        for drawn in draw_truth(data, [study.study_id for study in studies(population, count=6, seed=5)], 32):
            assert set(drawn.masks) <= {*NAMES, *NO_FINDINGS}


def test_images_that_are_not_there_and_data_that_nobody_drew_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"No image of rsna named 'rsna-p00000-s9'. Near: rsna-p0000"):
        next(draw_truth(DATA, ["rsna-p00000-s9"], 32))
    with pytest.raises(VlpbenchError, match="comes from the source 'table'"):
        next(draw_truth(DataSpec("own", "own", "table"), ["1"], 32))
