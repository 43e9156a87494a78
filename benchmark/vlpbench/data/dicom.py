"""DICOM files to grey 8-bit pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Num, UInt8

from vlpbench.data.codestream import read_head

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

DEEPEST = 16
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as Pillow has them."""


def decode_dicom(data: bytes, *, pixel_limit: int) -> UInt8[np.ndarray, "h w"]:
    """Decode one DICOM image.

    Grey images go through the modality LUT (or rescale), then the VOI LUT or the first window; what is then the darkest
    becomes 0 and the brightest 255, and MONOCHROME1 is inverted. Colour becomes grey by its luma, unstretched.

    Args:
        data: of the file.
        pixel_limit: most pixels it may have; checked before any is decoded.

    Raises:
        ValueError: if it is no DICOM file of one image of 8 to 16 bits; pydicom has exceptions of its own, too.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels import apply_color_lut

    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
    except InvalidDicomError as error:
        raise ValueError("not a DICOM file") from error
    _check(dataset, pixel_limit)
    dataset.pixel_array_options(decoding_plugin=_plugin(dataset))
    stored = dataset.pixel_array
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return _luma(apply_color_lut(stored, dataset)[..., :3], bits=None)
    if stored.ndim == 3 and stored.shape[2] == 3:
        return _luma(stored, bits=int(dataset.BitsStored))
    if stored.ndim != 2:
        raise ValueError(f"a DICOM image of shape {stored.shape}, expected one grey or RGB frame")
    return _grey(stored, dataset)


def _check(dataset: FileDataset, pixel_limit: int) -> None:
    """Refuse what cannot be decoded, or would take too much memory, by its header."""
    from pydicom.encaps import generate_frames
    from pydicom.uid import RLELossless

    if "PixelData" not in dataset:
        raise ValueError("a DICOM file without pixel data")
    for name in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation"):
        if dataset.get(name) is None:
            raise ValueError(f"a DICOM file without {name}")
    frames = dataset.get("NumberOfFrames")
    if frames is not None and int(frames) > 1:
        raise ValueError(f"a DICOM file of {int(frames)} frames, expected one")
    width, height = int(dataset.Columns), int(dataset.Rows)
    if width * height > pixel_limit:
        raise ValueError(f"{width} x {height} pixels, more than {pixel_limit:,}")
    if int(dataset.BitsAllocated) > DEEPEST:
        raise ValueError(f"a DICOM image of {int(dataset.BitsAllocated)} bits, expected 8 to {DEEPEST}")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless:
        _check_stream(dataset, next(generate_frames(dataset.PixelData, number_of_frames=1)))


def _check_stream(dataset: FileDataset, stream: bytes) -> None:
    """Refuse a compressed image that is not what the header says: GDCM ends the process on some of these."""
    head = read_head(stream)
    if head is None:
        raise ValueError("a DICOM file whose compressed image has no head")
    expected = (int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel))
    if (head.height, head.width, head.samples) != expected or head.bits > int(dataset.BitsAllocated):
        raise ValueError(
            f"a DICOM file whose compressed image is {head.width} x {head.height} x {head.samples} of {head.bits} "
            f"bits; its header says {expected[1]} x {expected[0]} x {expected[2]} of {int(dataset.BitsAllocated)}"
        )


def _plugin(dataset: FileDataset) -> str:
    """Pillow where it can: damaged streams make it raise, where GDCM may end the process; "" leaves the choice."""
    from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in (JPEG2000, JPEG2000Lossless):
        return "pillow" if int(dataset.SamplesPerPixel) == 1 or int(dataset.BitsStored) <= 8 else ""
    return "pillow" if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit) else ""


def _grey(stored: Num[np.ndarray, "h w"], dataset: FileDataset) -> UInt8[np.ndarray, "h w"]:
    """Displayed grey values; computed once for each stored value, not for each pixel."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    low, high = int(stored.min()), int(stored.max())
    steps = np.arange(low, high + 1, dtype=np.int64)
    place = stored.astype(np.int32) - low
    used = np.zeros(len(steps), dtype=bool)
    used[place] = True
    values = apply_voi_lut(apply_modality_lut(steps.astype(stored.dtype), dataset), dataset).astype(np.float64)
    darkest, brightest = float(values[used].min()), float(values[used].max())
    if darkest == brightest:
        if low != high:
            raise ValueError("the window of the DICOM file leaves nothing but one grey value")
        return np.full(stored.shape, 0, dtype=np.uint8)
    shown = np.clip((values - darkest) / (brightest - darkest), 0.0, 1.0)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 1.0 - shown
    table = np.rint(shown * 255).astype(np.uint8)
    return np.asarray(table[place])


def _luma(colour: Num[np.ndarray, "h w 3"], *, bits: int | None) -> UInt8[np.ndarray, "h w"]:
    """Grey values of red, green and blue, whose brightest is that of `bits`, or of their type."""
    top = np.iinfo(colour.dtype).max if bits is None else 2**bits - 1
    values = colour.astype(np.float64) @ np.array(LUMA) / top * 255
    grey: UInt8[np.ndarray, "h w"] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return grey
