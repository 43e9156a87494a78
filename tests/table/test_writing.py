from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from vlpbench.canonical import write_text
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.store import RecordStore
from vlpbench.table.terminal import print_tables
from vlpbench.table.writing import render_tables, write_table

GOLDEN = Path(__file__).parent / "golden"


def write(golden: ModuleType, records: list[Record], out: Path, **options: object) -> str:
    return write_table(records, out=out, results=Path("results"), titles=golden.made_up_titles(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["table2.md", "table2.tex"])
def test_golden(tmp_path: Path, golden: ModuleType, name: str) -> None:
    text = write(golden, golden.committed_records(), tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8") == text
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_committed_records_are_those_the_script_fabricates(golden: ModuleType) -> None:
    assert golden.committed_records() == golden.golden_records()


def test_markdown_says_missing_and_never_zero(golden: ModuleType) -> None:
    text = render_tables(golden.golden_records(), which="2", results=Path("results"), titles=golden.made_up_titles())
    (line,) = [line for line in text.splitlines() if line.startswith("| ConVIRT")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[-1] == "–"
    assert "Missing cells (–): 1 of 12." in text
    assert "- Synthetic data: not a measurement." in text


def test_latex_is_balanced(golden: ModuleType, tmp_path: Path) -> None:
    records = [*golden.golden_records(), golden.fabricate(0.5, dataset="a_b%{", method="50%_{x}^~\\", suite="else#")]
    text = write(golden, records, tmp_path / "table2.tex")
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    for name in ("table", "tabular", "itemize"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 2
    rows = [
        line for line in re.sub(r"\\&", "", text).splitlines() if line.endswith(r"\\") and "multicolumn" not in line
    ]
    assert {line.count("&") for line in rows} == {4, 1}
    assert len(set(re.findall(r"\\label\{(.*)\}", text))) == 2
    assert re.search(r"[†‡±–]", text) is None


def test_csv_round_trip(golden: ModuleType, tmp_path: Path) -> None:
    text = write(golden, golden.golden_records(), tmp_path / "table2.csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4 * 4
    (row,) = [
        row for row in rows if (row["method"], row["dataset"], row["fraction"]) == ("sista", "siim", "0.01")
    ]  # fmt: skip
    assert float(row["mean"]) == pytest.approx(0.2504, abs=1e-15)
    assert float(row["sd"]) == pytest.approx(0.01, abs=1e-15)
    assert (row["n"], row["pretrain_seeds"], row["train_images"], row["test_images"]) == ("3", "3", "6", "200")
    assert (row["metric"], row["protocol"], row["protocol_version"]) == ("dice_positive", "clean", "1")
    (gap,) = [row for row in rows if (row["method"], row["dataset"], row["fraction"]) == ("convirt", "rsna", "1.0")]
    assert (gap["mean"], gap["sd"], gap["n"], gap["train_images"]) == ("", "", "0", "")
    exact = golden.fabricate(1 / 3, method="mgca")
    rows = list(csv.DictReader(io.StringIO(write(golden, [exact], tmp_path / "table2.csv"))))
    assert 1 / 3 in [float(row["mean"]) for row in rows if row["mean"]]


class Page(HTMLParser):
    """Tags that were opened and not closed, and everything a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "data", "srcset", "poster"}]
        self.loads += [tag] if tag in {"script", "link", "img", "iframe", "object", "embed"} else []
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_is_whole_and_loads_nothing(golden: ModuleType, tmp_path: Path) -> None:
    records = [*golden.golden_records(), golden.fabricate(0.5, method="<script>alert(1)</script>")]
    text = write(golden, records, tmp_path / "table2.html")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert re.search(r"url\(|@import|https?:", text) is None
    assert "<strong>61.0 ± 1.0 (n=3)</strong>" in text
    assert "<u>60.1 (n=1)</u>" in text
    assert "<script>alert(1)</script> (ResNet-18)" in page.text
    assert text.count("<tr>") == text.count("</tr>") == 2 + 5


def test_older_states_and_limits_are_in_the_heading(golden: ModuleType) -> None:
    records = [
        golden.fabricate(0.2, limit=50),
        golden.fabricate(0.2, base={"split_hash": "old"}, started="2025-01-01T00:00:00+00:00"),
        golden.fabricate(0.3),
    ]
    text = render_tables(records, which="2", results=Path("results"), titles=golden.made_up_titles())
    heads = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert heads == [
        r"Table II. Segmentation (suite made\_up, protocol clean, 96 px)",
        r"Table II. Segmentation (suite made\_up, protocol clean, 96 px, older state)",
        r"Table II. Segmentation (suite made\_up, protocol clean, 96 px, at most 50 images per split)",
    ]
    assert "kept apart from the newest because they differ: siim: split old, not 59117000." in text


def test_single_runs_say_that_the_spread_is_unknown(golden: ModuleType) -> None:
    text = render_tables([golden.fabricate(0.2)], results=Path("results"), titles=golden.made_up_titles())
    assert (
        "One run per cell (pre-training seeds 0, evaluation seeds 0), so the spread between runs is not known." in text
    )
    assert "vlpbench run --method random" in text
    assert "Table I (Linear classification): no record yet." in text
    assert "n=" not in text


def test_images_seen_in_pretraining_are_told(golden: ModuleType) -> None:
    record = golden.fabricate(0.2)
    record.counts["test images seen in pre-training"] = 3
    text = render_tables([record], which="2", results=Path("results"), titles=golden.made_up_titles())
    assert "Up to 3 test images were seen in pre-training" in text


def test_problems_are_told_in_every_format(golden: ModuleType, tmp_path: Path) -> None:
    for suffix in ("md", "tex", "html"):
        text = write(golden, golden.golden_records(), tmp_path / f"table2.{suffix}", problems=["x.json: was changed"])
        assert "1 record file(s) could not be trusted" in text
        assert "x.json: was changed" in text


def test_a_table_is_replaced(golden: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "table2.md"
    write_text(out, "before")
    text = write(golden, golden.golden_records(), out)
    assert out.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [out]


def test_which_goes_over_the_name_of_the_file(golden: ModuleType, tmp_path: Path) -> None:
    assert "Table II." in write(golden, golden.golden_records(), tmp_path / "table1.md", which="2")


def test_unknown_suffix(golden: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(VlpbenchError, match=r"\.md \(Markdown\), \.tex \(LaTeX\), \.csv \(CSV\), \.html \(HTML\)"):
        write(golden, golden.golden_records(), tmp_path / "table2.docx")


def test_no_records_names_folder_and_command(golden: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(VlpbenchError, match=r"No records of segmentation under results.records\. Run: vlpbench run"):
        write(golden, [], tmp_path / "table2.md")
    with pytest.raises(VlpbenchError, match=r"there are records of segmentation"):
        write(golden, golden.golden_records(), tmp_path / "table1.md")
    with pytest.raises(VlpbenchError, match=r"could not be trusted:\n  - x\.json"):
        write(golden, [], tmp_path / "table2.md", problems=["x.json: was changed"])
    assert list(tmp_path.iterdir()) == []


def test_terminal_shows_the_same_cells(golden: ModuleType) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    print_tables(golden.golden_records(), console, titles=golden.made_up_titles())
    text = console.export_text()
    assert "61.0 ± 1.0 (n=3)" in text
    assert "Missing cells (–): 1 of 12." in text
    assert "Table I." not in text


def test_records_are_tabled_without_heavy_imports(golden: ModuleType, tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    for record in golden.golden_records():
        store.add(record)
    program = (
        "import sys; from pathlib import Path; from vlpbench.store import RecordStore\n"
        "from vlpbench.table.writing import write_table\n"
        "import vlpbench.table.terminal\n"
        f"root = Path({str(tmp_path)!r})\n"
        "write_table(*RecordStore(root).load_all(), out=root / 'tables.md', results=root)\n"
        "heavy = {'torch', 'sklearn', 'pyarrow', 'pandas', 'mmengine', 'mmdet', 'mmseg', 'timm', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "tables.md").is_file()
