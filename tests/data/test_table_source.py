from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.data.folders import request, table_folder
from vlpbench.data.prepared import prepare
from vlpbench.data.source import SourceRequest
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError


def problems_of(folder: Path, **changes: object) -> str:
    with pytest.raises(VlpbenchError) as error:
        prepare(request(folder, **changes), folder / "work", jobs=1)
    return str(error.value)


def lenient(asked: SourceRequest, share: float) -> SourceRequest:
    """The request with more unreadable images allowed."""
    return replace(asked, data=replace(asked.data, max_unreadable=share))


def rewrite(folder: Path, row: int, column: str, value: str) -> None:
    table = pd.read_csv(folder / "table.csv", dtype=str, keep_default_na=False)
    table.loc[row, column] = value
    table.to_csv(folder / "table.csv", index=False)


def test_a_good_folder_is_prepared_with_geometry(tmp_path: Path) -> None:
    table = table_folder(tmp_path)
    prepared = prepare(request(tmp_path), tmp_path / "work", jobs=1)
    manifest = prepared.manifest
    assert len(manifest) == len(table) == 24
    assert prepared.images.shape == (24, 32, 32)
    # 40 x 60 becomes 21 x 32 with five empty rows above and six below
    assert prepared.images[:, :5].max() == 0
    assert prepared.images[:, 26:].max() == 0
    assert prepared.images[:, 6:25].max() > 0
    (box,) = json.loads(manifest["boxes"][2])
    assert box["x"] == pytest.approx(10 * 32 / 60)
    assert box["y"] == pytest.approx(5 * 21 / 40 + 5)
    assert box["height"] == pytest.approx(10 * 21 / 40)
    mask = prepared.masks[int(manifest["mask_row"][2])]
    inside = mask[
        int(box["y"]) + 1 : int(box["y"] + box["height"]) - 1, int(box["x"]) + 1 : int(box["x"] + box["width"]) - 1
    ]
    assert (inside == 1).all()
    assert set(np.unique(mask)) <= {0, 1, 255}
    assert manifest["label:nodule"].isna().sum() == 12
    assert manifest["label:covid"].sum() == 8


def test_preparing_twice_reads_nothing_again(tmp_path: Path) -> None:
    table_folder(tmp_path)
    first = prepare(request(tmp_path), tmp_path / "work", jobs=1)
    calls: list[int] = []
    second = prepare(request(tmp_path), tmp_path / "work", jobs=1, progress=lambda done, _: calls.append(done))
    assert first.folder == second.folder
    assert calls == []


def test_a_changed_label_changes_the_fingerprint(tmp_path: Path) -> None:
    table_folder(tmp_path)
    first = prepare(request(tmp_path), tmp_path / "work", jobs=1)
    rewrite(tmp_path, 0, "effusion", "1")
    second = prepare(request(tmp_path), tmp_path / "work", jobs=1)
    assert first.fingerprint != second.fingerprint


def test_patients_never_cross_splits(tmp_path: Path) -> None:
    table_folder(tmp_path)
    manifest = prepare(request(tmp_path), tmp_path / "work", jobs=1).manifest
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()
    assert set(manifest["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("missing", "no such file"),
        ("empty", "the file is empty"),
        ("truncated", "truncated"),
        ("text", "not an image"),
    ],
)
def test_unreadable_images_are_all_listed_and_stop_above_the_threshold(
    tmp_path: Path, spoil: str, message: str
) -> None:
    table_folder(tmp_path)
    for name in ("images/00_0.png", "images/03_1.png"):
        path = tmp_path / name
        if spoil == "missing":
            path.unlink()
        elif spoil == "empty":
            path.write_bytes(b"")
        elif spoil == "truncated":
            path.write_bytes(path.read_bytes()[:200])
        else:
            path.write_text("radiograph")
    text = problems_of(tmp_path)
    assert "2 of 24 images" in text
    assert f"images/00_0.png: {message}" in text.replace("image file is ", "")
    assert "images/03_1.png" in text
    assert "max_unreadable" in text


def test_below_the_threshold_unreadable_images_are_left_out_and_named(tmp_path: Path) -> None:
    table_folder(tmp_path)
    (tmp_path / "images/00_0.png").unlink()
    prepared = prepare(lenient(request(tmp_path), 0.1), tmp_path / "work", jobs=1)
    assert len(prepared.manifest) == 23
    assert prepared.facts["unreadable"] == ["images/00_0.png: no such file"]
    first = np.asarray(Image.open(tmp_path / "images/00_1.png").resize((32, 21), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(prepared.images[0][5:26], first)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("effusion", "2", "table.csv row 4: column effusion is '2'; expected 0, 1 or blank"),
        ("kind", "tumour", "table.csv row 4: column kind is 'tumour'; expected one of normal, covid"),
        ("patient", "", "table.csv row 4: the patient is blank"),
        ("image", "../outside.png", "table.csv row 4: the path '../outside.png' leaves the folder"),
        ("image", "images/00_0.png", "table.csv row 4: image 'images/00_0.png' stands in an earlier row too"),
        ("mask", "/etc/passwd", "table.csv row 4: the path '/etc/passwd' leaves the folder"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, column: str, value: str, message: str) -> None:
    table_folder(tmp_path)
    rewrite(tmp_path, 2, column, value)
    assert message in problems_of(tmp_path)


def test_every_bad_row_is_listed_at_once(tmp_path: Path) -> None:
    table_folder(tmp_path)
    rewrite(tmp_path, 2, "effusion", "yes")
    rewrite(tmp_path, 7, "nodule", "maybe")
    text = problems_of(tmp_path)
    assert "2 problem(s)" in text
    assert "row 4" in text
    assert "row 9" in text


@pytest.mark.parametrize(
    ("x", "width", "height", "message"),
    [
        ("50", "30", "5", "reaches beyond the image of 60 x 40 pixels"),
        ("-9", "30", "5", "reaches beyond the image"),
        ("5", "0", "5", "boxes.csv row 2: the box has no area"),
        ("5", "5", "-2", "boxes.csv row 2: the box has no area"),
        ("five", "5", "5", "boxes.csv row 2: x, y, width and height must be numbers"),
        ("nan", "5", "5", "boxes.csv row 2: x, y, width and height must be finite"),
    ],
)
def test_bad_boxes_are_named(tmp_path: Path, x: str, width: str, height: str, message: str) -> None:
    table_folder(tmp_path)
    boxes = pd.read_csv(tmp_path / "boxes.csv", dtype=str)
    boxes.loc[0, ["x", "width", "height"]] = [x, width, height]
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    assert message in problems_of(tmp_path)


def test_a_box_of_an_unknown_image_is_named(tmp_path: Path) -> None:
    table_folder(tmp_path)
    with (tmp_path / "boxes.csv").open("a") as file:
        file.write("images/99_9.png,opacity,1,1,2,2\n")
    assert "image 'images/99_9.png' is not in the table" in problems_of(tmp_path)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    table_folder(tmp_path)
    Image.fromarray(np.zeros((41, 60), dtype=np.uint8)).save(tmp_path / "masks/00_0.png")
    assert "mask masks/00_0.png is 60 x 41 pixels, its image images/00_0.png 60 x 40" in problems_of(tmp_path)


def test_one_bad_annotation_stops_however_many_unreadable_images_are_allowed(tmp_path: Path) -> None:
    table_folder(tmp_path)
    Image.fromarray(np.zeros((41, 60), dtype=np.uint8)).save(tmp_path / "masks/00_0.png")
    with pytest.raises(BadInputError, match="1 mask\\(s\\) or box\\(es\\) of 'mine' do not fit"):
        prepare(lenient(request(tmp_path), 0.5), tmp_path / "work", jobs=1)


def test_a_mask_with_other_values_is_refused(tmp_path: Path) -> None:
    table_folder(tmp_path)
    Image.fromarray(np.full((40, 60), 7, dtype=np.uint8)).save(tmp_path / "masks/00_0.png")
    assert "holds the value 7; expected 0, 255 (foreground) or 127 (ignored)" in problems_of(tmp_path)


def test_unknown_columns_and_options_show_their_neighbours(tmp_path: Path) -> None:
    table_folder(tmp_path)
    with pytest.raises(UnknownNameError, match=r"'efusion'.*Near: effusion"):
        prepare(request(tmp_path, labels=["efusion"]), tmp_path / "work", jobs=1)
    with pytest.raises(UnknownNameError, match=r"'lables'.*Near: labels"):
        prepare(request(tmp_path, lables=["effusion"]), tmp_path / "work", jobs=1)


def test_a_table_with_byte_order_mark_and_other_line_ends_is_read(tmp_path: Path) -> None:
    table_folder(tmp_path)
    text = (tmp_path / "table.csv").read_text()
    (tmp_path / "table.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert len(prepare(request(tmp_path), tmp_path / "work", jobs=1).manifest) == 24


def test_a_split_column_is_kept_and_checked(tmp_path: Path) -> None:
    table = table_folder(tmp_path)
    table["part"] = ["train"] * 12 + ["val"] * 6 + ["test"] * 6
    table.to_csv(tmp_path / "table.csv", index=False)
    manifest = prepare(request(tmp_path, split="part"), tmp_path / "work", jobs=1).manifest
    assert list(manifest["split"]) == list(table["part"])
    rewrite(tmp_path, 0, "part", "dev")
    with pytest.raises(BadInputError, match=r"row 1 .*split is 'dev'"):
        prepare(request(tmp_path, split="part"), tmp_path / "work", jobs=1)


def test_a_missing_table_and_folder_are_named(tmp_path: Path) -> None:
    assert "No table at" in problems_of(tmp_path)
    with pytest.raises(VlpbenchError, match="needs --data"):
        prepare(request(tmp_path).__class__(request(tmp_path).data, None, 32), tmp_path, jobs=1)


def test_a_work_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    table_folder(tmp_path / "data")
    (tmp_path / "work").write_text("a file where a folder should be")
    with pytest.raises(VlpbenchError, match="Cannot write"):
        prepare(request(tmp_path / "data"), tmp_path / "work", jobs=1)
