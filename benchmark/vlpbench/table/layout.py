"""Table layouts: which task a table is about, and in what order and words it prints rows and metrics."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from vlpbench.errors import UnknownNameError, VlpbenchError

ALL = "all"


@dataclass(frozen=True)
class Floor:
    """A row to compare methods with: a floor, which any should beat, or a ceiling.

    Attributes:
        title: as printed.
        meaning: what it does, for the notes.
    """

    title: str
    meaning: str


@dataclass(frozen=True)
class Layout:
    """One table.

    Attributes:
        number: of the table.
        numeral: the same, as printed.
        task: registered task, or "ablation" for a table of several.
        title: as printed.
        decimals: of percentages.
        methods: order of method rows; others follow by name.
        metrics: short titles of metrics.
        floors: floor rows in order: registered methods and trivial predictors of the task.
        ceilings: rows of methods that saw more than any method may, printed last and without a rank.
        columns: task and dataset of each column group; empty for all datasets of the task.
        variants_of: method whose ablations the rows are; "" for a table of methods, which leaves ablations out.
        published: file of the paper's numbers for this table, "" for none.
        published_rows: method by the name of the row in that file.
        made_by: command that makes its records, "" for `vlpbench run`.
    """

    number: int
    numeral: str
    task: str
    title: str
    decimals: int
    methods: tuple[str, ...]
    metrics: Mapping[str, str]
    floors: Mapping[str, Floor]
    ceilings: Mapping[str, Floor] = field(default_factory=dict)
    columns: tuple[tuple[str, str], ...] = ()
    variants_of: str = ""
    published: str = ""
    published_rows: Mapping[str, str] = field(default_factory=dict)
    made_by: str = ""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Registered tasks of the columns."""
        return tuple(dict.fromkeys(task for task, _ in self.columns)) if self.columns else (self.task,)

    def has_column(self, task: str, dataset: str) -> bool:
        """Whether a dataset-task pair has a column here."""
        return (task, dataset) in self.columns if self.columns else task == self.task

    def position(self, task: str, dataset: str) -> int:
        """Place of a column group where the layout sets one, 0 otherwise."""
        return self.columns.index((task, dataset)) if self.columns else 0


@cache
def load_layouts() -> tuple[Layout, ...]:
    """The shipped layouts by number.

    Raises:
        VlpbenchError: for a layout file with a wrong field.
    """
    folder = files("vlpbench_configs") / "tables"
    entries = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name
    )
    return tuple(_parse(entry.read_text(encoding="utf-8"), entry.name) for entry in entries)


def select_layouts(name: str) -> tuple[Layout, ...]:
    """Layouts by number ("2"), task ("segmentation") or "all".

    Raises:
        UnknownNameError: for anything else.
    """
    wanted = name.strip().lower()
    layouts = load_layouts()
    if wanted == ALL:
        return layouts
    chosen = tuple(layout for layout in layouts if wanted in {str(layout.number), layout.numeral.lower(), layout.task})
    if not chosen:
        known = [ALL, *(str(layout.number) for layout in layouts), *(layout.task for layout in layouts)]
        raise UnknownNameError("table", name, known, f"Known: {', '.join(known)}.")
    return chosen


def layouts_of_file(out: Path) -> tuple[Layout, ...]:
    """Layouts that a file name asks for: `table2.md` and `segmentation.html` Table II, any other name all of them.

    Raises:
        UnknownNameError: for the number of a table there is not.
    """
    stem = out.stem.lower()
    if match := re.fullmatch(r"table[ _-]?(\d+)", stem):
        return select_layouts(match[1])
    tasks = {layout.task for layout in load_layouts()}
    return select_layouts(stem if stem in tasks else ALL)


def _parse(text: str, where: str) -> Layout:
    try:
        raw = tomllib.loads(text)
        floors, ceilings = (
            {name: Floor(**entry) for name, entry in raw.pop(kind, {}).items()} for kind in ("floors", "ceilings")
        )
        columns = tuple((task, dataset) for task, dataset in raw.pop("columns", []))
        read = {"methods": tuple(raw["methods"]), "floors": floors, "ceilings": ceilings, "columns": columns}
        return Layout(**{**raw, **read})
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise VlpbenchError(f"Table layout {where}: {error}.") from error
