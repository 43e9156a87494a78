from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.releases.object_cxr import write_release
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.prepared import prepare
from vlpbench.data.source import BadAnnotationError, ImageRow, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.sources.object_cxr import ObjectCXR
from vlpbench.suite import DataSpec


def request(folder: Path, **options: object) -> SourceRequest:
    spec = DataSpec("objects", "Object-CXR", "object_cxr", options=options)
    return SourceRequest(spec, root=folder, image_size=64)


def source(folder: Path, **options: object) -> ObjectCXR:
    return ObjectCXR(request(folder, **options))


def rows_of(folder: Path, **options: object) -> dict[str, ImageRow]:
    return {row.image_id: row for row in source(folder, **options).rows()}


def problems_of(folder: Path) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder).rows()
    return str(error.value)


def annotate(folder: Path, line: int, annotation: str, table: str = "train.csv") -> None:
    """Put another annotation into a line of a table, the header being line 1."""
    listed = (folder / table).read_text().splitlines()
    listed[line - 1] = f"{listed[line - 1].split(',')[0]},{annotation}"
    (folder / table).write_text("\n".join(listed) + "\n")


def with_picture(folder: Path, annotation: str, width: int, height: int) -> None:
    """The first training image, at another size and with another annotation."""
    annotate(folder, 2, annotation)
    Image.new("L", (width, height), 100).save(folder / "train" / "00001.jpg")


def test_rows_of_the_whole_release(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == 24
    assert list(rows)[:2] == ["00001", "00002"]
    assert [rows[name].split for name in ("00001", "08001", "09001")] == ["train", "val", "test"]
    assert [rows[name].source_path for name in ("08001", "09001")] == ["dev/08001.jpg", "test/09001.jpg"]
    positive, negative = rows["00001"], rows["00002"]
    assert (positive.labels, negative.labels) == ({"foreign_object": 1.0}, {"foreign_object": 0.0})
    assert positive.patient == positive.study == "00001"
    assert positive.boxes_known
    assert negative.boxes_known
    assert negative.boxes == ()
    assert not positive.has_mask
    assert (rows["09001"].facts["official"], rows["09001"].facts["row"]) == ("test", "2")


def test_without_a_test_table_dev_tests(tmp_path: Path) -> None:
    write_release(tmp_path, test=False)
    rows = rows_of(tmp_path)
    assert {row.facts["official"]: row.split for row in rows.values()} == {"train": "train", "dev": "test"}


def test_boxes_of_all_shapes_are_tight(tmp_path: Path) -> None:
    write_release(tmp_path)
    annotate(tmp_path, 2, "0 10 20 30 60;1 5 6 17 26; 2 10 10 50 12 30 80 ;")
    boxes = rows_of(tmp_path)["00001"].boxes
    assert [(box.x, box.y, box.width, box.height) for box in boxes] == [
        (10, 20, 20, 40),
        (5, 6, 12, 20),
        (10, 10, 40, 70),
    ]
    assert {box.label for box in boxes} == {"foreign_object"}


def test_boxes_of_mgca_are_centred_inside_and_reach_the_farther_side(tmp_path: Path) -> None:
    pytest.importorskip("shapely")
    write_release(tmp_path)
    annotate(tmp_path, 2, "0 10 20 30 60;2 10 10 50 12 30 80")
    rectangle, polygon = rows_of(tmp_path, polygon_box="mgca")["00001"].boxes
    assert (rectangle.x, rectangle.y, rectangle.width, rectangle.height) == (10, 20, 20, 40)
    centre = (polygon.x + polygon.width / 2, polygon.y + polygon.height / 2)
    # Shapely's pole of this triangle's outline, thickened by 100 pixels, is (34.22, 23.98).
    assert centre == pytest.approx((34.2227, 23.9781), abs=1e-3)
    assert polygon.width == pytest.approx(2 * (34.2227 - 10), abs=1e-3)
    assert polygon.height == pytest.approx(2 * (80 - 23.9781), abs=1e-3)


def test_boxes_of_mgca_are_not_cut_at_the_edge(tmp_path: Path) -> None:
    pytest.importorskip("shapely")
    write_release(tmp_path)
    with_picture(tmp_path, "2 10 10 50 12 30 80", 120, 96)
    made = source(tmp_path, polygon_box="mgca")
    row = made.rows()[0]
    pixels = made.read(row)
    boxes = row.boxes if pixels.boxes is None else pixels.boxes
    assert boxes == row.boxes
    assert boxes[0].y < 0


def test_masks_fill_every_shape(tmp_path: Path) -> None:
    write_release(tmp_path)
    with_picture(tmp_path, "0 10 20 30 60;1 40 10 60 50;2 70 10 110 10 110 50", 120, 96)
    made = source(tmp_path, masks=True)
    positive, negative = made.rows()[:2]
    mask = made.read(positive).mask
    assert mask is not None
    assert mask.shape == (96, 120)
    assert set(np.unique(mask)) == {0, 1}
    assert mask[20:61, 10:31].all()
    assert mask[30, 50] == 1  # the ellipse holds its centre
    assert mask[11, 41] == 0  # and not the corner of its box
    assert mask[15, 100] == 1  # the triangle is filled
    assert mask[45, 75] == 0  # on its side of the diagonal
    assert negative.has_mask
    empty = made.read(negative).mask
    assert empty is not None
    assert not empty.any()


def test_a_large_jpeg_keeps_boxes_in_its_own_pixels(tmp_path: Path) -> None:
    write_release(tmp_path)
    with_picture(tmp_path, "0 1000 200 1400 600", 2000, 1600)
    prepared = prepare(request(tmp_path, masks=True), tmp_path / "work", jobs=1)
    (box,) = json.loads(prepared.manifest["boxes"][0])
    assert prepared.manifest["height"][0] == 1600
    # 2000 x 1600 becomes 64 x 51, with six rows above.
    assert (box["x"], box["width"]) == pytest.approx((32, 12.8))
    assert box["y"] == pytest.approx(200 * 51 / 1600 + 6)
    mask = prepared.masks[int(prepared.manifest["mask_row"][0])]
    assert mask[14:24, 33:44].all()
    assert mask.sum() < 14 * 15


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ("3 1 2 3 4", "the type is '3'; expected 0 (rectangle), 1 (ellipse) or 2 (polygon)"),
        ("0 1 2 3", "3 coordinates; expected x1 y1 x2 y2"),
        ("1 1 2 3 4 5 6", "6 coordinates; expected x1 y1 x2 y2"),
        ("0 30 2 30 9", "expected x1 below x2 and y1 below y2"),
        ("1 1 9 30 2", "expected x1 below x2 and y1 below y2"),
        ("0 a 2 30 9", "a coordinate is not a number"),
        ("0 1 2 inf 9", "a coordinate is not finite"),
        ("2 1 2 30 9 5", "5 coordinates; a polygon has pairs of x and y, three or more"),
        ("2 1 2 30 9", "4 coordinates; a polygon has pairs of x and y, three or more"),
        ("2 5 2 5 9 5 20", "the polygon has no area"),
    ],
)
def test_a_malformed_shape_is_named(tmp_path: Path, annotation: str, reason: str) -> None:
    write_release(tmp_path)
    annotate(tmp_path, 4, f"0 1 2 3 4;{annotation}")
    assert f"train.csv row 4: shape 2 ({annotation!r}): {reason}" in problems_of(tmp_path)


def test_all_problems_are_listed(tmp_path: Path) -> None:
    write_release(tmp_path)
    annotate(tmp_path, 3, "9 1 2 3 4")
    annotate(tmp_path, 4, "0 1 2", table="dev.csv")
    with (tmp_path / "test.csv").open("a") as table:
        table.write("test/00001.jpg,\n,\n")
    message = problems_of(tmp_path)
    assert "has 4 problem(s)" in message
    assert "train.csv row 3: shape 1" in message
    assert "dev.csv row 4: shape 1" in message
    assert "test.csv row 8: image '00001.jpg' stands in train.csv row 2 too" in message
    assert "test.csv row 9: the image name is blank" in message


@pytest.mark.parametrize("annotation", ["0 10 20 122 60", "2 10 10 20 98 5 20", "1 -2 5 10 20"])
def test_a_shape_beyond_the_edge_stops_with_file_and_row(tmp_path: Path, annotation: str) -> None:
    write_release(tmp_path)
    with_picture(tmp_path, annotation, 120, 96)
    made = source(tmp_path)
    row = made.rows()[0]
    with pytest.raises(BadAnnotationError, match=r"train\.csv row 2: the .* beyond the image of 120 x 96 pixels"):
        made.read(row)


def test_one_pixel_beyond_the_edge_is_cut(tmp_path: Path) -> None:
    write_release(tmp_path)
    with_picture(tmp_path, "0 -1 20 121 97", 120, 96)
    made = source(tmp_path)
    pixels = made.read(made.rows()[0])
    assert pixels.boxes is not None
    (box,) = pixels.boxes
    assert (box.x, box.y, box.width, box.height) == (0, 20, 120, 76)


def test_other_spellings(tmp_path: Path) -> None:
    write_release(tmp_path)
    expected = rows_of(tmp_path)
    dev = (tmp_path / "dev.csv").read_text().replace("image_name", "image_path").replace("08", "/data/dev/08", 1)
    (tmp_path / "dev.csv").write_bytes(b"\xef\xbb\xbf" + dev.replace("\n", "\r\n").encode())
    test = (tmp_path / "test.csv").read_text().replace("image_path,annotation", " image_path , annotation ")
    with gzip.open(tmp_path / "test.csv.gz", "wt") as table:
        table.write(test)
    (tmp_path / "test.csv").unlink()
    assert rows_of(tmp_path) == expected


def test_a_folder_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "stage_2_train_labels.csv").touch()
    with pytest.raises(VlpbenchError, match=r"expected train\.csv or train\.csv\.gz; found stage_2_train_labels\.csv"):
        source(tmp_path).stamp()


def test_renamed_columns(tmp_path: Path) -> None:
    write_release(tmp_path)
    table = tmp_path / "train.csv"
    text = table.read_text()
    table.write_text(text.replace("annotation", "annotations", 1))
    assert "No column of" in problems_of(tmp_path)
    table.write_text(text.replace("image_name", "file", 1))
    assert "train.csv has neither a column image_name nor image_path" in problems_of(tmp_path)


def test_bad_options(tmp_path: Path) -> None:
    write_release(tmp_path)
    with pytest.raises(UnknownNameError, match="No polygon_box of object_cxr named 'loose'"):
        source(tmp_path, polygon_box="loose")
    with pytest.raises(VlpbenchError, match="masks of object_cxr is 'yes'; expected true or false"):
        source(tmp_path, masks="yes")


def test_a_missing_image_is_told_when_it_is_read(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "train" / "00003.jpg").unlink()
    made = source(tmp_path)
    rows = {row.image_id: row for row in made.rows()}
    with pytest.raises(UnreadableImageError, match="no such file"):
        made.read(rows["00003"])


def test_the_stamp_follows_the_tables(tmp_path: Path) -> None:
    write_release(tmp_path)
    before = source(tmp_path).stamp()
    annotate(tmp_path, 3, "0 1 2 3 4")
    assert source(tmp_path).stamp() != before
