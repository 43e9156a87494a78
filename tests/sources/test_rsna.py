from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.releases.rsna import MAPPING, write_dicom, write_release
from vlpbench.box import Box
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.prepared import prepare
from vlpbench.data.source import BadAnnotationError, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench.sources.rsna import RsnaSource
from vlpbench.suite import DataSpec

LABELS = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"


def request(folder: Path, **options: object) -> SourceRequest:
    return SourceRequest(DataSpec("rsna", "RSNA", "rsna", options=options), root=folder, image_size=64)


def source(folder: Path, **options: object) -> RsnaSource:
    return RsnaSource(request(folder, **options))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_release(folder)
    return folder


@pytest.fixture
def release(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "rsna"))


def cells(folder: Path, name: str = LABELS) -> list[list[str]]:
    return [line.split(",") for line in (folder / name).read_text().splitlines()]


def rewrite(folder: Path, rows: list[list[str]], name: str = LABELS) -> None:
    (folder / name).write_text("\n".join(",".join(row) for row in rows) + "\n")


def problems(folder: Path, **options: object) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder, **options).rows()
    return str(error.value)


def test_rows_hold_ids_patients_classes_and_boxes(release: Path) -> None:
    adapter = source(release)
    rows = adapter.rows()
    assert adapter.counts() == {
        "images": 27,
        "normal": 9,
        "not_normal_no_opacity": 6,
        "lung_opacity": 12,
        "boxes": 16,
        "images of a known patient": 27,
    }
    assert len({row.image_id for row in rows}) == 27
    assert {row.patient for row in rows} == {f"{number:08d}" for number in range(1, 13)}
    first, second, third = rows[0], rows[1], rows[4]
    assert first.labels == {"lung_opacity": 1.0, "normal": 0.0, "not_normal_no_opacity": 0.0}
    assert first.boxes == (Box("lung_opacity", 12, 17, 24, 32),)
    assert second.labels == {"lung_opacity": 0.0, "normal": 1.0, "not_normal_no_opacity": 0.0}
    assert second.boxes == ()
    assert len(third.boxes) == 2
    assert all(row.boxes_known and row.has_mask and row.split == "" for row in rows)
    assert first.source_path == f"stage_2_train_images/{first.image_id}.dcm"
    assert first.facts == {"stage": "stage_2", "class": "Lung Opacity", "nih_image": "00000001_000.png"}


def test_a_mask_is_the_union_of_the_boxes(release: Path) -> None:
    adapter = source(release)
    row = adapter.rows()[4]
    expected = np.zeros((96, 96), dtype=np.uint8)
    for box in row.boxes:
        expected[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)] = 1
    pixels = adapter.read(row)
    assert pixels.mask is not None
    np.testing.assert_array_equal(pixels.mask, expected)
    assert (pixels.height, pixels.width) == (96, 96)
    assert pixels.image[expected == 1].mean() > pixels.image[expected == 0].mean() + 80
    empty = adapter.read(adapter.rows()[1])
    assert empty.mask is not None
    assert empty.mask.sum() == 0
    overlapping = Box("lung_opacity", 10, 10, 4, 4), Box("lung_opacity", 12, 10, 4, 4)
    drawn = adapter.draw_mask(adapter.rows()[0].__class__("a", "p", "s", boxes=overlapping), 96, 96)
    assert drawn.sum() == 24
    assert drawn.max() == 1


def test_the_clean_split_keeps_nih_patients_apart(release: Path, tmp_path: Path) -> None:
    manifest = prepare(request(release), tmp_path / "work", jobs=1).manifest
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()
    assert set(manifest["split"]) == {"train", "val", "test"}
    assert (manifest.groupby("split")["label:lung_opacity"].nunique() == 2).all()


def test_without_the_cross_reference_an_image_is_its_own_patient(tmp_path: Path) -> None:
    write_release(tmp_path, mapping=False)
    adapter = source(tmp_path)
    assert all(row.patient == row.image_id and row.facts["nih_image"] == "" for row in adapter.rows())
    assert adapter.counts()["images of a known patient"] == 0


@pytest.mark.parametrize("header", ["patientId,nih_image_id", "subset_img_id,orig_img_id", "patientId,nih_patient_id"])
def test_a_cross_reference_may_be_a_csv(release: Path, header: str) -> None:
    listed = json.loads((release / MAPPING).read_text())
    (release / MAPPING).unlink()
    patient = header.endswith("patient_id")
    lines = [f"{entry['subset_img_id']},{int(entry['img_id'][:8]) if patient else entry['img_id']}" for entry in listed]
    (release / "mapping.csv").write_text("\n".join([header, *lines[:-1], lines[-1].split(",")[0] + ","]) + "\n")
    rows = source(release, cross_reference="mapping.csv").rows()
    assert [row.patient for row in rows[:3]] == ["00000001", "00000001", "00000002"]
    assert rows[0].facts["nih_image"] == ("" if patient else "00000001_000.png")
    assert rows[-1].patient == rows[-1].image_id


def test_columns_of_the_cross_reference_may_be_named(release: Path) -> None:
    listed = json.loads((release / MAPPING).read_text())
    renamed = [{"rsna": entry["subset_img_id"], "nih": entry["img_id"]} for entry in listed]
    (release / "other.json").write_text(json.dumps(renamed))
    options = {"cross_reference": "other.json", "cross_reference_image": "rsna"}
    assert source(release, **options, cross_reference_nih="nih").rows()[0].patient == "00000001"
    with pytest.raises(UnknownNameError, match=r"other\.json named 'img_id or orig_img_id .*Known: nih, rsna"):
        source(release, **options).rows()


def test_bad_cross_references_are_named(release: Path) -> None:
    listed = json.loads((release / MAPPING).read_text())
    listed[1]["img_id"] = "chest.png"
    listed.append({**listed[0], "img_id": "00000099_000.png"})
    (release / MAPPING).write_text(json.dumps(listed))
    text = problems(release)
    assert "mappings_2018.json entry 2: 'chest.png' is no NIH image or patient; expected 00000001_000.png" in text
    assert "entry 28: image" in text
    assert "is of NIH patient 00000099, in an earlier entry of 00000001" in text
    (release / MAPPING).write_text(json.dumps([{"subset_img_id": "x", "img_id": "00000001_000.png"}]))
    assert "none of its images is in the labels" in problems(release)
    (release / MAPPING).write_text("{")
    assert "is not readable JSON" in problems(release)
    (release / MAPPING).write_text('{"a": 1}')
    assert "is not a list of objects" in problems(release)
    assert "leaves the folder" in problems(release, cross_reference="../mapping.json")


def test_stage_one_is_read_too_and_says_so(tmp_path: Path) -> None:
    write_release(tmp_path, stage=1)
    rows = source(tmp_path).rows()
    assert rows[0].source_path.startswith("stage_1_train_images/")
    assert {row.facts["stage"] for row in rows} == {"stage_1"}


def test_byte_order_mark_line_ends_and_blanks_in_headers_are_read(release: Path) -> None:
    expected = source(release).rows()
    for name in (LABELS, CLASSES):
        text = (release / name).read_text().replace(",", ", ", 1)
        (release / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert source(release).rows() == expected


def test_both_tables_repeat_a_row_per_box_and_are_not_multiplied(release: Path) -> None:
    assert len(cells(release)) == len(cells(release, CLASSES)) == 32
    assert sum(len(row.boxes) for row in source(release).rows()) == 16


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        (1, {5: "2"}, "row 2: Target is '2'; expected 0 or 1"),
        (1, {1: ""}, "row 2: Target is 1, so x, y, width, height must be numbers; got ['', '17.0', '24.0', '32.0']"),
        (1, {3: "wide"}, "row 2: Target is 1, so x, y, width, height must be numbers"),
        (1, {3: "nan"}, "row 2: x, y, width, height must be finite"),
        (1, {3: "-24"}, "row 2: the box has no area (-24 x 32)"),
        (1, {4: "0"}, "row 2: the box has no area (24 x 0)"),
        (1, {1: "-3"}, "row 2: the box at x=-3, y=17, 24 x 32, reaches beyond the image of 1024 x 1024"),
        (1, {1: "1001"}, "row 2: the box at x=1001, y=17, 24 x 32, reaches beyond the image of 1024 x 1024"),
        (2, {1: "5.0"}, "row 3: Target is 0, but there is a box; expected x, y, width, height to be blank"),
        (2, {0: ""}, "row 3: the patientId is blank"),
        (2, {0: "../../x"}, "row 3: the path 'stage_2_train_images/../../x.dcm' leaves the folder"),
    ],
)
def test_bad_label_rows_are_named(release: Path, row: int, change: dict[int, str], message: str) -> None:
    rows = cells(release)
    for column, value in change.items():
        rows[row][column] = value
    rewrite(release, rows)
    assert f"{LABELS} {message}" in problems(release)


def test_a_box_may_end_with_the_image(release: Path) -> None:
    rows = cells(release)
    rows[1][1:5] = ["1000.0", "992.0", "24.0", "32.0"]
    rewrite(release, rows)
    assert source(release).rows()[0].boxes == (Box("lung_opacity", 1000, 992, 24, 32),)


def test_contradictions_and_duplicates_are_named(release: Path) -> None:
    rows = cells(release)
    positive, negative = rows[1][0], rows[2][0]
    rows += [rows[1], rows[2], [positive, "", "", "", "", "0"], [negative, "1", "1", "5", "5", "1"]]
    rewrite(release, rows)
    text = problems(release)
    assert f"row 33: the box stands in an earlier row of image '{positive}' too" in text
    assert f"row 34: image '{negative}' stands in an earlier row too; only boxes may have several" in text
    assert f"row 35: image '{positive}' has Target '0', in an earlier row '1'" in text
    assert f"row 36: image '{negative}' has Target '1', in an earlier row '0'" in text
    assert "4 problem(s)" in text


def test_classes_are_checked_against_targets(release: Path) -> None:
    rows = cells(release, CLASSES)
    positive, negative = rows[1][0], rows[2][0]
    rows[1][1], rows[2][1], rows[3][1] = "Normal", "Lung Opacity", "Healthy"
    rows += [["unknown", "Normal"], [positive, "Lung Opacity"]]
    removed = rows.pop(4)[0]
    rewrite(release, rows, CLASSES)
    text = problems(release)
    assert f"{CLASSES} row 2: image '{positive}' is 'Normal', but its Target is '1'" in text
    assert f"row 3: image '{negative}' is 'Lung Opacity', but its Target is '0'" in text
    assert "row 4: class is 'Healthy'; expected one of Normal, No Lung Opacity / Not Normal, Lung Opacity" in text
    assert "row 32: image 'unknown' is not in the labels" in text
    assert f"row 33: image '{positive}' is 'Lung Opacity', in an earlier row 'Normal'" in text
    assert f"{LABELS}: image '{removed}' has no row in {CLASSES}" in text
    assert "6 problem(s)" in text


def test_other_folders_are_refused_with_what_was_found(release: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.csv").touch()
    text = problems(tmp_path / "other")
    assert "expected stage_2_train_labels.csv or" in text
    assert "found train.csv" in text
    (release / CLASSES).rename(release / "classes.csv")
    assert f"expected {CLASSES}" in problems(release)
    (release / "stage_2_train_images").rename(release / "images")
    assert "expected stage_2_train_images" in problems(release)


def test_a_renamed_column_shows_its_neighbours(release: Path) -> None:
    rows = cells(release)
    rows[0][5] = "target"
    rewrite(release, rows)
    assert "'Target'" in problems(release)
    assert "Near: target" in problems(release)


@pytest.mark.parametrize(("height", "width"), [(40, 96), (96, 30), (40, 40)])
def test_a_box_beyond_a_smaller_image_stops_at_reading(release: Path, height: int, width: int) -> None:
    adapter = source(release)
    row = adapter.rows()[0]
    pixels = np.zeros((height, width), dtype=np.uint8)
    write_dicom(release / row.source_path, pixels, patient=row.image_id, uid="1.2.3")
    message = f"x=12, y=17, 24 x 32, reaches beyond the image of {width} x {height} pixels"
    with pytest.raises(BadAnnotationError, match=message):
        adapter.read(row)


def test_a_missing_image_is_unreadable_not_bad_input(release: Path) -> None:
    adapter = source(release)
    row = adapter.rows()[0]
    (release / row.source_path).unlink()
    assert len(adapter.rows()) == 27
    with pytest.raises(UnreadableImageError, match="no such file"):
        adapter.read(row)


def test_the_stamp_changes_with_the_cross_reference(release: Path) -> None:
    before = source(release).stamp()
    (release / MAPPING).unlink()
    assert source(release).stamp() != before


def test_the_card_says_every_option() -> None:
    card = REGISTRY.card("source", "rsna")
    assert set(getattr(card, "options", {})) == {"folder", *RsnaSource.OPTIONS}
