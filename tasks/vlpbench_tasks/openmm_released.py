"""MMDetection's YOLOv3 head with the loss and the boxes of the released MGCA code."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import batched_nms

from vlpbench_tasks.openmm_ext import prepare_openmm
from vlpbench_tasks.released_yolo import assign, released_loss

prepare_openmm()  # before the first import of mmdet, which needs mmcv's extension

from mmdet.models.dense_heads import YOLOV3Head  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

Maps = tuple[Float[Tensor, "n _numbers _h _w"], ...]


class ReleasedHead(YOLOV3Head):
    """YOLOV3Head whose loss, post-processing or both are MGCA's; its layers are the same in either.

    Attributes:
        cuts_boxes: whether predicted boxes end at the border of the image.
    """

    def __init__(self, *, released: Set[str], **head: Any) -> None:
        """Build the layers.

        Args:
            released: "yolo_loss", "postprocessing" or both.
            **head: what `YOLOV3Head` takes.
        """
        super().__init__(**head)
        self.released = frozenset(released)
        self.cuts_boxes = "postprocessing" not in released

    def loss_by_feat(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        pred_maps: Maps,
        batch_gt_instances: list[Any],
        batch_img_metas: list[dict[str, Any]],
        batch_gt_instances_ignore: list[Any] | None = None,
    ) -> dict[str, Any]:
        """Losses by name, one of each per scale."""
        if "yolo_loss" not in self.released:
            losses: dict[str, Any] = super().loss_by_feat(
                pred_maps, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
            )
            return losses
        corners = [truth.bboxes.cpu().numpy().astype(np.float64) for truth in batch_gt_instances]
        labels = np.concatenate([truth.labels.cpu().numpy() for truth in batch_gt_instances])
        images = np.repeat(np.arange(len(corners)), [len(boxes) for boxes in corners])
        boxes = np.concatenate(corners)
        boxes = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
        terms = []
        for level, maps in enumerate(pred_maps):
            stride = self.featmap_strides[level]
            shape = (len(maps), maps.shape[2], maps.shape[3], self.num_classes)
            assigned = assign(boxes / stride, images, labels, self._anchors(level).numpy() / stride, shape)
            terms.append(released_loss(self._numbers(maps), assigned))
        names = ("loss_xy", "loss_wh", "loss_conf", "loss_cls")
        return {name: list(levels) for name, levels in zip(names, zip(*terms, strict=True), strict=True)}

    def predict_by_feat(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        pred_maps: Maps,
        batch_img_metas: list[dict[str, Any]],
        cfg: Any = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[Any]:
        """Boxes of each image, scored by objectness alone, with the more probable label, cut nowhere.

        A pixel is added to width and height while overlaps are measured, as mgca/utils/yolo_loss.py:7-38 does.
        """
        if "postprocessing" not in self.released:
            usual: list[Any] = super().predict_by_feat(pred_maps, batch_img_metas, cfg, rescale, with_nms)
            return usual
        cfg = self.test_cfg if cfg is None else cfg
        decoded = torch.cat([self._decode(level, maps) for level, maps in enumerate(pred_maps)], dim=1)
        results = []
        for numbers in decoded:
            found = numbers[numbers[:, 4] >= cfg.score_thr]
            boxes, scores, labels = found[:, :4], found[:, 4], found[:, 5:].argmax(dim=1)
            kept = batched_nms(boxes + boxes.new_tensor([0, 0, 1, 1]), scores, labels, cfg.nms["iou_threshold"])
            results.append(InstanceData(bboxes=boxes[kept], scores=scores[kept], labels=labels[kept]))
        return results

    def _anchors(self, level: int) -> Float[Tensor, "a 2"]:
        """Widths and heights in pixels."""
        return torch.as_tensor(self.prior_generator.base_sizes[level], dtype=torch.float64)

    def _numbers(self, maps: Float[Tensor, "n _numbers h w"]) -> Float[Tensor, "n a h w numbers"]:
        """Raw outputs by image, anchor and cell."""
        count, _, height, width = maps.shape
        return maps.reshape(count, self.num_base_priors, self.num_attrib, height, width).permute(0, 1, 3, 4, 2)

    def _decode(self, level: int, maps: Float[Tensor, "n _numbers h w"]) -> Float[Tensor, "n m numbers"]:
        """Left, top, right and bottom in pixels, objectness and the probability of each label."""
        numbers = self._numbers(maps)
        rows, columns = (torch.arange(side, device=maps.device) for side in maps.shape[2:])
        corners = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        centres = (numbers[..., :2].sigmoid() + corners) * self.featmap_strides[level]
        anchors = self._anchors(level).to(maps)[:, None, None]
        halves = numbers[..., 2:4].exp() * anchors / 2
        decoded = torch.cat([centres - halves, centres + halves, numbers[..., 4:].sigmoid()], dim=-1)
        return decoded.flatten(1, 3)


def reset_weights(*parts: nn.Module) -> None:
    """Give convolutions and BatchNorm the initial weights that torch gives them, drawn from the global generator."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.reset_parameters()
