from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.releases.tbx11k import write_release, write_simplified
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.prepared import prepare
from vlpbench.data.source import BadAnnotationError, ImageRow, SourceRequest
from vlpbench.errors import VlpbenchError
from vlpbench.sources.tbx11k import TBX11K
from vlpbench.suite import DataSpec

TRAIN = "annotations/json/TBX11K_train.json"


def request(folder: Path, **options: object) -> SourceRequest:
    return SourceRequest(DataSpec("tb", "TBX11K", "tbx11k", options=options), root=folder, image_size=64)


def source(folder: Path, **options: object) -> TBX11K:
    return TBX11K(request(folder, **options))


def rows_of(folder: Path, **options: object) -> dict[str, ImageRow]:
    return {row.image_id: row for row in source(folder, **options).rows()}


def problems_of(folder: Path) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder).rows()
    return str(error.value)


def change(folder: Path, edit: Callable[[Any], object]) -> None:
    """Change the annotations of the training images."""
    content = json.loads((folder / TRAIN).read_text())
    edit(content)
    (folder / TRAIN).write_text(json.dumps(content))


def rewrite(folder: Path, old: str, new: str) -> None:
    """Replace the first of a text in the simplified table, which must hold it."""
    text = (folder / "data.csv").read_text()
    assert old in text
    (folder / "data.csv").write_text(text.replace(old, new, 1))


def test_rows_of_the_whole_release(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == 3 * 12 + 1 + 3 * 6
    assert {row.split for row in rows.values()} == {"train", "test"}
    assert rows["h0013"].split == "test"
    kinds = {name: [label for label, value in rows[name].labels.items() if value] for name in ("h0001", "s0001")}
    assert kinds == {"h0001": ["healthy"], "s0001": ["sick"]}
    row = rows["tb0001"]
    assert row.labels == {"tuberculosis": 1.0, "healthy": 0.0, "sick": 0.0}
    assert row.source_path == "imgs/tb/tb0001.png"
    assert row.patient == row.study == "tb0001"
    assert [box.label for box in row.boxes] == ["obsolete_pulmonary_tuberculosis", "active_tuberculosis"]
    assert (row.boxes[1].x, row.boxes[1].y, row.boxes[1].width, row.boxes[1].height) == (48, 24, 24, 36)
    assert row.facts["official"] == "train"
    assert not row.has_mask


def test_extra_and_test_images_are_left_out(tmp_path: Path) -> None:
    write_release(tmp_path)
    paths = {row.source_path for row in rows_of(tmp_path).values()}
    assert (tmp_path / "imgs" / "extra" / "CHNCXR_0001_0.png").is_file()
    assert {path.split("/")[1] for path in paths} == {"health", "sick", "tb"}


def test_tuberculosis_without_a_box_does_not_say_that_there_is_none(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path, masks=True)
    unboxed = rows["tb1199"]
    assert unboxed.labels["tuberculosis"] == 1.0
    assert (unboxed.boxes_known, unboxed.has_mask) == (False, False)
    assert rows["h0001"].boxes_known
    assert rows["s0001"].has_mask
    assert sum(not row.boxes_known for row in rows.values()) == 1


def test_the_simplified_edition_says_the_same(tmp_path: Path) -> None:
    write_release(tmp_path / "whole")
    write_simplified(tmp_path / "simple")
    whole, simple = rows_of(tmp_path / "whole"), rows_of(tmp_path / "simple")
    del whole["tb1199"]
    assert set(simple) == set(whole)
    for name, row in whole.items():
        other = simple[name]
        assert (other.boxes, other.labels, other.split) == (row.boxes, row.labels, row.split)
        assert (other.facts, other.boxes_known) == (row.facts, row.boxes_known)
    assert simple["tb0002"].source_path == "images/tb0002.png"


def test_every_row_can_be_read(tmp_path: Path) -> None:
    write_release(tmp_path / "whole")
    write_simplified(tmp_path / "simple")
    for folder in (tmp_path / "whole", tmp_path / "simple"):
        prepared = prepare(request(folder, masks=True), folder / "work", jobs=1)
        listed = prepared.manifest.set_index("image_id")
        assert len(listed) == len(rows_of(folder))
        box = json.loads(listed["boxes"]["tb0002"])[0]
        assert box["x"] == pytest.approx(12 * 64 / 96)


def test_boxes_and_masks_follow_the_size_of_the_image(tmp_path: Path) -> None:
    write_release(tmp_path)
    made = source(tmp_path, masks=True)
    row = {row.image_id: row for row in made.rows()}["tb0002"]
    (box,) = row.boxes
    mask = made.read(row).mask
    assert mask is not None
    expected = np.zeros((96, 96), dtype=np.uint8)
    expected[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)] = 1
    assert (mask == expected).all()
    Image.new("L", (48, 48)).save(tmp_path / row.source_path)
    half = made.read(row)
    assert half.boxes is not None
    assert half.boxes[0].x == box.x / 2
    assert half.boxes[0].height == box.height / 2
    assert half.mask is not None
    assert half.mask.sum() == expected.sum() / 4
    Image.new("L", (96, 80)).save(tmp_path / row.source_path)
    with pytest.raises(BadAnnotationError, match="96 x 96, but the image is 96 x 80: not a resized copy"):
        made.read(row)


def test_negatives_have_an_empty_mask(tmp_path: Path) -> None:
    write_release(tmp_path)
    made = source(tmp_path, masks=True)
    mask = made.read(made.rows()[0]).mask
    assert mask is not None
    assert not mask.any()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda content: content["images"][0].update(file_name="extra/x.png"),
            "images[0]: file_name is 'extra/x.png'; expected it in health, sick, tb",
        ),
        (lambda content: content["images"][1].update(height=None), "images[1]: height and width must be numbers"),
        (lambda content: content["images"][1].update(width="nan"), "images[1]: height and width must be numbers"),
        (lambda content: content["images"][2].update(id=1), "images[2]: the id 1 is an earlier image's too"),
        (
            lambda content: content["images"][3].update(file_name="health/h0001.png"),
            "images[3]: image 'h0001' stands in an earlier place too",
        ),
        (
            lambda content: content["images"][0].update(file_name="../../health/h0001.png"),
            "images[0]: the path 'imgs/../../health/h0001.png' leaves the folder",
        ),
        (lambda content: content["annotations"][1].update(image_id=999), "annotations[1]: no image has the id 999"),
        (
            lambda content: content["categories"][0].update(name="Nodule"),
            "annotations[1]: the category is 'Nodule'; expected one of ActiveTuberculosis",
        ),
        (
            lambda content: content["annotations"][1].update(bbox=[1, 2, 3]),
            "annotations[1]: the box is [1, 2, 3]; expected x, y, width and height",
        ),
        (
            lambda content: content["annotations"][1].update(bbox=[1, 2, 0, 3]),
            "annotations[1]: the box is [1, 2, 0, 3]; expected x, y, width and height, the last two above 0",
        ),
        (lambda content: content["annotations"][1].update(bbox="1 2 3 4"), "annotations[1]: the box is '1 2 3 4'"),
        (lambda content: content["annotations"][1].update(bbox=[1, "x", 3, 4]), "annotations[1]: the box is"),
        (
            lambda content: content["annotations"][1].update(bbox=[60, 2, 38, 3]),
            "annotations[1]: the box [60, 2, 38, 3] reaches beyond the image of 96 x 96 pixels",
        ),
    ],
)
def test_a_bad_annotation_is_named(tmp_path: Path, edit: Callable[[Any], object], reason: str) -> None:
    write_release(tmp_path)
    change(tmp_path, edit)
    assert f"TBX11K_train.json {reason}" in problems_of(tmp_path)


def test_one_pixel_beyond_the_edge_is_cut(tmp_path: Path) -> None:
    write_release(tmp_path)
    change(tmp_path, lambda content: content["annotations"][0].update(bbox=[60, -1, 37, 5]))
    change(tmp_path, lambda content: content["annotations"][1].update(bbox=[-1, 60, 5, 37]))
    boxes = rows_of(tmp_path)["tb0001"].boxes
    assert [(box.x, box.y, box.width, box.height) for box in boxes] == [(60, 0, 36, 4), (0, 60, 4, 36)]


@pytest.mark.parametrize("text", ["{", "[]", '{"images": [1], "annotations": [], "categories": []}', '{"images": []}'])
def test_annotations_of_another_shape(tmp_path: Path, text: str) -> None:
    write_release(tmp_path)
    (tmp_path / TRAIN).write_text(text)
    message = problems_of(tmp_path)
    assert "TBX11K_train.json" in message
    assert "is not a readable JSON file" in message or "has no list of objects named" in message


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("train,none,no_tb", "dev,none,no_tb", "row 2: source is 'dev'; expected one of train, val"),
        ("none,healthy", "none,well", "row 2: image_type is 'well'; expected one of healthy, sick_but_no_tb, tb"),
        ("none,no_tb,none", "none,tb,none", "row 2: target is 'tb' where image_type is 'healthy'"),
        ("h0001.png,96", "h0001.png,tall", "row 2: fname is blank, or image_height and image_width are not numbers"),
        ("h0001.png", "", "row 2: fname is blank"),
        ("h0001.png", "../h0001.png", "row 2: the path 'images/../h0001.png' does not"),
        ("h0002.png", "h0001.png", "row 3: image 'h0001.png' stands in data.csv row 2 too, and has no box here"),
        ("h0002.png,96", "h0001.png,90", "row 3: image 'h0001.png' has another class, source or size than in"),
        ("latent_tb", "old_tb", "row 26: tb_type is 'old_tb'; expected one of active_tb, latent_tb, uncertain_tb"),
        ("'xmin'", "'left'", "row 26: bbox is \"{'left': 12"),
        ("'xmin': 12", "'xmin': int('12')", "row 26: bbox is \"{'xmin': int('12')"),
        ("'xmin': 12", "'xmin': '?'", "row 26: the box is ['?', 24, 24, 36]; expected x, y, width and height"),
        ("'xmin': 12", "'xmin': 75", "row 26: the box [75, 24, 24, 36] reaches beyond the image of 96 x 96 pixels"),
    ],
)
def test_a_bad_row_of_the_simplified_edition_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    write_simplified(tmp_path)
    rewrite(tmp_path, old, new)
    if "does not" in reason:  # inside the release, though not where images lie: it is simply not there
        with pytest.raises(UnreadableImageError, match="no such file"):
            source(tmp_path).read(rows_of(tmp_path)["h0001"])
        rewrite(tmp_path, "../h0001.png", "../../h0001.png")
        reason = "row 2: the path 'images/../../h0001.png' leaves the folder"
    assert f"data.csv {reason}" in problems_of(tmp_path)


def test_byte_order_marks_and_windows_lines_make_no_difference(tmp_path: Path) -> None:
    write_simplified(tmp_path)
    expected = rows_of(tmp_path)
    path = tmp_path / "data.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert rows_of(tmp_path) == expected


def test_renamed_column(tmp_path: Path) -> None:
    write_simplified(tmp_path)
    rewrite(tmp_path, "tb_type", "type")
    assert "No column of" in problems_of(tmp_path)


def test_a_folder_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    with pytest.raises(VlpbenchError, match=r"TBX11K_val\.json, or data\.csv; found annotations/"):
        source(tmp_path).stamp()


def test_masks_is_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(VlpbenchError, match="masks of tbx11k is 1; expected true or false"):
        source(tmp_path, masks=1)
