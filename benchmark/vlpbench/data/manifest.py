"""The table of a prepared folder: a row per image, and the hash of it all."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields

import pandas as pd

from vlpbench.canonical import canonical_json
from vlpbench.data.source import ImageRow, Pixels

REWRITTEN = ("labels", "facts", "triplets", "entities", "boxes", "has_mask")
KEPT = tuple(field.name for field in fields(ImageRow) if field.name not in REWRITTEN)
NOT_HASHED = ("split", "source_path")
PART = 4096
"""Rows that are written as JSON at a time."""


def image_record(row: ImageRow, pixels: Pixels, mask_row: int) -> dict[str, object]:
    """A manifest row.

    Args:
        row: what the source knows of the image.
        pixels: inside the square.
        mask_row: row of its mask in `masks.npy`, -1 for none.
    """
    triplets = None if row.triplets is None else [[said.entity, said.position, said.present] for said in row.triplets]
    return {
        **{name: getattr(row, name) for name in KEPT},
        **({"content": pixels.content} if pixels.content else {}),
        **{f"label:{name}": value for name, value in row.labels.items()},
        **{f"fact:{name}": value for name, value in row.facts.items()},
        "triplets": "" if triplets is None else json.dumps(triplets, ensure_ascii=False),
        "entities": "" if row.entities is None else json.dumps(row.entities, ensure_ascii=False),
        "boxes": json.dumps([asdict(box) for box in pixels.boxes or ()]),
        "mask_row": mask_row,
        "height": pixels.height,
        "width": pixels.width,
    }


def manifest_hash(manifest: pd.DataFrame, descriptions: Mapping[str, str], *, size: int, version: int) -> str:
    """SHA-256, 32 hexadecimal digits, of all that is known of the images but their split and where they came from.

    It is `content_hash` of {descriptions, format, rows, size}, made part by part: a third of a million rows as one text
    would take gigabytes.

    Args:
        manifest: a row per image.
        descriptions: of entities.
        size: side of the square, pixels.
        version: of the folder's format.
    """
    hashed = manifest.drop(columns=list(NOT_HASHED))
    digest = hashlib.sha256()
    digest.update(f'{{"descriptions":{canonical_json(dict(descriptions))},"format":{version},"rows":['.encode())
    for start in range(0, len(hashed), PART):
        listed = [
            {key: (None if isinstance(value, float) and math.isnan(value) else value) for key, value in record.items()}
            for record in hashed.iloc[start : start + PART].to_dict(orient="records")
        ]
        digest.update((("," if start else "") + canonical_json(listed)[1:-1]).encode())
    digest.update(f'],"size":{size}}}'.encode())
    return digest.hexdigest()[:32]
