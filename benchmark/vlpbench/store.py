"""The result store: one JSON file per evaluated cell and its predictions, never overwritten."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlpbench.canonical import atomic_path, cannot_write, file_sha256, write_new_text
from vlpbench.errors import VlpbenchError
from vlpbench.record import MEND, Record, latest_attempts, make_record, read_record, record_text, sealed
from vlpbench.specs import RunSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Record", "RecordStore", "latest_attempts", "make_record"]


class RecordStore:
    """Records and predictions under one results folder."""

    def __init__(self, root: Path) -> None:
        """Open the results folder `root`; nothing is created before the first record."""
        self.root = root

    def has(self, spec: RunSpec, key: str) -> bool:
        """Whether the cell has a record file, readable or not."""
        return bool(self._attempts(spec, key))

    def find(self, spec: RunSpec, key: str) -> Record | None:
        """The last attempt at a cell, None when there is none.

        Raises:
            VlpbenchError: if that file is damaged.
        """
        attempts = self._attempts(spec, key)
        return self._read(attempts[max(attempts)]) if attempts else None

    def add(self, record: Record, predictions: pd.DataFrame | None = None) -> Record:
        """Write predictions, then the record, and return the record as stored.

        A cell that has records already gets a further attempt beside them, so nothing computed is ever lost.

        Args:
            record: from `make_record`.
            predictions: one row per test image or box, kept as Parquet.

        Raises:
            VlpbenchError: if the folder cannot be written.
        """
        attempt = 0
        while True:
            attempt = max([attempt, *self._attempts(record.spec, record.key)]) + 1
            stored = replace(record, attempt=attempt)
            if predictions is not None:
                path = self._add_predictions(stored, predictions)
                name = path.relative_to(self.root).as_posix()
                stored = replace(stored, predictions=name, predictions_sha256=file_sha256(path))
            stored = sealed(stored)
            target = self._folder("records", record.spec) / f"{_stem(record.key, attempt)}.json"
            try:
                write_new_text(target, record_text(stored))
            except VlpbenchError:
                if target.exists():  # another process took this attempt's number since it was looked up
                    continue
                raise
            return stored

    def load_all(self, suite: str | None = None) -> tuple[list[Record], list[str]]:
        """Every record, with a line on each file that cannot be trusted.

        Args:
            suite: name of a suite, None for all.

        Returns:
            Records of all attempts by path, and problems, each naming file, expectation and next step.
        """
        records: list[Record] = []
        problems: list[str] = []
        folder = self.root / "records"
        for path in sorted((folder if suite is None else folder / component(suite)).rglob("*.json")):
            try:
                records.append(self._read(path))
            except VlpbenchError as problem:
                problems.append(str(problem))
        return records, problems

    def read_predictions(self, record: Record) -> pd.DataFrame:
        """Predictions of a stored record.

        Raises:
            VlpbenchError: if it has none, or the file is missing or not the one the record names.
        """
        import pandas as pd

        if not record.predictions:
            raise VlpbenchError(
                f"The record {record.key} keeps no predictions. Run the cell again with --force to get them."
            )
        path = self.root / record.predictions
        if not path.is_file() or file_sha256(path) != record.predictions_sha256:
            raise VlpbenchError(
                f"{path}: expected the predictions that the record {record.key} names by sha256. {MEND}"
            )
        return pd.read_parquet(path)

    def _folder(self, kind: str, spec: RunSpec) -> Path:
        return self.root / kind / component(spec.suite) / component(spec.task) / component(spec.dataset)

    def _attempts(self, spec: RunSpec, key: str) -> dict[int, Path]:
        """Record files of a key by attempt."""
        found = {}
        for path in self._folder("records", spec).glob(f"{key}*.json"):
            if match := re.fullmatch(re.escape(key) + r"(?:\.(\d+))?\.json", path.name):
                found[int(match[1] or 1)] = path
        return found

    def _read(self, path: Path) -> Record:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise VlpbenchError(f"{path}: expected a readable text file; {error}. {MEND}") from error
        record = read_record(text, str(path))
        expected = self._folder("records", record.spec) / f"{_stem(record.key, record.attempt)}.json"
        if path != expected:
            raise VlpbenchError(
                f"{path}: this record belongs at {expected}. Move it there, or out of the results folder."
            )
        return record

    def _add_predictions(self, record: Record, predictions: pd.DataFrame) -> Path:
        """Write predictions under a name nobody has; a leftover of a run that broke off is left as it is."""
        folder = self._folder("predictions", record.spec)
        stem = _stem(record.key, record.attempt)
        target = folder / f"{stem}.parquet"
        staging = folder / f".{stem}.{uuid.uuid4().hex}.parquet"
        with atomic_path(staging) as temporary:
            predictions.to_parquet(temporary, index=False)
        try:
            digest = file_sha256(staging)
            if target.exists() and file_sha256(target) != digest:
                target = folder / f"{stem}-{digest[:12]}.parquet"
            if not target.exists():
                os.link(staging, target)
        except FileExistsError:
            return self._add_predictions(record, predictions)
        except OSError as error:
            raise cannot_write(target, error) from error
        finally:
            staging.unlink(missing_ok=True)
        return target


def _stem(key: str, attempt: int) -> str:
    return key if attempt == 1 else f"{key}.{attempt}"


def component(name: str) -> str:
    """A name that is to be one folder of a path."""
    if not re.fullmatch(r"[^\W_][\w.+\- ]*", name):
        raise VlpbenchError(
            f"{name!r} cannot name a folder of results. Expected letters, digits, '_', '-', '+', '.' and spaces, "
            "starting with a letter or digit; rename it in the suite."
        )
    return name
