"""Augmentations of the released MGCA code, on batches of grey images.

Pixels are in 0..255. Every image draws for itself, from a generator that belongs to the cell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

CROP = 7 / 8  # 224 of 256
JITTERED, BLURRED, FLIPPED, MOVED = 0.8, 0.5, 0.5, 0.5
JITTER = 0.4
BLUR = (0.1, 2.0)
BLUR_SIDE = 224
SCALE = 0.1
DEGREES = 10.0
WHITE = 255.0
STREAM = 21

View = Callable[[Tensor, np.random.Generator], Tensor]


def start_draws(seed: int) -> np.random.Generator:
    """The generator of a cell's augmentations, apart from those of its order and initialisation."""
    return np.random.default_rng([seed, STREAM])


def crop_centre(images: UInt8[Tensor, "n s s"]) -> Float[Tensor, "n s s"]:
    """The middle 7/8 of each side, brought back to the full side (mgca/datasets/transforms.py:17-21)."""
    margins = np.full((len(images), 2), _margin(images) // 2)
    return _crop(images, margins)


def crop_anywhere(images: UInt8[Tensor, "n s s"], generator: np.random.Generator) -> Float[Tensor, "n s s"]:
    """7/8 of each side at a random place, brought back to the full side (mgca/datasets/transforms.py:10-15).

    The released code cuts 224 pixels out of images of 256. Here images are prepared at the side the backbone takes, so
    the same part of the image is enlarged to it again.
    """
    return _crop(images, generator.integers(0, _margin(images) + 1, (len(images), 2)))


def disturb(images: UInt8[Tensor, "n s s"], generator: np.random.Generator) -> Float[Tensor, "n s s"]:
    """Random crop, then brightness and contrast, blur and flip, as mgca/datasets/transforms.py:59-73.

    What that code does to colours (saturation, hue, conversion to grey) leaves a grey image as it is. It rounds to
    whole grey values in between and approximates the Gaussian; here its width is in pixels of a side of 224, whatever
    the side is.
    """
    return torch.stack([_disturb(image[None], generator)[0] for image in crop_anywhere(images, generator)])


def scale_and_rotate(
    images: UInt8[Tensor, "n s s"], masks: UInt8[Tensor, "n s s"], generator: np.random.Generator
) -> tuple[UInt8[Tensor, "n s s"], UInt8[Tensor, "n s s"]]:
    """Half of the images with their masks scaled by up to a tenth and rotated by up to 10 degrees, black outside.

    albumentations 0.5.2's ShiftScaleRotate(shift_limit=0, scale_limit=0.1, rotate_limit=10, p=0.5) as in
    mgca/datasets/segmentation_dataset.py:136-148, which moves the image at its native 1024 pixels, and about a centre
    half a pixel to the lower right of this one. Masks take the nearest pixel in both.
    """
    moved: list[tuple[Tensor, Tensor]] = []
    for image, mask in zip(images, masks, strict=True):
        if generator.random() >= MOVED:
            moved.append((image, mask))
            continue
        angle, scale = generator.uniform(-DEGREES, DEGREES), 1 + generator.uniform(-SCALE, SCALE)
        moved.append(
            (
                _move(image, angle, scale, InterpolationMode.BILINEAR),
                _move(mask, angle, scale, InterpolationMode.NEAREST),
            )
        )
    return torch.stack([image for image, _ in moved]), torch.stack([mask for _, mask in moved])


def _margin(images: Tensor) -> int:
    """Pixels that a crop leaves out along a side."""
    side = int(images.shape[-1])
    return side - round(side * CROP)


def _crop(images: Tensor, corners: np.ndarray) -> Tensor:
    """Squares whose top and left are `corners`, enlarged to the full side."""
    side = int(images.shape[-1])
    kept = side - _margin(images)
    cut = [image[top : top + kept, left : left + kept] for image, (top, left) in zip(images, corners, strict=True)]
    enlarged: Tensor = transforms.resize(torch.stack(cut)[:, None].float(), [side, side], antialias=False)
    return enlarged[:, 0]


def _disturb(image: Float[Tensor, "1 s s"], generator: np.random.Generator) -> Float[Tensor, "1 s s"]:
    if generator.random() < JITTERED:
        brightness, contrast = generator.uniform(1 - JITTER, 1 + JITTER, 2)
        steps = [(transforms.adjust_brightness, brightness), (transforms.adjust_contrast, contrast)]
        for position in generator.permutation(2):
            adjust, factor = steps[position]
            image = adjust(image / WHITE, float(factor)) * WHITE
    if generator.random() < BLURRED:
        sigma = float(generator.uniform(*BLUR)) * image.shape[-1] / BLUR_SIDE
        kernel = 2 * max(1, round(3 * sigma)) + 1
        image = transforms.gaussian_blur(image, [kernel, kernel], [sigma, sigma])
    return image.flip(-1) if generator.random() < FLIPPED else image


def _move(image: Tensor, angle: float, scale: float, interpolation: InterpolationMode) -> Tensor:
    moved: Tensor = transforms.affine(
        image[None], angle=angle, translate=[0.0, 0.0], scale=scale, shear=[0.0, 0.0], interpolation=interpolation
    )
    return moved[0]
