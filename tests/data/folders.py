"""Small `table` folders and prepared folders for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from vlpbench.data.source import SourceRequest
from vlpbench.suite import DataSpec


def table_folder(
    folder: Path, *, patients: int = 12, images_each: int = 2, size: tuple[int, int] = (40, 60)
) -> pd.DataFrame:
    """Write a valid folder (height x width images, masks, boxes, reports) and return its table."""
    generator = np.random.default_rng(3)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows, boxes = [], []
    for patient in range(patients):
        for image in range(images_each):
            name = f"images/{patient:02d}_{image}.png"
            pixels = generator.integers(0, 255, size=size, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
            mask = np.zeros(size, dtype=np.uint8)
            mask[5:15, 10:30] = 255
            mask[20, 20] = 127
            mask_name = f"masks/{patient:02d}_{image}.png"
            Image.fromarray(mask).save(folder / mask_name)
            label = patient % 2
            rows.append(
                {
                    "image": name,
                    "patient": f"p{patient}",
                    "effusion": str(label),
                    "nodule": "" if image else "0",
                    "kind": ("normal", "covid", "")[patient % 3],
                    "report": f"Effusion on the {'left' if label else 'right'} side of patient {patient}.",
                    "mask": mask_name,
                }
            )
            if label:
                boxes.append({"image": name, "label": "opacity", "x": 10, "y": 5, "width": 20, "height": 10})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "table.csv", index=False)
    pd.DataFrame(boxes).to_csv(folder / "boxes.csv", index=False)
    return table


OPTIONS = {
    "labels": ["effusion", "nodule"],
    "report": "report",
    "mask": "mask",
    "boxes": "boxes.csv",
    "classes": {"kind": ["normal", "covid"]},
}


def request(folder: Path, *, size: int = 32, **changes: object) -> SourceRequest:
    """A request for the folder with every option in use, some changed."""
    options = {**OPTIONS, **changes}
    return SourceRequest(DataSpec("mine", "Mine", "table", options, (6, 2, 2)), folder, size)
