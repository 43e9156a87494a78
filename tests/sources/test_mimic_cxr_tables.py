from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.releases.mimic_cxr import write_release
from tests.sources.mimic_cxr_folder import (
    edit,
    problems_of,
    rows_of,
    source,
    swap,
)
from vlpbench.sources.mimic_cxr_tables import SPLITS


def test_tables_may_be_unpacked_and_carry_a_mark_and_other_line_ends(tmp_path: Path) -> None:
    write_release(tmp_path)
    before = source(tmp_path).rows()
    for path in sorted(tmp_path.glob("*.csv.gz")):
        text = (
            gzip.decompress(path.read_bytes()).decode().replace("\n", "\r\n").replace("subject_id", " subject_id ", 1)
        )
        path.with_suffix("").write_bytes(b"\xef\xbb\xbf" + text.encode())
        path.unlink()
    after = source(tmp_path).rows()
    assert [row.image_id for row in after] == [row.image_id for row in before]
    assert [row.report for row in after] == [row.report for row in before]


def test_columns_are_read_by_name(tmp_path: Path) -> None:
    write_release(tmp_path)
    before = [row.image_id for row in source(tmp_path).rows()]
    edit(tmp_path, "metadata", lambda text: "\n".join(f"new,{line}" for line in text.splitlines()))
    assert [row.image_id for row in source(tmp_path).rows()] == before


def test_labels_come_from_the_table_that_is_named(tmp_path: Path) -> None:
    write_release(tmp_path)
    edit(tmp_path, "negbio", lambda text: text.replace(",1.0", ",0.0"))
    assert rows_of(tmp_path, labels="negbio")["50414267"][0].labels["no_finding"] == 0.0
    (tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    assert rows_of(tmp_path, labels="none")["50414267"][0].labels == {}
    message = problems_of(tmp_path)
    assert "expected mimic-cxr-2.0.0-chexpert.csv.gz" in message
    assert "set the option labels to none" in message


def test_a_renamed_column_shows_its_neighbours(tmp_path: Path) -> None:
    write_release(tmp_path)
    swap(tmp_path, "metadata", "ViewPosition", "View_Position")
    message = problems_of(tmp_path)
    assert "No column of" in message
    assert "mimic-cxr-2.0.0-metadata.csv.gz named 'ViewPosition'. Near: View_Position" in message


@pytest.mark.parametrize("name", ["metadata", "split", "chexpert"])
def test_a_table_that_broke_off_is_refused(tmp_path: Path, name: str) -> None:
    write_release(tmp_path)
    path = tmp_path / f"mimic-cxr-2.0.0-{name}.csv.gz"
    path.write_bytes(path.read_bytes()[:-40])
    message = problems_of(tmp_path)
    assert f"{path} is cut short or damaged" in message
    assert "Download it again" in message


def test_all_bad_rows_are_listed_at_once(tmp_path: Path) -> None:
    write_release(tmp_path)
    edit(tmp_path, "split", lambda text: text.replace(",validate", ",valid", 1))
    edit(tmp_path, "metadata", lambda text: text.replace(",10000032,", ",../10000,", 1))
    edit(tmp_path, "chexpert", lambda text: text.replace(",-1.0,", ",maybe,", 1))
    message = problems_of(tmp_path)
    assert "has 3 problem(s)" in message
    assert f"split.csv.gz row 34: split is 'valid'; expected {', '.join(SPLITS)}" in message
    assert "metadata.csv.gz row 2: subject_id is '../10000'; expected eight digits" in message
    assert "chexpert.csv.gz row 2: Edema is 'maybe'; expected 1.0, 0.0, -1.0 or blank" in message


@pytest.mark.parametrize("name", ["metadata", "split"])
def test_a_repeated_image_is_refused(tmp_path: Path, name: str) -> None:
    write_release(tmp_path)
    edit(tmp_path, name, lambda text: text + text.splitlines()[1])
    message = problems_of(tmp_path)
    assert f"{name}.csv.gz row 50: dicom_id 00000000-00000000-00000000-000007e9-0000000b stands in an" in message


def test_a_repeated_study_of_labels_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    edit(tmp_path, "chexpert", lambda text: text + text.splitlines()[1])
    assert "chexpert.csv.gz row 25: study_id 50414267 stands in an earlier row too" in problems_of(tmp_path)


def test_images_in_one_table_alone_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    edit(tmp_path, "metadata", lambda text: "\n".join(text.splitlines()[:-1]))
    message = problems_of(tmp_path)
    assert "has 1 problem(s)" in message
    assert "split.csv.gz row 49: dicom_id" in message
    assert "(study 50414488) is not in mimic-cxr-2.0.0-metadata.csv.gz" in message
    edit(tmp_path, "split", lambda text: "\n".join(text.splitlines()[:-2]))
    message = problems_of(tmp_path)
    assert "metadata.csv.gz row 48: dicom_id" in message
    assert "is not in mimic-cxr-2.0.0-split.csv.gz" in message


def test_tables_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    swap(tmp_path, "split", ",50414267,", ",50414999,")
    message = problems_of(tmp_path)
    assert "split.csv.gz row 2: study_id of 00000000-00000000-00000000-000007e9-0000000b is 50414999" in message
    assert "in mimic-cxr-2.0.0-metadata.csv.gz it is 50414267" in message


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    swap(tmp_path, "split", ",train", ",test")
    assert "split.csv.gz: patient 10000032 stands in more than one split" in problems_of(tmp_path)
