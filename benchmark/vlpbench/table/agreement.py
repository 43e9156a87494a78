"""Agreement: what records must share before their numbers may stand in one column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vlpbench.errors import VlpbenchError
from vlpbench.record import Record

FIELDS: Mapping[str, Callable[[Record], object]] = {
    "suite": lambda record: record.spec.suite,
    "protocol": lambda record: record.spec.protocol,
    "settings": lambda record: record.foundations.settings_hash,
    "task": lambda record: record.spec.task,
    "task version": lambda record: record.foundations.task_version,
    "dataset": lambda record: record.spec.dataset,
    "data": lambda record: record.foundations.data_fingerprint,
    "split hash": lambda record: record.foundations.split_hash,
    "metric": lambda record: record.headline,
    "input size": lambda record: record.spec.image_size,
    "limit": lambda record: record.spec.limit,
}


def check_agreement(records: Sequence[Record], column: str) -> None:
    """Refuse records that were not judged alike, so that no column can mix them, however it was made.

    Args:
        records: of one column.
        column: its name, for the message.

    Raises:
        VlpbenchError: naming two records, the field in which they disagree, and both values.
    """
    for record in records[1:]:
        for field, value_of in FIELDS.items():
            here, there = value_of(records[0]), value_of(record)
            if here != there:
                raise VlpbenchError(
                    f"The records {records[0].key} ({records[0].spec.method}) and {record.key} ({record.spec.method}) "
                    f"cannot share the column {column}: they differ in {field}, {here!r} and {there!r}. Sort them into "
                    "tables of their own first, as build_blocks does."
                )
