"""LaTeX: tables for a paper, on booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from vlpbench.table.blocks import Block
from vlpbench.table.notes import build_notes, heading, percent
from vlpbench.table.render import marked_cells
from vlpbench.table.titles import Titles

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
}


def latex(blocks: Sequence[Block], remarks: Sequence[str], titles: Titles) -> str:
    """Tables as LaTeX environments; the document needs the package booktabs."""
    parts = [r"% \usepackage{booktabs}"]
    for number, block in enumerate(blocks):
        before = sum(other.layout.task == block.layout.task for other in blocks[:number])
        parts.append(_table(block, before, titles))
    parts += [r"\noindent " + escape_latex(remark) + "\n" for remark in remarks]
    return "\n".join(parts)


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(SPECIAL.get(sign, sign) for sign in text)


def _table(block: Block, before: int, titles: Titles) -> str:
    """One environment, labelled by its task and how many blocks of that task stand before it."""
    label = f"tab:{block.layout.task}" + (f"-{before + 1}" if before else "")
    notes = [rf"  \item {escape_latex(note)}" for note in build_notes(block, titles)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape_latex(heading(block).partition('. ')[2])}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{l{'r' * len(block.columns)}}}",
            r"\toprule",
            *_head(block),
            r"\midrule",
            *_body(block),
            r"\bottomrule",
            r"\end{tabular}",
            r"\begin{itemize}\footnotesize",
            *notes,
            r"\end{itemize}",
            r"\end{table}",
            "",
        ]
    )


def _head(block: Block) -> list[str]:
    """Datasets over fractions, with a rule under each dataset."""
    spans, rules, first = [], [], 2
    for group in block.groups:
        width = len(group.fractions)
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(f'{group.title} ({group.metric_title})')}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    shares = [escape_latex(percent(fraction)) for _, fraction in block.columns]
    return [_line(["", *spans]), " ".join(rules), _line(["Method", *shares])]


def _body(block: Block) -> list[str]:
    """Rows, with a rule between floors, methods and ceilings."""
    lines = []
    for number, row in enumerate(block.rows):
        if number and row.section != block.rows[number - 1].section:
            lines.append(r"\midrule")
        cells = marked_cells(
            block,
            row,
            plain=escape_latex,
            bold=lambda text: rf"\textbf{{{text}}}",
            underline=lambda text: rf"\underline{{{text}}}",
        )
        lines.append(_line([escape_latex(row.title), *cells]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
