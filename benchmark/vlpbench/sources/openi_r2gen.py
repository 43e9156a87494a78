"""Open-i as R2Gen gives it out: `annotation.json` with a split, and two numbered images a report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlpbench.data.source import ImageRow
from vlpbench.errors import VlpbenchError
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.openi_listing import Choices, Listing, tidy

TABLE = "annotation.json"
PARTS = ("train", "val", "test")
PATIENT = re.compile(r"CXR\d+(?=_|$)")
POSITIONS = {"both": slice(None), "first": slice(0, 1), "second": slice(1, 2)}
SHAPE = '{"train": [{"id": "CXR2384_IM-0942", "report": "...", "image_path": ["..."]}], "val": [...], "test": [...]}'


def list_r2gen(folder: Path, table: Path, images: Path, choices: Choices) -> Listing:
    """Images of R2Gen's edition; reports are findings only, without a heading.

    Args:
        folder: of the release.
        table: `annotation.json`.
        images: folder that the paths in it start from.
        choices: what to keep.

    Raises:
        VlpbenchError: if the file is not JSON of that shape.
    """
    listing = Listing()
    seen: dict[str, str] = {}
    for where, part, item in _items(table, _load(table), listing):
        patient = PATIENT.match(item["id"])
        if patient is None:
            listing.problems.append(f"{where}: id is {item['id']!r}; expected one such as CXR2384_IM-0942")
            continue
        for name in {item["id"], *item["image_path"]}:
            if name in seen:
                listing.problems.append(f"{where}: {name!r} stands in {seen[name]} too")
            seen[name] = where
        kept = item["image_path"][POSITIONS[choices.image]]
        listing.counts["reports"] += 1
        listing.counts["other images of a report left out"] += len(item["image_path"]) - len(kept)
        listing.counts["reports without the image asked for"] += not kept
        for name in kept:
            if not _outside(images, name, where, listing):
                listing.add(
                    ImageRow(
                        image_id=name,
                        patient=patient.group(),
                        study=item["id"],
                        split=part,
                        report=tidy(item["report"], keep_placeholders=choices.keep_placeholders),
                        boxes_known=False,
                        source_path=(images / name).relative_to(folder).as_posix(),
                        facts={"official": part},
                    )
                )
    return listing


def _load(table: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(table.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise VlpbenchError(f"{table} is not JSON: {error}") from error
    if not isinstance(content, dict) or not {"train", "val"} <= set(content):
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise VlpbenchError(f"{table} has another shape than R2Gen's: found {found}, expected {SHAPE}.")
    return content


def _items(table: Path, content: Mapping[str, Any], listing: Listing) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where each good item stands, its part and itself; a copy that circulates has a blank for the key "test"."""
    for key, items in content.items():
        if key.strip() and key not in PARTS:
            listing.problems.append(f"{table.name}: the key {key!r}; expected train, val and test")
            continue
        if not isinstance(items, list):
            listing.problems.append(f"{table.name}: {key!r} holds {_kind(items)}; expected a list of reports")
            continue
        listing.counts["reports under a blank key"] += 0 if key.strip() else len(items)
        for position, item in enumerate(items):
            where = f"{table.name} {key!r} item {position + 1}"
            problem = _wrong(item, key)
            if problem:
                listing.problems.append(f"{where}: {problem}")
            else:
                yield where, key if key.strip() else item["split"], item


def _wrong(item: object, key: str) -> str:
    """What is wrong with an item, "" where nothing is."""
    if not isinstance(item, dict):
        return f"is {_kind(item)}; expected an object with id, report and image_path"
    for name in ("id", "report"):
        if not isinstance(item.get(name), str):
            return f"{name} is {_kind(item.get(name))}; expected text"
    paths = item.get("image_path")
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
        return f"image_path is {_kind(paths)}; expected a list of paths"
    split = item.get("split", key)
    if split not in PARTS or (key.strip() and split != key):
        return f"split is {split!r} under the key {key!r}; expected train, val or test, as the key says"
    return ""


def _kind(value: object) -> str:
    return "missing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _outside(images: Path, name: str, where: str, listing: Listing) -> bool:
    """Whether a path leaves the image folder; the problem is listed."""
    try:
        confined(images, name)
    except PathError as error:
        listing.problems.append(f"{where}: {error}")
        return True
    return False
