from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from vlpbench.data.codestream import StreamHead, read_head
from vlpbench.data.decoding import UnreadableImageError, read_grey, read_picture

COMPRESSED = {
    "ImplicitVRLittleEndian": 0,
    "ExplicitVRBigEndian": 0,
    "RLELossless": 0,
    "JPEGLosslessProcess14": 0,
    "JPEGLosslessProcess14_1": 0,
    "JPEG2000Lossless": 0,
    "JPEG2000": 2,
    "JPEGLSLossless": 0,
}
"""Transfer syntaxes by GDCM's names, and how far grey values may be off."""


def write_dicom(
    path: Path, values: np.ndarray, photometric: str = "MONOCHROME2", *, bits: int = 12, **tags: object
) -> Path:
    """Write an uncompressed file of the given stored values, with further elements by keyword."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 1 if values.ndim == 2 else values.shape[2]
    dataset.PhotometricInterpretation = photometric
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * values.dtype.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.astype(values.dtype.newbyteorder("<")).tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def compress(path: Path, syntax: str) -> Path:
    """The same file in another transfer syntax."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetFileName(str(path.with_name(f"{syntax}.dcm")))
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path.with_name(f"{syntax}.dcm")


def lut(first: int, entries: list[int], bits: int, **tags: object) -> Dataset:
    """One item of a look-up table sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    for name, value in tags.items():
        setattr(item, name, value)
    return item


def ramp(top: int, dtype: type = np.uint16) -> np.ndarray:
    """48 x 64 values from 0 to `top`, smooth enough for lossy codecs."""
    return np.linspace(0, top, 48 * 64).reshape(48, 64).astype(dtype)


def grey(values: np.ndarray) -> np.ndarray:
    """Values stretched to 0..255."""
    low, high = float(values.min()), float(values.max())
    return np.rint((values - low) / (high - low) * 255)


@pytest.mark.parametrize(("syntax", "off"), COMPRESSED.items())
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_transfer_syntaxes_of_every_depth_give_the_same_pixels(
    tmp_path: Path, syntax: str, off: int, bits: int
) -> None:
    values = ramp(2**bits - 1, np.uint8 if bits == 8 else np.uint16)
    path = compress(write_dicom(tmp_path / "raw.dcm", values, bits=bits), syntax)
    pixels, shape = read_grey(path)
    assert shape == (48, 64)
    assert np.abs(pixels - grey(values)).max() <= off


def test_jpeg_baseline_is_read(tmp_path: Path) -> None:
    values = ramp(255, np.uint8)
    path = compress(write_dicom(tmp_path / "raw.dcm", values, bits=8), "JPEGBaselineProcess1")
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.name.startswith("JPEG Baseline")
    assert np.abs(read_grey(path)[0] - grey(values)).max() <= 4


@pytest.mark.parametrize("syntax", ["raw", "JPEGLosslessProcess14_1", "JPEG2000Lossless"])
def test_monochrome1_is_the_same_picture_as_its_inverted_twin(tmp_path: Path, syntax: str) -> None:
    values = ramp(4095)
    first = write_dicom(tmp_path / "raw.dcm", values, WindowCenter=2000, WindowWidth=3000)
    (tmp_path / "other").mkdir()
    second = write_dicom(
        tmp_path / "other" / "raw.dcm", 4095 - values, "MONOCHROME1", WindowCenter=4096 - 2000, WindowWidth=3000
    )
    if syntax != "raw":
        first, second = compress(first, syntax), compress(second, syntax)
    assert np.ptp(read_grey(first)[0]) == 255
    np.testing.assert_allclose(read_grey(first)[0], read_grey(second)[0].astype(int), atol=1)


def test_signed_values_and_the_rescale_are_taken_as_they_are_meant(tmp_path: Path) -> None:
    values = (ramp(60000).astype(np.int32) - 30000).astype(np.int16)
    path = write_dicom(tmp_path / "a.dcm", values, bits=16, RescaleSlope="2", RescaleIntercept="-100")
    np.testing.assert_array_equal(read_grey(path)[0], grey(values))
    windowed = write_dicom(
        tmp_path / "b.dcm",
        values,
        bits=16,
        RescaleSlope="2",
        RescaleIntercept="-100",
        WindowCenter="-100",
        WindowWidth="2000",
    )
    # The window spans rescaled -1100 to 900, stored -500 to 500.
    np.testing.assert_allclose(read_grey(windowed)[0], grey(np.clip(values, -500, 500)), atol=1)


def test_of_several_windows_the_first_counts(tmp_path: Path) -> None:
    values = ramp(4095)
    path = write_dicom(tmp_path / "a.dcm", values, WindowCenter=["1000", "3000"], WindowWidth=["500", "4000"])
    np.testing.assert_allclose(read_grey(path)[0], grey(np.clip(values, 750, 1250)), atol=1)


def test_look_up_tables_count_and_the_voi_table_goes_before_a_window(tmp_path: Path) -> None:
    values = ramp(255, np.uint8)
    modality = lut(0, [255 - number for number in range(256)], 16, ModalityLUTType="US")
    inverted = write_dicom(tmp_path / "a.dcm", values, bits=8, ModalityLUTSequence=[modality])
    np.testing.assert_array_equal(read_grey(inverted)[0], 255 - values)
    steps = lut(0, [0] * 100 + [40] * 56 + [200] * 100, 8)
    path = write_dicom(tmp_path / "b.dcm", values, bits=8, VOILUTSequence=[steps], WindowCenter=50, WindowWidth=100)
    expected = np.where(values < 100, 0, np.where(values < 156, 51, 255))
    np.testing.assert_array_equal(read_grey(path)[0], expected)


def test_a_window_that_leaves_nothing_is_named_and_an_even_picture_is_black(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", ramp(1000), WindowCenter=4000, WindowWidth=10)
    with pytest.raises(UnreadableImageError, match="nothing but one grey value"):
        read_grey(path)
    even = write_dicom(tmp_path / "b.dcm", np.full((3, 4), 7, dtype=np.uint16))
    assert not read_grey(even)[0].any()


def colours() -> np.ndarray:
    """Red of luma 60, green of luma 59, and black."""
    colour = np.zeros((48, 64, 3), dtype=np.uint8)
    colour[:, :24] = (200, 0, 0)
    colour[:, 24:40] = (0, 100, 0)
    return colour


@pytest.mark.parametrize("syntax", ["raw", "RLELossless", "JPEG2000Lossless"])
def test_colour_becomes_grey_unstretched(tmp_path: Path, syntax: str) -> None:
    path = write_dicom(tmp_path / "raw.dcm", colours(), "RGB", bits=8)
    pixels = read_grey(path if syntax == "raw" else compress(path, syntax))[0]
    assert pixels[20, [10, 30, 50]].tolist() == [60, 59, 0]


def test_luma_and_colour_differences_become_grey(tmp_path: Path) -> None:
    values = np.array([[[100, 140, 120], [30, 128, 128]]], dtype=np.uint8)
    path = write_dicom(tmp_path / "raw.dcm", values, "YBR_FULL", bits=8)
    np.testing.assert_allclose(read_grey(path)[0], [[100, 30]], atol=1)
    packed = compress(write_dicom(tmp_path / "raw.dcm", colours(), "RGB", bits=8), "JPEGBaselineProcess1")
    dataset = pydicom.dcmread(packed)
    dataset.PhotometricInterpretation = "YBR_FULL"  # GDCM converts the colours, and leaves the header as it was
    dataset.save_as(packed)
    np.testing.assert_allclose(read_grey(packed)[0][20, [10, 30, 50]], [60, 59, 0], atol=4)


def test_a_palette_becomes_grey(tmp_path: Path) -> None:
    shades = [0, 0x8080, 0xFFFF]
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    data = np.array(shades, dtype="<u2").tobytes()
    tags = {f"{name}Descriptor": [3, 0, 16] for name in names} | {f"{name}Data": data for name in names}
    path = write_dicom(tmp_path / "a.dcm", np.array([[2, 1, 0]], dtype=np.uint8), "PALETTE COLOR", bits=8, **tags)
    assert read_grey(path)[0].tolist() == [[255, 128, 0]]


def test_a_file_without_suffix_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", ramp(4095)).rename(tmp_path / "IM-0001")
    assert read_picture(path).width == 64


def test_what_is_no_single_picture_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {
        "of 3 frames": write_dicom(tmp_path / "a.dcm", ramp(255), NumberOfFrames=3),
        "of 32 bits": write_dicom(tmp_path / "b.dcm", ramp(255, np.uint32), bits=32),
        "50000 x 50000 pixels, more than": write_dicom(tmp_path / "c.dcm", ramp(255), Rows=50000, Columns=50000),
        "without Rows": write_dicom(tmp_path / "d.dcm", ramp(255), Rows=None),
    }
    monkeypatch.setattr("pydicom.dataset.Dataset.pixel_array", property(lambda _: pytest.fail("decoded")))
    for message, path in refused.items():
        with pytest.raises(UnreadableImageError, match=message):
            read_grey(path)


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14_1", "JPEG2000Lossless", "JPEGLSLossless"])
def test_a_compressed_picture_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path, syntax: str) -> None:
    path = compress(write_dicom(tmp_path / "raw.dcm", ramp(4095)), syntax)
    dataset = pydicom.dcmread(path)
    dataset.Rows = 47
    dataset.save_as(path)
    with pytest.raises(
        UnreadableImageError, match=r"compressed image is 64 x 48 x 1 of \d+ bits; its header says 64 x 47"
    ):
        read_grey(path)


@pytest.mark.parametrize("syntax", ["raw", "JPEGBaselineProcess1", *COMPRESSED])
def test_a_truncated_file_is_unreadable(tmp_path: Path, syntax: str) -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, size=(48, 64), dtype=np.uint8)
    path = write_dicom(tmp_path / "raw.dcm", noise, bits=8)
    if syntax != "raw":
        path = compress(path, syntax)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(UnreadableImageError, match=r"\w") as error:
        read_grey(path)
    assert "\n" not in str(error.value)


def test_dicom_without_pixels_is_unreadable(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", ramp(255)))
    del dataset.PixelData
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(UnreadableImageError, match="without pixel data"):
        read_grey(tmp_path / "b.dcm")
    (tmp_path / "c.dcm").write_text("not DICOM at all")
    with pytest.raises(UnreadableImageError, match="not a DICOM file"):
        read_grey(tmp_path / "c.dcm")


def test_heads_of_streams_are_found_behind_other_segments() -> None:
    comment = b"\xff\xfe\x00\x06abcd"
    frame = b"\xff\xc3\x00\x0b\x0c\x00\x30\x00\x40\x01\x01\x11\x00"
    assert read_head(b"\xff\xd8" + comment + b"\xff" + frame) == StreamHead(48, 64, 1, 12)
    assert read_head(b"\xff\xd8" + comment) is None
    assert read_head(b"II*\x00") is None
