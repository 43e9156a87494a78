"""Image files of a release whose tables leave the suffix open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def find_suffixes(root: Path, folders: Iterable[str], *, suffixes: Sequence[str]) -> dict[str, str]:
    """Suffixes of the images in some folders, as they are spelt on disk, by path below the root without suffix.

    Each folder is listed once: asking for every possible file takes longer by far on a network disk.

    Args:
        root: that the folders lie under; links are followed.
        folders: paths below the root; those that are not there hold nothing.
        suffixes: in lower case, with the dot; of two files that differ in the suffix alone, the one with the earlier
            suffix is found.
    """
    found: dict[str, str] = {}
    for folder in folders:
        try:
            with os.scandir(f"{root}/{folder}") as entries:
                names = sorted(entry.name for entry in entries)
        except OSError:
            continue
        for suffix in reversed(suffixes):
            for name in names:
                if name.lower().endswith(suffix):
                    cut = len(name) - len(suffix)
                    found[f"{folder}/{name[:cut]}"] = name[cut:]
    return found
