"""`vlpbench show`: the card of a record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from statistics import fmean, stdev
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from vlpbench.commands import record_card
from vlpbench.commands.record_card import Line, Section, percent
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record, latest_attempts
from vlpbench.registry import REGISTRY
from vlpbench.reproduction import reproduce_command, run_command
from vlpbench.store import RecordStore, UnknownKeyError
from vlpbench.table.titles import Titles, registered_titles

NARROWEST = 24
BESIDE = 8


def show(key: str, *, results: Path, full: bool = False, plugins: tuple[Path, ...] = ()) -> None:
    """Print what is known of a record.

    Args:
        key: of the record, or its beginning; with `.2` behind it, its second attempt.
        results: folder of records.
        full: with the source of every setting, and every term of every epoch.
        plugins: files with methods or tasks of the user.

    Raises:
        UnknownKeyError: if there is no such record, or more than one.
        VlpbenchError: if its file is damaged.
    """
    for path in plugins:
        REGISTRY.add_file(path)
    store, console, titles = RecordStore(results), Console(), registered_titles()
    record, attempts, problems = find_attempt(store, key)
    beside, _ = store.load_all(record.spec.suite, record.spec.task, record.spec.dataset)
    print_plainly(console, record_card.heading(record, titles), style="bold")
    if note := (record.provenance.get("suite") or {}).get("note"):
        print_plainly(console, str(note), style="italic")
    for section in (
        record_card.what_was_evaluated(record, titles),
        headline(record, latest_attempts(beside), titles),
        record_card.metrics(record, titles),
        record_card.training(record, full=full),
        record_card.backbone(record, full=full),
        record_card.origin(record),
        record_card.files(record, store, predictions_problem(store, record)),
        others(record, attempts, latest_attempts(beside), problems),
    ):
        print_section(console, section)
    print_plainly(console, "\nMake it again", style="bold")
    elsewhere = "" if results == Path("results") else f" --results {quote(str(results))}"
    for command in (f"{reproduce_command(record)}{elsewhere}", run_command(record)):
        print_command(console, command)


def find_attempt(store: RecordStore, key: str) -> tuple[Record, list[Record], list[str]]:
    """The attempt that a key names, the last where it names none; all attempts; problems of their files.

    Raises:
        UnknownKeyError: if there is no such record or attempt, or more than one key begins so.
        VlpbenchError: if its file is damaged.
    """
    beginning, _, number = Path(key).name.removesuffix(".json").partition(".")
    attempts, problems = store.find_key(beginning.lower())
    if not number:
        return attempts[-1], attempts, problems
    for record in attempts:
        if number == str(record.attempt):
            return record, attempts, problems
    listed = ", ".join(str(record.attempt) for record in attempts)
    raise UnknownKeyError(
        "\n".join([f"{attempts[0].key} has no attempt {number} to read; it has: {listed}.", *problems])
    )


def headline(record: Record, beside: Sequence[Record], titles: Titles) -> Section:
    """The metric that tables print, beside floors and the cell's other seeds."""
    value = record.metrics[record.headline]
    lines = [(record.headline, percent(value))]
    floors = {name: values.get(record.headline) for name, values in record.floors.items()}
    lines += [(f"floor {name}", percent(floor)) for name, floor in floors.items()]
    for method, untrained in _untrained(record, beside, titles).items():
        lines.append((f"floor {method}", _mean(untrained)))
        values = [found for one in untrained if (found := one.metrics[record.headline]) is not None]
        floors[method] = fmean(values) if values else None
    beaten = [name for name, floor in floors.items() if floor is not None and value is not None and value <= floor]
    if beaten:
        lines.append(("", f"it does not beat its floor: {', '.join(beaten)}"))
    seeds = sorted((one for one in beside if _same_cell(one, record)), key=_seeds)
    if len(seeds) > 1:
        lines.append(("all seeds", _mean(seeds)))
    lines += [(_seed_title(one), f"{percent(one.metrics[one.headline])}  {one.key}") for one in seeds if one != record]
    return Section("Headline", lines)


def others(record: Record, attempts: Sequence[Record], beside: Sequence[Record], problems: Sequence[str]) -> Section:
    """Further attempts at the key, records of the same cell that stand on something else, and damaged files."""
    lines: list[Line] = []
    for one in attempts if len(attempts) > 1 else ():
        this = ", this one" if one.attempt == record.attempt else ""
        scored = ", scored again from predictions" if one.provenance.get("rescored") else ""
        value = percent(one.metrics.get(record.headline))
        lines.append((f"attempt {one.attempt}{this}", f"{value}, begun {one.started_at}{scored}"))
    mine = asdict(record.foundations)
    lately = [one for one in beside if one.spec == record.spec and one.key != record.key]
    for one in lately[:BESIDE]:
        theirs = asdict(one.foundations)
        what = ", ".join(name for name, value in mine.items() if theirs[name] != value)
        if one.headline != record.headline:  # data are fingerprinted with the metric that is asked of them
            what = f"headline, {one.headline}"
        lines.append((one.key, f"{percent(one.metrics.get(one.headline))}, the same cell with another {what}"))
    lines += [("damaged", problem) for problem in problems]
    return Section("Further records of it", lines)


def predictions_problem(store: RecordStore, record: Record) -> str:
    """What is wrong with the predictions of a record, "" where they are those it names."""
    try:
        if record.predictions:
            store.check_predictions(record)
    except VlpbenchError as problem:
        return str(problem)
    return ""


def print_section(console: Console, section: Section) -> None:
    """A heading and its lines in two columns; nothing where there are none."""
    if not section.lines:
        return
    print_plainly(console, f"\n{section.title}", style="bold")
    column = max(len(label) for label, _ in section.lines) + 2
    room = max(console.width - column, NARROWEST)
    for label, text in section.lines:
        shown = Text(label.ljust(column), style="cyan")
        for paragraph in text.splitlines() or [""]:
            for line in wrap(paragraph, room, break_long_words=False, break_on_hyphens=False):
                console.print(shown + Text(line, style="default"), soft_wrap=True, highlight=False)
                shown = Text(" " * column)


def print_command(console: Console, command: str) -> None:
    """A command that can be copied: lines are broken before options, with the shell's sign for it."""
    lines = [""]
    for part in _before_options(command.split(" ")):
        if lines[-1] and len(lines[-1]) + len(part) > console.width - 5:
            lines[-1] += " \\"
            lines.append("     ")
        lines[-1] += f" {part}"
    for line in lines:
        console.print(f" {line}", markup=False, highlight=False, soft_wrap=True)


def print_plainly(console: Console, text: str, *, style: str = "") -> None:
    """A line in which nothing is markup."""
    console.print(text, markup=False, highlight=False, style=style or None)


def _before_options(words: Iterable[str]) -> list[str]:
    parts: list[str] = []
    for one in words:
        if parts and not one.startswith("--"):
            parts[-1] += f" {one}"
        else:
            parts.append(one)
    return parts


def _untrained(record: Record, beside: Sequence[Record], titles: Titles) -> dict[str, list[Record]]:
    """Records of other methods that train nothing, comparable to the given one, by method."""
    found: dict[str, list[Record]] = {}
    for one in beside:
        method = one.spec.method
        if method != record.spec.method and not titles.method_card(method).trains and _comparable(one, record):
            found.setdefault(method, []).append(one)
    return found


def _comparable(one: Record, other: Record) -> bool:
    """Whether two records are of one column: all but the weights and the seeds are the same."""
    free = {"method": "", "seed": 0, "pretrain_seed": 0}
    on = {"weights_sha256": ""}
    return (
        asdict(one.spec) | free == asdict(other.spec) | free
        and asdict(one.foundations) | on == asdict(other.foundations) | on
        and one.headline == other.headline
    )


def _same_cell(one: Record, other: Record) -> bool:
    return one.spec.method == other.spec.method and one.recipe == other.recipe and _comparable(one, other)


def _mean(records: Sequence[Record]) -> str:
    """Mean and sample standard deviation over seeds."""
    values = [value for record in records if (value := record.metrics[record.headline]) is not None]
    if not values:
        return percent(None)
    spread = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    runs = f"mean{' ± sd' if spread else ''} of {len(values)} run(s)"
    return f"{percent(fmean(values)).removesuffix(' %')}{spread} %, {runs}"


def _seeds(record: Record) -> tuple[int, int]:
    return record.spec.pretrain_seed, record.spec.seed


def _seed_title(record: Record) -> str:
    pretrain = f"pre-training seed {record.spec.pretrain_seed}, " if record.spec.pretrain_seed else ""
    return f"{pretrain}seed {record.spec.seed}"
