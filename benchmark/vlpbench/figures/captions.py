"""Captions: what must be known of a block of records before any of its numbers is believed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vlpbench.record import Record
from vlpbench.table.blocks import Block
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from vlpbench.figures.bands import Found


def block_name(kind: str, block: Block, *parts: str) -> str:
    """Stem of the files of a figure: its kind, what it shows, and what sets its block apart from others."""
    limit = [] if block.limit is None else [f"limit{block.limit}"]
    return file_stem(kind, *parts, block.suite, block.protocol, f"{block.image_size}px", *limit)


def file_stem(*parts: str) -> str:
    """Words joined into a name that every file system takes."""
    return "-".join("".join(sign if sign.isalnum() or sign in "_." else "_" for sign in part) for part in parts)


def describe_block(block: Block, titles: Titles) -> str:
    """Suite, protocol, size and limit, and that data are synthetic where they are."""
    limit = "" if block.limit is None else f", at most {block.limit} images per split"
    told = block.newest.provenance.get("protocol", {})
    protocol = f"protocol {block.protocol}" + (f" version {told['version']}" if "version" in told else "")
    size = f"{block.image_size} pixels a side"
    return f"{describe_suite(block.newest, titles)} Judged by {protocol}; images of {size}{limit}."


def head_of(block: Block, titles: Titles) -> str:
    """Suite, protocol, size and limit in one line for the picture itself."""
    limit = "" if block.limit is None else f", at most {block.limit} images per split"
    return f"{head_of_suite(block.newest, titles)}, protocol {block.protocol}, {block.image_size} px{limit}"


def head_of_suite(record: Record, titles: Titles) -> str:
    """The suite, and that it is synthetic where it is."""
    return f"Suite {record.spec.suite}{', synthetic data' if _suite(record, titles)[2] else ''}"


def describe_suite(record: Record, titles: Titles) -> str:
    """Name and title of the suite, and the sentence that belongs beside every number of it."""
    title, note, synthetic = _suite(record, titles)
    if synthetic and "synthetic" not in note.lower():
        note = f"Synthetic data. {note}".strip()
    name = f"Suite {record.spec.suite}{f': {title}' if title else ''}."
    return " ".join(part for part in (note, name) if part)


def describe_seeds(records: Iterable[Record]) -> str:
    """How many runs stand behind a cell, and their seeds."""
    cells: dict[tuple[object, ...], int] = {}
    pretraining, evaluation = set(), set()
    for record in records:
        spec = record.spec
        cell = (spec.method, spec.arch, record.recipe, spec.task, spec.dataset, record.headline, spec.fraction)
        cells[cell] = cells.get(cell, 0) + 1
        pretraining.add(spec.pretrain_seed)
        evaluation.add(spec.seed)
    counts = sorted(set(cells.values()))
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"n = {many} {'run' if counts == [1] else 'runs'} a cell (pre-training seeds {_listed(pretraining)}; "
        f"evaluation seeds {_listed(evaluation)})."
    )


def describe_bands(found: Found, *, mark: str) -> str:
    """What the interval is and how it is drawn; or why there is none.

    Args:
        found: intervals of the cells that are shown with one.
        mark: what shows it, such as "Band".
    """
    missing = f" {len(found.reasons)} cell(s) lack it: {first_sentence(found.reasons[0])}" if found.reasons else ""
    if not found.intervals:
        return f"No intervals: {first_sentence(found.reasons[0])}" if found.reasons else "Drawn without intervals."
    level = found.intervals[0].level
    samples = max(one.samples + one.undefined for one in found.intervals)
    unknown = ", ".join(found.without_patients)
    patients = f" Which images of {unknown} are of one patient is not known; each counts as one." if unknown else ""
    return (
        f"{mark}: {100 * level:g} % interval of the mean over the seeds, from {samples} bootstrap samples of the test "
        "patients. It is about other patients and these trained weights; what another seed changes is seen from the "
        f"dots.{patients}{missing}"
    )


def percent(value: float, decimals: int = 1) -> str:
    """A fraction in per cent, without the sign."""
    return f"{100 * value:.{decimals}f}"


def share(fraction: float) -> str:
    """A label fraction in words of a figure, such as "10 %"."""
    return f"{round(100 * fraction, 6):g} %"


def label_words(name: str) -> str:
    """A label as printed: words, the first with a capital."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def first_sentence(text: str) -> str:
    """The first line of a message, ending in one full stop."""
    return text.strip().splitlines()[0].rstrip(".") + "."


def _listed(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in sorted(values))


def _suite(record: Record, titles: Titles) -> tuple[str, str, bool]:
    """Title, note and whether it is synthetic, as the record tells, or else the shipped suite."""
    told: dict[str, Any] = record.provenance.get("suite") or {}
    suite = titles.suite(record.spec.suite)
    return (
        str(told.get("title", suite.title if suite else "")),
        str(told.get("note", suite.note if suite else "")),
        bool(told.get("synthetic", suite.synthetic if suite else False)),
    )
