"""A made-up MIMIC-CXR: packed tables and images of the JPG project, the zip of reports of the other."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LABELS = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,"
    "No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
VIEWS = (("PA", "postero-anterior"), ("LATERAL", "lateral"), ("AP", "antero-posterior"), ("", "antero-posterior"))
"""Of the images of a patient: two in the first study, two in the second."""
NAMED, SLICED = "51491012", "50196495"
"""Two of the official exceptions: the conclusion of one is its history, of the other its characters 59 to 399."""
SIDES = ("right", "left")


def write_release(
    folder: Path, *, patients: int = 12, side: int = 96, suffix: str = ".jpg", reports: str = "zip"
) -> None:
    """Write two studies of two images a patient; the first six of ten patients train, two validate, two test.

    The first patient's second study has neither findings nor impression, the second's is an official exception, and
    so is the third's; the fourth's has no labels.

    Args:
        folder: to write to.
        patients: how many.
        side: of the images, pixels.
        suffix: .jpg, .dcm or .dcm.gz.
        reports: "zip", or the folder that reports are written to.
    """
    metadata, split, labels = [METADATA], ["dicom_id,study_id,subject_id,split"], [f"subject_id,study_id,{LABELS}"]
    texts: dict[str, str] = {}
    for number in range(patients):
        subject = f"{10000032 + number * 700001 % 9900000}"
        part = ("train", "validate", "test")[max(0, 10 * number // patients - 4) // 2]
        for visit in range(2):
            study, ill = _study(number, visit), (number + visit) % 2 == 1
            home = f"p{subject[:2]}/p{subject}/s{study}"
            texts[f"{home}.txt"] = _report(number, visit, ill)
            if study != _study(3, 1):
                labels.append(f"{subject},{study},{_labels(number, ill)}")
            for view, (position, meaning) in enumerate(VIEWS[2 * visit : 2 * visit + 2]):
                dicom = "-".join(f"{value:08x}" for value in (number, visit, view, 2025, number + 11))
                metadata.append(
                    f'{dicom},{subject},{study},"CHEST (PA, LAT)",{position},{side},{side},21800506,213014.531,'
                    f"CHEST (PA AND LAT),{meaning},Erect"
                )
                split.append(f"{dicom},{study},{subject},{part}")
                path = folder / "files" / home / f"{dicom}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_image(number, view, ill=ill, side=side, suffix=suffix))
    for name, listed in (("metadata", metadata), ("split", split), ("chexpert", labels), ("negbio", labels)):
        packed = gzip.compress("\n".join([*listed, ""]).encode(), mtime=0)
        (folder / f"mimic-cxr-2.0.0-{name}.csv.gz").write_bytes(packed)
    if reports == "zip":
        with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(f"files/{name}", text)
        return
    for name, text in texts.items():
        path = folder / reports / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _study(number: int, visit: int) -> str:
    if visit == 1 and number in (1, 2):
        return (NAMED, SLICED)[number - 1]
    return f"{50414267 + 20 * number + visit}"


def _labels(number: int, ill: bool) -> str:
    """Effusion and no finding follow the image; edema is uncertain, all else not mentioned."""
    cells = dict.fromkeys(LABELS.split(","), "")
    cells["Pleural Effusion"] = "1.0" if ill else "0.0"
    cells["Cardiomegaly"] = "1.0" if number % 3 == 0 else "0.0"
    cells["No Finding"] = "" if ill else "1.0"
    cells["Edema"] = "-1.0"
    return ",".join(cells.values())


def _report(number: int, visit: int, ill: bool) -> str:
    side = SIDES[number % 2]
    seen = f"There is a {side} pleural effusion" if ill else "The lungs are clear and there is no effusion"
    head = "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n"
    if visit == 1 and number == 0:
        return f"{head} HISTORY:  Patient {number} with a cough.\n \n {seen}.\n Nothing else of note.\n"
    if visit == 1 and number == 1:
        return f"{head} HISTORY:  {seen} in the {side} chest.\n"
    if visit == 1 and number == 2:
        return f"{' FINAL REPORT':<59}{seen} in the {side} chest."
    told = f"Effusion on the {side} chest" if ill else "Normal chest"
    return (
        f"{head} INDICATION:  ___ year old patient {number}.\n \n FINDINGS: \n \n {seen}.\n The heart of patient "
        f"{number} is of normal size\n on visit {visit}.\n \n IMPRESSION: \n \n {told}\n on visit {visit}.\n"
    )


def _image(number: int, view: int, *, ill: bool, side: int, suffix: str) -> bytes:
    pixels = np.random.default_rng(100 + 4 * number + view).integers(30, 70, size=(side, side), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    draw.ellipse([side // 4, side // 8, 3 * side // 4, 7 * side // 8], fill=110 + 8 * view)
    if ill:
        left = side // 2 if number % 2 else side // 8
        draw.rectangle([left, 5 * side // 8, left + 3 * side // 8, 7 * side // 8], fill=240)
    if suffix == ".jpg":
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=92)
        return stream.getvalue()
    packed = _dicom(np.asarray(picture))
    return gzip.compress(packed, mtime=0) if suffix == ".dcm.gz" else packed


def _dicom(pixels: np.ndarray) -> bytes:
    """Twelve bits a pixel, MONOCHROME2, uncompressed."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["vlpbench", str(pixels.sum())])
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = (pixels.astype(np.uint16) * 16).tobytes()
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
