"""Writing: from records to a file in the format its suffix names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlpbench.canonical import write_text
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.latex import latex
from vlpbench.table.layout import ALL, Layout, layouts_of_file, select_layouts
from vlpbench.table.render import comma_separated, markdown
from vlpbench.table.titles import Titles, registered_titles
from vlpbench.table.webpage import webpage

SUFFIXES = {".md": "Markdown", ".tex": "LaTeX", ".csv": "CSV", ".html": "HTML"}


def write_table(
    records: Sequence[Record],
    problems: Sequence[str] = (),
    *,
    which: str | None = None,
    out: Path,
    results: Path,
    titles: Titles | None = None,
) -> str:
    """Write the tables to `out` and return the text written; a table that was there is replaced.

    Args:
        records: from the store.
        problems: files the store could not trust; the tables name their number.
        which: "1", "2", "3", a task or "all"; None goes by the name of the file.
        out: file ending in .md, .tex, .csv or .html.
        results: results folder, for messages.
        titles: where titles come from; None for the registry.

    Raises:
        UnknownNameError: for a table there is not.
        VlpbenchError: for another suffix, no records, or a folder that cannot be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        kinds = ", ".join(f"{suffix} ({kind})" for suffix, kind in SUFFIXES.items())
        raise VlpbenchError(f"Cannot tell the format of {out}: its name must end in {kinds}.")
    layouts = layouts_of_file(out) if which is None else select_layouts(which)
    text = _render(records, problems, layouts, out.suffix.lower(), results, titles)
    write_text(out, text.rstrip("\n") + "\n")
    return text


def render_tables(
    records: Sequence[Record],
    problems: Sequence[str] = (),
    *,
    which: str | None = None,
    results: Path,
    titles: Titles | None = None,
) -> str:
    """The tables as Markdown; arguments and errors as in `write_table`, None for `which` meaning all."""
    layouts = select_layouts(ALL if which is None else which)
    return _render(records, problems, layouts, ".md", results, titles)


def _render(
    records: Sequence[Record],
    problems: Sequence[str],
    layouts: Sequence[Layout],
    suffix: str,
    results: Path,
    titles: Titles | None,
) -> str:
    named = registered_titles() if titles is None else titles
    blocks = [block for layout in layouts for block in build_blocks(records, layout, named)]
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
) -> VlpbenchError:
    """Why there is no table, and what to run."""
    tasks = list(dict.fromkeys(task for layout in layouts for task in layout.tasks))
    if records and not problems and all(layout.variants_of for layout in layouts):
        (layout, *_) = layouts
        return VlpbenchError(
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
    task = "all" if len(tasks) > 1 else tasks[0]
    return VlpbenchError(f"{message}Run: vlpbench run --method random --tasks {task} --results {results}")
