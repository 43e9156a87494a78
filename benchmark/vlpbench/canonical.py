"""Canonical JSON, content hashes and writes that are whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlpbench.errors import VlpbenchError

CHUNK = 1 << 20


def canonical_json(value: object) -> str:
    """Write `value` as JSON with sorted keys and no spaces, so that equal values give equal text.

    Raises:
        ValueError: for a number that JSON has no word for (NaN, infinity).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: object, length: int = 64) -> str:
    """SHA-256 of the canonical JSON of `value`, cut to `length` hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def finite_or_none(value: float) -> float | None:
    """NaN and infinities as None, the only form JSON keeps them in."""
    return value if math.isfinite(value) else None


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it becomes `target` in one step, on failure it goes.

    Raises:
        VlpbenchError: if the folder cannot be written (no permission, no space).
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_new_text(target: Path, text: str) -> None:
    """Write a text file atomically, and only where there is none yet.

    Raises:
        VlpbenchError: if `target` exists, or the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(target, error) from error
    try:
        Path(name).chmod(0o644)
        os.link(name, target)
    except FileExistsError as error:
        raise VlpbenchError(f"{target} exists already, and results are never overwritten.") from error
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        Path(name).unlink(missing_ok=True)


def cannot_write(target: Path, error: OSError) -> VlpbenchError:
    """Word an operating-system refusal for the user."""
    return VlpbenchError(
        f"Cannot write {target}: {error.strerror or error}. "
        "Free some space or fix the permissions there, or name another folder with --results or --work; "
        "what was finished before stays, and the same command carries on from it."
    )


def writable_folder(folder: Path) -> Path:
    """The folder, made where it is missing; refused at once where it cannot be written, before hours of work.

    Raises:
        VlpbenchError: if it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".vlpbench.", suffix=".part", dir=folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    os.close(handle)
    Path(name).unlink()
    return folder
