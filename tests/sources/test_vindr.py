from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.releases.vindr import CLASSES, image_id, picture_of, write_dicom, write_kaggle, write_release
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.prepared import prepare
from vlpbench.data.source import BadAnnotationError, ImageRow, SourceRequest
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.sources.vindr import VinDr
from vlpbench.suite import DataSpec

HEART, NODULE = image_id("train", 1), image_id("train", 2)
TRAIN = "annotations/annotations_train.csv"
HEART_BOX = "Cardiomegaly,24.0,48.0,72.0,72.0"
LABELS = "annotations/image_labels_train.csv"


def source(folder: Path, **options: object) -> VinDr:
    return VinDr(SourceRequest(DataSpec("vindr", "VinDr-CXR", "vindr", options=options), root=folder, image_size=64))


def rows_of(folder: Path, **options: object) -> dict[str, ImageRow]:
    return {row.image_id: row for row in source(folder, **options).rows()}


def problems_of(folder: Path) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder).rows()
    return str(error.value)


def change(path: Path, edit: Callable[[list[str]], object]) -> None:
    """Edit the lines of a table, the header being line 0."""
    rows = path.read_text(encoding="utf-8").splitlines()
    edit(rows)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def replace(path: Path, old: str, new: str) -> int:
    """Replace a text that must be there, once; the row it stands in."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def positives(row: ImageRow) -> set[str]:
    return {name for name, value in row.labels.items() if value}


def test_rows_of_the_physionet_edition(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    assert [row.split for row in rows.values()] == ["train"] * 24 + ["test"] * 6
    assert all(len(row.labels) == len(CLASSES) == 28 for row in rows.values())
    row = rows[HEART]
    assert row.source_path == f"train/{HEART}.dicom"
    assert row.patient == row.study == row.image_id
    assert row.facts["official"] == "train"
    assert row.facts["readers"] == "R2 R3 R4"
    assert rows[image_id("test", 0)].facts["readers"] == ""
    assert row.boxes_known
    assert not row.has_mask


def test_a_label_is_what_two_of_three_readers_say(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    # Two of three saw the heart; one of them the effusion; two the pneumonia of the whole image.
    assert positives(rows[HEART]) == {"cardiomegaly"}
    assert positives(rows[NODULE]) == {"nodule_mass", "pneumonia"}
    assert positives(rows[image_id("train", 0)]) == {"no_finding"}


def test_finding_is_what_any_reader_saw(tmp_path: Path) -> None:
    write_release(tmp_path)
    replace(tmp_path / TRAIN, f"{image_id('train', 0)},R1,No finding,,,,", f"{image_id('train', 0)},R1,ILD,1,1,9,9")
    rows = rows_of(tmp_path)
    assert positives(rows[image_id("train", 0)]) == {"no_finding"}
    assert [rows[image_id("train", number)].facts["finding"] for number in (0, 1, 3)] == ["1", "1", "0"]


def test_boxes_are_fused_as_asked(tmp_path: Path) -> None:
    write_release(tmp_path)
    unit = 96 / 8
    weighted = rows_of(tmp_path)[NODULE].boxes
    assert [box.label for box in weighted] == ["nodule_mass", "pleural_effusion"]
    assert (weighted[0].x, weighted[0].y, weighted[0].width) == (unit + 1, 1.5 * unit, 1.5 * unit)
    assert [box.label for box in rows_of(tmp_path, fusion="majority")[NODULE].boxes] == ["nodule_mass"]
    assert len(rows_of(tmp_path, fusion="all")[NODULE].boxes) == 4


def test_boxes_of_test_images_are_taken_as_agreed_on(tmp_path: Path) -> None:
    write_release(tmp_path)
    for fusion in ("weighted", "majority", "all"):
        row = rows_of(tmp_path, fusion=fusion)[image_id("test", 1)]
        assert [box.label for box in row.boxes] == ["cardiomegaly"]


def test_counts_tell_boxes_before_and_after(tmp_path: Path) -> None:
    write_release(tmp_path)
    assert source(tmp_path).counts() == {"images": 30, "boxes as drawn": 54, "boxes after fusion": 30}
    opened = source(tmp_path, fusion="majority")
    opened.rows()
    opened.rows()
    assert opened.counts()["boxes after fusion"] == 22


@pytest.mark.parametrize("writer", [write_release, write_kaggle])
def test_every_image_is_read_with_its_boxes_bright(tmp_path: Path, writer: Callable[[Path], None]) -> None:
    """Of both photometric interpretations, with and without a window, as JPEG 2000 and uncompressed."""
    writer(tmp_path)
    opened = source(tmp_path)
    for row in opened.rows():
        pixels = opened.read(row)
        assert pixels.image.shape == (120, 96)
        assert pixels.boxes is not None
        assert len(pixels.boxes) == len(row.boxes)
        for box in pixels.boxes:
            inside = pixels.image[
                int(box.y) + 3 : int(box.y + box.height) - 3, int(box.x) + 3 : int(box.x + box.width) - 3
            ]
            assert inside.mean() > 180
        # An inverted image would be bright outside.
        assert not pixels.boxes or pixels.image[:4].mean() < 100
        assert len(pixels.content) == 32


@pytest.mark.parametrize("window", [None, (1900, 3600)])
def test_an_inverted_twin_is_the_same_image(tmp_path: Path, window: tuple[int, int] | None) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    row = opened.rows()[1]
    path = tmp_path / row.source_path
    values = picture_of(1, 96, [(24, 48, 72, 72)])
    images = []
    for inverted in (False, True):
        write_dicom(path, values, inverted=inverted, window=window)
        images.append(opened.read(row).image.astype(int))
    assert np.abs(images[0] - images[1]).max() <= 1


def test_compressed_and_uncompressed_files_are_the_same_image(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    row = opened.rows()[1]
    images = []
    for compressed in (False, True):
        write_dicom(tmp_path / row.source_path, picture_of(1, 96, []), compressed=compressed)
        images.append(opened.read(row).image)
    np.testing.assert_array_equal(images[0], images[1])


def test_rows_of_the_kaggle_edition(tmp_path: Path) -> None:
    write_kaggle(tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == 24
    assert {(row.split, row.facts["official"]) for row in rows.values()} == {("", "")}
    assert all(len(row.labels) == 15 for row in rows.values())
    assert positives(rows[HEART]) == {"cardiomegaly"}
    assert positives(rows[NODULE]) == {"nodule_mass"}
    assert [box.label for box in rows[NODULE].boxes] == ["nodule_mass", "pleural_effusion"]


def test_boxes_of_shrunk_images_follow_their_native_size(tmp_path: Path) -> None:
    write_kaggle(tmp_path, shrunk_to=48)
    opened = source(tmp_path)
    (row,) = [row for row in opened.rows() if row.image_id == HEART]
    assert row.source_path == f"train/{HEART}.png"
    pixels = opened.read(row)
    assert (pixels.height, pixels.width, pixels.image.shape) == (120, 96, (48, 48))
    assert pixels.boxes == row.boxes
    prepared = prepare(opened.request, tmp_path / "work", jobs=1)
    number = int(np.flatnonzero(prepared.manifest["image_id"] == HEART)[0])
    image = prepared.images[number]
    # 96 x 120 in a square of 64: 51 x 64 with 6 empty columns, and the heart around its middle.
    assert image[:, :6].max() == 0
    assert image[28:36, 24:40].mean() > 180


def test_sizes_may_stand_in_the_table_itself(tmp_path: Path) -> None:
    write_kaggle(tmp_path, shrunk_to=48)
    (tmp_path / "train_meta.csv").unlink()
    change(
        tmp_path / "train.csv",
        lambda rows: rows.__setitem__(slice(None), [rows[0] + ",width,height", *(row + ",96,120" for row in rows[1:])]),
    )
    assert {(row.facts["native_width"], row.facts["native_height"]) for row in source(tmp_path).rows()} == {
        ("96", "120")
    }


def test_shrunk_images_without_a_size_are_refused_at_the_first_box_beyond_them(tmp_path: Path) -> None:
    write_kaggle(tmp_path, shrunk_to=48)
    (tmp_path / "train_meta.csv").unlink()
    opened = source(tmp_path)
    (row,) = [row for row in opened.rows() if row.image_id == HEART]
    with pytest.raises(BadAnnotationError, match=r"beyond the image of 48 x 48 pixels.*train_meta\.csv"):
        opened.read(row)


def test_a_table_may_be_compressed_and_have_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    write_kaggle(tmp_path)
    expected = rows_of(tmp_path)
    text = (tmp_path / "train.csv").read_text(encoding="utf-8")
    (tmp_path / "train.csv").unlink()
    with gzip.open(tmp_path / "train.csv.gz", "wt", encoding="utf-8-sig", newline="\r\n") as file:
        file.write(text.replace("class_name", " class_name "))
    assert rows_of(tmp_path) == expected


def test_png_is_taken_where_there_is_no_dicom(tmp_path: Path) -> None:
    write_kaggle(tmp_path)
    (tmp_path / "train" / f"{HEART}.png").write_bytes(b"")
    assert rows_of(tmp_path)[HEART].source_path == f"train/{HEART}.dicom"
    (tmp_path / "train" / f"{HEART}.dicom").unlink()
    assert rows_of(tmp_path)[HEART].source_path == f"train/{HEART}.png"


def test_a_missing_image_is_told_when_it_is_read(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "train" / f"{HEART}.dicom").unlink()
    opened = source(tmp_path)
    with pytest.raises(UnreadableImageError, match="no such file"):
        opened.read(opened.rows()[1])


def test_a_source_is_small_when_it_is_sent_to_another_process(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    opened.rows()
    assert len(pickle.dumps(opened)) < 2000


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text("Image Index\n")
    text = problems_of(tmp_path)
    assert "is not the release that 'vindr' reads: expected annotations/ (PhysioNet) or train.csv (Kaggle)" in text
    assert "found Data_Entry_2017.csv" in text


def test_a_missing_table_or_image_folder_is_named(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "annotations" / "image_labels_test.csv").unlink()
    assert "expected annotations/image_labels_test.csv or annotations/image_labels_test.csv.gz" in problems_of(tmp_path)
    write_kaggle(tmp_path / "kaggle")
    (tmp_path / "kaggle" / "train").rename(tmp_path / "kaggle" / "images")
    assert "expected train; found images/, train.csv" in problems_of(tmp_path / "kaggle")


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [(TRAIN, "class_name", "class"), (TRAIN, "x_max", "xmax"), (LABELS, "rad_id", "reader"), (LABELS, "ILD", "I.L.D.")],
)
def test_a_renamed_column_is_named(tmp_path: Path, table: str, old: str, new: str) -> None:
    write_release(tmp_path)
    change(tmp_path / table, lambda rows: rows.__setitem__(0, rows[0].replace(old, new)))
    text = problems_of(tmp_path)
    assert f"No column of {tmp_path / table} named {old!r}" in text


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    with pytest.raises(UnknownNameError, match=r"value of the option fusion named 'mean'.*weighted"):
        source(tmp_path, fusion="mean")
    with pytest.raises(UnknownNameError, match=r"option of the source vindr named 'fuse'.*fusion"):
        source(tmp_path, fuse="all")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (HEART_BOX, "Cardiomegaly,72,48,24,72", "the box has no area (x 72 to 24, y 48 to 72)"),
        (HEART_BOX, "Cardiomegaly,24,48,72,48", "the box has no area"),
        (HEART_BOX, "Cardiomegaly,-24,48,72,72", "the box begins beyond the image, at x=-24, y=48"),
        (HEART_BOX, "Cardiomegaly,24,48,wide,72", "must be numbers; got ['24', '48', 'wide', '72']"),
        (HEART_BOX, "Cardiomegaly,24,48,inf,72", "must be finite"),
        (HEART_BOX, "Cardiomegaly,24,48,,72", "must be numbers"),
        (HEART_BOX, "Big heart,24,48,72,72", "class_name is 'Big heart'; expected one of Aortic enlargement, "),
        (",R4,No finding,,,,", ",R4,No finding,0,0,1,1", "No finding has a box; expected blank x_min"),
        (",R2,Cardiomegaly", ",,Cardiomegaly", "rad_id is blank"),
        (f"{HEART},R2,Card", ",R2,Card", "image_id is blank"),
    ],
)
def test_bad_annotations_are_named_by_row(tmp_path: Path, old: str, new: str, problem: str) -> None:
    write_release(tmp_path)
    row = replace(tmp_path / TRAIN, old, new)
    text = problems_of(tmp_path)
    assert f"annotations_train.csv row {row}: " in text
    assert problem in text


def test_a_box_beyond_the_right_edge_is_refused_when_the_image_is_read(tmp_path: Path) -> None:
    write_release(tmp_path)
    replace(tmp_path / TRAIN, "Pleural effusion,60.0,60.0,84.0,84.0", "Pleural effusion,60.0,60.0,97.0,84.0")
    opened = source(tmp_path)
    (row,) = [row for row in opened.rows() if row.image_id == NODULE]
    boxes = opened.read(row).boxes
    assert boxes is not None
    assert boxes[1].width == 36
    replace(tmp_path / TRAIN, "Pleural effusion,60.0,60.0,97.0,84.0", "Pleural effusion,60.0,60.0,98.0,84.0")
    (row,) = [row for row in opened.rows() if row.image_id == NODULE]
    with pytest.raises(
        BadAnnotationError, match=r"'pleural_effusion' from x=60, y=60 to x=98, y=84 .* 96 x 120 pixels"
    ):
        opened.read(row)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (f"{HEART},R2,0", f"{HEART},R2,2", "column Aortic enlargement is '2'; expected 0 or 1"),
        (f"{HEART},R2,0", f"{HEART},R2,", "column Aortic enlargement is ''; expected 0 or 1"),
        (f"{HEART},R4,", f"{HEART},R2,", f"image {HEART!r} by the reader 'R2' stands in an earlier row too, and that"),
        (f"{HEART},R2,", ",R2,", "image_id is blank"),
    ],
)
def test_bad_labels_are_named_by_row(tmp_path: Path, old: str, new: str, problem: str) -> None:
    write_release(tmp_path)
    row = replace(tmp_path / LABELS, old, new)
    assert f"image_labels_train.csv row {row}: {problem}" in problems_of(tmp_path)


def test_bad_rows_of_the_kaggle_edition(tmp_path: Path) -> None:
    write_kaggle(tmp_path, shrunk_to=48)
    first = replace(tmp_path / "train.csv", "Cardiomegaly,3,R2", "Cardiomegaly,4,R2")
    second = replace(tmp_path / "train.csv", "Nodule/Mass,8,", "Edema,8,")
    third = replace(tmp_path / "train_meta.csv", ",120,96", ",0,96")
    with pytest.raises(BadInputError) as error:
        source(tmp_path).rows()
    text = str(error.value)
    assert f"train.csv row {first}: class_id is '4'; Cardiomegaly is 3" in text
    assert f"train.csv row {second}: class_name is 'Edema'; expected one of Aortic enlargement" in text
    assert f"train_meta.csv row {third}: the size is '96' x '0'; expected pixels" in text


def test_an_image_id_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    write_kaggle(tmp_path)
    text = (tmp_path / "train.csv").read_text(encoding="utf-8")
    (tmp_path / "train.csv").write_text(text.replace(HEART, "../../secret"), encoding="utf-8")
    assert "the path 'train/../../secret.dicom' leaves the folder" in problems_of(tmp_path)
