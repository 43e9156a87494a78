"""Image files to grey 8-bit pixels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

DICOM_SUFFIXES = (".dcm", ".dicom")
PIXEL_LIMIT = 200_000_000


class UnreadableImageError(Exception):
    """One image that cannot be decoded; the message says why."""


def read_grey(path: Path, *, at_least: int | None = None) -> tuple[UInt8[np.ndarray, "h w"], tuple[int, int]]:
    """Decode an image file to grey pixels.

    Args:
        path: JPEG, PNG or any other format Pillow reads, or DICOM by its suffix.
        at_least: longest side that is needed; a JPEG may then be decoded at a reduced scale not below it.

    Returns:
        The pixels in 0..255, and height and width of the file's own image.

    Raises:
        UnreadableImageError: missing, empty, truncated, not an image, or larger than 200 million pixels.
    """
    try:
        if not path.is_file():
            raise UnreadableImageError("no such file")
        if path.stat().st_size == 0:
            raise UnreadableImageError("the file is empty")
        if path.suffix.lower() in DICOM_SUFFIXES:
            pixels = _read_dicom(path)
            return pixels, (pixels.shape[0], pixels.shape[1])
        return _read_picture(path, at_least)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def _read_picture(path: Path, at_least: int | None) -> tuple[UInt8[np.ndarray, "h w"], tuple[int, int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path)
    with image:
        width, height = image.size
        if width * height > PIXEL_LIMIT:
            raise UnreadableImageError(f"{width} x {height} pixels, more than {PIXEL_LIMIT:,}")
        if at_least is not None and image.format == "JPEG":
            image.draft("L", (at_least, at_least))
        image.load()
        return _grey(image), (height, width)


def _grey(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if values.max(initial=0.0) > 255 else 255.0
        return np.clip(np.rint(values / top * 255), 0, 255).astype(np.uint8)
    return np.asarray(image.convert("L"), dtype=np.uint8)


def _read_dicom(path: Path) -> UInt8[np.ndarray, "h w"]:
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        dataset = pydicom.dcmread(path)
        if "PixelData" not in dataset:
            raise UnreadableImageError("a DICOM file without pixel data")
        values = np.asarray(apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset), dtype=np.float64)
    except InvalidDicomError as error:
        raise UnreadableImageError("not a DICOM file") from error
    except (AttributeError, KeyError, NotImplementedError, RuntimeError) as error:
        raise UnreadableImageError(f"DICOM pixels: {error}") from error
    if values.ndim != 2:
        raise UnreadableImageError(f"a DICOM image with {values.ndim} axes, expected one grey frame")
    low, high = float(values.min()), float(values.max())
    scaled = np.zeros_like(values) if high == low else (values - low) / (high - low)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        scaled = 1.0 - scaled
    return np.rint(scaled * 255).astype(np.uint8)
