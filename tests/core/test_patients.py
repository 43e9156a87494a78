"""Patients of the test images, kept beside the results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.patients import patients_file, read_patients, write_patients
from vlpbench.record import Record
from vlpbench.specs import Foundations, RunSpec

SPEC = RunSpec("sista", "resnet18", 96, "phantom", "classification", "chexpert", 0.1, 0, "clean")
RECORD = Record("k", SPEC, Foundations("w", "f" * 32, "s" * 16, "h", 1), {}, "auroc", {}, {}, {})


def _file(root: Path) -> Path:
    return patients_file(
        root, suite="phantom", task="classification", dataset="chexpert", fingerprint="f" * 32, split_hash="s" * 16
    )


def test_patients_are_numbered_and_no_id_is_kept(tmp_path: Path) -> None:
    write_patients(_file(tmp_path), ["a", "b", "c", "d"], ["patient9", "patient2", "patient9", "007"])
    found = read_patients(tmp_path, RECORD)
    assert found is not None
    assert found.to_dict() == {"a": 0, "b": 1, "c": 0, "d": 2}
    assert "patient9" not in _file(tmp_path).read_text()


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    write_patients(_file(tmp_path), ["a"], ["x"])
    before = _file(tmp_path).read_bytes()
    write_patients(_file(tmp_path), ["b"], ["y"])
    assert _file(tmp_path).read_bytes() == before


def test_other_data_have_other_patients(tmp_path: Path) -> None:
    write_patients(_file(tmp_path), ["a"], ["x"])
    other = replace(RECORD, foundations=replace(RECORD.foundations, data_fingerprint="e" * 32))
    assert read_patients(tmp_path, other) is None


@pytest.mark.parametrize(
    "text", ["", "image_id,person\na,1\n", "image_id,patient\na,one\n", "image_id,patient\na,1\na,2\n"]
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    _file(tmp_path).parent.mkdir(parents=True)
    _file(tmp_path).write_text(text)
    with pytest.raises(VlpbenchError, match=r"f{16}-s{16}\.csv: expected the columns image_id and patient"):
        read_patients(tmp_path, RECORD)
