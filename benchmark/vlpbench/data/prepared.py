"""The prepared folder: `manifest.parquet`, `images.npy`, `masks.npy` and `prepared.json`."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vlpbench.canonical import cannot_write, canonical_json, content_hash
from vlpbench.cards import SourceCard
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.geometry import Geometry
from vlpbench.data.source import BadAnnotationError, ImageRow, Pixels, Source, SourceRequest
from vlpbench.data.splits import assign_splits
from vlpbench.errors import BadInputError
from vlpbench.registry import REGISTRY

FORMAT_VERSION = 2
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one image; a fatal one stops the run by itself."""

    text: str
    fatal: bool


@dataclass(frozen=True)
class Prepared:
    """One prepared folder, opened for reading; arrays are memory-mapped.

    The manifest has a row per image: image_id, patient, study, split, report, summary, `label:<name>` and `fact:<name>`
    columns, triplets
    (JSON, a list of [entity, position, present]; "" where unknown), entities (JSON, a list of names; likewise), boxes
    (JSON, in pixels of the prepared square), boxes_known, mask_row (-1 for none), source_path, content, height, width.
    """

    folder: Path

    @cached_property
    def facts(self) -> dict[str, object]:
        """Contents of `prepared.json`: fingerprint, counts, descriptions and problems."""
        facts: dict[str, object] = json.loads((self.folder / "prepared.json").read_text(encoding="utf-8"))
        return facts

    @property
    def fingerprint(self) -> str:
        """Content hash of images, labels, boxes, masks, reports, what is known of them, and preparation."""
        return str(self.facts["fingerprint"])

    @property
    def descriptions(self) -> dict[str, str]:
        """A sentence on each entity of triplets and mentions that has one."""
        return cast("dict[str, str]", self.facts.get("descriptions", {}))

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """One row per image."""
        return pd.read_parquet(self.folder / "manifest.parquet")

    @cached_property
    def images(self) -> UInt8[np.ndarray, "n size size"]:
        """All images."""
        images: UInt8[np.ndarray, "n size size"] = np.load(self.folder / "images.npy", mmap_mode="r")
        return images

    @cached_property
    def masks(self) -> UInt8[np.ndarray, "m size size"]:
        """All masks, in the order of `mask_row`."""
        masks: UInt8[np.ndarray, "m size size"] = np.load(self.folder / "masks.npy", mmap_mode="r")
        return masks


def prepare(request: SourceRequest, work: Path, *, jobs: int, progress: Progress | None = None) -> Prepared:
    """Open the prepared folder of a request, making it first where there is none.

    The folder appears in one step, when it is whole; its name holds a hash of the request and of the source's stamp.

    Args:
        request: what to prepare.
        work: folder under which `prepared/` lies.
        jobs: processes that decode.
        progress: told how many of how many images are done.

    Raises:
        BadInputError: listing every bad row, or every unreadable image when they are more than the suite allows.
        VlpbenchError: if the work folder cannot be written.
    """
    source = open_source(request)
    card = REGISTRY.card("source", request.data.source)
    version = card.version if isinstance(card, SourceCard) else 0
    identity = {
        "format": FORMAT_VERSION,
        "source": request.data.source,
        "version": version,
        # Where the release lies says nothing of what is in it; the stamp does.
        "options": {name: value for name, value in request.data.options.items() if name != "folder"},
        "image_size": request.image_size,
        "split": [*request.data.split, request.data.split_seed],
        "max_unreadable": request.data.max_unreadable,
        "stamp": source.stamp(),
    }
    folder = work / "prepared" / f"{source.label}-{content_hash(identity, 16)}"
    if not (folder / "prepared.json").is_file():
        _write(request, source, folder, jobs, progress)
    return Prepared(folder)


def open_source(request: SourceRequest) -> Source:
    """The registered source of a request.

    Raises:
        UnknownNameError: for a source that does not exist.
        VlpbenchError: where its folder is not there.
    """
    source = REGISTRY.target("source", request.data.source)(request)
    if not isinstance(source, Source):
        raise TypeError(f"the source {request.data.source!r} is not a vlpbench.data.source.Source")
    return source


def _write(request: SourceRequest, source: Source, folder: Path, jobs: int, progress: Progress | None) -> None:
    rows = source.rows()
    if not rows:
        raise BadInputError(f"The dataset {request.data.name!r} has no images.", [])
    descriptions = source.descriptions()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        records, problems = _fill(request, source, rows, temporary, jobs, progress)
        _finish(request, records, problems, descriptions, temporary)
        temporary.chmod(0o755)
        if not folder.exists():
            temporary.replace(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fill(
    request: SourceRequest, source: Source, rows: Sequence[ImageRow], folder: Path, jobs: int, progress: Progress | None
) -> tuple[list[dict[str, object]], list[str]]:
    """Write the arrays; manifest rows, and what is wrong with the images left out."""
    from joblib import Parallel, delayed

    size = request.image_size
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=(len(rows), size, size))
    masked = sum(row.has_mask for row in rows)
    masks = np.lib.format.open_memmap(folder / "masks.npy", mode="w+", dtype=np.uint8, shape=(masked, size, size))
    pool: Any = Parallel(n_jobs=jobs, return_as="generator", pre_dispatch=f"{8 * jobs}")
    records: list[dict[str, object]] = []
    problems: list[Problem] = []
    mask_count = 0
    for row, result in zip(rows, pool(delayed(_square)(source, row, size) for row in rows), strict=True):
        if isinstance(result, Problem):
            problems.append(result)
        else:
            images[len(records)] = result.image
            mask_row = -1
            if result.mask is not None:
                masks[mask_count] = result.mask
                mask_row, mask_count = mask_count, mask_count + 1
            records.append(_record(row, result, mask_row))
        if progress is not None:
            progress(len(records) + len(problems), len(rows))
    _refuse(request, problems, len(rows))
    return records, [problem.text for problem in problems]


def _refuse(request: SourceRequest, problems: list[Problem], count: int) -> None:
    """Stop at any bad annotation, and at more unreadable images than the suite allows."""
    fatal = [problem.text for problem in problems if problem.fatal]
    if fatal:
        raise BadInputError(
            f"{len(fatal)} mask(s) or box(es) of {request.data.name!r} do not fit their images:",
            fatal,
            next_step="Mend the rows or files named above and run the same command again.",
        )
    if len(problems) > request.data.max_unreadable * count:
        raise BadInputError(
            f"{len(problems)} of {count} images of {request.data.name!r} cannot be used, more than the share "
            f"{request.data.max_unreadable:g} that the suite allows (max_unreadable):",
            [problem.text for problem in problems],
            next_step="Mend or remove these files, or raise max_unreadable in the suite.",
        )


def _square(source: Source, row: ImageRow, size: int) -> Pixels | Problem:
    """Pixels of one row inside the square, boxes moved with them; or what is wrong with them."""
    try:
        pixels = source.read(row)
    except (UnreadableImageError, BadAnnotationError) as error:
        return Problem(f"{row.source_path or row.image_id}: {error}", fatal=isinstance(error, BadAnnotationError))
    geometry = Geometry(pixels.height, pixels.width, size)
    mask = None if pixels.mask is None else geometry.resize(pixels.mask, nearest=True)
    boxes = row.boxes if pixels.boxes is None else pixels.boxes
    moved = tuple(geometry.move(box) for box in boxes)
    return Pixels(geometry.resize(pixels.image), mask, pixels.height, pixels.width, moved, pixels.content)


def _record(row: ImageRow, pixels: Pixels, mask_row: int) -> dict[str, object]:
    """A manifest row."""
    rewritten = {"labels", "facts", "triplets", "entities", "boxes", "has_mask"}
    triplets = None if row.triplets is None else [[said.entity, said.position, said.present] for said in row.triplets]
    return {
        **{key: value for key, value in asdict(row).items() if key not in rewritten},
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


def _finish(
    request: SourceRequest,
    records: list[dict[str, object]],
    problems: list[str],
    descriptions: Mapping[str, str],
    folder: Path,
) -> None:
    """Write manifest and facts; the arrays keep spare rows at the end where images were unreadable."""
    manifest = pd.DataFrame.from_records(records)
    manifest["split"] = assign_splits(manifest, shares=request.data.split, seed=request.data.split_seed)
    manifest.to_parquet(folder / "manifest.parquet", index=False)
    listed = [
        {key: (None if isinstance(value, float) and math.isnan(value) else value) for key, value in record.items()}
        for record in manifest.drop(columns=["split", "source_path"]).to_dict(orient="records")
    ]
    content = {
        "format": FORMAT_VERSION,
        "size": request.image_size,
        "rows": listed,
        "descriptions": dict(descriptions),
    }
    facts = {
        "name": request.data.name,
        "title": request.data.title,
        "source": request.data.source,
        "image_size": request.image_size,
        "fingerprint": content_hash(content, 32),
        "images": len(manifest),
        "patients": int(manifest["patient"].nunique()),
        "splits": {name: int((manifest["split"] == name).sum()) for name in ("train", "val", "test")},
        "descriptions": dict(descriptions),
        "unreadable": problems,
    }
    (folder / "prepared.json").write_text(canonical_json(facts) + "\n", encoding="utf-8")
