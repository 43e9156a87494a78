"""LaTeX: braces, environments and columns are checked always; it is compiled where there is a TeX engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from vlpbench.table.latex import SPECIAL, escape_latex
from vlpbench.table.writing import Extras, write_table

GOLDEN = Path(__file__).parent / "golden"
ODD = "50%_{x}^~\\ & [a] *b* |c| <d> $e$ #f"
ENGINE = shutil.which("pdflatex")
DOCUMENT = r"""\documentclass[10pt]{article}
\usepackage[a4paper,margin=2cm]{geometry}
\usepackage{booktabs,graphicx}
\begin{document}
\input{table.tex}
\end{document}
"""


def check_structure(text: str) -> None:
    """Raise an assertion for what would stop LaTeX or misplace a cell."""
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0, "a brace is closed that was not opened"
    assert depth == 0, "a brace stays open"
    assert bare.count("$") % 2 == 0, "a formula stays open"
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    for columns, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        rows = [line for line in body.splitlines() if re.search(r"\\\\(\[-?\d+pt\])?$", line)]
        assert len(rows) > 3
        for row in rows:
            spans = [int(span) for span in re.findall(r"\\multicolumn\{(\d+)\}", row)]
            cells = len(re.findall(r"(?<!\\)&", row)) + 1
            assert cells + sum(span - 1 for span in spans) == len(columns), row
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert max(Counter(labels).values()) == 1
    assert set(re.findall(r"\\ref\{(.*?)\}", text)) <= set(labels)


def odd_table(golden: ModuleType, folder: Path) -> str:
    """A table in which every special character stands in every place that a user can fill."""
    records = [
        *golden.full_records(),
        golden.fabricate(0.5, dataset=ODD, method=ODD, suite=ODD),
        golden.fabricate(0.4, dataset=ODD, method="*starred", suite=ODD),
        golden.fabricate(0.4, dataset=ODD, method="[bracketed]", suite=ODD),
    ]
    return write_table(
        records,
        ["x_y.json: 100 % wrong & {open"],
        which="2",
        out=folder / "table.tex",
        results=Path("results"),
        titles=golden.made_up_titles(),
        extras=Extras(golden.FabricatedResampler(lacking="mlip"), published=True),
    )


@pytest.mark.parametrize("name", ["table2.tex", "full.tex"])
def test_golden_files_are_well_formed(name: str) -> None:
    check_structure((GOLDEN / name).read_text(encoding="utf-8"))


def test_odd_names_are_well_formed(golden: ModuleType, tmp_path: Path) -> None:
    text = odd_table(golden, tmp_path)
    check_structure(text)
    assert re.search(r"[†‡±–≈▿−]", text) is None


@pytest.mark.parametrize(
    "broken",
    [
        r"\begin{tabular}{lr}" + "\na & b \\\\\na & b \\\\\na & b \\\\\na & b & c \\\\\n" + r"\end{tabular}\label{x}",
        r"\textbf{a\label{x}",
        r"\begin{table}\end{tabular}\label{x}",
        r"$a\label{x}",
        r"\label{x}\label{x}",
    ],
)
def test_the_check_itself_finds_faults(broken: str) -> None:
    with pytest.raises(AssertionError):
        check_structure(broken)


def test_every_special_character_is_set_as_itself() -> None:
    assert escape_latex("5 % a_b") == r"5~\% a\_b"
    assert escape_latex("\\{") == r"\textbackslash{}\{"
    for sign in "†‡≈▿−±–":
        assert sign in SPECIAL
        assert escape_latex(sign).isascii()


def test_a_row_cannot_begin_with_what_ends_the_row_before(golden: ModuleType, tmp_path: Path) -> None:
    text = odd_table(golden, tmp_path)
    lines = text.splitlines()
    assert any(line.startswith("{[}bracketed]") for line in lines)
    assert any(line.startswith("{*}starred") for line in lines)
    assert not any(re.match(r"[\[*]", line) for line in lines)


@pytest.mark.skipif(ENGINE is None, reason="no TeX engine is installed; the structure is checked above")
@pytest.mark.parametrize("name", ["table2.tex", "full.tex", "odd"])
def test_latex_compiles_within_the_margins(golden: ModuleType, tmp_path: Path, name: str) -> None:
    text = odd_table(golden, tmp_path) if name == "odd" else (GOLDEN / name).read_text(encoding="utf-8")
    (tmp_path / "table.tex").write_text(text, encoding="utf-8")
    (tmp_path / "page.tex").write_text(DOCUMENT, encoding="utf-8")
    done = subprocess.run(
        [str(ENGINE), "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").is_file()
    assert "Overfull \\hbox" not in done.stdout
