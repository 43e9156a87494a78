from __future__ import annotations

import math
import pickle
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.releases.mimic_cxr import write_release
from tests.sources.mimic_cxr_folder import (
    FIRST,
    ZIP,
    problems_of,
    request,
    rezip,
    rows_of,
    source,
    swap,
)
from vlpbench.data.corpus import Corpus
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.prepared import prepare
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.sources.mimic_cxr_layout import find_images


def test_rows_have_ids_split_report_and_labels(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    assert Counter(row.split for found in rows.values() for row in found) == {"train": 13, "val": 4, "test": 4}
    (row,) = rows["50414267"]
    assert (row.patient, row.split) == ("10000032", "train")
    assert row.report == (
        "IMPRESSION: Normal chest on visit 0. FINDINGS: The lungs are clear and there is no effusion. "
        "The heart of patient 0 is of normal size on visit 0."
    )
    assert row.facts == {"view": "PA", "sections": "impression and findings"}
    assert row.source_path == f"files/{FIRST}/{row.image_id}.jpg"
    assert len(row.labels) == 14
    known = {name: value for name, value in row.labels.items() if not math.isnan(value)}
    assert known == {"cardiomegaly": 1.0, "no_finding": 1.0, "pleural_effusion": 0.0}
    assert not row.boxes_known


def test_uncertain_and_unmentioned_labels_are_unknown(tmp_path: Path) -> None:
    write_release(tmp_path)
    labels = rows_of(tmp_path)["50414267"][0].labels
    assert math.isnan(labels["edema"])
    assert math.isnan(labels["fracture"])


def test_a_study_without_a_row_of_labels_has_unknown_ones(tmp_path: Path) -> None:
    write_release(tmp_path)
    (row,) = rows_of(tmp_path)["50414328"]
    assert len(row.labels) == 14
    assert all(map(math.isnan, row.labels.values()))
    assert source(tmp_path).counts()["studies kept without labels"] == 1


def test_every_image_is_lost_for_one_reason_or_kept(tmp_path: Path) -> None:
    write_release(tmp_path)
    with_less = zipfile.ZipFile(tmp_path / ZIP).namelist()
    rezip(tmp_path, lambda members: members.pop(with_less[-1]))
    adapter = source(tmp_path)
    rows = adapter.rows()
    counts = adapter.counts()
    lost = ("not frontal", "without report file", "exception studies", "without findings and impression")
    assert [counts[name] for name in ("images", *lost, "kept")] == [48, 24, 1, 2, 1, 20]
    assert counts["images"] == sum(counts[name] for name in lost) + counts["kept"]
    assert len(rows) == counts["kept"]
    assert counts["studies kept"] == 20
    assert counts["studies without usable text"] == 4


@pytest.mark.parametrize("suffix", [".jpg", ".dcm", ".dcm.gz"])
def test_images_are_read_whatever_lies_there(tmp_path: Path, suffix: str) -> None:
    write_release(tmp_path, patients=5, suffix=suffix)
    adapter = source(tmp_path)
    for row in adapter.rows():
        assert row.source_path.endswith(suffix)
        pixels = adapter.read(row)
        assert (pixels.height, pixels.width) == (96, 96)
        assert np.ptp(pixels.image) > 60
        assert len(pixels.content) == 32


def test_jpg_is_preferred_where_both_lie_there(tmp_path: Path) -> None:
    write_release(tmp_path, patients=5, suffix=".dcm")
    (row,) = rows_of(tmp_path)["50414267"]
    path = (tmp_path / row.source_path).with_suffix(".JPG")
    path.touch()
    assert rows_of(tmp_path)["50414267"][0].source_path.endswith(".JPG")


def test_missing_images_are_told_when_they_are_read(tmp_path: Path) -> None:
    write_release(tmp_path, patients=5)
    shutil.rmtree(tmp_path / "files" / FIRST)
    adapter = source(tmp_path)
    (row,) = [row for row in adapter.rows() if row.study == "50414267"]
    with pytest.raises(UnreadableImageError, match="no such file"):
        adapter.read(row)


@pytest.mark.parametrize(("data", "message"), [(b"", "Compressed|cut|empty"), (b"text", "Not a gzipped file")])
def test_a_damaged_packed_dicom_is_unreadable(tmp_path: Path, data: bytes, message: str) -> None:
    write_release(tmp_path, patients=5, suffix=".dcm.gz")
    adapter = source(tmp_path)
    row = adapter.rows()[0]
    path = tmp_path / row.source_path
    path.write_bytes(data or path.read_bytes()[:200])
    with pytest.raises(UnreadableImageError, match=message):
        adapter.read(row)


def test_a_corpus_of_it_speaks_plain_text(tmp_path: Path) -> None:
    write_release(tmp_path)
    corpus = Corpus(prepare(request(tmp_path), tmp_path / "work", jobs=1))
    assert corpus.counts["train pairs"] == 13
    assert corpus.counts["val pairs"] == 4
    report = corpus.reports(corpus.rows("train"))[0]
    assert report.startswith("Normal chest on visit 0. The lungs are clear")
    assert corpus.summaries(corpus.rows("train"))[0] == "Normal chest on visit 0."
    assert "pleural_effusion" in corpus.label_names


def test_two_projects_as_physionet_mirrors_them(tmp_path: Path) -> None:
    write_release(tmp_path / "mimic-cxr-jpg" / "2.0.0")
    (tmp_path / "mimic-cxr" / "2.1.0").mkdir(parents=True)
    (tmp_path / "mimic-cxr-jpg" / "2.0.0" / ZIP).rename(tmp_path / "mimic-cxr" / "2.1.0" / ZIP)
    adapter = source(tmp_path)
    assert find_images(adapter) == tmp_path / "mimic-cxr-jpg" / "2.0.0" / "files"
    row = adapter.rows()[0]
    assert row.source_path.startswith("mimic-cxr-jpg/2.0.0/files/p10/")
    assert adapter.read(row).height == 96


def test_options_name_images_and_reports_elsewhere(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "files").rename(tmp_path / "small" / "jpg")
    (tmp_path / ZIP).rename(tmp_path / "texts.zip")
    adapter = source(tmp_path, images="small/jpg", reports="texts.zip")
    row = adapter.rows()[0]
    assert row.source_path.startswith("small/jpg/p10/")
    assert adapter.read(row).width == 96
    assert tmp_path / "texts.zip" in adapter.tables()


def test_views_are_chosen_and_blank_ones_recovered(tmp_path: Path) -> None:
    write_release(tmp_path)
    views = Counter(row.facts["view"] for found in rows_of(tmp_path).values() for row in found)
    assert views == {"PA": 12, "AP": 9}
    views = Counter(row.facts["view"] for found in rows_of(tmp_path, recover_views=True).values() for row in found)
    assert views == {"PA": 12, "AP": 18}
    assert source(tmp_path, recover_views=True).counts()["views recovered"] == 12
    views = Counter(row.facts["view"] for found in rows_of(tmp_path, views=["lateral"]).values() for row in found)
    assert views == {"LATERAL": 12}


def test_images_of_a_study_share_its_report(tmp_path: Path) -> None:
    write_release(tmp_path)
    first, second = rows_of(tmp_path, recover_views=True)["50414348"]
    assert first.report == second.report
    assert first.image_id != second.image_id


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").touch()
    message = problems_of(tmp_path)
    assert "is not the release that 'mimic_cxr' reads" in message
    assert "expected mimic-cxr-2.0.0-metadata.csv.gz" in message
    assert "found train.csv" in message


def test_a_release_without_images_or_reports_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / ZIP).unlink()
    assert "expected mimic-cxr-reports.zip or reports such as" in problems_of(tmp_path)
    shutil.rmtree(tmp_path / "files")
    assert "expected the group folders p10 to p19 in files/" in problems_of(tmp_path)
    with pytest.raises(VlpbenchError, match=r"expected mimic-cxr-reports\.zip"):
        source(tmp_path).require()


def test_views_that_no_image_has_show_those_there_are(tmp_path: Path) -> None:
    write_release(tmp_path)
    assert "there are: AP, LATERAL, PA." in problems_of(tmp_path, views=["SWIMMERS"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": ["PA"]}, "No option of the source mimic_cxr named 'view'. Near: views"),
        ({"labels": "chexbert"}, "No value of the option 'labels' of mimic_cxr named 'chexbert'"),
        ({"fallback": "comparison"}, "Known: last_paragraph, none"),
        ({"exceptions": "keep"}, "Known: drop, use"),
        ({"views": "PA"}, "expected a list such as"),
        ({"views": []}, "expected a list such as"),
        ({"recover_views": "false"}, "expected true or false"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((UnknownNameError, VlpbenchError)) as error:
        source(tmp_path, **options)
    assert message in str(error.value)


@pytest.mark.parametrize("option", ["images", "reports", "sections"])
def test_paths_of_options_stay_inside_and_are_there(tmp_path: Path, option: str) -> None:
    release = tmp_path / "release"
    write_release(release)
    (tmp_path / "outside").mkdir()
    assert "leaves the folder" in problems_of(release, **{option: "../outside"})
    assert f"the option {option} names nowhere, which is not there" in problems_of(release, **{option: "nowhere"})


def test_the_stamp_changes_with_tables_and_reports(tmp_path: Path) -> None:
    write_release(tmp_path, reports="reports")
    before = source(tmp_path).stamp()
    assert source(tmp_path).stamp() == before
    (tmp_path / "reports" / "p10" / "p10999999").mkdir()
    between = source(tmp_path).stamp()
    assert between != before
    swap(tmp_path, "chexpert", ",0.0", ",1.0")
    assert source(tmp_path).stamp() != between


def test_the_source_stays_light_for_other_processes(tmp_path: Path) -> None:
    write_release(tmp_path)
    adapter = source(tmp_path)
    adapter.rows()
    assert len(pickle.dumps(adapter)) < 4000
