"""Comparisons as files: Markdown, HTML and CSV, with the diagram of ranks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from vlpbench.canonical import atomic_path, write_text
from vlpbench.commands.comparison_csv import comma_separated, comma_separated_ranks
from vlpbench.commands.comparison_sheets import Part, Picture, Sheet, build_parts
from vlpbench.commands.comparison_words import Compared, contest_title
from vlpbench.statistics.ranks import Ranking
from vlpbench.table.markdown import escape_markdown
from vlpbench.table.webpage import STYLE_SHEET, TABLE_STYLE_SHEET

TITLE = "Comparison of methods"
OWN_STYLE_SHEET = """\
figure { margin: 1rem 0; }
figure svg { max-width: 100%; height: auto; min-width: 36rem; }
table.results .word { text-align: left; }
table.results caption { font-size: 1rem; }
.scroll { margin: 1rem 0; }
"""


def write_comparisons(out: Path, all_compared: Sequence[Compared]) -> list[Path]:
    """Write the comparisons as the suffix of `out` says, and the diagrams of ranks beside it; returns what was written.

    Raises:
        VlpbenchError: if the folder cannot be written.
    """
    suffix = out.suffix.lower()
    written = [out]
    pictures: list[str] = []
    for number, compared in enumerate(all_compared, start=1):
        if compared.ranking is None:
            pictures.append("")
            continue
        stem = f"{out.stem}.ranks{number if number > 1 else ''}"
        svg, png = draw(compared, compared.ranking)
        write_text(out.with_name(f"{stem}.svg"), svg)
        with atomic_path(out.with_name(f"{stem}.png")) as temporary:
            temporary.write_bytes(png)
        written += [out.with_name(f"{stem}.svg"), out.with_name(f"{stem}.png")]
        pictures.append(svg if suffix == ".html" else f"{stem}.svg")
    if suffix == ".csv":
        write_text(out, comma_separated(all_compared))
        ranks = out.with_name(f"{out.stem}.ranks.csv")
        write_text(ranks, comma_separated_ranks(all_compared))
        return [*written, ranks]
    parts = [part for one, picture in zip(all_compared, pictures, strict=True) for part in build_parts(one, picture)]
    write_text(out, webpage(parts) if suffix == ".html" else markdown(parts))
    return written


def draw(compared: Compared, ranking: Ranking) -> tuple[str, bytes]:
    """The critical-difference diagram as SVG and as PNG."""
    from vlpbench.figures.critical_difference import draw_ranks

    remarks = " ".join(compared.contest.remarks)
    return draw_ranks(
        [one.title for one in ranking.contestants],
        ranking.averages,
        critical_difference=ranking.critical_difference,
        groups=ranking.groups,
        title=f"Average ranks of {len(ranking.contestants)} methods over {ranking.cells} cells",
        subtitle=f"{contest_title(compared.contest)}{'. Synthetic data' if 'ynthetic' in remarks else ''}",
    )


def markdown(parts: Sequence[Part]) -> str:
    """Parts as Markdown."""
    from tabulate import tabulate

    lines = [f"# {TITLE}", ""]
    for kind, content in parts:
        if isinstance(content, Sheet):
            body = [
                [
                    f"**{escape_markdown(text)}**" if (row, column) in content.strong else escape_markdown(text)
                    for column, text in enumerate(texts)
                ]
                for row, texts in enumerate(content.rows)
            ]
            if content.caption:
                lines += [f"{escape_markdown(content.caption)}", ""]
            align = ["left"] * content.names + ["right"] * (len(content.head) - content.names)
            head = [escape_markdown(name) for name in content.head]
            lines += [tabulate(body, head, "pipe", colalign=align, disable_numparse=True), ""]
        elif isinstance(content, Picture):
            lines += [f"![{escape_markdown(content.alternative)}]({content.content})", ""]
        elif isinstance(content, str):
            lines += [f"{'##' if kind == 'chapter' else '###'} {escape_markdown(content)}", ""]
        elif content:
            lines += [*(f"- {escape_markdown(line)}" for line in content), ""]
    return "\n".join(lines)


def webpage(parts: Sequence[Part]) -> str:
    """Parts as one HTML page that needs nothing else."""
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{TITLE}</title>",
        f"<style>\n{STYLE_SHEET}{TABLE_STYLE_SHEET}{OWN_STYLE_SHEET}\n</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{TITLE}</h1>",
    ]
    for kind, content in parts:
        if isinstance(content, Sheet):
            lines += _html_sheet(content)
        elif isinstance(content, Picture):
            svg = content.content[content.content.index("<svg") :]
            told = escape(content.alternative, quote=True)
            lines.append(f'<figure class="scroll" role="img" aria-label="{told}" tabindex="0">{svg}</figure>')
        elif isinstance(content, str):
            tag = "h2" if kind == "chapter" else "h3"
            lines.append(f"<{tag}>{escape(content)}</{tag}>")
        elif content:
            lines += ["<ul>", *(f"<li>{escape(line)}</li>" for line in content), "</ul>"]
    return "\n".join([*lines, "</main>", "</body>", "</html>"]) + "\n"


def _html_sheet(sheet: Sheet) -> list[str]:
    caption = [f"<caption>{escape(sheet.caption)}</caption>"] if sheet.caption else []
    head = "".join(f'<th scope="col"{_kind(sheet, place)}>{escape(name)}</th>' for place, name in enumerate(sheet.head))
    lines = ['<div class="scroll" tabindex="0">', '<table class="results">', *caption]
    lines += [f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row, texts in enumerate(sheet.rows):
        cells = [
            f"<strong>{escape(text)}</strong>" if (row, column) in sheet.strong else escape(text)
            for column, text in enumerate(texts)
        ]
        data = "".join(f"<td{_kind(sheet, place)}>{cell}</td>" for place, cell in enumerate(cells[1:], start=1))
        lines.append(f'<tr><th scope="row">{cells[0]}</th>{data}</tr>')
    return [*lines, "</tbody>", "</table>", "</div>"]


def _kind(sheet: Sheet, column: int) -> str:
    return ' class="word"' if column < sheet.names else ""
