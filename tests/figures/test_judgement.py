from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.figures.small_store import boxes_table, masks_table, read_truths
from vlpbench.figures.judgement import BoxJudgement, MaskJudgement, judge


def test_masks_are_judged_by_their_dice() -> None:
    truths = read_truths("siim")
    judgement = judge("segmentation", masks_table(truths, 1.0))
    assert isinstance(judgement, MaskJudgement)
    first = next(iter(truths))
    assert judgement.scores[first] == 1.0
    assert judgement.scores.iloc[-1] < 1.0
    assert np.array_equal(judgement.truth(first).mask, truths[first].mask == 1)
    assert np.array_equal(judgement.predicted(first).mask, truths[first].mask == 1)


def test_an_image_of_another_mask_is_not_the_one_that_was_evaluated() -> None:
    truths = read_truths("siim")
    judgement = judge("segmentation", masks_table(truths, 1.0))
    first, second, *_ = truths
    assert judgement.fits(first, truths[first])
    assert not judgement.fits(first, truths[second])
    assert not judgement.fits(first, replace(truths[first], mask=None))


def test_boxes_below_the_threshold_are_neither_drawn_nor_counted() -> None:
    truths = read_truths("rsna")
    judgement = judge("detection", boxes_table(truths, 1.0))
    assert isinstance(judgement, BoxJudgement)
    first = next(iter(truths))
    assert judgement.threshold == 1.0
    assert judgement.scores[first] == 1.0
    assert judgement.predicted(first).boxes == judgement.truth(first).boxes
    assert judgement.truth(first).boxes == tuple(
        (box.x, box.y, box.width, box.height) for box in truths[first].boxes or () if box.label == "lung_opacity"
    )


def test_an_image_of_other_boxes_is_not_the_one_that_was_evaluated() -> None:
    truths = read_truths("rsna")
    judgement = judge("detection", boxes_table(truths, 0.5))
    first, second, *_ = truths
    assert judgement.fits(first, truths[first])
    assert not judgement.fits(first, truths[second])
    assert not judgement.fits(first, replace(truths[first], boxes=()))


def test_predictions_without_annotations_have_no_scores() -> None:
    table = boxes_table(read_truths("rsna"), 0.5)
    assert judge("detection", table[table["kind"] != "target"]).scores.empty
