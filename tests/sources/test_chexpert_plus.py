from __future__ import annotations

import gzip
import json
import math
import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.releases.chexpert_plus import TABLE, write_release
from vlpbench.data.corpus import Corpus
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.prepared import prepare
from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.sources.chexpert_plus import CheXpertPlus
from vlpbench.suite import DataSpec

FIRST = "train/patient42142/study1/view1_frontal"
LABELS = "chexbert_labels/report_fixed.json"


def request(folder: Path, **options: Any) -> SourceRequest:
    spec = DataSpec("chexpert_plus", "CheXpert Plus", "chexpert_plus", options=options)
    return SourceRequest(spec, root=folder, image_size=64)


def source(folder: Path, **options: Any) -> CheXpertPlus:
    return CheXpertPlus(request(folder, **options))


def rows_of(folder: Path, **options: Any) -> dict[str, ImageRow]:
    return {row.image_id: row for row in source(folder, **options).rows()}


def problems_of(folder: Path, **options: Any) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder, **options).rows()
    return str(error.value)


def set_cell(folder: Path, row: int, column: str, value: str) -> None:
    """Change a cell; rows are counted as in messages, the header being row 1."""
    frame = pd.read_csv(folder / TABLE, dtype=str, keep_default_na=False)
    frame.loc[row - 2, column] = value
    frame.to_csv(folder / TABLE, index=False)


def set_line(folder: Path, line: int, text: str, name: str = LABELS) -> None:
    lines = (folder / name).read_text().splitlines()
    lines[line - 1] = text
    (folder / name).write_text("\n".join(lines) + "\n")


def test_rows_have_ids_reports_and_labels(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    row = rows[FIRST]
    assert (row.patient, row.study, row.split) == ("patient42142", "train/patient42142/study1", "")
    assert row.report == ("IMPRESSION: 1. NORMAL ON VISIT 0. FINDINGS: 1. The lungs are clear in patient 0, visit 0.")
    assert row.summary == ""
    assert row.facts == {"view": "frontal", "position": "AP", "sections": "impression and findings"}
    assert row.source_path == f"PNG/{FIRST}.png"
    assert len(row.labels) == 14
    known = {name: value for name, value in row.labels.items() if not math.isnan(value)}
    assert known == {"pleural_effusion": 0.0, "cardiomegaly": 1.0}
    assert not row.boxes_known


def test_every_image_is_read(tmp_path: Path) -> None:
    write_release(tmp_path)
    adapter = source(tmp_path, views="all", exclude_valid=False)
    rows = adapter.rows()
    assert len(rows) == 35
    for row in rows:
        assert np.ptp(adapter.read(row).image) > 50


def test_every_image_is_lost_for_one_reason_or_kept(tmp_path: Path) -> None:
    write_release(tmp_path)
    counts = source(tmp_path).counts()
    lost = ("official validation", "not frontal", "without findings and impression")
    assert [counts[name] for name in ("images", *lost, "kept")] == [36, 6, 10, 1, 19]
    assert counts["images"] == sum(counts[name] for name in lost) + counts["kept"]
    assert counts["kept without labels"] == 0


def test_official_validation_patients_are_left_out_by_default(tmp_path: Path) -> None:
    write_release(tmp_path)
    assert not [name for name in rows_of(tmp_path) if name.startswith("valid/")]
    splits = Counter(row.split for row in rows_of(tmp_path, exclude_valid=False).values())
    assert splits == {"train": 19, "val": 4}
    assert source(tmp_path, exclude_valid=False).counts()["official validation"] == 0


def test_a_patient_of_the_official_validation_is_left_out_wholly(tmp_path: Path) -> None:
    write_release(tmp_path)
    set_cell(tmp_path, 5, "split", "valid")
    left = {row.patient for row in rows_of(tmp_path).values()}
    assert len(left) == 9
    assert "patient42143" not in left


def test_reports_with_one_section_alone_are_kept(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    assert "train/patient42142/study2/view1_frontal" not in rows
    findings = rows["train/patient42143/study2/view1_frontal"]
    assert findings.report.startswith("FINDINGS: 1. ")
    assert findings.facts["sections"] == "findings"
    impression = rows["train/patient42144/study2/view1_frontal"]
    assert impression.report == "IMPRESSION: 1. EFFUSION ON VISIT 1."
    assert impression.facts["sections"] == "impression"


def test_a_corpus_of_it_speaks_plain_text(tmp_path: Path) -> None:
    write_release(tmp_path)
    corpus = Corpus(prepare(request(tmp_path), tmp_path / "work", jobs=1))
    rows = corpus.rows("train")
    manifest = corpus.prepared.manifest
    assert set(manifest["split"]) == {"train", "val", "test"}
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()
    reports, summaries = corpus.reports(rows), corpus.summaries(rows)
    assert not [text for text in reports if ":" in text]
    assert reports[0].startswith(summaries[0])
    assert {"pleural_effusion", "cardiomegaly"} == set(corpus.label_names)


def test_labels_are_optional_unless_asked_for(tmp_path: Path) -> None:
    write_release(tmp_path)
    set_line(
        tmp_path,
        1,
        json.dumps({"path_to_image": f"{FIRST}.jpg"} | all_labels(1.0)),
        LABELS.replace("report", "findings"),
    )
    assert rows_of(tmp_path, labels="findings")[FIRST].labels["fracture"] == 1.0
    assert math.isnan(rows_of(tmp_path)[FIRST].labels["fracture"])
    shutil.rmtree(tmp_path / "chexbert_labels")
    assert rows_of(tmp_path)[FIRST].labels == {}
    assert len(source(tmp_path).tables()) == 1
    assert "chexbert_labels/impression_fixed.json, which is not there" in problems_of(tmp_path, labels="impression")


def all_labels(value: object) -> dict[str, object]:
    from vlpbench.sources.report_labels import LABELS

    return dict.fromkeys(LABELS, value)


def test_an_image_without_a_line_of_labels_has_unknown_ones(tmp_path: Path) -> None:
    write_release(tmp_path)
    set_line(tmp_path, 1, "")
    labels = rows_of(tmp_path)[FIRST].labels
    assert len(labels) == 14
    assert all(map(math.isnan, labels.values()))
    assert source(tmp_path).counts()["kept without labels"] == 1


@pytest.mark.parametrize("place", [".", "PNG/PNG", "PNGs", "DICOM", "CheXpert-v1.0-small", "elsewhere"])
def test_images_lie_in_any_usual_folder(tmp_path: Path, place: str) -> None:
    write_release(tmp_path)
    (tmp_path / "PNG").rename(tmp_path / "moved")
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for part in ("train", "valid"):
        (tmp_path / "moved" / part).rename(tmp_path / place / part)
    adapter = source(tmp_path, **({"images": place} if place == "elsewhere" else {}))
    row = adapter.rows()[0]
    assert row.source_path == f"{'' if place == '.' else place + '/'}{FIRST}.png"
    assert adapter.read(row).height == 96


def test_jpeg_files_of_chexpert_serve_too(tmp_path: Path) -> None:
    write_release(tmp_path)
    png = tmp_path / "PNG" / f"{FIRST}.png"
    Image.open(png).save(png.with_suffix(".jpg"))
    png.unlink()
    adapter = source(tmp_path)
    row = adapter.rows()[0]
    assert row.source_path.endswith("view1_frontal.jpg")
    assert adapter.read(row).height == 96
    png.with_suffix(".jpg").unlink()
    with pytest.raises(UnreadableImageError, match="no such file"):
        adapter.read(row)


def test_a_packed_table_with_a_mark_and_other_line_ends_is_read(tmp_path: Path) -> None:
    write_release(tmp_path)
    before = rows_of(tmp_path)
    text = (tmp_path / TABLE).read_text().replace("\n", "\r\n").replace("path_to_image", " path_to_image ", 1)
    (tmp_path / f"{TABLE}.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    (tmp_path / TABLE).unlink()
    assert {name: row.report for name, row in rows_of(tmp_path).items()} == {
        name: row.report for name, row in before.items()
    }


def test_latin_1_bytes_do_not_break_the_table(tmp_path: Path) -> None:
    write_release(tmp_path)
    # The first entry says so twice: in the whole report and in its section.
    data = (tmp_path / TABLE).read_bytes().replace(b"NORMAL", "CAF\u00c9".encode("latin-1"), 2)
    (tmp_path / TABLE).write_bytes(data)
    assert rows_of(tmp_path)[FIRST].report.startswith("IMPRESSION: 1. CAF\ufffd ON")
    assert source(tmp_path).counts()["texts not all UTF-8"] == 1


def test_a_blank_patient_is_taken_from_the_path(tmp_path: Path) -> None:
    write_release(tmp_path)
    set_cell(tmp_path, 2, "deid_patient_id", "")
    assert rows_of(tmp_path)[FIRST].patient == "patient42142"


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train" / "x").mkdir(parents=True)
    (tmp_path / "train.csv").touch()
    message = problems_of(tmp_path)
    assert "is not the release that 'chexpert_plus' reads" in message
    assert f"expected {TABLE} or {TABLE}.gz; found train.csv, train/" in message


def test_a_release_without_images_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    shutil.rmtree(tmp_path / "PNG")
    assert "expected the folder train/ in . or PNG or" in problems_of(tmp_path)
    assert "expected the folder train/ in here" in problems_of(tmp_path, images="here")
    assert "leaves the folder" in problems_of(tmp_path, images="../x")
    with pytest.raises(VlpbenchError, match="expected the folder train/"):
        source(tmp_path).require()


@pytest.mark.parametrize("column", ["section_findings", "path_to_image", "split"])
def test_a_renamed_column_shows_its_neighbours(tmp_path: Path, column: str) -> None:
    write_release(tmp_path)
    path = tmp_path / TABLE
    path.write_text(path.read_text().replace(f",{column}", f",{column}s", 1))
    assert f"No column of {path} named {column!r}. Near: {column}s" in problems_of(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_table_that_broke_off_is_refused(tmp_path: Path, packed: bool) -> None:
    write_release(tmp_path)
    path = tmp_path / TABLE
    data = path.read_bytes()
    if packed:
        path.unlink()
        path = tmp_path / f"{TABLE}.gz"
        path.write_bytes(gzip.compress(data)[:-100])
    else:
        path.write_bytes(data[: data.rindex(b'"') - 3])
    message = problems_of(tmp_path)
    assert f"{path} is not a readable CSV file" in message
    assert "Download it again" in message


def test_all_bad_rows_are_listed_at_once(tmp_path: Path) -> None:
    write_release(tmp_path)
    set_cell(tmp_path, 2, "path_to_image", "../../etc/passwd.jpg")
    set_cell(tmp_path, 3, "split", "test")
    set_cell(tmp_path, 4, "frontal_lateral", "AP")
    set_cell(tmp_path, 6, "path_to_image", "train/patient42143/study1/view1_frontal.png")
    message = problems_of(tmp_path)
    assert "has 4 problem(s)" in message
    assert f"{TABLE} row 2: path_to_image is '../../etc/passwd.jpg'; expected train/patient42142/" in message
    assert f"{TABLE} row 3: split is 'test'; expected train or valid" in message
    assert f"{TABLE} row 4: frontal_lateral is 'ap'; expected Frontal or Lateral" in message
    assert "row 6: train/patient42143/study1/view1_frontal stands in an earlier row too" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path_to_image": "train', "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[1, 2]", "line 2: expected an object with path_to_image"),
        ('{"path_to_image": "/etc/passwd"}', "line 2: path_to_image is '/etc/passwd'; expected a path such as"),
        ('{"path_to_image": "train/patient1/study1/view1_frontal.jpg"}', "line 2: no label 'Atelectasis'"),
        (json.dumps({"path_to_image": f"{FIRST}.jpg"} | all_labels(2.0)), "line 2: Atelectasis is 2.0; expected"),
        (json.dumps({"path_to_image": f"{FIRST}.jpg"} | all_labels([1])), "line 2: Atelectasis is [1]; expected"),
        (json.dumps({"path_to_image": f"{FIRST}.jpg"} | all_labels(1)), f"line 2: {FIRST} stands in an earlier line"),
    ],
    ids=["broken", "deep", "list", "path", "missing", "number", "kind", "twice"],
)
def test_bad_lines_of_labels_are_named(tmp_path: Path, text: str, message: str) -> None:
    write_release(tmp_path)
    set_line(tmp_path, 2, text)
    found = problems_of(tmp_path)
    assert "has 1 problem(s)" in found
    assert f"{LABELS} {message}" in found


def test_a_table_without_texts_leaves_nothing(tmp_path: Path) -> None:
    write_release(tmp_path)
    frame = pd.read_csv(tmp_path / TABLE, dtype=str, keep_default_na=False)
    frame[["section_findings", "section_impression"]] = ""
    frame.to_csv(tmp_path / TABLE, index=False)
    message = problems_of(tmp_path)
    assert "has a report to train on: 36 images, 6 official validation, 10 not frontal" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "all"}, "No option of the source chexpert_plus named 'view'. Near: views"),
        ({"views": "lateral"}, "No value of the option 'views' of chexpert_plus named 'lateral'"),
        ({"labels": "x"}, "Known: findings, impression, report"),
        ({"exclude_valid": "false"}, "expected true or false"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((UnknownNameError, VlpbenchError)) as error:
        source(tmp_path, **options)
    assert message in str(error.value)


def test_the_source_stays_light_for_other_processes(tmp_path: Path) -> None:
    write_release(tmp_path)
    adapter = source(tmp_path)
    adapter.rows()
    assert len(pickle.dumps(adapter)) < 4000
