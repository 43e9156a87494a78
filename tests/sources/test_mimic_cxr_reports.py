from __future__ import annotations

from pathlib import Path

import pytest

from tests.releases.mimic_cxr import NAMED, SLICED, write_release
from tests.sources.mimic_cxr_folder import (
    BOTH,
    FIRST,
    MEMBER,
    ZIP,
    problems_of,
    rezip,
    rows_of,
    source,
)
from vlpbench.sources.mimic_cxr_layout import find_reports


@pytest.mark.parametrize("reports", ["files", "reports", "reports/files", "mimic-cxr-reports/files"])
def test_reports_lie_in_any_usual_folder(tmp_path: Path, reports: str) -> None:
    write_release(tmp_path, reports=reports)
    assert find_reports(source(tmp_path)) == tmp_path / reports
    assert len(source(tmp_path).rows()) == 21


def test_report_folder_and_zip_say_the_same(tmp_path: Path) -> None:
    write_release(tmp_path / "a")
    write_release(tmp_path / "b", reports="reports/files")
    texts = [{row.image_id: row.report for row in source(tmp_path / part).rows()} for part in ("a", "b")]
    assert texts[0] == texts[1]


def test_the_last_paragraph_stands_in_where_it_is_asked_for(tmp_path: Path) -> None:
    write_release(tmp_path)
    assert "50414268" not in rows_of(tmp_path)
    (row,) = rows_of(tmp_path, fallback="last_paragraph")["50414268"]
    assert row.report.startswith("There is a right pleural effusion. Nothing else")
    assert row.facts["sections"] == "last_paragraph"


def test_exceptions_are_dropped_or_used(tmp_path: Path) -> None:
    write_release(tmp_path)
    assert not {NAMED, SLICED} & set(rows_of(tmp_path))
    used = rows_of(tmp_path, exceptions="use")
    assert used[NAMED][0].report == "The lungs are clear and there is no effusion in the left chest."
    assert used[SLICED][0].report == "There is a right pleural effusion in the right chest."
    assert used[NAMED][0].facts["sections"] == "exception"
    assert source(tmp_path, exceptions="use").counts()["exception studies"] == 0


def sectioned(folder: Path, *lines: str) -> None:
    text = "\n".join(["study,impression,findings,last_paragraph,comparison", *lines, ""])
    (folder / "mimic_cxr_sectioned.csv").write_text(text)


def test_ready_made_sections_replace_reports(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / ZIP).unlink()
    lines = ['s50414267,"Normal\n chest.",Clear lungs.,,', "s50414287,,,Only the last.,", "50414288,,Seen again.,,Old."]
    sectioned(tmp_path, *lines)
    adapter = source(tmp_path, sections="mimic_cxr_sectioned.csv")
    rows = {row.study: row for row in adapter.rows()}
    assert rows["50414267"].report == "IMPRESSION: Normal chest. FINDINGS: Clear lungs."
    assert set(rows) == {"50414267"}
    counts = adapter.counts()
    assert (counts["exception studies"], counts["without findings and impression"]) == (2, 1)
    assert counts["without report file"] == 20
    assert tmp_path / "mimic_cxr_sectioned.csv" in adapter.tables()


def test_ready_made_sections_are_checked(tmp_path: Path) -> None:
    write_release(tmp_path)
    sectioned(tmp_path, "s50414267,Normal.,,,", "s50414267,Again.,,,", "p10000032,Wrong.,,,")
    message = problems_of(tmp_path, sections="mimic_cxr_sectioned.csv")
    assert "mimic_cxr_sectioned.csv row 3: study_id 50414267 stands in an earlier row too" in message
    assert "row 4: study_id is 'p10000032'; expected eight digits" in message
    (tmp_path / "mimic_cxr_sectioned.csv").write_text("study,text\ns50414267,Normal.\n")
    assert "No column of" in problems_of(tmp_path, sections="mimic_cxr_sectioned.csv")


def test_latin_1_bytes_and_line_ends_do_not_break_a_report(tmp_path: Path) -> None:
    write_release(tmp_path)
    text = BOTH.replace("today", "café").replace("\n", "\r\n")
    rezip(tmp_path, lambda members: members.update({MEMBER: text.encode("latin-1")}))
    (row,) = rows_of(tmp_path)["50414267"]
    assert row.report == "IMPRESSION: Normal chest caf\ufffd. FINDINGS: Lungs clear."
    assert source(tmp_path).counts()["studies whose text is not all UTF-8"] == 1


def test_a_zip_with_another_top_folder_is_read(tmp_path: Path) -> None:
    write_release(tmp_path)

    def move(members: dict[str, bytes]) -> None:
        moved = {f"mimic-cxr-reports/{name}": data for name, data in members.items()}
        members.clear()
        members.update({"mimic-cxr-reports/": b"", **moved})

    rezip(tmp_path, move)
    assert len(source(tmp_path).rows()) == 21


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    data = (tmp_path / ZIP).read_bytes()
    (tmp_path / ZIP).write_bytes(data[: len(data) // 2])
    message = problems_of(tmp_path)
    assert f"{tmp_path / ZIP} is not a whole zip file" in message
    assert "download it again" in message


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    write_release(tmp_path)
    rezip(tmp_path, lambda members: members.update({MEMBER: BOTH.encode()}))
    data = (tmp_path / ZIP).read_bytes()
    (tmp_path / ZIP).write_bytes(data.replace(b"Lungs clear", b"Lungs xlear"))
    assert f"{ZIP}: member {MEMBER}: Bad CRC-32" in problems_of(tmp_path)


@pytest.mark.parametrize("name", ["../s1.txt", "files/../../x", "/etc/passwd", "C:/x.txt", "files\\..\\x"])
def test_a_zip_whose_member_climbs_out_is_refused(tmp_path: Path, name: str) -> None:
    release = tmp_path / "outer" / "release"
    write_release(release)
    rezip(release, lambda members: members.update({name: b"x"}))
    before = sorted(tmp_path.rglob("*"))
    assert f"has the member {name!r}, which leaves the folder" in problems_of(release)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)

    def replace(members: dict[str, bytes]) -> None:
        members.clear()
        members["p10/notes.txt"] = b"x"

    rezip(tmp_path, replace)
    message = problems_of(tmp_path)
    assert "holds no report; expected members such as files/p10/p10000032/s50414267.txt, found p10/notes.txt" in message


def test_a_zip_that_holds_a_report_twice_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    rezip(tmp_path, lambda members: members.update({f"copy/{MEMBER}": b"x"}))
    assert f"holds {FIRST}.txt twice: {MEMBER}, copy/{MEMBER}" in problems_of(tmp_path)


@pytest.mark.parametrize("reports", ["zip", "reports"])
def test_a_report_of_a_million_bytes_is_none(tmp_path: Path, reports: str) -> None:
    write_release(tmp_path, reports=reports)
    long = BOTH.encode() + b" " * 1_000_000
    if reports == "zip":
        rezip(tmp_path, lambda members: members.update({MEMBER: long}))
    else:
        (tmp_path / reports / f"{FIRST}.txt").write_bytes(long)
    message = problems_of(tmp_path)
    assert "has 1 problem(s)" in message
    assert f"{FIRST}.txt: more than 1,000,000 bytes" in message


def test_a_report_that_is_a_folder_is_named(tmp_path: Path) -> None:
    write_release(tmp_path, reports="reports")
    (tmp_path / "reports" / f"{FIRST}.txt").unlink()
    (tmp_path / "reports" / f"{FIRST}.txt").mkdir()
    assert f"{FIRST}.txt: Is a directory" in problems_of(tmp_path)


def test_reports_of_other_studies_leave_nothing(tmp_path: Path) -> None:
    write_release(tmp_path)

    def replace(members: dict[str, bytes]) -> None:
        members.clear()
        members["files/p19/p19999999/s59999999.txt"] = BOTH.encode()

    rezip(tmp_path, replace)
    message = problems_of(tmp_path)
    assert "has a report to train on: 48 images, 24 not frontal, 24 without report file" in message
