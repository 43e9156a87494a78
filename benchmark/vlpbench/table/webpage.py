"""HTML: the tables as one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vlpbench.table.blocks import Block
from vlpbench.table.notes import build_notes, heading, percent
from vlpbench.table.render import marked_cells
from vlpbench.table.titles import Titles

STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid #222; border-bottom: 2px solid #222; }
th, td { padding: .3rem .75rem; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th { font-weight: 600; }
th[scope=row], thead tr:first-child th:first-child { text-align: left; font-weight: 400; }
th[scope=colgroup] { text-align: center; border-bottom: 1px solid #999; }
thead tr:last-child th { border-bottom: 1px solid #222; }
tbody + tbody tr:first-child > * { border-top: 1px solid #222; }
tbody.floors { color: #666; }
ul { font-size: .87rem; color: #444; padding-left: 1.2rem; max-width: 60rem; }
"""


def webpage(blocks: Sequence[Block], remarks: Sequence[str], titles: Titles) -> str:
    """Tables as one HTML page."""
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>vlpbench tables</title>",
        f"<style>\n{STYLE}</style>",
        "</head>",
        "<body>",
        *(line for block in blocks for line in _section(block, titles)),
        *(f"<p>{escape(remark)}</p>" for remark in remarks),
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _section(block: Block, titles: Titles) -> list[str]:
    lines = ["<section>", f"<h2>{escape(heading(block))}</h2>", '<div class="scroll">', "<table>", *_head(block)]
    for name in ("floors", "methods", "ceilings"):
        if rows := [row for row in block.rows if row.section == name]:
            lines.append(f'<tbody class="{name}">')
            for row in rows:
                cells = marked_cells(
                    block,
                    row,
                    plain=escape,
                    bold=lambda text: f"<strong>{text}</strong>",
                    underline=lambda text: f"<u>{text}</u>",
                )
                data = "".join(f"<td>{cell}</td>" for cell in cells)
                lines.append(f'<tr><th scope="row">{escape(row.title)}</th>{data}</tr>')
            lines.append("</tbody>")
    notes = [f"<li>{escape(note)}</li>" for note in build_notes(block, titles)]
    return [*lines, "</table>", "</div>", "<ul>", *notes, "</ul>", "</section>"]


def _head(block: Block) -> list[str]:
    groups = "".join(
        f'<th scope="colgroup" colspan="{len(group.fractions)}">'
        f"{escape(group.title)}<br>{escape(group.metric_title)}</th>"
        for group in block.groups
    )
    shares = "".join(f'<th scope="col">{escape(percent(fraction))}</th>' for _, fraction in block.columns)
    return ["<thead>", f'<tr><th rowspan="2">Method</th>{groups}</tr>', f"<tr>{shares}</tr>", "</thead>"]
