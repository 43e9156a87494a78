from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vlpbench_tasks import augmentation
from vlpbench_tasks.augmentation import crop_anywhere, crop_centre, disturb, scale_and_rotate, start_draws

SIDE = 64


def some(count: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def test_the_middle_is_cropped_and_enlarged() -> None:
    ramp = torch.arange(SIDE, dtype=torch.uint8).expand(2, SIDE, SIDE).clone()
    ramp[:, :, :4] = 200
    cropped = crop_centre(ramp)
    assert cropped.shape == (2, SIDE, SIDE)
    # columns 4 to 59 are left of 0 to 63
    assert (cropped.min(), cropped.max()) == (4, 59)
    assert cropped[0, 0, 32].item() == pytest.approx(32, abs=0.5)


def test_each_image_is_cropped_anywhere() -> None:
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    places = [
        torch.from_numpy(axis.reshape(SIDE, SIDE).astype(np.uint8)).expand(200, -1, -1) for axis in (rows, columns)
    ]
    corners = [crop_anywhere(axis, start_draws(3))[:, 0, 0] for axis in places]
    for corner in corners:
        assert set(corner.tolist()) == set(range(9))
    assert not torch.equal(corners[0], corners[1])
    ends = crop_anywhere(places[0], start_draws(3))[:, -1, 0]
    assert torch.equal(ends - corners[0], torch.full((200,), 55.0))


def test_a_disturbed_image_differs_in_grey_values_sharpness_and_side() -> None:
    images = some(400)
    generator = start_draws(0)
    views = disturb(images, generator)
    assert views.shape == images.shape
    assert views.min() >= 0
    assert views.max() <= 255.001
    plain = crop_anywhere(images, start_draws(0))
    same = (views == plain).flatten(1).all(dim=1).float().mean().item()
    # a fifth unjittered, half unblurred, half unflipped
    assert 0.01 < same < 0.1
    assert views.flatten(1).mean(dim=1).std() > 5 * plain.flatten(1).mean(dim=1).std()
    assert torch.equal(disturb(images[:4], start_draws(5)), disturb(images[:4], start_draws(5)))


@pytest.mark.parametrize(
    ("shares", "check"),
    [
        ({"JITTERED": 0.0, "BLURRED": 0.0, "FLIPPED": 1.0}, lambda view, plain: torch.equal(view, plain.flip(-1))),
        ({"JITTERED": 0.0, "BLURRED": 1.0, "FLIPPED": 0.0}, lambda view, plain: view.std() < 0.95 * plain.std()),
        ({"JITTERED": 1.0, "BLURRED": 0.0, "FLIPPED": 0.0}, lambda view, plain: (view - plain).abs().mean() > 5),
    ],
)
def test_each_disturbance_is_there(monkeypatch: pytest.MonkeyPatch, shares: dict[str, float], check: object) -> None:
    for name, share in shares.items():
        monkeypatch.setattr(augmentation, name, share)
    # wide enough a blur at this side
    monkeypatch.setattr(augmentation, "BLUR", (3.0, 4.0))
    images = some(8)
    assert callable(check)
    assert check(disturb(images, start_draws(1)), _crops_of_disturb(images))


def _crops_of_disturb(images: Tensor) -> Tensor:
    return crop_anywhere(images, start_draws(1))


def test_image_and_mask_move_together_and_half_stay() -> None:
    images = torch.zeros(200, SIDE, SIDE, dtype=torch.uint8)
    images[:, 40:56, 20:44] = 1
    images *= 200
    masks = (images > 0).to(torch.uint8)
    masks[:, :2] = 255
    moved, masked = scale_and_rotate(images, masks, start_draws(0))
    assert moved.dtype == masked.dtype == torch.uint8
    assert set(masked.unique().tolist()) == {0, 1, 255}
    stays = [torch.equal(before, after) for before, after in zip(images, moved, strict=True)]
    assert 70 < sum(stays) < 130
    # the nearest pixels may all be where they were after the smallest moves
    unmoved = [torch.equal(before, after) for before, after in zip(masks, masked, strict=True)]
    assert all(mask for image, mask in zip(stays, unmoved, strict=True) if image)
    assert sum(unmoved) - sum(stays) < 8
    # edges of the image are smooth, those of the mask are not
    inside, outside = (masked == 1) & (moved < 60), (masked == 0) & (moved > 140)
    assert (inside.sum() + outside.sum()) / (masked == 1).sum() < 0.01
    areas = (masked == 1).sum(dim=(1, 2)).float() / (16 * 24)
    assert 0.8 < areas.min() < 0.87
    assert 1.14 < areas.max() < 1.22


def test_angles_reach_ten_degrees_and_scales_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float]] = []

    def note(image: Tensor, angle: float, scale: float, interpolation: object) -> Tensor:
        seen.append((angle, scale))
        return image

    monkeypatch.setattr(augmentation, "_move", note)
    scale_and_rotate(torch.zeros(900, 8, 8), torch.zeros(900, 8, 8), start_draws(0))
    angles, scales = np.array(seen[::2]).T
    assert seen[::2] == seen[1::2]
    assert (angles.min(), angles.max()) == (pytest.approx(-10, abs=0.3), pytest.approx(10, abs=0.3))
    assert (scales.min(), scales.max()) == (pytest.approx(0.9, abs=0.003), pytest.approx(1.1, abs=0.003))
