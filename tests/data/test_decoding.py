from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from vlpbench.data.decoding import UnreadableImageError, read_grey


def write_dicom(path: Path, values: np.ndarray, photometric: str) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = values.astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize(("photometric", "expected"), [("MONOCHROME2", [0, 255]), ("MONOCHROME1", [255, 0])])
def test_dicom_is_scaled_and_monochrome1_inverted(tmp_path: Path, photometric: str, expected: list[int]) -> None:
    write_dicom(tmp_path / "a.dcm", np.array([[100, 4000]], dtype=np.uint16), photometric)
    pixels, shape = read_grey(tmp_path / "a.dcm")
    assert pixels.tolist() == [expected]
    assert shape == (1, 2)


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


def test_dicom_without_pixels_is_unreadable(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", np.array([[1, 2]], dtype=np.uint16), "MONOCHROME2")
    import pydicom

    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    del dataset.PixelData
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(UnreadableImageError, match="without pixel data"):
        read_grey(tmp_path / "b.dcm")
    (tmp_path / "c.dcm").write_text("not DICOM at all")
    with pytest.raises(UnreadableImageError, match="not a DICOM file"):
        read_grey(tmp_path / "c.dcm")
