"""Records: one evaluated cell each, sealed by a checksum."""

from __future__ import annotations

import hashlib
import json
import numbers
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vlpbench import __version__
from vlpbench.canonical import content_hash, finite_or_none
from vlpbench.errors import VlpbenchError
from vlpbench.schema import PROBLEMS, kind_of
from vlpbench.schema import ROUNDING as ROUNDING
from vlpbench.specs import Foundations, RunSpec, run_key

if TYPE_CHECKING:
    from vlpbench.task import TaskResult

SCHEMA = 1
MEND = "Restore it from a copy, or move it out of the results folder and run the same command again."


@dataclass(frozen=True)
class Record:
    """What is known of one evaluated cell. `make_record` makes one; the store fills in `predictions` and what follows.

    Attributes:
        key: `run_key` of `spec` and `foundations`.
        spec: what was evaluated.
        foundations: what the number stands on.
        metrics: every metric of the task, fractions in [0, 1]; None where undefined.
        headline: the metric printed in tables.
        floors: the same metrics for trivial predictors, by the predictor's name.
        counts: numbers of images, positives, boxes … behind the metrics.
        selection: the rule that chose the model, with what it chose.
        provenance: see `vlpbench.provenance.collect_provenance`.
        predictions: path of the predictions, relative to the results folder; "" for none.
        predictions_sha256: hash of that file.
        attempt: 1, or more for a cell that was run again by force.
        schema: version of the file format.
        checksum: hash of everything else.
    """

    key: str
    spec: RunSpec
    foundations: Foundations
    metrics: Mapping[str, float | None]
    headline: str
    floors: Mapping[str, Mapping[str, float | None]]
    counts: Mapping[str, int]
    selection: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    predictions: str = ""
    predictions_sha256: str = ""
    attempt: int = 1
    schema: int = SCHEMA
    checksum: str = ""

    @property
    def started_at(self) -> str:
        """When the run began, ISO 8601 in UTC; "" when unknown."""
        return str(self.provenance.get("started_at", ""))

    @property
    def recipe(self) -> str:
        """Hash of how the weights were made but for the seed; "" when unknown."""
        return str(self.provenance.get("backbone", {}).get("recipe_hash", ""))


def make_record(
    spec: RunSpec,
    foundations: Foundations,
    result: TaskResult,
    counts: Mapping[str, int],
    provenance: Mapping[str, Any],
) -> Record:
    """Make the record of a task's result: NumPy numbers become plain ones, NaN becomes None.

    Args:
        spec: what was evaluated.
        foundations: what the number stands on.
        result: what the task found.
        counts: the task's counts and "train images", "val images" and "test images".
        provenance: from `collect_provenance`.

    Raises:
        VlpbenchError: if the headline is not among the metrics, or a metric lies outside [0, 1].
    """
    if result.headline not in result.metrics:
        known = ", ".join(result.metrics)
        raise VlpbenchError(f"The headline {result.headline!r} of {spec.task} is not among its metrics: {known}.")
    for name, value in result.metrics.items():
        if value < -ROUNDING or value > 1 + ROUNDING:
            raise VlpbenchError(
                f"{spec.task} on {spec.dataset} gave {name} = {value}; metrics are fractions in [0, 1]."
            )
    return Record(
        key=run_key(spec, foundations),
        spec=spec,
        foundations=foundations,
        metrics=_finite(result.metrics),
        headline=result.headline,
        floors={floor: _finite(values) for floor, values in result.floors.items()},
        counts={name: int(value) for name, value in counts.items()},
        selection={name: _plain(value) for name, value in result.selection.items()},
        provenance=dict(provenance),
    )


def sealed(record: Record) -> Record:
    """The record with its checksum."""
    return replace(record, checksum=_checksum(asdict(record)))


def record_text(record: Record) -> str:
    """The record as it stands in its file."""
    return json.dumps(asdict(record), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_record(text: str, where: str) -> Record:
    """Read a record from the text of its file.

    Args:
        text: JSON.
        where: name of the file, for messages.

    Raises:
        VlpbenchError: if it is no JSON, of an unknown schema, was changed after it was written, or does not hold what
            a record of its schema holds.
    """
    raw = _parsed(text, where)
    schema = raw.get("schema")
    if type(schema) is not int or schema not in READERS:
        known = ", ".join(map(str, READERS))
        newer = type(schema) is int and schema > max(READERS)
        raise VlpbenchError(
            f"{where}: expected a record of schema {known}, found schema {schema!r}. "
            + (
                f"vlpbench {_writer(raw)} wrote it, this is {__version__}: upgrade vlpbench to read it."
                if newer
                else MEND
            )
        )
    problems = list(PROBLEMS[schema](raw))
    if not _seal_holds(text, raw):
        detail = f" ({'; '.join(problems)})" if problems else ""
        raise VlpbenchError(
            f"{where}: its content does not fit its checksum, so it was changed after it was written{detail}. {MEND}"
        )
    if problems:
        raise VlpbenchError(f"{where}: expected the fields of schema {schema}; {'; '.join(problems)}. {MEND}")
    return READERS[schema](raw)


def latest_attempts(records: Iterable[Record]) -> list[Record]:
    """The last attempt of each key, in the order given."""
    latest: dict[str, Record] = {}
    for record in records:
        known = latest.get(record.key)
        if known is None or record.attempt > known.attempt:
            latest[record.key] = record
    return list(latest.values())


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: finite_or_none(float(value)) for name, value in values.items()}


def _plain(value: object) -> str | int | float | bool | None:
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return finite_or_none(float(value))  # type: ignore[arg-type]


def _checksum(fields: Mapping[str, Any]) -> str:
    """Hash of everything but the checksum; "" for content no record can hold (NaN)."""
    try:
        return content_hash({name: value for name, value in fields.items() if name != "checksum"})
    except ValueError:
        return ""


def _parsed(text: str, where: str) -> dict[str, Any]:
    """The JSON object of a file."""
    if not text.strip():
        raise VlpbenchError(f"{where}: expected a record in JSON, found an empty file. {MEND}")
    try:
        raw = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        cut = isinstance(error, json.JSONDecodeError) and error.pos >= len(text.rstrip())
        found = "a file that breaks off" if cut else "text that is none"
        raise VlpbenchError(f"{where}: expected a record in JSON, found {found} ({error}). {MEND}") from error
    if not isinstance(raw, dict):
        raise VlpbenchError(f"{where}: expected a record in JSON, found {kind_of(raw)}. {MEND}")
    return raw


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which no record does: what is undefined is null")


def _writer(raw: Mapping[str, Any]) -> str:
    """Version of vlpbench that wrote a record of a schema unknown here."""
    provenance = raw.get("provenance")
    found = provenance.get("vlpbench") if isinstance(provenance, dict) else None
    return found if isinstance(found, str) else "of a newer version"


def _seal_holds(text: str, raw: Mapping[str, Any]) -> bool:
    """Whether a record is as it was sealed.

    A file that was not touched is its canonical JSON but for white space. Without that, and without the line of the
    checksum, it has the hash at once, in half the time; where a quotation mark is escaped, white space may be text.
    """
    if '\\"' not in text:
        begin, line, value_and_rest = text.partition('\n "checksum": ')
        rest = "".join(value_and_rest.partition("\n")[1:])
        squeezed = re.sub(r"\n *", "", begin + rest).replace('": ', '":')
        if line and hashlib.sha256(squeezed.encode(errors="replace")).hexdigest() == raw.get("checksum"):
            return True
    return _checksum(raw) == raw.get("checksum")


def _read_schema_1(raw: Mapping[str, Any]) -> Record:
    return Record(**{**raw, "spec": RunSpec(**raw["spec"]), "foundations": Foundations(**raw["foundations"])})


READERS: dict[int, Callable[[Mapping[str, Any]], Record]] = {1: _read_schema_1}
