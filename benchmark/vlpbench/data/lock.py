"""A lock that processes of one machine, or of machines that share a disk, take one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOGGER = logging.getLogger(__name__)


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file; where another process does, say so and wait for it.

    The system lets go of the lock of a process that ends in whatever way; the file itself stays.

    Args:
        path: lock file.
        what: is prepared under it, for the message.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        LOGGER.warning("Another process prepares %s (lock: %s); waiting for it. Ctrl-C stops waiting.", what, path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
