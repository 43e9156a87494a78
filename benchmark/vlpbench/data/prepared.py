"""The prepared folder: `manifest.parquet`, `images.npy`, `masks.npy` and `prepared.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vlpbench.canonical import cannot_write, canonical_json, content_hash
from vlpbench.cards import SourceCard
from vlpbench.data.lock import hold_lock
from vlpbench.data.manifest import manifest_hash
from vlpbench.data.shards import PartialFolder
from vlpbench.data.source import ImageRow, Source, SourceRequest
from vlpbench.data.splits import SPLITS, assign_splits
from vlpbench.data.squares import Problem, read_square, read_squares
from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.registry import REGISTRY

FORMAT_VERSION = 2
Progress = Callable[[int, int], None]


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
        """Contents of `prepared.json`: fingerprint, counts, descriptions, oddities and problems."""
        facts: dict[str, object] = json.loads((self.folder / "prepared.json").read_text(encoding="utf-8"))
        return facts

    @property
    def source(self) -> str:
        """Registered source it was prepared from; the folder's name without its hash where that is not told."""
        return str(self.facts.get("source", self.folder.name.rsplit("-", 1)[0]))

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
    Work under way lies beside it, in a hidden folder: a call that is interrupted loses at most the shard it is at, and
    the next one carries on. One process at a time prepares; others wait for it.

    Args:
        request: what to prepare.
        work: folder under which `prepared/` lies.
        jobs: processes that decode.
        progress: told how many of how many images are done, those of an earlier call among them.

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
        # Neither the deal nor what is tolerated changes a pixel: work under way serves another of these as well.
        decoded = {name: value for name, value in identity.items() if name not in ("split", "max_unreadable")}
        working = folder.parent / f".{source.label}-{content_hash(decoded, 16)}.partial"
        _write(request, source, folder, working, jobs=jobs, progress=progress)
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


def _write(
    request: SourceRequest, source: Source, folder: Path, working: Path, *, jobs: int, progress: Progress | None
) -> None:
    """Make the folder, unless another process does so in the meantime."""
    rows = source.rows()
    if not rows:
        raise BadInputError(f"The dataset {request.data.name!r} has no images.", [])
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(working.with_suffix(".lock"), folder.name):
            if (folder / "prepared.json").is_file():
                return
            if folder.exists():
                raise VlpbenchError(
                    f"{folder} holds no prepared.json, so it is no prepared data. Move or remove it and run the same "
                    "command again."
                )
            with PartialFolder(working, rows, size=request.image_size) as work:
                _fill(source, rows, work, request.image_size, jobs=jobs, progress=progress)
                problems = work.problems()
                _refuse(request, problems, len(rows))
                del rows
                _finish(request, source, work.manifest(), [problem.text for problem in problems], work.prepared)
                work.become(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _fill(
    source: Source, rows: Sequence[ImageRow], work: PartialFolder, size: int, *, jobs: int, progress: Progress | None
) -> None:
    """Read every row that is not there yet."""
    done = work.carry_on(partial(read_square, source, size=size))
    if done and progress is not None:
        progress(done, len(rows))
    for result in read_squares(source, rows[done:], size, jobs=jobs):
        work.add(result)
        if progress is not None:
            progress(work.done, len(rows))


def _refuse(request: SourceRequest, problems: list[Problem], count: int) -> None:
    """Stop at any bad annotation, and at more unreadable images than the suite allows."""
    fatal = [problem.text for problem in problems if problem.fatal]
    if fatal:
        raise BadInputError(
            f"{len(fatal)} mask(s) or box(es) of {request.data.name!r} do not fit their images:",
            fatal,
            next_step="Mend the rows or files named above and run the same command again.",
        )
    if len(problems) > request.data.max_unreadable * count or len(problems) == count:
        raise BadInputError(
            f"{len(problems)} of {count} images of {request.data.name!r} cannot be used; the suite allows a share of "
            f"{request.data.max_unreadable:g} (max_unreadable):",
            [problem.text for problem in problems],
            next_step="Mend or remove these files, or raise max_unreadable in the suite, and run the same command "
            "again: what comes before the first mended file is not read anew.",
        )


def _finish(
    request: SourceRequest, source: Source, manifest: pd.DataFrame, unreadable: list[str], folder: Path
) -> None:
    """Write manifest and facts; the arrays keep spare rows at the end where images were unreadable."""
    descriptions = dict(source.descriptions())
    manifest["split"] = assign_splits(manifest, shares=request.data.split, seed=request.data.split_seed)
    manifest.to_parquet(folder / "manifest.parquet", index=False)
    facts = {
        "name": request.data.name,
        "title": request.data.title,
        "source": request.data.source,
        "image_size": request.image_size,
        "fingerprint": manifest_hash(manifest, descriptions, size=request.image_size, version=FORMAT_VERSION),
        "images": len(manifest),
        "patients": int(manifest["patient"].nunique()),
        "splits": {name: int((manifest["split"] == name).sum()) for name in SPLITS},
        "counts": dict(source.counts()),
        "noticed": list(source.noticed()),
        "descriptions": descriptions,
        "unreadable": unreadable,
    }
    (folder / "prepared.json").write_text(canonical_json(facts) + "\n", encoding="utf-8")
