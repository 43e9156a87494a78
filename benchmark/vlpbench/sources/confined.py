"""Paths that must not leave a folder."""

from __future__ import annotations

from pathlib import Path

from vlpbench.errors import VlpbenchError


class PathError(VlpbenchError):
    """A path that leaves its folder."""


def confined(folder: Path, name: str) -> Path:
    """The path `name` inside `folder`, links resolved.

    Raises:
        PathError: if it is absolute or climbs out of the folder.
    """
    path = (folder / name).resolve()
    if Path(name).is_absolute() or not path.is_relative_to(folder.resolve()):
        raise PathError(f"the path {name!r} leaves the folder {folder}; use paths inside it")
    return path
