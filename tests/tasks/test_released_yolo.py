from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from torch import nn

from vlpbench.task import Cell
from vlpbench_tasks.released_yolo import assign, released_loss

MakeCell = Callable[..., Cell]
ANCHORS = np.array([[1.0, 1.5], [2.5, 2.0], [4.0, 4.5]])
SHAPE = (2, 5, 6, 2)
# image, label, centre x and y, width and height in cells; the last two meet in one place
BOXES = [
    (0, 0, 1.3, 2.8, 1.1, 1.4),
    (0, 1, 5.9, 4.1, 4.2, 4.4),
    (1, 1, 3.0, 0.5, 0.1, 0.1),
    (1, 0, 2.2, 2.2, 2.4, 2.1),
    (1, 1, 2.7, 2.6, 2.6, 2.2),
]


def assigned() -> Any:
    table = np.array(BOXES)
    return assign(table[:, 2:], table[:, 0].astype(int), table[:, 1].astype(int), ANCHORS, SHAPE)


def overlap(width: float, height: float, anchor: Any) -> float:
    shared = (min(width, anchor[0]) + 1) * (min(height, anchor[1]) + 1)
    return float(shared / ((width + 1) * (height + 1) + (anchor[0] + 1) * (anchor[1] + 1) - shared))


def cross_entropy(share: float, target: float) -> float:
    def logarithm(value: float) -> float:
        return max(math.log(value), -100.0) if value > 0 else -100.0

    return -(target * logarithm(share) + (1 - target) * logarithm(1 - share))


def naive(prediction: np.ndarray) -> list[float]:
    """The four weighted terms, cell by cell, in Python's floats."""
    count, height, width, classes = SHAPE
    wanted: dict[tuple[int, int, int, int], tuple[list[float], set[int]]] = {}
    spared: set[tuple[int, int, int, int]] = set()
    for image, label, x, y, wide, high in BOXES:
        column, row = int(x), int(y)
        overlaps = [overlap(wide, high, anchor) for anchor in ANCHORS]
        spared |= {(image, number, row, column) for number, value in enumerate(overlaps) if value > 0.5}
        best = overlaps.index(max(overlaps))
        labels = wanted.get((image, best, row, column), ([], set()))[1] | {label}
        sizes = [math.log(wide / ANCHORS[best][0]), math.log(high / ANCHORS[best][1])]
        wanted[image, best, row, column] = ([x - column, y - row, *sizes], labels)
    sums, names = [0.0] * 5, 0.0
    for place in np.ndindex(count, len(ANCHORS), height, width):
        raw = prediction[place]
        shares = 1 / (1 + np.exp(-raw))
        if place in wanted:
            target, labels = wanted[place]
            sums[0] += cross_entropy(shares[0], target[0]) + cross_entropy(shares[1], target[1])
            sums[1] += (raw[2] - target[2]) ** 2 + (raw[3] - target[3]) ** 2
            sums[2] += cross_entropy(shares[4], 1.0)
            names += sum(cross_entropy(shares[5 + label], float(label in labels)) for label in range(classes))
        if place not in spared:
            sums[3] += cross_entropy(shares[4], 0.0)
    cells = count * len(ANCHORS) * height * width
    return [
        2.5 * sums[0] / cells,
        2.5 * sums[1] / cells,
        sums[2] / cells + 0.5 * sums[3] / cells,
        names / (cells * classes),
    ]


def test_loss_is_the_one_counted_cell_by_cell() -> None:
    generator = np.random.default_rng(0)
    prediction = generator.normal(size=(2, 3, 5, 6, 7))
    terms = released_loss(torch.tensor(prediction), assigned())
    assert [term.item() for term in terms] == pytest.approx(naive(prediction), rel=1e-9)


def test_a_poorly_covered_object_is_background_too() -> None:
    targets, background = assigned().targets, assigned().background
    # the tiny box overlaps its best anchor by less than a half
    assert overlap(0.1, 0.1, ANCHORS[0]) < 0.5
    assert targets[1, 0, 0, 3, 4] == background[1, 0, 0, 3] == 1
    assert targets[0, 0, 2, 1, 4] == 1
    assert background[0, 0, 2, 1] == 0
    # two boxes in one place: the last one's shape, both labels
    assert targets[1, 1, 2, 2].tolist() == pytest.approx([0.7, 0.6, math.log(2.6 / 2.5), math.log(1.1), 1, 1, 1])


def test_images_without_boxes_teach_background_alone() -> None:
    none = assign(np.zeros((0, 4)), np.zeros(0, dtype=int), np.zeros(0, dtype=int), ANCHORS, SHAPE)
    terms = released_loss(torch.zeros(2, 3, 5, 6, 7, dtype=torch.float64), none)
    assert [term.item() for term in terms] == pytest.approx([0, 0, 0.5 * math.log(2), 0])


def released_model(make_cell: MakeCell, **overrides: Any) -> Any:
    from vlpbench_tasks.openmm_detection import build_detector

    cell = make_cell("detection", protocol="mgca", **overrides)
    settings: Any = cell.settings
    return build_detector(cell, settings), cell


def test_head_hands_each_scale_its_boxes(make_cell: MakeCell) -> None:
    model, _ = released_model(make_cell)
    head = model.bbox_head
    generator = torch.Generator().manual_seed(0)
    maps = tuple(torch.randn(2, 3 * 6, side, side, generator=generator) for side in (2, 4, 8))
    corners = torch.tensor([[8.0, 16.0, 40.0, 40.0], [50.0, 2.0, 60.0, 20.0]])
    truth = [
        InstanceData(bboxes=corners, labels=torch.zeros(2, dtype=torch.long)),
        InstanceData(bboxes=corners[:0], labels=torch.zeros(0, dtype=torch.long)),
    ]
    losses = head.loss_by_feat(maps, truth, [{}, {}])
    for level, stride in enumerate((32, 16, 8)):
        boxes = np.array([[24, 28, 32, 24], [55, 11, 10, 18]]) / stride
        anchors = np.array(head.prior_generator.base_sizes[level]) / stride
        side = 64 // stride
        found = assign(boxes, np.zeros(2, dtype=int), np.zeros(2, dtype=int), anchors, (2, side, side, 1))
        # channels come by anchor, and within an anchor by number
        prediction = torch.stack(
            [maps[level][:, 6 * anchor : 6 * anchor + 6].permute(0, 2, 3, 1) for anchor in range(3)], dim=1
        )
        terms = [losses[name][level].item() for name in ("loss_xy", "loss_wh", "loss_conf", "loss_cls")]
        assert terms == pytest.approx([term.item() for term in released_loss(prediction, found)], rel=1e-5)


def test_boxes_are_scored_by_objectness_and_cut_nowhere(make_cell: MakeCell) -> None:
    model, _ = released_model(make_cell)
    head = model.bbox_head
    maps = [torch.full((1, 18, side, side), -9.0) for side in (2, 4, 8)]
    # at stride 32: a box that leaves the image, an improbable label, and a slightly weaker one nearly on top of it
    for anchor, objectness in ((1, 2.0), (2, 1.0)):
        maps[0][0, 6 * anchor : 6 * anchor + 5, 0, 1] = torch.tensor([4.0, 0.0, 0.0, 0.0, objectness])
    base = head.prior_generator.base_sizes[0]
    maps[0][0, 12:14, 0, 1] = torch.tensor([4.0, 0.0])
    maps[0][0, 14, 0, 1] = math.log(base[1][0] / base[2][0])
    maps[0][0, 15, 0, 1] = math.log(base[1][1] / base[2][1])
    (found,) = head.predict_by_feat(tuple(maps), [{}])
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-2))])
    centre = 32 * (1 + 1 / (1 + math.exp(-4)))
    expected = [centre - base[1][0] / 2, 16 - base[1][1] / 2, centre + base[1][0] / 2, 16 + base[1][1] / 2]
    assert found.bboxes[0].tolist() == pytest.approx(expected, rel=1e-4)
    assert expected[2] > 64
    assert found.labels.tolist() == [0]


def test_boxes_are_decoded_as_mmdetection_decodes_them(make_cell: MakeCell) -> None:
    settings = {"score_threshold": 0.0, "nms_threshold": 1.0, "max_detections": 1000}
    generator = torch.Generator().manual_seed(0)
    maps = tuple(torch.randn(1, 18, side, side, generator=generator) for side in (2, 4, 8))
    places: list[np.ndarray] = []
    for kind in ("released", "mmdetection"):
        model, _ = released_model(make_cell, postprocessing=kind, **settings)
        (found,) = model.bbox_head.predict_by_feat(tuple(level.clone() for level in maps), [{}])
        corners = found.bboxes.numpy()
        places.append(corners[np.lexsort(corners.T)])
    assert len(places[0]) == 3 * (4 + 16 + 64)
    np.testing.assert_allclose(places[0], places[1], rtol=1e-4, atol=1e-3)


def test_a_pixel_is_added_before_boxes_are_suppressed(make_cell: MakeCell) -> None:
    from vlpbench_tasks import openmm_released

    seen: list[torch.Tensor] = []
    model, _ = released_model(make_cell)
    maps = tuple(torch.zeros(1, 18, side, side) + 1 for side in (2, 4, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            openmm_released, "batched_nms", lambda boxes, *rest: seen.append(boxes) or torch.arange(len(boxes))
        )
        (found,) = model.bbox_head.predict_by_feat(maps, [{}])
    torch.testing.assert_close(seen[0] - found.bboxes, torch.tensor([0.0, 0, 1, 1]).expand(len(seen[0]), 4))


def test_layers_start_as_torch_starts_them(make_cell: MakeCell) -> None:
    torch_made, _ = released_model(make_cell)
    mm_made, _ = released_model(make_cell, initial_weights="mmdetection")
    for model, bound in ((torch_made, True), (mm_made, False)):
        for layer in (model.bbox_head.convs_pred[0], model.neck.detect1.conv1.conv):
            assert isinstance(layer, nn.Conv2d)
            limit = 1 / math.sqrt(layer.in_channels * layer.kernel_size[0] ** 2)
            within = limit * 0.9 < layer.weight.abs().max().item() <= limit
            assert within == bound
    # objects are as probable as not at first, and rare in MMDetection
    assert torch_made.bbox_head.convs_pred[0].bias.abs().max() < 1
    assert mm_made.bbox_head.convs_pred[0].bias.min() < -2
