"""A made-up VinDr-CXR: PhysioNet's layout, and Kaggle's."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

Corners = tuple[float, float, float, float]
Said = tuple[str, str, Corners | None]
"""Reader, class and box of a row."""
DIGITAL_X_RAY = "1.2.840.10008.5.1.4.1.1.1.1"
NAMES = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,"
    "Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,"
    "Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,"
    "Tuberculosis,Other diseases,No finding"
)
CLASSES = NAMES.split(",")
KAGGLE_NAMES = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Consolidation,ILD,Infiltration,Lung Opacity,Nodule/Mass,"
    "Other lesion,Pleural effusion,Pleural thickening,Pneumothorax,Pulmonary fibrosis,No finding"
)
KAGGLE_CLASSES = KAGGLE_NAMES.split(",")
CORNERS = ("x_min", "y_min", "x_max", "y_max")


def write_release(folder: Path, *, patients: int = 12, side: int = 96) -> None:
    """Write twice `patients` training images that three readers read, and half as many test images."""
    (folder / "annotations").mkdir(parents=True)
    for part, count in (("train", 2 * patients), ("test", max(4, patients // 2))):
        (folder / part).mkdir()
        marks, labels = [], []
        several = part == "train"
        for number in range(count):
            image, said = image_id(part, number), readings(number, side) if several else agreed(number, side)
            write_image(folder / part / f"{image}.dicom", number, side, [box for _, _, box in said if box])
            marks += [(image, *([reader] if several else []), name, *(box or ("",) * 4)) for reader, name, box in said]
            for reader in dict.fromkeys(reader for reader, _, _ in said):
                named = {name for who, name, _ in said if who == reader}
                labels.append((image, *([reader] if several else []), *(int(name in named) for name in CLASSES)))
        keys = ["image_id", *(["rad_id"] if several else [])]
        # The training tables say "Other diseases", the test tables "Other disease".
        names = CLASSES if several else [name.removesuffix("s") if "Other d" in name else name for name in CLASSES]
        _table(folder / "annotations" / f"annotations_{part}.csv", [*keys, "class_name", *CORNERS], marks)
        _table(folder / "annotations" / f"image_labels_{part}.csv", [*keys, *names], labels)


def write_kaggle(folder: Path, *, patients: int = 12, side: int = 96, shrunk_to: int | None = None) -> None:
    """Write the training images as Kaggle has them; `shrunk_to` makes them square PNG, with a table of their sizes."""
    (folder / "train").mkdir(parents=True)
    rows: list[tuple[object, ...]] = []
    sizes = []
    for number in range(2 * patients):
        image = image_id("train", number)
        said = [row for row in readings(number, side) if row[1] in KAGGLE_CLASSES]
        boxes = [box for _, _, box in said if box]
        if shrunk_to is None:
            write_image(folder / "train" / f"{image}.dicom", number, side, boxes)
        else:
            picture = Image.fromarray((picture_of(number, side, boxes) / 16).astype(np.uint8))
            picture.resize((shrunk_to, shrunk_to)).save(folder / "train" / f"{image}.png")
            sizes.append((image, *picture_of(number, side, boxes).shape))
        ids = KAGGLE_CLASSES.index
        rows += [(image, name, ids(name), reader, *(box or ("",) * 4)) for reader, name, box in said]
    _table(folder / "train.csv", ["image_id", "class_name", "class_id", "rad_id", *CORNERS], rows)
    if sizes:
        _table(folder / "train_meta.csv", ["image_id", "dim0", "dim1"], sizes)


def image_id(part: str, number: int) -> str:
    """An id of 32 hexadecimal digits."""
    return hashlib.md5(f"{part} {number}".encode(), usedforsecurity=False).hexdigest()


def readings(number: int, side: int) -> list[Said]:
    """What three readers say: nothing, one thing two of them see, or one all see and one a single reader sees."""
    readers = [f"R{(number + place) % 17 + 1}" for place in range(3)]
    unit = side / 8
    if number % 3 == 0:
        return [(reader, "No finding", None) for reader in readers]
    if number % 3 == 1:
        heart = [
            (reader, "Cardiomegaly", (2 * unit + place, 4 * unit, 6 * unit, 6 * unit + place))
            for place, reader in enumerate(readers[:2])
        ]
        return [*heart, (readers[2], "No finding", None)]
    nodule = [
        (reader, "Nodule/Mass", (unit + place, 1.5 * unit, 2.5 * unit + place, 3 * unit))
        for place, reader in enumerate(readers)
    ]
    return [
        *nodule,
        (readers[0], "Pleural effusion", (5 * unit, 5 * unit, 7 * unit, 7 * unit)),
        # Said of the whole image, so that it has no box; PhysioNet only.
        (readers[1], "Pneumonia", None),
        (readers[2], "Pneumonia", None),
    ]


def agreed(number: int, side: int) -> list[Said]:
    """What the readers of a test image agreed on."""
    said = {(name, box) for reader, name, box in readings(number, side) if reader == f"R{number % 17 + 1}"}
    return [("", name, box) for name, box in sorted(said)]


def picture_of(number: int, side: int, boxes: Sequence[Corners]) -> np.ndarray:
    """Grey values of 12 bits, higher than wide, bright where the boxes are."""
    generator = np.random.default_rng(number)
    picture = Image.new("L", (side, side + side // 4), 40)
    draw = ImageDraw.Draw(picture)
    for left in (side // 8, side // 2 + side // 16):
        draw.ellipse([left, side // 8, left + side // 3, side], fill=15)
    for box in boxes:
        draw.rectangle(box, fill=200)
    noise = generator.integers(0, 300, size=(picture.height, picture.width))
    return np.asarray(picture, dtype=np.uint16) * 16 + noise.astype(np.uint16)


def write_image(path: Path, number: int, side: int, boxes: Sequence[Corners]) -> None:
    """A DICOM file: every second inverted, every fourth as JPEG 2000, all but every fifth with a window."""
    inverted, compressed = number % 2 == 1, number % 4 == 2
    values = picture_of(number, side, boxes)
    write_dicom(
        path, values, inverted=inverted, compressed=compressed, window=None if number % 5 == 4 else (1900, 3600)
    )


def write_dicom(
    path: Path,
    values: np.ndarray,
    *,
    inverted: bool = False,
    compressed: bool = False,
    window: tuple[int, int] | None = None,
    top: int = 4095,
) -> None:
    """A DICOM file of grey values 0..top; `window` is centre and width before the inversion."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DIGITAL_X_RAY
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.stem])
    meta.TransferSyntaxUID = JPEG2000Lossless if compressed else ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = DIGITAL_X_RAY, meta.MediaStorageSOPInstanceUID
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated = 16
    # Pillow writes JPEG 2000 of 16 bits only.
    dataset.BitsStored = 16 if compressed else 12
    dataset.HighBit = dataset.BitsStored - 1
    if window is not None:
        centre, dataset.WindowWidth = window
        dataset.WindowCenter = top - centre if inverted else centre
    stored = (top - values if inverted else values).astype("<u2")
    dataset.PixelData = encapsulate([_jpeg_2000(stored)]) if compressed else stored.tobytes()
    dataset["PixelData"].VR = "OB" if compressed else "OW"
    dataset.save_as(path, enforce_file_format=True)


def _jpeg_2000(stored: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, format="JPEG2000", no_jp2=True)
    return stream.getvalue()


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
