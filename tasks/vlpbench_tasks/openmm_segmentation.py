"""MMSegmentation models on frozen feature maps: U-Net for pyramids, progressive up-sampling for plain transformers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from vlpbench.data.source import IGNORED
from vlpbench.features import ENCODE_BATCH
from vlpbench.precision import resolve_precision
from vlpbench.protocol import SegmentationSettings
from vlpbench.task import Cell
from vlpbench_tasks.augmentation import scale_and_rotate, start_draws
from vlpbench_tasks.drifting import DriftingMaps
from vlpbench_tasks.log_dice import LogDiceLoss
from vlpbench_tasks.openmm import FrozenMaps, Maps, Selected, compute_in, fit, walk_inputs
from vlpbench_tasks.openmm_ext import prepare_openmm
from vlpbench_tasks.schedule import whole_batches

prepare_openmm()  # before the first import of mmseg, which pulls in mmdet

from mmcv.cnn import ConvModule  # noqa: E402
from mmengine.config import ConfigDict  # noqa: E402
from mmengine.structures import PixelData  # noqa: E402
from mmseg.models.decode_heads.decode_head import BaseDecodeHead  # noqa: E402
from mmseg.models.segmentors import EncoderDecoder  # noqa: E402
from mmseg.models.utils import Upsample, resize  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402
from segmentation_models_pytorch import losses as smp_losses  # noqa: E402
from segmentation_models_pytorch.base import initialization  # noqa: E402
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder  # noqa: E402


class FocalLoss(nn.Module):
    """Binary focal loss without class weights, mean over the pixels that count (Lin et al. 2017, equation 4)."""

    loss_name = "loss_focal"

    def __init__(self, gamma: float, weight: float) -> None:
        """Keep the focusing exponent and the weight of the term."""
        super().__init__()
        self.weight = weight
        self.summed = smp_losses.FocalLoss("binary", gamma=gamma, ignore_index=IGNORED, reduction="sum")

    def forward(self, logits: Float[Tensor, "n 1 h w"], target: Int[Tensor, "n h w"]) -> Float[Tensor, ""]:
        """Weighted loss; 0 where every pixel is ignored."""
        loss: Tensor = self.summed(logits, target)
        return self.weight * loss / (target != IGNORED).sum().clamp(min=1)


class DiceLoss(nn.Module):
    """Soft Dice loss, 1 - (2 sum pt + 1) / (sum p + sum t + 1), over all counted pixels of the batch.

    MGCA takes minus the logarithm of the same quotient (mgca/utils/segmentation_loss.py:7-24). A batch without a
    foreground pixel adds nothing, the rule of segmentation-models-pytorch: its overlap is undefined, and the focal
    loss teaches it.
    """

    loss_name = "loss_dice"

    def __init__(self) -> None:
        """Smooth as MGCA does; 0.5 here is added to the overlap, which counts twice in the quotient."""
        super().__init__()
        self.dice = smp_losses.DiceLoss("binary", smooth=0.5, ignore_index=IGNORED)

    def forward(self, logits: Float[Tensor, "n 1 h w"], target: Int[Tensor, "n h w"]) -> Float[Tensor, ""]:
        """Loss of weight 1."""
        loss: Tensor = self.dice(logits, target)
        return loss


class BinaryHead(BaseDecodeHead):
    """A decode head with one output channel."""

    def loss_by_feat(self, seg_logits: Float[Tensor, "n 1 h w"], batch_data_samples: Any) -> dict[str, Tensor]:
        """Losses by name; unlike mmseg's own method without the accuracy over classes, of which there is only one."""
        target = self._stack_batch_gt(batch_data_samples).squeeze(1)
        logits = resize(seg_logits, size=target.shape[1:], mode="bilinear", align_corners=False)
        losses: Any = self.loss_decode
        return {loss.loss_name: loss(logits, target) for loss in losses}


class UnetHead(BinaryHead):
    """Decoder of segmentation-models-pytorch's U-Net with its 3 x 3 last convolution, for maps whose strides double.

    A stride that the backbone does not offer (ConvNeXt and Swin begin at 4) is a step without a skip connection.
    """

    def __init__(
        self,
        *,
        strides: tuple[int, ...],
        in_channels: tuple[int, ...],
        decoder_channels: tuple[int, ...],
        image_size: int,
        **head: Any,
    ) -> None:
        """Build the decoder; `head` goes to mmseg's `BaseDecodeHead`."""
        wanted: dict[str, Any] = {"in_index": tuple(range(len(strides))), "input_transform": "multiple_select"}
        super().__init__(in_channels, decoder_channels[-1], init_cfg=None, **wanted, **head)
        self.strides = strides
        self.image_size = image_size
        self.steps = tuple(2**power for power in range(1, len(decoder_channels) + 1))
        offered = dict(zip(strides, in_channels, strict=True))
        self.decoder = UnetDecoder(
            encoder_channels=[3, *(offered.get(stride, 0) for stride in self.steps)],
            decoder_channels=decoder_channels,
            n_blocks=len(decoder_channels),
        )
        self.conv_seg = nn.Conv2d(decoder_channels[-1], self.out_channels, kernel_size=3, padding=1)

    def init_weights(self) -> None:
        """Initialise as segmentation-models-pytorch does."""
        initialization.initialize_decoder(self.decoder)
        initialization.initialize_head(self.conv_seg)

    def forward(self, inputs: Maps) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Logits (n, 1, h, w) at the size of the image."""
        # convolutions of few channels are a fifth faster in this layout, on CPUs too
        packed = [level.contiguous(memory_format=torch.channels_last) for level in self._transform_inputs(inputs)]
        maps = dict(zip(self.strides, packed, strict=True))
        first = inputs[0]
        pyramid = [first.new_empty(()).expand(len(first), 0, self.image_size, self.image_size)]
        for stride in self.steps:
            side = math.ceil(self.image_size / stride)
            pyramid.append(maps.get(stride, first.new_empty(()).expand(len(first), 0, side, side)))
        logits: Tensor = self.cls_seg(self.decoder(pyramid))
        return logits


class ProgressiveHead(BinaryHead):
    """Progressive up-sampling of a transformer's last map: normalise, then convolve and double until full size.

    SETR-PUP (Zheng et al. 2021, section 3.2) with channels that shrink on the way up, as
    mgca/models/backbones/transformer_seg.py:114-177. mmseg's own `SETRUPHead` keeps one width to the end, most of its
    work at full size.
    """

    def __init__(self, *, stride: int, in_channels: int, decoder_channels: tuple[int, ...], **head: Any) -> None:
        """Build one doubling per power of two in the stride; `head` goes to mmseg's `BaseDecodeHead`."""
        widths = decoder_channels[: max(1, round(math.log2(stride)))]
        super().__init__(in_channels, widths[-1], in_index=-1, init_cfg=None, **head)
        self.norm = nn.LayerNorm(in_channels)
        blocks: list[nn.Module] = []
        for before, width in itertools.pairwise((in_channels, *widths)):
            blocks.append(ConvModule(before, width, 3, padding=1, norm_cfg={"type": "BN"}))
            blocks.append(Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        self.blocks = nn.Sequential(*blocks)

    def init_weights(self) -> None:
        """Initialise as segmentation-models-pytorch does its decoders."""
        initialization.initialize_decoder(self.blocks)
        initialization.initialize_head(self.conv_seg)

    def forward(self, inputs: Maps) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Logits (n, 1, h, w) near the size of the image, to which mmseg resizes them."""
        last: Tensor = inputs[-1]
        normed = self.norm(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        logits: Tensor = self.cls_seg(self.blocks(normed))
        return logits


def build_segmentor(cell: Cell, settings: SegmentationSettings) -> Any:
    """An mmseg `EncoderDecoder` on the cell's frozen backbone; the head is the same for the same seed."""
    card = cell.backbone.card
    head: dict[str, Any] = {
        "num_classes": 2,
        "out_channels": 1,
        "threshold": settings.threshold,
        "dropout_ratio": 0,
        "ignore_index": IGNORED,
        "decoder_channels": settings.decoder_channels,
        "loss_decode": [
            {"type": FocalLoss, "gamma": settings.focal_gamma, "weight": settings.focal_weight},
            {"type": LogDiceLoss if settings.dice_loss == "minus log" else DiceLoss},
        ],
    }
    if len(set(card.strides)) == 1:
        head |= {"type": ProgressiveHead, "stride": card.strides[0], "in_channels": card.channels[-1]}
    else:
        head |= {
            "type": UnetHead,
            "strides": card.strides,
            "in_channels": card.channels,
            "image_size": cell.dataset.image_size,
        }
    slot = DriftingMaps if settings.batchnorm == "drifting" else FrozenMaps
    backbone = {"type": slot, "encoder": cell.backbone, "levels": range(len(card.channels))}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cell.seed)
        model = EncoderDecoder(backbone, head, test_cfg=ConfigDict(mode="whole"))
        # not the model's own init_weights: it would walk into the frozen backbone
        model.decode_head.init_weights()
    model.decode_head.to(memory_format=torch.channels_last)
    compute_in(model.decode_head, resolve_precision(settings.precision, cell.device))
    return model.to(cell.device)


def fit_segmentor(model: Any, cell: Cell, settings: SegmentationSettings) -> Selected:
    """Train the head, keeping the weights of the lowest validation loss."""
    generator = start_draws(cell.seed)
    val_rows, size = cell.val_rows, ENCODE_BATCH
    if settings.drop_last:
        # the Dice term is taken over a batch, so the loss depends on how many images that is
        val_rows, size = whole_batches(val_rows, settings.batch_size), settings.batch_size

    def collate(rows: Int[np.ndarray, " b"], inputs: Maps | UInt8[Tensor, "b h w"]) -> dict[str, Any]:
        masks = _masks(cell, rows)
        if isinstance(inputs, Tensor):
            if settings.augmentation != "none":
                inputs, masks = scale_and_rotate(inputs, masks, generator)
            inputs = cell.backbone.normalise(inputs)
        return {"inputs": inputs, "data_samples": _wrap(masks)}

    def look() -> float:
        total = 0.0
        for rows, inputs in walk_inputs(model, cell, val_rows, size):
            losses = model(inputs, _samples(cell, rows), mode="loss")
            total += float(model.parse_losses(losses)[0]) * len(rows)
        return total / len(val_rows)

    return fit(model, cell, settings, collate=collate, look=look, lower_is_better=True)


@torch.no_grad()
def predict_masks(model: Any, cell: Cell, rows: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n h w"]:
    """Masks of the given rows: 1 where the probability is above the threshold."""
    model.eval()
    masks = [
        sample.pred_sem_seg.data[0].to(torch.uint8).cpu().numpy()
        for batch, inputs in walk_inputs(model, cell, rows)
        for sample in model(inputs, _samples(cell, batch), mode="predict")
    ]
    return np.stack(masks)


def _samples(cell: Cell, rows: Int[np.ndarray, " b"]) -> list[SegDataSample]:
    return _wrap(_masks(cell, rows))


def _masks(cell: Cell, rows: Int[np.ndarray, " b"]) -> UInt8[Tensor, "b h w"]:
    return torch.from_numpy(cell.dataset.masks(rows)).to(cell.device)


def _wrap(masks: UInt8[Tensor, "b h w"]) -> list[SegDataSample]:
    """Masks as mmseg takes them."""
    size = (masks.shape[1], masks.shape[2])
    samples = []
    for mask in masks.long():
        sample = SegDataSample(metainfo={"img_shape": size, "ori_shape": size, "pad_shape": size})
        sample.gt_sem_seg = PixelData(data=mask[None])
        samples.append(sample)
    return samples
