"""What can be checked of a prepared folder after the fact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vlpbench.box import Box
from vlpbench.canonical import content_hash, file_sha256
from vlpbench.data.placed_splits import placed_splits
from vlpbench.data.prepared import Prepared

Progress = Callable[[int, int], None]
SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        title: what was checked.
        state: "ok", "note" for what a reader should know, or "broken" for data that must not be used.
        text: what was found.
        examples: the first offenders.
    """

    title: str
    state: str
    text: str
    examples: tuple[str, ...] = ()


def verify(prepared: Prepared, *, source: Path | None, progress: Progress | None = None) -> list[Finding]:
    """Check arrays, manifest, duplicates, what was left out, and splits; with the source folder, its files too.

    Args:
        prepared: the folder.
        source: folder that `source_path` is relative to, None to leave the original files alone.
        progress: told how many of how many images are read.
    """
    manifest = prepared.manifest
    findings = [_arrays(prepared), _ids(manifest), _boxes(prepared), *_left_out(prepared)]
    findings += [_same_files(manifest), _same_pixels(prepared, progress)]
    if source is not None:
        findings.append(_files(manifest, source, progress))
    return findings + _splits(prepared)


def _arrays(prepared: Prepared) -> Finding:
    """Whether images and masks are there for every row."""
    size, count = int(str(prepared.facts["image_size"])), len(prepared.manifest)
    problems = []
    if prepared.images.shape[1:] != (size, size) or len(prepared.images) < count:
        problems.append(f"images.npy is {prepared.images.shape}, expected at least {count} x {size} x {size}")
    highest = int(prepared.manifest["mask_row"].to_numpy().max(initial=-1))
    if highest >= 0 and len(prepared.masks) <= highest:
        problems.append(f"masks.npy has {len(prepared.masks)} masks, the manifest names mask {highest}")
    if count != prepared.facts["images"]:
        problems.append(f"manifest.parquet has {count} rows, prepared.json says {prepared.facts['images']}")
    text = f"{count:,} images of {size} x {size} pixels, {highest + 1:,} masks"
    return Finding("arrays", "broken" if problems else "ok", text, tuple(problems))


def _ids(manifest: pd.DataFrame) -> Finding:
    repeated = manifest.loc[manifest["image_id"].duplicated(), "image_id"].astype(str)
    if len(repeated):
        return Finding("image ids", "broken", f"{len(repeated)} stand twice", tuple(repeated[:SHOWN]))
    return Finding("image ids", "ok", f"{len(manifest):,}, none twice; {manifest['patient'].nunique():,} patients")


def _boxes(prepared: Prepared) -> Finding:
    """Whether every box lies in its square and has an area."""
    size = int(str(prepared.facts["image_size"]))
    bad, count = [], 0
    for image, text in zip(prepared.manifest["image_id"], prepared.manifest["boxes"], strict=True):
        for entry in json.loads(text):
            box = Box(**entry)
            count += 1
            inside = box.x >= -1 and box.y >= -1 and max(box.x + box.width, box.y + box.height) <= size + 1
            if not inside or box.width <= 0 or box.height <= 0:
                bad.append(f"{image}: {box}")
    if bad:
        return Finding("boxes", "broken", f"{len(bad)} of {count} lie outside or have no area", tuple(bad[:SHOWN]))
    return Finding("boxes", "ok", f"{count:,}, all inside their image" if count else "none")


def _left_out(prepared: Prepared) -> list[Finding]:
    """Images that could not be read when the folder was made, and what the source itself filtered."""
    unreadable = [str(problem) for problem in _list(prepared.facts.get("unreadable"))]
    state = "note" if unreadable else "ok"
    found = [Finding("unreadable", state, f"{len(unreadable)} image(s) were left out", tuple(unreadable[:SHOWN]))]
    noticed = [str(line) for line in _list(prepared.facts.get("noticed"))]
    if noticed:
        text = f"{len(noticed)} kind(s) of oddity in the release"
        found.append(Finding("noticed", "note", text, tuple(noticed)))
    counts = prepared.facts.get("counts")
    if isinstance(counts, dict) and counts:
        listed = ", ".join(f"{name}: {count:,}" for name, count in counts.items())
        found.append(Finding("counts of the source", "ok", listed))
    return found


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _same_files(manifest: pd.DataFrame) -> Finding:
    known = manifest[manifest["content"].astype(str) != ""]
    return _repeats("same file", known, known["content"].astype(str))


def _same_pixels(prepared: Prepared, progress: Progress | None) -> Finding:
    """Images whose prepared pixels are equal, such as one radiograph saved twice."""
    count = len(prepared.manifest)
    digests = []
    for row in range(count):
        digests.append(hashlib.blake2b(prepared.images[row].tobytes(), digest_size=16).hexdigest())
        if progress is not None:
            progress(row + 1, count)
    return _repeats("same pixels", prepared.manifest, pd.Series(digests, index=prepared.manifest.index, dtype=str))


def _repeats(title: str, manifest: pd.DataFrame, keys: pd.Series) -> Finding:
    """Groups of rows with one key; those that cross patients or parts of the split matter most."""
    groups = manifest[keys.duplicated(keep=False).to_numpy()].groupby(keys, sort=False)
    if groups.ngroups == 0:
        return Finding(title, "ok", "no image stands twice")
    crossing = int((groups["split"].nunique() > 1).sum())
    strangers = int((groups["patient"].nunique() > 1).sum())
    text = f"{groups.ngroups} group(s) of equal images; {strangers} of several patients, {crossing} across the split"
    examples = tuple(" = ".join(group["image_id"].astype(str)) for _, group in list(groups)[:SHOWN])
    return Finding(title, "note", text, examples)


def _files(manifest: pd.DataFrame, source: Path, progress: Progress | None) -> Finding:
    """Whether the original files are still those that were read."""
    missing, changed = [], []
    columns = (manifest[name].astype(str) for name in ("source_path", "mask_path", "content"))
    for row, (name, mask, content) in enumerate(zip(*columns, strict=True)):
        paths = [source / part for part in (name, mask) if part]
        gone = [path.name for path in paths if not path.is_file()]
        if gone:
            missing.append(f"{name}: no file {gone[0]}")
        elif content and content not in _contents(paths):
            changed.append(f"{name}: other bytes than when it was prepared")
        if progress is not None:
            progress(row + 1, len(manifest))
    bad = [*missing, *changed]
    text = f"{len(manifest) - len(bad):,} of {len(manifest):,} as they were; {len(missing)} missing"
    return Finding("original files", "broken" if changed else "note" if missing else "ok", text, tuple(bad[:SHOWN]))


def _contents(paths: list[Path]) -> tuple[str, str]:
    """What `content` may say of some files: the hash of the image alone, or of image and mask together."""
    hashes = [file_sha256(path) for path in paths]
    return hashes[0][:32], content_hash(hashes, 32)


def _splits(prepared: Prepared) -> list[Finding]:
    """Sizes of each split, and patients that its parts share."""
    findings = []
    for placed in placed_splits(prepared):
        title = f"split {placed.title}"
        if placed.split is None:
            findings.append(Finding(title, "note", f"cannot be made here: {placed.problem}"))
            continue
        sizes = ", ".join(f"{part} {count:,}" for part, count in placed.sizes.items())
        shared = [f"{count:,} patient(s) in both {pair}" for pair, count in placed.shared.items()]
        text = f"{sizes}; " + ("; ".join(shared) if shared else "no patient in two parts")
        findings.append(Finding(title, "note" if shared else "ok", text))
    return findings
