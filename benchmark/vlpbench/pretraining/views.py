"""The two views of an image that pre-training sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from vlpbench.pretraining.recipe import Recipe

BLUR_REFERENCE_SIDE = 224
LEAST_BLUR = 0.1
JITTERED_SHARE = 0.8
BLURRED_SHARE = 0.5


@dataclass(frozen=True)
class Views:
    """Makes views of batches of grey images; every image of a batch draws its own geometry and grey values.

    The first view is a random crop, brought back to full size. The second is another crop, rotated, with brightness and
    contrast jittered and the image blurred; how often the last two are applied is MGCA's
    (mgca/datasets/transforms.py:59-73). Nothing is flipped: left and right stand in the reports.
    """

    recipe: Recipe

    def plain(self, images: UInt8[Tensor, "b h w"], seed: int | None) -> Float[Tensor, "b h w"]:
        """Random crop, or the central one where there is no seed; grey values stay in 0..255."""
        if seed is None:
            still = torch.zeros(len(images))
            return self._sample(images, torch.zeros(len(images), 2), still)
        generator = torch.Generator().manual_seed(seed)
        return self._sample(images, self._shifts(len(images), generator), torch.zeros(len(images)))

    def augmented(self, images: UInt8[Tensor, "b h w"], seed: int) -> Float[Tensor, "b h w"]:
        """Random crop, rotation, jitter and blur; grey values stay in 0..255."""
        generator = torch.Generator().manual_seed(seed)
        generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        count = len(images)
        shifts = self._shifts(count, generator)
        angles = torch.deg2rad(_symmetric(count, generator) * self.recipe.rotation)
        view = self._sample(images, shifts, angles)
        jittered = (torch.rand(count, generator=generator) < JITTERED_SHARE).float()
        brightness = 1 + jittered * _symmetric(count, generator) * self.recipe.brightness
        contrast = 1 + jittered * _symmetric(count, generator) * self.recipe.contrast
        view = _jitter(view, brightness.to(view.device), contrast.to(view.device))
        return self._blur(view, generator)

    def _shifts(self, count: int, generator: torch.Generator) -> Float[Tensor, "b 2"]:
        """Crop centres, in half sides from the image centre."""
        return (1 - self.recipe.crop) * (2 * torch.rand(count, 2, generator=generator) - 1)

    def _sample(
        self, images: UInt8[Tensor, "b h w"], shifts: Float[Tensor, "b 2"], angles: Float[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """Crop, rotate and bring back to full size with one bilinear interpolation; outside is black."""
        cosine, sine = self.recipe.crop * angles.cos(), self.recipe.crop * angles.sin()
        rows = torch.stack([cosine, -sine, shifts[:, 0], sine, cosine, shifts[:, 1]], dim=1)
        theta = rows.view(-1, 2, 3).to(images.device)
        grid = F.affine_grid(theta, [len(images), 1, *images.shape[1:]], align_corners=False)
        return F.grid_sample(images.unsqueeze(1).float(), grid, align_corners=False).squeeze(1)

    def _blur(self, view: Float[Tensor, "b h w"], generator: torch.Generator) -> Float[Tensor, "b h w"]:
        """Gaussian blur of about half the images, with one standard deviation for the batch."""
        chosen = (torch.rand(len(view), generator=generator) < BLURRED_SHARE).to(view.device)
        share = float(torch.rand((), generator=generator))
        sigma = (LEAST_BLUR + share * (self.recipe.blur - LEAST_BLUR)) * view.shape[-1] / BLUR_REFERENCE_SIDE
        if self.recipe.blur <= 0 or not bool(chosen.any()):
            return view
        kernel = 2 * max(1, round(3 * sigma)) + 1
        blurred = transforms.gaussian_blur(view.unsqueeze(1), [kernel, kernel], [sigma, sigma]).squeeze(1)
        return torch.where(chosen[:, None, None], blurred, view)


def _symmetric(count: int, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Uniform in [-1, 1]."""
    return 2 * torch.rand(count, generator=generator) - 1


def _jitter(
    view: Float[Tensor, "b h w"], brightness: Float[Tensor, " b"], contrast: Float[Tensor, " b"]
) -> Float[Tensor, "b h w"]:
    """Scale grey values, then their distance from the image's mean."""
    bright = (view * brightness[:, None, None]).clamp(0, 255)
    mean = bright.mean(dim=(1, 2), keepdim=True)
    return (mean + contrast[:, None, None] * (bright - mean)).clamp(0, 255)
