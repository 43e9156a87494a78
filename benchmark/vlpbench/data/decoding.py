"""Image files to grey 8-bit pixels."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

DICOM_SUFFIXES = (".dcm", ".dicom")
DICOM_MARK = slice(128, 132), b"DICM"
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "JPEG2000", "PPM", "TIFF", "WEBP")
"""What Pillow may read: none of these runs another program."""
PIXEL_LIMIT = 178_956_970
"""Where Pillow itself stops."""
BYTE_LIMIT = 2**30
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that grey values have when a file says no more than that they fit into 16."""


class UnreadableImageError(Exception):
    """One image that cannot be decoded; the message says why."""


@dataclass(frozen=True)
class Picture:
    """What one image file holds.

    Attributes:
        grey: pixels in 0..255; fewer than height x width after a reduced-scale decode.
        height: of the file's own image.
        width: likewise.
        sha256: of the file's bytes, 64 hexadecimal digits.
    """

    grey: UInt8[np.ndarray, "h w"]
    height: int
    width: int
    sha256: str


def read_grey(path: Path, *, at_least: int | None = None) -> tuple[UInt8[np.ndarray, "h w"], tuple[int, int]]:
    """`read_picture` without the hash: pixels, and height and width of the file's own image."""
    picture = read_picture(path, at_least=at_least)
    return picture.grey, (picture.height, picture.width)


def read_picture(path: Path, *, at_least: int | None = None) -> Picture:
    """Decode an image file to grey pixels; its bytes are read once.

    Colour becomes grey by its luma; transparency and the EXIF orientation are left aside, since masks and boxes are
    given in the pixels as they are stored. Grey values of more than 8 bits are divided by the highest that 10, 12, 14
    or 16 bits can hold, whichever the brightest pixel needs.

    Args:
        path: a file of one of `FORMATS`, or DICOM by its suffix or its first bytes.
        at_least: shorter side that is needed, pixels; a JPEG may then be decoded at a reduced scale not below it.

    Raises:
        UnreadableImageError: missing, empty, truncated, not an image, of several frames, or with more than
            `PIXEL_LIMIT` pixels.
    """
    data = _bytes(path)
    dicom = path.suffix.lower() in DICOM_SUFFIXES or data[DICOM_MARK[0]] == DICOM_MARK[1]
    try:
        # Decoders warn of what they mend; of a third of a million files nobody reads that.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            grey, height, width = _decode_dicom(data) if dicom else _decode_picture(data, at_least)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image") from error
    # Of damaged bytes, decoders raise whatever comes: one such file must not stop a run of hours.
    except Exception as error:
        raise UnreadableImageError(" ".join(str(error).split()) or type(error).__name__) from error
    return Picture(grey, height, width, hashlib.sha256(data).hexdigest())


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnreadableImageError("no such file")
        size = path.stat().st_size
        if size == 0:
            raise UnreadableImageError("the file is empty")
        if size > BYTE_LIMIT:
            raise UnreadableImageError(f"{size:,} bytes, more than {BYTE_LIMIT:,}")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(str(error)) from error


def _decode_dicom(data: bytes) -> tuple[UInt8[np.ndarray, "h w"], int, int]:
    from vlpbench.data.dicom import decode_dicom

    grey = decode_dicom(data, pixel_limit=PIXEL_LIMIT)
    return grey, grey.shape[0], grey.shape[1]


def _decode_picture(data: bytes, at_least: int | None) -> tuple[UInt8[np.ndarray, "h w"], int, int]:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > PIXEL_LIMIT:
            raise UnreadableImageError(f"{width} x {height} pixels, more than {PIXEL_LIMIT:,}")
        frames = getattr(image, "n_frames", 1)
        # Of a JPEG with further frames (MPO), these are previews and other eyes.
        if frames > 1 and image.format != "MPO":
            raise UnreadableImageError(f"{frames} frames, expected one")
        if at_least is not None and image.format == "JPEG":
            image.draft("L", (at_least, at_least))
        image.load()
        return _grey(image), height, width


def _grey(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    if image.mode == "F":
        raise UnreadableImageError("pixels are fractions, whose black and white nothing tells")
    if image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.float64)
        brightest = values.max(initial=0.0)
        top = next((2**bits - 1 for bits in DEPTHS if brightest < 2**bits), 2 ** DEPTHS[-1] - 1)
        grey: UInt8[np.ndarray, "h w"] = np.clip(np.rint(values / top * 255), 0, 255).astype(np.uint8)
        return grey
    return np.asarray(image.convert("L"), dtype=np.uint8)
