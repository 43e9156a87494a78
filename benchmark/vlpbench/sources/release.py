"""A published dataset as it comes from its page: the folder, its tables, and what to say when it is something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vlpbench.data.decoding import read_picture
from vlpbench.data.source import ImageRow, Pixels, Source, SourceRequest
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.sources.confined import confined
from vlpbench.sources.csv_file import read_csv

SHOWN = 8


class Release(Source):
    """Base of the adapters of published datasets.

    An adapter names its options with their defaults in `OPTIONS`, the tables it reads in `tables`, and makes rows whose
    `source_path` is relative to the folder.

    Attributes:
        folder: of the release, links resolved.
        options: all options, defaults filled in.
    """

    OPTIONS: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, request: SourceRequest) -> None:
        """Resolve options and folder.

        Raises:
            UnknownNameError: for an option that does not exist.
            VlpbenchError: without a folder, or where there is none.
        """
        super().__init__(request)
        known: dict[str, Any] = {"folder": ".", **self.OPTIONS}
        for name in request.data.options:
            if name not in known:
                raise UnknownNameError(f"option of the source {request.data.source}", name, known)
        self.options = {**known, **request.data.options}
        if request.root is None:
            raise VlpbenchError(
                f"The dataset {request.data.name!r} needs the folder of its release: --src with `vlpbench data "
                f"prepare`, --data with `vlpbench run`. `vlpbench describe {request.data.source}` says how to get it."
            )
        self.folder = confined(request.root, str(self.options["folder"]))
        if not self.folder.is_dir():
            raise VlpbenchError(f"No folder at {self.folder}, where the dataset {request.data.name!r} is expected.")

    @property
    def label(self) -> str:
        """The source's name: what `vlpbench data prepare` made serves every suite."""
        return self.request.data.source

    def tables(self) -> Sequence[Path]:
        """Files that labels, reports and splits are read from.

        Raises:
            VlpbenchError: if the folder is not the release.
        """
        raise NotImplementedError

    def require(self) -> None:
        """Find every table."""
        self.tables()

    def stamp(self) -> object:
        """Name, size and time of every table; images are taken as they come with them."""
        return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in self.tables()]

    def find(self, *names: str) -> Path:
        """The first of some files or folders that is there.

        Raises:
            VlpbenchError: naming what was expected and what lies there, if none is.
        """
        for name in names:
            if (self.folder / name).exists():
                return self.folder / name
        raise self.wrong(f"expected {' or '.join(names)}")

    def wrong(self, reason: str) -> VlpbenchError:
        """An error saying that the folder is not the release it should be, and what lies there instead."""
        found = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in self.folder.iterdir())
        listed = ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
        return VlpbenchError(
            f"{self.folder} is not the release that {self.request.data.source!r} reads: {reason}; found "
            f"{listed or 'nothing'}. `vlpbench describe {self.request.data.source}` says what to download."
        )

    def table(self, path: Path, *, columns: Iterable[str]) -> pd.DataFrame:
        """All cells of a CSV as text, `.csv.gz` too; see `read_csv`."""
        return read_csv(path, columns=columns)

    def refuse(self, problems: Sequence[str]) -> None:
        """Stop at problems, all listed.

        Raises:
            BadInputError: if there are any.
        """
        if problems:
            raise BadInputError(
                f"{self.folder} has {len(problems)} problem(s):",
                problems,
                next_step="Mend the rows named above, or download the release again.",
            )

    def read(self, row: ImageRow) -> Pixels:
        """Decode the image at `source_path`; the mask is what `draw_mask` makes of it.

        Raises:
            UnreadableImageError: if it cannot be decoded.
        """
        path = self.folder / row.source_path
        # At the size itself, a second reduction would blur what the first one left (benchmark/speed/README.md).
        picture = read_picture(path, at_least=2 * self.request.image_size)
        mask = self.draw_mask(row, picture.height, picture.width) if row.has_mask else None
        return Pixels(picture.grey, mask, picture.height, picture.width, content=picture.sha256[:32])

    def draw_mask(self, row: ImageRow, height: int, width: int) -> UInt8[np.ndarray, "height width"]:
        """Mask of a row that has one, at the size of the file's image: 0, 1, or 255 for pixels that do not count."""
        raise NotImplementedError


def index_images(folder: Path, suffixes: Sequence[str]) -> dict[str, list[Path]]:
    """Image files anywhere under a folder, by file name without suffix, in sorted order.

    Args:
        folder: to walk.
        suffixes: in lower case, with the dot; upper case files count too.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in suffixes:
            found.setdefault(path.stem, []).append(path)
    return found
