"""Names that formats take for their own signs, records without numbers, nothing to show, nowhere to write."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vlpbench.cli import main
from vlpbench.errors import NothingToShowError, VlpbenchError
from vlpbench.table.markdown import escape_markdown
from vlpbench.table.writing import Extras, write_table

NAMES = [
    "a|b",
    "a_b_c",
    "a&b&lt;",
    "<script>x</script>",
    "a\\b",
    "50%",
    "$a$",
    "#a",
    "{a}",
    "~a~",
    "a^b",
    "[a](b)",
    "`a`",
]


def write(golden: ModuleType, names: list[str], out: Path, **options: object) -> str:
    records = [golden.fabricate(0.5 + 0.01 * place, method=name) for place, name in enumerate(names)]
    return write_table(records, out=out, results=Path("results"), titles=golden.made_up_titles(), **options)  # type: ignore[arg-type]


def unescaped(text: str) -> str:
    """What Markdown shows: a sign after a backslash stands for itself."""
    shown, rest = "", text
    while rest:
        step = 2 if rest[0] == "\\" else 1
        shown, rest = shown + rest[step - 1 : step], rest[step:]
    return shown


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_as_it_is(golden: ModuleType, tmp_path: Path, name: str) -> None:
    text = write(golden, [name, "sista"], tmp_path / "table2.md")
    plain = write(golden, ["plain", "sista"], tmp_path / "table2.md")
    cut = [len([sign for sign in line.replace("\\|", "") if sign == "|"]) for line in text.splitlines()]
    assert cut == [len([sign for sign in line if sign == "|"]) for line in plain.splitlines()]
    assert unescaped(escape_markdown(name)) == name
    assert f"| {escape_markdown(name)} " in text


def test_no_sign_is_left_that_markdown_or_its_formulas_would_take() -> None:
    assert escape_markdown("*_|<$~[`") == r"\*\_\|\<\$\~\[\`"
    assert escape_markdown("a\n| b") == r"a \| b"
    assert escape_markdown("&lt; a & b") == r"\&lt; a & b"


@pytest.mark.parametrize("name", NAMES)
def test_html_shows_a_name_as_it_is(golden: ModuleType, tmp_path: Path, name: str) -> None:
    from html import escape

    text = write(golden, [name], tmp_path / "table2.html")
    assert f'<th scope="row">{escape(name)}</th>' in text
    assert "<script>" not in text


def test_csv_keeps_a_name_as_it_is(golden: ModuleType, tmp_path: Path) -> None:
    names = [*NAMES, 'a,"b"\nc']
    rows = list(csv.DictReader(io.StringIO(write(golden, names, tmp_path / "table2.csv"))))
    assert {row["method"] for row in rows if row["kind"] == "method"} == set(names)


@pytest.mark.parametrize("suffix", ["md", "tex", "csv", "html"])
def test_metrics_that_are_nowhere_defined_are_no_zeros(golden: ModuleType, tmp_path: Path, suffix: str) -> None:
    records = [golden.fabricate(None, method=name, floor=None) for name in ("sista", "convirt", "random")]
    text = write_table(
        records,
        out=tmp_path / f"table2.{suffix}",
        results=Path("results"),
        titles=golden.made_up_titles(),
        extras=Extras(golden.FabricatedResampler()),
    )
    assert "0.0" not in text.replace("0.01", "").replace("0.1.0", "")
    assert "nan" not in text.lower().replace("convirt", "")
    if suffix != "csv":
        assert text.count("undefined") >= 3


def test_nothing_to_show_says_what_to_run(golden: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(
        NothingToShowError, match=r"No records of segmentation under results.records\. Run: vlpbench run"
    ):
        write_table([], out=tmp_path / "table2.md", results=Path("results"))
    with pytest.raises(NothingToShowError, match=r"there are records of segmentation"):
        write_table(golden.golden_records(), out=tmp_path / "table1.md", results=Path("results"))
    with pytest.raises(NothingToShowError, match=r"could not be trusted:\n  - x\.json"):
        write_table([], ["x.json: was changed"], out=tmp_path / "table2.md", results=Path("results"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [[], ["--intervals"], ["--with-published"], ["--table", "4"]])
def test_nothing_to_show_is_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["vlpbench", "table", "--results", str(tmp_path / "nowhere"), *more])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "Run: vlpbench run --method" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named(golden: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    out = tmp_path / "file" / "table2.md"
    with pytest.raises(VlpbenchError, match=r"Cannot write .*table2\.md"):
        write(golden, ["sista"], out)
    assert (tmp_path / "file").read_text() == "a file where a folder should be"
    folder = tmp_path / "table2.md"
    folder.mkdir()
    with pytest.raises(VlpbenchError, match=r"Cannot write .*table2\.md"):
        write(golden, ["sista"], folder)
    assert list(folder.iterdir()) == []
