from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.releases.nih import write_release
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.prepared import prepare
from vlpbench.data.source import BadAnnotationError, ImageRow, SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.sources.nih import FINDINGS, NIHChestXray14
from vlpbench.suite import DataSpec

LABELS = "Data_Entry_2017_v2020.csv"
BOXES = "BBox_List_2017.csv"


def request(folder: Path) -> SourceRequest:
    return SourceRequest(DataSpec("nih", "NIH ChestX-ray14", "nih"), root=folder, image_size=64)


def source(folder: Path) -> NIHChestXray14:
    return NIHChestXray14(request(folder))


def rows_of(folder: Path) -> dict[str, ImageRow]:
    return {row.image_id: row for row in source(folder).rows()}


def problems_of(folder: Path) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder).rows()
    return str(error.value)


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first of a text in a file that must hold it."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_rows_have_patients_labels_and_the_official_split(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == 48
    row = rows["00000001_001.png"]
    assert (row.patient, row.study, row.split) == ("00000001", "00000001_001", "train")
    positive = {name for name, value in row.labels.items() if value == 1.0}
    assert positive == {"atelectasis", "cardiomegaly", "pleural_effusion", "infiltration", "mass"}
    assert len(row.labels) == 15
    assert set(row.labels.values()) == {0.0, 1.0}
    normal = rows["00000001_000.png"].labels
    assert [name for name, value in normal.items() if value] == ["no_finding"]
    assert row.facts == {"view": "PA", "sex": "M", "age": "41"}
    assert {row.split for row in rows.values()} == {"train", "test"}
    split_of = {row.patient: row.split for row in rows.values()}
    assert all(row.split == split_of[row.patient] for row in rows.values())
    assert row.source_path == "images_002/images/00000001_001.png"
    assert rows["00000002_000.png"].source_path == "images_001/images/00000002_000.png"


def test_the_first_edition_reads_the_same(tmp_path: Path) -> None:
    write_release(tmp_path / "2020")
    write_release(tmp_path / "2017", edition=2017)
    assert (tmp_path / "2017" / "Data_Entry_2017.csv").read_text().splitlines()[1].endswith(",")
    assert rows_of(tmp_path / "2017") == rows_of(tmp_path / "2020")


@pytest.mark.parametrize(("age", "years"), [("058Y", "58"), ("010M", "0"), ("031M", "2"), ("013D", "0"), ("?", "")])
def test_ages_are_whole_years(tmp_path: Path, age: str, years: str) -> None:
    write_release(tmp_path, edition=2017)
    edit(tmp_path / "Data_Entry_2017.csv", ",041Y,", f",{age},")
    assert rows_of(tmp_path)["00000001_000.png"].facts["age"] == years


def test_the_newer_table_is_taken_where_both_are_there(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "Data_Entry_2017.csv").write_text("Image Index\n")
    assert source(tmp_path).tables()[0].name == LABELS
    assert len(rows_of(tmp_path)) == 48


def test_boxes_are_known_only_where_they_are_listed(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    boxed = {name for name, row in rows.items() if row.boxes_known}
    assert boxed == {f"{patient:08d}_{image:03d}.png" for patient in (10, 11, 12) for image in (1, 2)}
    assert all(bool(row.boxes) == row.boxes_known for row in rows.values())
    first, second = rows["00000010_001.png"].boxes
    # The list of boxes writes Infiltrate for Infiltration.
    assert (first.label, second.label) == ("infiltration", "mass")
    assert (first.x, first.y, first.width, first.height) == (200.5, 310.25, 240.5, 180.0)


def test_without_the_list_no_box_is_known(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / BOXES).unlink()
    rows = rows_of(tmp_path)
    assert len(rows) == 48
    assert not any(row.boxes_known for row in rows.values())


def test_boxes_follow_the_size_of_the_image(tmp_path: Path) -> None:
    write_release(tmp_path, side=128)
    made = source(tmp_path)
    row = {row.image_id: row for row in made.rows()}["00000010_002.png"]
    small = made.read(row)
    assert small.boxes is not None
    (box,) = small.boxes
    assert (box.x, box.width) == (200.5 / 8, 240.5 / 8)
    inside = small.image[round(box.y) + 2 : round(box.y + box.height) - 2, round(box.x) + 2 : round(box.x) + 20]
    assert inside.min() == 250
    Image.new("L", (1024, 1024)).save(tmp_path / row.source_path)
    whole = made.read(row)
    assert (whole.boxes or row.boxes) == row.boxes
    Image.new("L", (1024, 900)).save(tmp_path / row.source_path)
    with pytest.raises(BadAnnotationError, match="1024 x 900: not a resized copy"):
        made.read(row)


def test_rgba_images_are_read_as_grey(tmp_path: Path) -> None:
    write_release(tmp_path)
    made = source(tmp_path)
    row = {row.image_id: row for row in made.rows()}["00000005_000.png"]
    with Image.open(tmp_path / row.source_path) as picture:
        assert picture.mode == "RGBA"
        grey = np.asarray(picture)[..., 0]
    pixels = made.read(row)
    assert pixels.image.shape == (96, 96)
    assert (pixels.image == grey).all()


def test_all_images_in_one_folder(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "images").mkdir()
    for path in list(tmp_path.glob("images_*/images/*.png")):
        path.rename(tmp_path / "images" / path.name)
    for part in (1, 2):
        (tmp_path / f"images_{part:03d}" / "images").rmdir()
    row = rows_of(tmp_path)["00000003_001.png"]
    assert row.source_path == "images/00000003_001.png"
    assert source(tmp_path).read(row).height == 96


def test_preparing_keeps_the_official_test_patients(tmp_path: Path) -> None:
    write_release(tmp_path)
    asked = request(tmp_path)
    rows = source(tmp_path).rows()
    prepared = prepare(asked, tmp_path / "work", jobs=1)
    tested = set(prepared.manifest["patient"][prepared.manifest["split"] == "test"])
    assert tested == {"00000010", "00000011", "00000012"}
    assert len(prepared.manifest) == len(rows)
    listed = prepared.manifest.set_index("image_id")
    (box,) = json.loads(listed["boxes"]["00000012_002.png"])
    assert box["x"] == pytest.approx(200.5 / 16)


def test_every_finding_has_both_classes_in_every_split(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path).values()
    for label in (*FINDINGS.values(), "no_finding"):
        for split in ("train", "test"):
            assert {row.labels[label] for row in rows if row.split == split} == {0.0, 1.0}


def test_byte_order_marks_and_windows_lines_make_no_difference(tmp_path: Path) -> None:
    write_release(tmp_path)
    expected = rows_of(tmp_path)
    for name in (LABELS, BOXES, "train_val_list.txt", "test_list.txt"):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    for name in (LABELS, BOXES):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    assert rows_of(tmp_path) == expected


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("|Mass", "|Masses", "row 3: the finding is 'Masses'; expected No Finding, Atelectasis, Cardiomegaly"),
        ("Atelectasis|", "|", "row 3: the finding is ''; expected No Finding"),
        ("No Finding,", "No Finding|Hernia,", "row 2: No Finding together with another finding: 'No Finding|Hernia'"),
        ("00000001_002.png", "1_2.png", "row 4: the image is '1_2.png'; expected a name such as 00000001_000.png"),
        ("Hernia,3,1,", "Hernia,3,2,", "row 5: the patient is '2', but the image 00000001_003.png is of patient 1"),
        ("Hernia,3,1,", "Hernia,3,,", "row 5: the patient is '', but the image 00000001_003.png is of patient 1"),
        ("00000001_002.png", "00000001_001.png", "row 4: image '00000001_001.png' stands in an earlier row too"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    write_release(tmp_path)
    edit(tmp_path / LABELS, old, new)
    assert f"{LABELS} {reason}" in problems_of(tmp_path)


def test_every_image_stands_in_exactly_one_list(tmp_path: Path) -> None:
    write_release(tmp_path)
    edit(tmp_path / "train_val_list.txt", "00000001_000.png\n", "")
    with (tmp_path / "test_list.txt").open("a") as listed:
        listed.write("\n00000002_001.png\n")
    message = problems_of(tmp_path)
    assert f"{LABELS} row 2: image '00000001_000.png' is neither in train_val_list.txt nor in test_list.txt" in message
    assert "test_list.txt line 13: 00000002_001.png is in train_val_list.txt too" in message
    assert "has 2 problem(s)" in message


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Infiltrate", "Effusions", "the finding is 'Effusions'; expected one of Atelectasis"),
        ("00000010_001", "00000099_001", f"image '00000099_001.png' is not in {LABELS}"),
        ("240.5", "wide", "x, y, w and h must be numbers; got ['200.5', '310.25', 'wide', '180.0']"),
        ("240.5", "0", "the box has no area (0 x 180)"),
        ("240.5", "nan", "the box has no area (nan x 180)"),
        ("240.5", "825", "the box reaches beyond the image of 1024 x 1024 pixels"),
        ("200.5", "-3", "the box reaches beyond the image of 1024 x 1024 pixels"),
    ],
)
def test_a_bad_box_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    write_release(tmp_path)
    edit(tmp_path / BOXES, old, new)
    assert f"{BOXES} row 2: {reason}" in problems_of(tmp_path)


def test_one_pixel_beyond_the_edge_is_cut(tmp_path: Path) -> None:
    write_release(tmp_path)
    edit(tmp_path / BOXES, "200.5,310.25,240.5,180.0", "784.5,-1,240.5,180.0")
    edit(tmp_path / BOXES, "500.5,310.25,240.5,180.0", "-0.5,900,240.5,124.5")
    boxes = rows_of(tmp_path)["00000010_001.png"].boxes
    assert [(box.x, box.y, box.width, box.height) for box in boxes] == [(784.5, 0, 239.5, 179), (0, 900, 240, 124)]


def test_folders_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(VlpbenchError, match="expected folders images_001 to images_012, or images; found nothing"):
        source(tmp_path).stamp()
    (tmp_path / "images").mkdir()
    with pytest.raises(VlpbenchError, match=r"expected Data_Entry_2017_v2020\.csv or .*; found images/"):
        source(tmp_path).stamp()
    (tmp_path / LABELS).touch()
    with pytest.raises(VlpbenchError, match=r"expected train_val_list\.txt; found"):
        source(tmp_path).stamp()


def test_renamed_columns_and_broken_text(tmp_path: Path) -> None:
    write_release(tmp_path)
    edit(tmp_path / LABELS, "Finding Labels", "Findings")
    assert "No column of" in problems_of(tmp_path)
    assert "'Finding Labels'" in problems_of(tmp_path)
    write_release(tmp_path / "again")
    edit(tmp_path / "again" / BOXES, "Bbox [x,y,w,h]", "x,y,w,h")
    assert "'Bbox [x'" in problems_of(tmp_path / "again")
    (tmp_path / "again" / "test_list.txt").write_bytes(b"\xff\xfe\x00")
    assert "test_list.txt is not a text file in UTF-8" in problems_of(tmp_path / "again")


def test_a_missing_image_is_told_when_it_is_read(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "images_001" / "images" / "00000002_000.png").unlink()
    row = rows_of(tmp_path)["00000002_000.png"]
    with pytest.raises(UnreadableImageError, match="no such file"):
        source(tmp_path).read(row)
