"""The file of summaries, JSON lines that only grow, and its header beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vlpbench.canonical import cannot_write, canonical_json, content_hash, write_text
from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.summaries.studies import text_hash

FORMAT_VERSION = 1
FIELDS = {"study": str, "report": str, "summary": str, "output": str, "cut": bool}


@dataclass(frozen=True)
class Line:
    """The summary of one study.

    Attributes:
        study: study id.
        report: hash of the report it was made from.
        summary: one line, "" where the model said nothing.
        cut: whether it ended for want of room.
    """

    study: str
    report: str
    summary: str
    cut: bool = False

    def written(self) -> str:
        """As it stands in the file, with a hash of the summary."""
        fields = {"study": self.study, "report": self.report, "summary": self.summary, "cut": self.cut}
        return canonical_json({**fields, "output": text_hash(self.summary)}) + "\n"


class SummaryStore:
    """One file of summaries, `.jsonl`, and its header, `.json`."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is read or written yet."""
        self.path = path

    @classmethod
    def of(cls, work: Path, *, label: str, identity: Mapping[str, object]) -> SummaryStore:
        """The file whose name says what its summaries depend on.

        Args:
            work: folder under which `summaries/` lies.
            label: what the corpus is called.
            identity: reports, prompt, model and settings, in plain data.
        """
        name = content_hash({"format": FORMAT_VERSION, **identity}, 16)
        return cls(work / "summaries" / f"{label}-{name}.jsonl")

    @property
    def header_path(self) -> Path:
        """Where prompt, model, settings, counts and time stand."""
        return self.path.with_suffix(".json")

    def header(self) -> dict[str, Any]:
        """Contents of the header.

        Raises:
            VlpbenchError: if it is missing, unreadable or of another format.
        """
        remedy = f"`vlpbench data summarize` writes it beside {self.path.name}; copy both, or run that command again."
        try:
            header = json.loads(self.header_path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise VlpbenchError(f"No header at {self.header_path}. {remedy}") from error
        except (OSError, ValueError) as error:
            raise VlpbenchError(f"The header {self.header_path} cannot be read: {error}. {remedy}") from error
        if not isinstance(header, dict) or header.get("format") != FORMAT_VERSION:
            raise VlpbenchError(f"The header {self.header_path} is not of format {FORMAT_VERSION}. {remedy}")
        return header

    def write_header(self, header: Mapping[str, object]) -> None:
        """Put a header in place of the old one, in one step."""
        text = json.dumps({"format": FORMAT_VERSION, **header}, indent=2, ensure_ascii=False, allow_nan=False)
        write_text(self.header_path, text + "\n")

    def lines(self) -> list[Line]:
        """Every whole line; what follows the last line break was torn off by a stop and does not count.

        Raises:
            BadInputError: listing every line that is not a summary, or whose summary was changed.
            VlpbenchError: if the file cannot be read.
        """
        lines, problems, seen = [], [], set()
        for number, raw in enumerate(self._whole().split(b"\n")[:-1], start=1):
            found = _parse(raw)
            if isinstance(found, str):
                problems.append(f"{self.path.name} line {number}: {found}")
            elif found.study in seen:
                problems.append(f"{self.path.name} line {number}: study {found.study!r} stands in an earlier line too")
            else:
                seen.add(found.study)
                lines.append(found)
        if problems:
            raise BadInputError(
                f"{self.path} has {len(problems)} bad line(s):",
                problems,
                next_step="Delete these lines and run `vlpbench data summarize` again: it writes what is missing.",
            )
        return lines

    def append(self, lines: Sequence[Line]) -> None:
        """Add lines and see them to the disk; a torn line at the end goes first.

        Raises:
            VlpbenchError: if the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                if _is_torn(file):
                    file.truncate(len(self._whole()))
                file.write("".join(line.written() for line in lines).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from writing the same file meanwhile.

        Raises:
            VlpbenchError: if one is at it, or the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.stem}.lock"))
            lock.acquire(timeout=0)
        except Timeout as error:
            raise VlpbenchError(
                f"Another process is writing {self.path}. Wait for it, or stop it; then run the same command again."
            ) from error
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            yield
        finally:
            lock.release()

    def _whole(self) -> bytes:
        """The file up to its last line break; nothing where there is none."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise VlpbenchError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        return data[: data.rfind(b"\n") + 1]


def _is_torn(file: BinaryIO) -> bool:
    """Whether the last byte is no line break."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _parse(raw: bytes) -> Line | str:
    """A line, or what is wrong with it."""
    try:
        fields = json.loads(raw.decode("utf-8"))
    except ValueError:
        return "not JSON in UTF-8"
    if not isinstance(fields, dict) or set(fields) != set(FIELDS):
        return f"expected an object with {', '.join(FIELDS)}"
    wrong = [name for name, kind in FIELDS.items() if not isinstance(fields[name], kind)]
    if wrong:
        return f"{wrong[0]} is not {'true or false' if FIELDS[wrong[0]] is bool else 'a text'}"
    if fields.pop("output") != text_hash(fields["summary"]):
        return "the summary is not the one that was written: its hash differs"
    return Line(**fields)
