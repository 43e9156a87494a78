"""Writing: from records to a file in the format its suffix names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlpbench.canonical import write_text
from vlpbench.errors import NothingToShowError, VlpbenchError
from vlpbench.record import Record
from vlpbench.table.beside import add_published
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.latex import latex
from vlpbench.table.layout import ALL, Layout, layouts_of_file, select_layouts
from vlpbench.table.markdown import markdown
from vlpbench.table.sheet import comma_separated
from vlpbench.table.titles import Titles, registered_titles
from vlpbench.table.webpage import webpage

if TYPE_CHECKING:
    from vlpbench.statistics.resampler import Resampler

SUFFIXES = {".md": "Markdown", ".tex": "LaTeX", ".csv": "CSV", ".html": "HTML"}


@dataclass(frozen=True)
class Extras:
    """What tables show besides means and spreads.

    Attributes:
        resampler: gives intervals and ties; None leaves them out.
        published: whether the paper's numbers stand beside the measured ones.
    """

    resampler: Resampler | None = None
    published: bool = False


PLAIN = Extras()


def write_table(
    records: Sequence[Record],
    problems: Sequence[str] = (),
    *,
    which: str | None = None,
    out: Path,
    results: Path,
    titles: Titles | None = None,
    extras: Extras = PLAIN,
) -> str:
    """Write the tables to `out` and return the text written; a table that was there is replaced.

    Args:
        records: from the store.
        problems: files the store could not trust; the tables name their number.
        which: "1", "2", "3", a task or "all"; None goes by the name of the file.
        out: file ending in .md, .tex, .csv or .html.
        results: results folder, for messages.
        titles: where titles come from; None for the registry.
        extras: what is shown besides means and spreads.

    Raises:
        UnknownNameError: for a table there is not.
        NothingToShowError: without a record for it, saying what to run.
        VlpbenchError: for another suffix, or a folder that cannot be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        kinds = ", ".join(f"{suffix} ({kind})" for suffix, kind in SUFFIXES.items())
        raise VlpbenchError(f"Cannot tell the format of {out}: its name must end in {kinds}.")
    layouts = layouts_of_file(out) if which is None else select_layouts(which)
    text = _render(records, problems, layouts, out.suffix.lower(), results, titles, extras)
    write_text(out, text.rstrip("\n") + "\n")
    return text


def render_tables(
    records: Sequence[Record],
    problems: Sequence[str] = (),
    *,
    which: str | None = None,
    results: Path,
    titles: Titles | None = None,
    extras: Extras = PLAIN,
) -> str:
    """The tables as Markdown; arguments and errors as in `write_table`, None for `which` meaning all."""
    layouts = select_layouts(ALL if which is None else which)
    return _render(records, problems, layouts, ".md", results, titles, extras)


def _render(
    records: Sequence[Record],
    problems: Sequence[str],
    layouts: Sequence[Layout],
    suffix: str,
    results: Path,
    titles: Titles | None,
    extras: Extras,
) -> str:
    named = registered_titles() if titles is None else titles
    blocks = [_extended(block, named, extras) for layout in layouts for block in build_blocks(records, layout, named)]
    if not blocks:
        raise _nothing(records, problems, layouts, results)
    remarks = _remarks(blocks, problems, layouts)
    if suffix == ".md":
        return markdown(blocks, remarks, named)
    if suffix == ".tex":
        return latex(blocks, remarks, named)
    if suffix == ".csv":
        return comma_separated(blocks)
    return webpage(blocks, remarks, named)


def _extended(block: Block, titles: Titles, extras: Extras) -> Block:
    """The block with what was asked for besides."""
    if extras.resampler is not None:
        from vlpbench.table.intervals import add_intervals

        block = add_intervals(block, extras.resampler)
    return add_published(block, titles) if extras.published else block


def _remarks(blocks: Sequence[Block], problems: Sequence[str], layouts: Sequence[Layout]) -> list[str]:
    """Sentences about all tables of a file."""
    shown = {block.layout.number for block in blocks}
    remarks = [
        f"Table {layout.numeral} ({layout.title}): no record yet." for layout in layouts if layout.number not in shown
    ]
    if problems:
        remarks.append(f"{len(problems)} record file(s) could not be trusted and are left out of every table:")
        remarks += problems
    return remarks


def _nothing(
    records: Sequence[Record], problems: Sequence[str], layouts: Sequence[Layout], results: Path
) -> NothingToShowError:
    """Why there is no table, and what to run."""
    made = next((layout.made_by for layout in layouts if layout.made_by), "") if len(layouts) == 1 else ""
    run = [layout for layout in layouts if made or not layout.made_by]
    tasks = list(dict.fromkeys(task for layout in run for task in layout.tasks))
    if records and not problems and all(layout.variants_of for layout in layouts):
        (layout, *_) = layouts
        return NothingToShowError(
            f"No records of ablations of {layout.variants_of} under {results / 'records'}. "
            f"Run: vlpbench run --method {','.join(layout.methods)} --tasks all --results {results}"
        )
    there = sorted({record.spec.task for record in records})
    message = f"No records of {', '.join(tasks)} under {results / 'records'}"
    if there:
        message += f" (there are records of {', '.join(there)})"
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        message += f"; {len(problems)} file(s) there could not be trusted:\n{listed}\n"
    else:
        message += ". "
    command = made or f"vlpbench run --method random --tasks {'all' if len(tasks) > 1 else tasks[0]}"
    return NothingToShowError(f"{message}Run: {command} --results {results}")
