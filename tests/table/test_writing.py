from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from vlpbench.canonical import write_text
from vlpbench.errors import VlpbenchError
from vlpbench.record import Record
from vlpbench.store import RecordStore
from vlpbench.table.terminal import print_tables
from vlpbench.table.writing import Extras, render_tables, write_table

GOLDEN = Path(__file__).parent / "golden"


def write(golden: ModuleType, records: list[Record], out: Path, **options: object) -> str:
    return write_table(records, out=out, results=Path("results"), titles=golden.made_up_titles(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["md", "tex", "csv", "html"])
def test_golden(tmp_path: Path, golden: ModuleType, suffix: str) -> None:
    name = f"table2.{suffix}"
    text = write(golden, golden.committed_records(), tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8") == text
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", ["md", "tex", "csv", "html"])
def test_golden_with_intervals_and_published_numbers(tmp_path: Path, golden: ModuleType, suffix: str) -> None:
    extras = Extras(golden.FabricatedResampler(lacking="supervised"), published=True)
    text = write(golden, golden.full_records(), tmp_path / f"full.{suffix}", which="2", extras=extras)
    assert text == (GOLDEN / f"full.{suffix}").read_text(encoding="utf-8")


def test_committed_records_are_those_the_script_fabricates(golden: ModuleType) -> None:
    assert golden.committed_records() == golden.golden_records()


def test_markdown_says_missing_and_never_zero(golden: ModuleType) -> None:
    text = render_tables(golden.golden_records(), which="2", results=Path("results"), titles=golden.made_up_titles())
    (line,) = [line for line in text.splitlines() if line.startswith("| ConVIRT")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[-1] == "–"
    assert r"Missing cells (–): 1 of 12: ConVIRT: RSNA\_like & more 100 %." in text
    assert "- Synthetic data: not a measurement." in text


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
    assert (row["rank"], row["below_floor"], row["tied"], row["ci_low"], row["published"]) == ("1", "", "", "", "")
    mine = [record for record in golden.golden_records() if record.spec.method == "sista"]
    assert set(row["records"].split()) == {
        record.key for record in mine if (record.spec.dataset, record.spec.fraction) == ("siim", 0.01)
    }
    (gap,) = [row for row in rows if (row["method"], row["dataset"], row["fraction"]) == ("convirt", "rsna", "1.0")]
    assert (gap["mean"], gap["sd"], gap["n"], gap["train_images"]) == ("", "", "0", "")
    exact = golden.fabricate(1 / 3, method="mgca")
    rows = list(csv.DictReader(io.StringIO(write(golden, [exact], tmp_path / "table2.csv"))))
    assert 1 / 3 in [float(row["mean"]) for row in rows if row["mean"]]


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
    told = f"siim: split old, not 59117000 (record {records[1].key}, not {records[2].key})."
    assert f"kept apart from the newest because they differ: {told}" in text


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
    assert r"Warning: SIIM\_like & more: up to 3 test images were seen in pre-training" in text


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


def test_terminal_shows_the_same_cells(golden: ModuleType) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    print_tables(golden.golden_records(), console, titles=golden.made_up_titles())
    text = console.export_text()
    assert "61.0 ± 1.0 (n=3)" in text
    assert "Missing cells (–): 1 of 12: ConVIRT" in text
    assert "SISTA‡ (ResNet-18)" in text
    assert "Table I." not in text


def test_records_are_tabled_without_heavy_imports(golden: ModuleType, tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    for record in golden.golden_records():
        store.add(record)
    program = (
        "import sys; from pathlib import Path; from vlpbench.store import RecordStore\n"
        "from vlpbench.table.writing import Extras, write_table\n"
        "import vlpbench.table.terminal\n"
        f"root = Path({str(tmp_path)!r})\n"
        "write_table(*RecordStore(root).load_all(), out=root / 'tables.md', results=root, "
        "extras=Extras(published=True))\n"
        "heavy = {'torch', 'sklearn', 'pyarrow', 'pandas', 'mmengine', 'mmdet', 'mmseg', 'timm', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "tables.md").is_file()
