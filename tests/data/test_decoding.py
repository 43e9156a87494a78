from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlpbench.data.decoding import UnreadableImageError, read_grey, read_picture
from vlpbench.data.geometry import Geometry


def test_colour_palette_and_sixteen_bit_pictures_become_grey(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Image.fromarray(np.stack([grey] * 3 + [np.full_like(grey, 255)], axis=2)).save(tmp_path / "rgba.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for name in ("rgba.png", "palette.png", "deep.png"):
        np.testing.assert_allclose(read_grey(tmp_path / name)[0], grey, atol=1)


def test_a_large_jpeg_is_decoded_at_reduced_scale_but_its_own_size_is_kept(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((800, 1200), dtype=np.uint8)).save(tmp_path / "large.jpg")
    pixels, shape = read_grey(tmp_path / "large.jpg", at_least=200)
    assert shape == (800, 1200)
    assert 200 <= max(pixels.shape) < 1200


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((40, 40), dtype=np.uint8)).save(tmp_path / "bomb.png")
    monkeypatch.setattr("vlpbench.data.decoding.PIXEL_LIMIT", 1000)
    with pytest.raises(UnreadableImageError, match="40 x 40 pixels, more than 1,000"):
        read_grey(tmp_path / "bomb.png")


def smooth(height: int, width: int) -> np.ndarray:
    """A picture that lossy codecs keep."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.rint(127 + 60 * np.sin(rows / 37) + 60 * np.cos(columns / 23)).astype(np.uint8)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bit_files_of_fewer_bits_are_not_black(tmp_path: Path, bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 300).reshape(15, 20)
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_grey(tmp_path / "a.png")[0], values / (2**bits - 1) * 255, atol=1)


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 256, 30000, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert read_grey(tmp_path / "a.png")[0].tolist() == [[0, 1, 117, 255]]


@pytest.mark.parametrize(
    "name", ["1.png", "LA.png", "P.gif", "L.tif", "L.bmp", "L.webp", "CMYK.jpg", "RGB.jpg", "L.jp2"]
)
def test_pictures_of_other_modes_and_formats_become_grey(tmp_path: Path, name: str) -> None:
    grey = smooth(40, 60)
    mode = name.split(".")[0]
    if mode == "1":
        grey = np.where(grey > 127, 255, 0).astype(np.uint8)
    # Without quality settings lossy ones would differ by more.
    options = {"jpg": {"quality": 98}, "webp": {"lossless": True}}.get(name.split(".")[1], {})
    Image.fromarray(grey).convert("RGB" if mode == "CMYK" else mode).convert(mode).save(tmp_path / name, **options)
    with Image.open(tmp_path / name) as image:
        assert image.mode in (mode, "RGB")
    pixels, shape = read_grey(tmp_path / name)
    assert shape == (40, 60)
    np.testing.assert_allclose(pixels, grey.astype(int), atol=6)


def test_transparency_hides_nothing(tmp_path: Path) -> None:
    grey = smooth(8, 8)
    Image.fromarray(np.stack([grey, np.zeros_like(grey)], axis=2)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png")[0], grey)


def test_the_exif_orientation_is_left_aside(tmp_path: Path) -> None:
    image = Image.fromarray(smooth(40, 60))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif, quality=98)
    pixels, shape = read_grey(tmp_path / "a.jpg")
    assert shape == (40, 60)
    np.testing.assert_allclose(pixels, smooth(40, 60).astype(int), atol=6)


@pytest.mark.parametrize("at_least", [None, 100])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_truncated_jpeg_is_unreadable(tmp_path: Path, at_least: int | None, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size=(800, 900), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_grey(tmp_path / "a.jpg", at_least=at_least)


def test_several_frames_fractions_and_other_formats_are_refused(tmp_path: Path) -> None:
    image = Image.fromarray(smooth(8, 8))
    image.save(tmp_path / "a.tif", save_all=True, append_images=[image, image])
    with pytest.raises(UnreadableImageError, match="3 frames, expected one"):
        read_grey(tmp_path / "a.tif")
    Image.fromarray(smooth(8, 8).astype(np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(UnreadableImageError, match="fractions"):
        read_grey(tmp_path / "b.tif")
    image.save(tmp_path / "c.eps")
    with pytest.raises(UnreadableImageError, match="not an image"):
        read_grey(tmp_path / "c.eps")


def test_a_reduced_decode_with_room_to_spare_is_close_to_the_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 8, size=(1200, 1000))
    for name, picture in (("smooth", smooth(1200, 1000)), ("noisy", smooth(1200, 1000) + noise)):
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
        geometry = Geometry(1200, 1000, 96)
        whole = geometry.resize(read_grey(tmp_path / "a.jpg")[0]).astype(int)
        reduced = read_grey(tmp_path / "a.jpg", at_least=2 * 96)[0]
        assert reduced.shape == (300, 250)
        assert np.abs(geometry.resize(reduced) - whole).mean() < 0.5, name


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    Image.fromarray(smooth(8, 8)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").sha256 == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()


def test_whatever_a_decoder_raises_is_one_unreadable_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(smooth(8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: 1 / 0)
    with pytest.raises(UnreadableImageError, match="division by zero"):
        read_grey(tmp_path / "a.png")
