"""The result store: one JSON file per evaluated cell and its predictions, never overwritten."""

from __future__ import annotations

import difflib
import os
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlpbench.canonical import atomic_path, cannot_write, file_sha256, write_new_text
from vlpbench.errors import NothingToShowError, VlpbenchError
from vlpbench.record import MEND, Record, latest_attempts, make_record, read_record, record_text, sealed
from vlpbench.specs import RunSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Record", "RecordStore", "UnknownKeyError", "latest_attempts", "make_record"]

SHORTEST = 4
LISTED = 12


class UnknownKeyError(NothingToShowError):
    """A key that no record has, or more than one begins with."""


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
            target = self.record_path(stored)
            try:
                write_new_text(target, record_text(stored))
            except VlpbenchError:
                if target.exists():  # another process took this attempt's number since it was looked up
                    continue
                raise
            return stored

    def load_all(self, suite: str | None = None, *below: str) -> tuple[list[Record], list[str]]:
        """Every record, with a line on each file that cannot be trusted.

        Args:
            suite: name of a suite, None for all.
            below: of that suite, only a task, or a task and a dataset.

        Returns:
            Records of all attempts by path, and problems, each naming file, expectation and next step.
        """
        names = () if suite is None else (suite, *below)
        folder = self.root.joinpath("records", *map(component, names))
        return self._read_all(sorted(folder.rglob("*.json")))

    def find_key(self, beginning: str) -> tuple[list[Record], list[str]]:
        """Every attempt of the one key that begins so.

        Args:
            beginning: the key, or as many of its first characters as no other key has; four at least.

        Returns:
            Its records, first attempt first, and problems as `load_all` words them.

        Raises:
            UnknownKeyError: if no key begins so, or several do; the message lists those, or the nearest.
            VlpbenchError: if every file of that key is damaged.
        """
        files = self._files_by_key()
        if beginning in files:
            return self._read_attempts(files[beginning])
        if len(beginning) < SHORTEST:
            raise UnknownKeyError(
                f"{beginning!r} is too short for the beginning of a key; give {SHORTEST} or more characters."
            )
        found = [key for key in files if key.startswith(beginning)]
        if len(found) == 1:
            return self._read_attempts(files[found[0]])
        if found:
            raise UnknownKeyError(
                f"{len(found)} keys begin with {beginning!r}:\n{self._listed(found, files)}\nGive more of it."
            )
        if not files:
            raise UnknownKeyError(
                f"There is no record in {self.root / 'records'}. vlpbench run makes some; --results names another "
                "folder."
            )
        near = _nearest(beginning, sorted(files))
        raise UnknownKeyError(
            f"No record in {self.root / 'records'} has a key that begins with {beginning!r}. "
            + (f"Nearest:\n{self._listed(near, files)}\n" if near else "")
            + "Tables as .csv and the report name the key of every cell."
        )

    def read_predictions(self, record: Record) -> pd.DataFrame:
        """Predictions of a stored record.

        Raises:
            VlpbenchError: if it has none, or the file is missing or not the one the record names.
        """
        import pandas as pd

        self.check_predictions(record)
        return pd.read_parquet(self.predictions_path(record))

    def check_predictions(self, record: Record) -> None:
        """See that the predictions of a stored record are there, and those it names by sha256.

        Raises:
            VlpbenchError: saying what is wrong.
        """
        again = "run the cell again with --force"
        if not record.predictions:
            raise VlpbenchError(f"The record {record.key} keeps no predictions; {again} to get them.")
        path = self.predictions_path(record)
        if not path.is_file():
            raise VlpbenchError(
                f"{path}: missing; expected the predictions of the record {record.key}. Restore the file from a copy, "
                f"or {again}."
            )
        if file_sha256(path) != record.predictions_sha256:
            raise VlpbenchError(
                f"{path}: expected the predictions that the record {record.key} names by sha256, found another file. "
                f"Restore it from a copy, or {again}."
            )

    def record_path(self, record: Record) -> Path:
        """Where the file of a stored record is."""
        return self._folder("records", record.spec) / f"{_stem(record.key, record.attempt)}.json"

    def predictions_path(self, record: Record) -> Path:
        """Where the predictions of a stored record are, if it has any."""
        return self.root / record.predictions

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
        spec = record.spec
        if path.parts[-4:] == (spec.suite, spec.task, spec.dataset, f"{_stem(record.key, record.attempt)}.json"):
            return record
        expected = self.record_path(record)
        if expected.is_file():
            raise VlpbenchError(
                f"{path}: this is a copy; the record belongs at {expected}, where there is one. Move the copy out of "
                "the results folder."
            )
        raise VlpbenchError(f"{path}: this record belongs at {expected}. Move it there, or out of the results folder.")

    def _files_by_key(self) -> dict[str, list[Path]]:
        """Record files, readable or not, by the key in their name; attempts of a key in their order."""
        numbered: dict[str, list[tuple[int, Path]]] = {}
        for path in sorted((self.root / "records").rglob("*.json")):
            if match := re.fullmatch(r"([0-9a-f]{8,})(?:\.(\d+))?\.json", path.name):
                numbered.setdefault(match[1], []).append((int(match[2] or 1), path))
        return {key: [path for _, path in sorted(files)] for key, files in numbered.items()}

    def _read_attempts(self, paths: list[Path]) -> tuple[list[Record], list[str]]:
        records, problems = self._read_all(paths)
        if not records:
            raise VlpbenchError("\n".join(problems))
        return records, problems

    def _read_all(self, paths: Iterable[Path]) -> tuple[list[Record], list[str]]:
        records: list[Record] = []
        problems: list[str] = []
        for path in paths:
            try:
                records.append(self._read(path))
            except VlpbenchError as problem:
                problems.append(str(problem))
        return records, problems

    def _listed(self, keys: list[str], files: Mapping[str, list[Path]]) -> str:
        """A line per key with what it is of."""
        lines = []
        for key in keys[:LISTED]:
            records, _ = self._read_all(files[key][-1:])
            lines.append(f"  {key}  {describe(records[0].spec) if records else 'damaged'}")
        more = len(keys) - LISTED
        return "\n".join([*lines, *([f"  … and {more} more"] if more > 0 else [])])

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


def describe(spec: RunSpec) -> str:
    """A cell in a few words, for lists."""
    seeds = f"seed {spec.seed}" + (f", pre-training seed {spec.pretrain_seed}" if spec.pretrain_seed else "")
    share = f" {100 * spec.fraction:g}%" if spec.fraction else ""
    return f"{spec.method} {spec.suite} {spec.dataset} {spec.task}{share} {seeds}"


def _nearest(beginning: str, keys: list[str]) -> list[str]:
    """Up to three keys: those that share the longest beginning, else those that look most alike."""
    for length in range(len(beginning) - 1, 1, -1):
        if found := [key for key in keys if key.startswith(beginning[:length])]:
            return found[:3]
    return difflib.get_close_matches(beginning, keys, n=3)


def component(name: str) -> str:
    """A name that is to be one folder of a path."""
    if not re.fullmatch(r"[^\W_][\w.+\- ]*", name):
        raise VlpbenchError(
            f"{name!r} cannot name a folder of results. Expected letters, digits, '_', '-', '+', '.' and spaces, "
            "starting with a letter or digit; rename it in the suite."
        )
    return name
