from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import torch

import vlpbench_tasks
from vlpbench_tasks import openmm_ext
from vlpbench_tasks.openmm_ext import ensure_extension, nms, prepare_openmm

BOXES = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 11.0, 11.0], [20.0, 20.0, 30.0, 30.0]])
SCORES = torch.tensor([0.5, 0.9, 0.3])


def test_weaker_of_two_overlapping_boxes_goes() -> None:
    # overlap 81 / 119
    assert nms(BOXES, SCORES, iou_threshold=0.6, offset=0).tolist() == [1, 2]
    assert nms(BOXES, SCORES, iou_threshold=0.7, offset=0).tolist() == [1, 0, 2]


def test_offset_makes_corners_pixel_indices() -> None:
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]])
    scores = torch.tensor([0.9, 0.8])
    # as corners they only touch; as pixels they share 2 of 6
    assert nms(boxes, scores, iou_threshold=0.3, offset=0).tolist() == [0, 1]
    assert nms(boxes, scores, iou_threshold=0.3, offset=1).tolist() == [0]


def test_stand_in_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, openmm_ext.NAME, raising=False)
    monkeypatch.setattr(openmm_ext, "_is_installed", lambda: False)
    ensure_extension()
    module = sys.modules[openmm_ext.NAME]
    assert module.nms is nms
    with pytest.raises(NotImplementedError, match=r"mmcv\._ext\.roi_align_forward needs MMCV's compiled operators"):
        module.roi_align_forward(BOXES, output=SCORES)


def test_real_extension_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, openmm_ext.NAME, raising=False)
    monkeypatch.setattr(openmm_ext, "_is_installed", lambda: True)
    ensure_extension()
    assert openmm_ext.NAME not in sys.modules


def test_mmcv_calls_the_stand_in() -> None:
    prepare_openmm()
    from mmcv.ops import batched_nms, roi_align

    kept, indices = batched_nms(BOXES, SCORES, torch.zeros(3), {"type": "nms", "iou_threshold": 0.6})
    assert indices.tolist() == [1, 2]
    torch.testing.assert_close(kept[:, 4], torch.tensor([0.9, 0.3]))
    if getattr(sys.modules[openmm_ext.NAME], "nms", None) is nms:
        with pytest.raises(NotImplementedError, match="roi_align_forward"):
            roi_align(torch.ones(1, 1, 4, 4), torch.zeros(1, 5), 2)


def test_only_openmm_modules_know_the_open_mm_packages() -> None:
    folder = Path(vlpbench_tasks.__file__).parent
    for path in folder.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
        found = {name.partition(".")[0] for name in names} & {"mmcv", "mmdet", "mmengine", "mmseg"}
        assert not found or path.name.startswith("openmm"), path.name
