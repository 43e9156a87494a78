"""A small RSNA Pneumonia Detection Challenge in Kaggle's layout; every pixel and box is made up."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
ABSENT = ("Normal", "No Lung Opacity / Not Normal")
ROOT = "1.2.276.0.7230010.3.1.4.8323329"


def write_release(folder: Path, *, patients: int = 12, side: int = 96, stage: int = 2, mapping: bool = True) -> None:
    """Write two or three images a patient, the first with one or two boxes, and the mapping to NIH images."""
    generator = np.random.default_rng(4)
    images = folder / f"stage_{stage}_train_images"
    images.mkdir(parents=True)
    labels, classes, mapped = ["patientId,x,y,width,height,Target"], ["patientId,class"], []
    for patient in range(1, patients + 1):
        for number in range(3 if patient % 4 == 0 else 2):
            image = str(uuid.UUID(bytes=generator.bytes(16), version=4))
            boxes = _boxes(patient, side) if number == 0 else []
            pixels = generator.integers(50, 90, size=(side, side), dtype=np.uint8)
            for x, y, width, height in boxes:
                pixels[y : y + height, x : x + width] += 120
            write_dicom(images / f"{image}.dcm", pixels, patient=image, uid=f"{ROOT}.{patient}.{number}")
            name = "Lung Opacity" if boxes else ABSENT[(patient + number) % 2]
            labels += [f"{image},{x}.0,{y}.0,{width}.0,{height}.0,1" for x, y, width, height in boxes]
            labels += [] if boxes else [f"{image},,,,,0"]
            classes += [f"{image},{name}"] * max(1, len(boxes))
            nih = f"{patient:08d}_{number:03d}.png"
            mapped.append({"subset_img_id": image, "img_id": nih, "orig_labels": ["No Finding"]})
    (folder / f"stage_{stage}_train_labels.csv").write_text("\n".join(labels) + "\n", encoding="utf-8")
    (folder / f"stage_{stage}_detailed_class_info.csv").write_text("\n".join(classes) + "\n", encoding="utf-8")
    if mapping:
        (folder / MAPPING).write_text(json.dumps(mapped), encoding="utf-8")


def write_dicom(path: Path, pixels: np.ndarray, *, patient: str, uid: str) -> None:
    """A computed radiograph of 8 bits as JPEG Baseline, as both Kaggle challenges have it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=95)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = uid
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid
    dataset.PatientID, dataset.Modality, dataset.ViewPosition, dataset.ConversionType = patient, "CR", "PA", "WSD"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)


def _boxes(patient: int, side: int) -> list[tuple[int, int, int, int]]:
    """One box, or for every third patient two: x, y, width, height."""
    first = (side // 8, side // 6 + patient % 5, side // 4, side // 3)
    second = (side * 5 // 8, side // 3, side - side * 5 // 8, side // 4)
    return [first, second] if patient % 3 == 0 else [first]
