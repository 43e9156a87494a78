"""MMDetection's YOLOv3 on frozen feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vlpbench.box import Box
from vlpbench.precision import resolve_precision
from vlpbench.protocol import DetectionSettings
from vlpbench.task import Cell
from vlpbench_tasks.box_metrics import Scored, score, tabulate
from vlpbench_tasks.drifting import DriftingMaps
from vlpbench_tasks.openmm import FrozenMaps, Maps, Selected, compute_in, fit, walk_inputs
from vlpbench_tasks.openmm_ext import prepare_openmm
from vlpbench_tasks.openmm_released import ReleasedHead, reset_weights
from vlpbench_tasks.schedule import whole_batches

prepare_openmm()  # before the first import of mmdet, which needs mmcv's extension

from mmdet.models.dense_heads import YOLOV3Head  # noqa: E402
from mmdet.models.detectors import YOLOV3  # noqa: E402
from mmdet.models.losses import CrossEntropyLoss, MSELoss  # noqa: E402
from mmdet.models.necks import YOLOV3Neck  # noqa: E402
from mmdet.models.task_modules.assigners import BboxOverlaps2D, GridAssigner  # noqa: E402
from mmdet.models.task_modules.coders import YOLOBBoxCoder  # noqa: E402
from mmdet.models.task_modules.prior_generators import YOLOAnchorGenerator  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402
from mmengine.config import ConfigDict  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

STRIDES = (32, 16, 8)
ASSIGNER = {
    "type": GridAssigner,
    "pos_iou_thr": 0.5,
    "neg_iou_thr": 0.5,
    "min_pos_iou": 0,
    "iou_calculator": {"type": BboxOverlaps2D},
}
# mmdet cuts candidates by class probability alone, before objectness has a say; more than there are anchors is no cut
CANDIDATES = 1_000_000


def build_detector(cell: Cell, settings: DetectionSettings) -> Any:
    """MMDetection's YOLOV3 on the cell's frozen backbone; neck and head are the same for the same seed.

    Losses, their weights and the assigner are those of MMDetection's
    configs/yolo/yolov3_d53_8xb8-ms-608-273e_coco.py, unless the protocol asks for the released ones. Every part is
    named by its class: names would be looked up in whichever OpenMMLab registry the process used last.
    """
    card = cell.backbone.card
    levels = [card.strides.index(stride) for stride in reversed(STRIDES)]
    widths = settings.neck_channels
    neck = {
        "type": YOLOV3Neck,
        "num_scales": 3,
        "in_channels": [card.channels[level] for level in reversed(levels)],
        "out_channels": list(widths),
    }
    test = ConfigDict(
        nms_pre=CANDIDATES,
        min_bbox_size=0,
        score_thr=settings.score_threshold,
        conf_thr=settings.score_threshold,
        nms={"type": "nms", "iou_threshold": settings.nms_threshold},
        max_per_img=settings.max_detections,
    )
    slot = DriftingMaps if settings.batchnorm == "drifting" else FrozenMaps
    backbone = {"type": slot, "encoder": cell.backbone, "levels": levels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cell.seed)
        model = YOLOV3(backbone, neck, _head(cell, settings), train_cfg={"assigner": ASSIGNER}, test_cfg=test)
        # not the model's own init_weights: it would walk into the frozen backbone
        if settings.initial_weights == "torch":
            reset_weights(model.neck, model.bbox_head)
        else:
            model.bbox_head.init_weights()
    for part in (model.neck, model.bbox_head):
        compute_in(part, resolve_precision(settings.precision, cell.device))
    return model.to(cell.device)


def _head(cell: Cell, settings: DetectionSettings) -> dict[str, Any]:
    """YOLOV3Head with the protocol's anchors, scaled to the image."""
    summed = {"type": CrossEntropyLoss, "use_sigmoid": True, "reduction": "sum"}
    side = cell.dataset.image_size
    sizes = [tuple(round(part * side, 3) for part in anchor) for anchor in settings.anchors]
    widths = settings.neck_channels
    released = {name for name in ("yolo_loss", "postprocessing") if getattr(settings, name) == "released"}
    kind = {"type": ReleasedHead, "released": released} if released else {"type": YOLOV3Head}
    return {
        **kind,
        "num_classes": len(cell.dataset.label_names),
        "in_channels": list(widths),
        "out_channels": [2 * width for width in widths],
        "anchor_generator": {
            "type": YOLOAnchorGenerator,
            "base_sizes": [sizes[:3], sizes[3:6], sizes[6:]],
            "strides": STRIDES,
        },
        "bbox_coder": {"type": YOLOBBoxCoder},
        "featmap_strides": STRIDES,
        "loss_cls": {**summed, "loss_weight": 1.0},
        "loss_conf": {**summed, "loss_weight": 1.0},
        "loss_xy": {**summed, "loss_weight": 2.0},
        "loss_wh": {"type": MSELoss, "loss_weight": 2.0, "reduction": "sum"},
    }


def fit_detector(model: Any, cell: Cell, settings: DetectionSettings) -> Selected:
    """Train neck and head, keeping the weights of the highest validation mAP."""
    val_rows = whole_batches(cell.val_rows, settings.batch_size) if settings.drop_last else cell.val_rows
    ids, targets = cell.dataset.image_ids(val_rows), cell.dataset.boxes(val_rows)

    def collate(rows: Int[np.ndarray, " b"], inputs: Maps | UInt8[Tensor, "b h w"]) -> dict[str, Any]:
        if isinstance(inputs, Tensor):
            inputs = cell.backbone.normalise(inputs)
        return {"inputs": inputs, "data_samples": _samples(cell, rows)}

    def look() -> float:
        found = predict_boxes(model, cell, val_rows)
        return score(tabulate(ids, found, targets), settings.max_detections)[settings.select_on]

    return fit(model, cell, settings, collate=collate, look=look, lower_is_better=False, ties=settings.ties)


@torch.no_grad()
def predict_boxes(model: Any, cell: Cell, rows: Int[np.ndarray, " n"]) -> list[list[Scored]]:
    """Boxes of each row with their scores, in pixels of the prepared square, cut at its border unless as released."""
    model.eval()
    threshold = model.test_cfg.score_thr
    cut = getattr(model.bbox_head, "cuts_boxes", True)
    found: list[list[Scored]] = []
    for batch, inputs in walk_inputs(model, cell, rows):
        for sample in model.predict(inputs, _samples(cell, batch), rescale=False):
            # mmdet puts the threshold on either factor of the score; below it, no box suppressed one above it
            instances = sample.pred_instances[sample.pred_instances.scores >= threshold]
            if cut:
                instances.bboxes = instances.bboxes.clamp(0, cell.dataset.image_size)
            found.append(_boxes(instances, cell.dataset.label_names))
    return found


def _boxes(instances: Any, names: Sequence[str]) -> list[Scored]:
    corners = instances.bboxes.cpu().double().tolist()
    scores: list[float] = instances.scores.cpu().double().tolist()
    labels: list[int] = instances.labels.cpu().tolist()
    return [
        (Box(str(names[label]), left, top, right - left, bottom - top), value)
        for (left, top, right, bottom), value, label in zip(corners, scores, labels, strict=True)
    ]


def _samples(cell: Cell, rows: Int[np.ndarray, " b"]) -> list[DetDataSample]:
    size = (cell.dataset.image_size, cell.dataset.image_size)
    samples = []
    for boxes in cell.dataset.boxes(rows):
        corners: list[list[float]] = []
        labels: list[int] = []
        for box in boxes:
            left, top = max(box.x, 0.0), max(box.y, 0.0)
            right, bottom = min(box.x + box.width, size[1]), min(box.y + box.height, size[0])
            # what is left of a box without area, or outside the image, has its centre outside the grid of cells
            if right > left and bottom > top:
                corners.append([left, top, right, bottom])
                labels.append(cell.dataset.label_names.index(box.label))
        sample = DetDataSample(metainfo={"img_shape": size, "ori_shape": size, "batch_input_shape": size})
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(corners, dtype=torch.float32, device=cell.device).reshape(-1, 4),
            labels=torch.tensor(labels, dtype=torch.int64, device=cell.device),
        )
        samples.append(sample)
    return samples
