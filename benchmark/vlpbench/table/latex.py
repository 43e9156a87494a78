"""LaTeX: tables for a paper, on booktabs, no wider than the text."""

from __future__ import annotations

from collections.abc import Sequence

from vlpbench.table.blocks import Block
from vlpbench.table.cells import Row
from vlpbench.table.entries import BELOW_FLOOR, MEASURED, Entry, Head, Style, dressed, entries, heads, row_groups
from vlpbench.table.notes import build_notes, heading
from vlpbench.table.titles import Titles, percent

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
    "|": r"\textbar{}",
    # after the end of a row, both would be taken for an argument of it
    "[": "{[}",
    "*": "{*}",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "≈": r"$\approx$",
    BELOW_FLOOR: r"$^{\bigtriangledown}$",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
}


def latex(blocks: Sequence[Block], remarks: Sequence[str], titles: Titles) -> str:
    """Tables as LaTeX environments; the document needs the packages booktabs and graphicx."""
    parts = [r"% \usepackage{booktabs, graphicx}"]
    for number, block in enumerate(blocks):
        before = sum(other.layout.task == block.layout.task for other in blocks[:number])
        label = f"tab:{block.layout.task}" + (f"-{before + 1}" if before else "")
        parts += [*_floats(block, label), _notes(block, label, titles)]
    parts += [r"\noindent " + escape_latex(remark) + "\n" for remark in remarks]
    return "\n".join(parts)


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is; a number is kept on one line with its per cent sign."""
    return "".join(SPECIAL.get(sign, sign) for sign in text).replace(r" \%", r"~\%")


STYLE = Style(
    plain=escape_latex,
    bold=lambda text: rf"\textbf{{{text}}}",
    underline=lambda text: rf"\underline{{{text}}}",
    # the mark of a floor hangs into the gap, so that numbers stay in line
    sign=lambda text: rf"\rlap{{{escape_latex(text)}}}" if text == BELOW_FLOOR else rf"\textsuperscript{{{text}}}",
    below=lambda text: "",
)


def _floats(block: Block, label: str) -> list[str]:
    """One table, or with published numbers, which take three columns each, one per dataset."""
    shown = heads(block)
    caption = heading(block).partition(". ")[2]
    if all(head.kind == MEASURED for head in shown):
        return [_float(block, shown, range(len(shown)), caption, label)]
    floats = []
    for number, group in enumerate(block.groups):
        chosen = [place for place, head in enumerate(shown) if head.group is group]
        name = label if number == 0 else f"{label}:{number + 1}"
        floats.append(_float(block, shown, chosen, f"{caption}: {group.title}", name))
    return floats


def _float(block: Block, shown: Sequence[Head], chosen: Sequence[int], caption: str, label: str) -> str:
    """One environment; a table wider than the text is shrunk to it."""
    stub = ["Method", "Venue"][: 2 if block.with_venues else 1]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{escape_latex(caption)}}}",
            rf"\label{{{label}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{'l' * len(stub)}{'r' * len(chosen)}}}",
            r"\toprule",
            *_head([shown[place] for place in chosen], stub),
            *_body(block, chosen, len(stub)),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
        ]
    )


def _notes(block: Block, label: str, titles: Titles) -> str:
    """Notes in the running text, where they may break over pages as no float can."""
    return "\n".join(
        [
            r"\begingroup\footnotesize\raggedright",
            rf"\noindent Notes to Table~\ref{{{label}}}.",
            r"\begin{itemize}\itemsep0pt\parskip0pt",
            # a dash of the text font: the usual bullet is in a font that a small installation may lack
            *(rf"  \item[--] {escape_latex(note)}" for note in build_notes(block, titles)),
            r"\end{itemize}",
            r"\endgroup",
            "",
        ]
    )


def _head(shown: Sequence[Head], stub: Sequence[str]) -> list[str]:
    """Datasets over fractions, over what is published where that is shown, with a rule under each dataset."""
    spans, rules, first = [], [], len(stub) + 1
    for group in {id(head.group): head.group for head in shown}.values():
        width = sum(head.group is group for head in shown)
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(f'{group.title} ({group.metric_title})')}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    named = [percent(head.fraction) if head.kind == MEASURED else head.kind for head in shown]
    return [
        _line([*[""] * len(stub), *spans]),
        " ".join(rules),
        _line([*stub, *(escape_latex(name) for name in named)]),
    ]


def _body(block: Block, chosen: Sequence[int], stub: int) -> list[str]:
    """Rows under the name of their section and backbone, with a rule between these; rows without an entry are left."""
    lines = []
    for title, rows in row_groups(block):
        found = [(row, [entries(block, row)[place] for place in chosen]) for row in rows]
        told = [(row, shown) for row, shown in found if any(one.text for one in shown)]
        if told:
            span = rf"\multicolumn{{{stub + len(chosen)}}}{{l}}{{\textit{{{escape_latex(title)}}}}} \\"
            lines += [r"\midrule", span, *(line for row, shown in told for line in _row(row, shown, stub))]
    return lines


def _row(row: Row, shown: Sequence[Entry], stub: int) -> list[str]:
    """A row, and one in small print for its intervals."""
    named = [escape_latex(text) for text in (row.short_title, row.venue)][:stub]
    line = _line([*named, *(dressed(one, STYLE) for one in shown)])
    if not any(one.below for one in shown):
        return [line]
    spans = [rf"{{\scriptsize {escape_latex(one.below)}}}" if one.below else "" for one in shown]
    return [f"{line}[-2pt]", f"{_line([*[''] * stub, *spans])}[3pt]"]


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
