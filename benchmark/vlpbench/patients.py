"""Patients of the test images, by number: what bootstrap samples are drawn of. No id of a patient is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vlpbench.canonical import write_new_text
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.store import component

if TYPE_CHECKING:
    import pandas as pd

SHORT = 16


def patients_file(root: Path, *, suite: str, task: str, dataset: str, fingerprint: str, split_hash: str) -> Path:
    """Where the patients of one test split are: named by the data and the split, so it never changes."""
    folder = root / "patients" / component(suite) / component(task) / component(dataset)
    return folder / f"{fingerprint[:SHORT]}-{split_hash}.csv"


def write_patients(file: Path, image_ids: Sequence[str], patients: Sequence[str]) -> None:
    """Write the patient's number of each test image; a file that is there stays.

    Args:
        file: from `patients_file`.
        image_ids: of the test split, in its order.
        patients: id of each image's patient; numbered from 0 in the order of their first image.

    Raises:
        VlpbenchError: if the folder cannot be written.
    """
    import pandas as pd

    if file.exists():
        return
    numbers, _ = pd.factorize(pd.Series(patients, dtype=str))
    text = pd.DataFrame({"image_id": list(image_ids), "patient": numbers}).to_csv(index=False, lineterminator="\n")
    try:
        write_new_text(file, text)
    except VlpbenchError:
        if not file.exists():  # where another process was faster, it wrote the same
            raise


def read_patients(root: Path, record: Record) -> pd.Series[int] | None:
    """Number of the patient of each test image, by image id; None for results written before there was such a file.

    Raises:
        VlpbenchError: if the file is not what `write_patients` writes.
    """
    import pandas as pd

    spec, base = record.spec, record.foundations
    file = patients_file(
        root,
        suite=spec.suite,
        task=spec.task,
        dataset=spec.dataset,
        fingerprint=base.data_fingerprint,
        split_hash=base.split_hash,
    )
    if not file.is_file():
        return None
    try:
        found = pd.read_csv(file, dtype={"image_id": str, "patient": int}, keep_default_na=False)
        if list(found.columns) != ["image_id", "patient"] or found["image_id"].duplicated().any():
            raise ValueError(f"columns {list(found.columns)}")
    except (OSError, ValueError) as error:
        raise VlpbenchError(
            f"{file}: expected the columns image_id and patient with one line per image ({error}). "
            "Delete it; the next vlpbench run of the same cells writes it again."
        ) from error
    return found.set_index("image_id")["patient"]
