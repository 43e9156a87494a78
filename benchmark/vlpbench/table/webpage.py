"""HTML: the tables as one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vlpbench.table.blocks import Block
from vlpbench.table.entries import (
    BELOW_FLOOR,
    DIFFERENCE,
    MEASURED,
    Entry,
    Style,
    dressed,
    entries,
    heads,
    kinds,
    row_groups,
)
from vlpbench.table.notes import build_notes, heading
from vlpbench.table.titles import Titles, percent

STYLE_SHEET = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 80rem; margin: 2rem auto;
       padding: 0 1rem; }
ul { font-size: .87rem; color: #444; padding-left: 1.2rem; max-width: 60rem; overflow-wrap: anywhere; }
"""
TABLE_STYLE_SHEET = """\
.scroll { overflow-x: auto; margin: 2.5rem 0 .75rem; }
.scroll:focus-visible { outline: 3px solid #1a5fb4; outline-offset: 2px; }
table.results { border-collapse: collapse; border-bottom: 2px solid #222; font-variant-numeric: tabular-nums; }
table.results caption { text-align: left; font-size: 1.15rem; font-weight: 600; padding-bottom: .6rem; }
table.results caption span { display: block; position: sticky; left: 0; max-width: calc(100vw - 3rem); }
table.results th, table.results td { padding: .25rem .7rem; text-align: right; white-space: nowrap;
                                     vertical-align: top; }
table.results thead tr:first-child > * { border-top: 2px solid #222; }
table.results thead tr:last-child > * { border-bottom: 1px solid #222; }
table.results th { font-weight: 600; }
table.results th[scope=row], table.results th[scope=rowgroup], table.results .name, table.results .venue {
    text-align: left; font-weight: 400; }
table.results th[scope=rowgroup] { font-style: italic; border-top: 1px solid #222; color: #444; }
table.results th[scope=rowgroup] span { position: sticky; left: .7rem; }
table.results th[scope=colgroup] { text-align: center; border-bottom: 1px solid #999; }
table.results th[scope=row], table.results thead .name { position: sticky; left: 0; background: #fff; z-index: 1;
    box-shadow: 1px 0 #ccc; }
table.results tbody.floors td, table.results tbody.floors th[scope=row] { color: #595959; }
table.results td.published, table.results td.difference { color: #444; background: #f4f4f4; }
table.results .interval { display: block; font-size: .8rem; color: #555; }
table.results .sign { display: inline-block; width: 0; overflow: visible; line-height: 0; vertical-align: .15em;
                      text-decoration: none; }
table.results sup { font-size: .65em; line-height: 0; }
@media (max-width: 40rem) {
  table.results th[scope=row], table.results thead .name { max-width: 7.5rem; white-space: normal; }
  table.results th, table.results td { padding: .25rem .4rem; }
}
"""
FLOOR_SIGN = f'<abbr class="sign" title="not above the highest floor of its column">{BELOW_FLOOR}</abbr>'
DRESS = Style(
    plain=escape,
    bold=lambda text: f"<strong>{text}</strong>",
    underline=lambda text: f"<u>{text}</u>",
    sign=lambda text: FLOOR_SIGN if text == BELOW_FLOOR else f"<sup>{escape(text)}</sup>",
    below=lambda text: f'<span class="interval">{escape(text)}</span>',
)


def webpage(blocks: Sequence[Block], remarks: Sequence[str], titles: Titles) -> str:
    """Tables as one HTML page."""
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>vlpbench tables</title>",
        f"<style>\n{STYLE_SHEET}{TABLE_STYLE_SHEET}</style>",
        "</head>",
        "<body>",
        "<main>",
        "<h1>vlpbench tables</h1>",
        *(line for block in blocks for line in ["<section>", *block_html(block, titles), "</section>"]),
        *(f"<p>{escape(remark)}</p>" for remark in remarks),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def block_html(block: Block, titles: Titles, *, notes: bool = True) -> list[str]:
    """One table in a region that scrolls by keyboard, and its notes; the page must hold `TABLE_STYLE_SHEET`.

    Each section and backbone is a `tbody` whose first row names it. Every cell carries `data-value`, the number as a
    fraction at full precision, empty where there is none.

    Args:
        block: the table.
        titles: for the notes.
        notes: whether they follow the table.

    Returns:
        Lines of HTML.
    """
    lines = [
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(heading(block))}">',
        '<table class="results">',
        f"<caption><span>{escape(heading(block))}</span></caption>",
        *_head(block),
    ]
    for title, rows in row_groups(block):
        width = len(heads(block)) + (2 if block.with_venues else 1)
        lines.append(f'<tbody class="{rows[0].section}">')
        lines.append(f'<tr class="group"><th scope="rowgroup" colspan="{width}"><span>{escape(title)}</span></th></tr>')
        for row in rows:
            shown = zip(heads(block), entries(block, row), strict=True)
            cells = "".join(_cell(entry, head.kind) for head, entry in shown)
            venue = f'<td class="venue">{escape(row.venue)}</td>' if block.with_venues else ""
            lines.append(f'<tr><th scope="row">{escape(row.short_title)}</th>{venue}{cells}</tr>')
        lines.append("</tbody>")
    lines += ["</table>", "</div>"]
    if notes:
        lines += ["<ul>", *(f"<li>{escape(note)}</li>" for note in build_notes(block, titles)), "</ul>"]
    return lines


def _cell(entry: Entry, kind: str) -> str:
    value = "" if entry.value is None else repr(entry.value)
    sort = "" if kind == MEASURED else f' class="{kind}"'
    return f'<td{sort} data-value="{value}">{dressed(entry, DRESS)}</td>'


def _head(block: Block) -> list[str]:
    """Datasets over fractions, and these over measured, published and difference where that is shown."""
    beside = any(head.kind == DIFFERENCE for head in heads(block))
    widths = [len(group.fractions) * len(kinds(block, group)) for group in block.groups]
    spans = "".join(f'<colgroup span="{width}"></colgroup>' for width in widths)
    groups = "".join(
        f'<th scope="colgroup" colspan="{width}">{escape(group.title)}<br>{escape(group.metric_title)}</th>'
        for group, width in zip(block.groups, widths, strict=True)
    )
    deep = 3 if beside else 2
    venue = f'<th class="venue" scope="col" rowspan="{deep}">Venue</th>' if block.with_venues else ""
    lines = [
        f"<colgroup></colgroup>{'<colgroup></colgroup>' if venue else ''}{spans}",
        "<thead>",
        f'<tr><th class="name" scope="col" rowspan="{deep}">Method</th>{venue}{groups}</tr>',
    ]
    if not beside:
        shares = "".join(f'<th scope="col">{escape(percent(fraction))}</th>' for _, fraction in block.columns)
        return [*lines, f"<tr>{shares}</tr>", "</thead>"]
    shares = "".join(
        f'<th scope="colgroup" colspan="{len(kinds(block, group))}">{escape(percent(fraction))}</th>'
        for group, fraction in block.columns
    )
    named = "".join(f'<th scope="col">{head.kind}</th>' for head in heads(block))
    return [*lines, f"<tr>{shares}</tr>", f"<tr>{named}</tr>", "</thead>"]
