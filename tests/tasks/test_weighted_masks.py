from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from vlpbench.data.source import IGNORED
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.protocol import load_protocol
from vlpbench_tasks.mask_metrics import count_pixels, score, tabulate
from vlpbench_tasks.segmentation import Segmentation
from vlpbench_tasks.weighted_masks import resample

SETTINGS = load_protocol("clean").for_task("segmentation")
WEIGHABLE = ("dice_positive", "dice_empty_one", "dice_pooled", "iou_positive", "empty_accuracy")


def table(images: int = 25) -> pd.DataFrame:
    """Masks of which one in three is empty and some have ignored pixels; predictions of which one in four is empty."""
    generator = np.random.default_rng(5)
    masks = (generator.random((images, 6, 5)) < 0.4).astype(np.uint8)
    masks[generator.random(images) < 1 / 3] = 0
    masks[generator.random((images, 6, 5)) < 0.1] = IGNORED
    predictions = (generator.random((images, 6, 5)) < 0.4).astype(np.uint8)
    predictions[generator.random(images) < 1 / 4] = 0
    return tabulate([f"image{number}" for number in range(images)], predictions, masks)


@pytest.mark.parametrize("metric", WEIGHABLE)
def test_each_sample_is_the_score_of_repeated_images(metric: str) -> None:
    found = table()
    weights = np.random.default_rng(0).multinomial(len(found), np.full(len(found), 1 / len(found)), size=20)
    weights[0] = 1
    rows = [np.repeat(np.arange(len(found)), counts) for counts in weights]
    expected = [score(count_pixels(found.iloc[row].reset_index(drop=True)), 16)[metric] for row in rows]
    np.testing.assert_allclose(resample(count_pixels(found), metric, weights), expected, rtol=0, atol=1e-12)


def test_by_hand() -> None:
    masks, predictions = np.zeros((3, 2, 2), dtype=np.uint8), np.zeros((3, 2, 2), dtype=np.uint8)
    masks[0, 0] = 1  # 2 pixels, 1 found, none wrong
    predictions[0, 0, 0] = 1
    predictions[2, 0, 0] = 1  # 1 wrong pixel on an empty mask
    counted = count_pixels(tabulate(list("abc"), predictions, masks))
    weights = np.array([[1, 1, 1], [2, 0, 3], [0, 4, 1], [0, 0, 0]])
    dice = 2 * 1 / (1 + 2)
    expected = {
        "dice_positive": [dice, dice, math.nan, math.nan],
        "dice_empty_one": [(dice + 1) / 3, 2 * dice / 5, 4 / 5, math.nan],
        "dice_pooled": [2 / (2 + 1 + 1), 4 / (4 + 3 + 2), 0, math.nan],
        "iou_positive": [1 / 2, 1 / 2, math.nan, math.nan],
        "empty_accuracy": [1 / 2, 0, 4 / 5, math.nan],
    }
    for metric, values in expected.items():
        # Dice of an image is kept in float32
        np.testing.assert_allclose(resample(counted, metric, weights), values, rtol=0, atol=1e-7, err_msg=metric)


def test_all_empty_masks() -> None:
    blank = np.zeros((2, 3, 3), dtype=np.uint8)
    counted = count_pixels(tabulate(["a", "b"], blank, blank))
    weights = np.array([[1, 1], [2, 0]])
    assert np.isnan(resample(counted, "dice_positive", weights)).all()
    assert np.isnan(resample(counted, "dice_pooled", weights)).all()
    assert resample(counted, "dice_empty_one", weights).tolist() == [1, 1]


def test_batches_cannot_be_weighed() -> None:
    counted = count_pixels(table(3))
    with pytest.raises(VlpbenchError, match=r"dice_batch_mean cannot be resampled: .* a sample of images has no order"):
        resample(counted, "dice_batch_mean", np.ones((1, 3), dtype=int))
    with pytest.raises(UnknownNameError, match="No metric named 'dice'"):
        resample(counted, "dice", np.ones((1, 3), dtype=int))


def test_the_task_resamples_what_it_scores_and_says_what_is_there() -> None:
    task, found = Segmentation(), table()
    metrics = task.score(found, SETTINGS, "dice_positive")
    assert set(metrics) == set(task.card.metrics)
    ones = np.ones((1, len(found)), dtype=np.int32)
    for metric in WEIGHABLE:
        assert task.resample(found, SETTINGS, metric, ones)[0] == pytest.approx(metrics[metric], abs=1e-12)
    images = task.images(found)
    assert list(images["image_id"]) == list(found["image_id"])
    counted = count_pixels(found)
    positive = counted["true_positive"] + counted["false_negative"] > 0
    assert list(images["stratum"] == "foreground") == list(positive)
    assert set(images["stratum"]) == {"foreground", "no foreground"}
    with pytest.raises(TypeError, match="DetectionSettings"):
        task.score(found, load_protocol("clean").for_task("detection"), "dice_positive")


def test_pixels_are_those_of_torchmetrics_to_the_last_bit() -> None:
    import torch
    from torchmetrics.functional.classification import binary_f1_score, binary_stat_scores

    generator = np.random.default_rng(6)
    masks = generator.choice([0, 1, IGNORED], p=[0.6, 0.3, 0.1], size=(12, 17, 13)).astype(np.uint8)
    predictions = (generator.random(masks.shape) < 0.3).astype(np.uint8)
    masks[:3], predictions[2:5] = 0, 0
    found = tabulate([str(number) for number in range(12)], predictions, masks)
    for constant, predicted in ((None, predictions), (0, 0 * predictions), (1, 0 * predictions + 1)):
        counted = count_pixels(found, constant)  # type: ignore[arg-type]
        given = torch.from_numpy(predicted).int(), torch.from_numpy(masks).int()
        counts = binary_stat_scores(*given, multidim_average="samplewise", ignore_index=IGNORED).numpy()
        dice = binary_f1_score(*given, multidim_average="samplewise", ignore_index=IGNORED).numpy()
        np.testing.assert_array_equal(counted[["true_positive", "false_positive"]], counts[:, :2])
        np.testing.assert_array_equal(counted["false_negative"], counts[:, 3])
        np.testing.assert_array_equal(counted["dice"], dice.astype(np.float64))
