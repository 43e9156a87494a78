"""Where the PhysioNet edition, which nobody here has seen, may differ from what is published of it."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest

from tests.releases.vindr import image_id, write_kaggle, write_release
from tests.sources.test_vindr import (
    HEART,
    HEART_BOX,
    LABELS,
    NODULE,
    TRAIN,
    change,
    positives,
    problems_of,
    replace,
    rows_of,
    source,
)
from vlpbench.data.prepared import prepare
from vlpbench.data.verification import verify
from vlpbench.sources.vindr_tables import majority


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((1, 1, 0), 1.0),
        ((0, 0, 1), 0.0),
        ((1, 1), 1.0),
        ((0, 0), 0.0),
        ((1, 0), math.nan),
        ((1,), math.nan),
        ((0,), math.nan),
        ((1, 1, 0, 0), math.nan),
        ((1, 1, 1, 0), 1.0),
    ],
)
def test_a_reader_who_is_missing_leaves_a_label_unknown_only_where_he_could_turn_it(
    votes: tuple[int, ...], expected: float
) -> None:
    assert majority(votes, readers=3) == pytest.approx(expected, nan_ok=True)


def test_an_image_without_its_three_readers_is_kept_and_told(tmp_path: Path) -> None:
    write_release(tmp_path)
    # What is left says Cardiomegaly once and No finding once.
    change(tmp_path / LABELS, lambda rows: rows.pop(4))
    opened = source(tmp_path)
    row = {row.image_id: row for row in opened.rows()}[HEART]
    assert math.isnan(row.labels["cardiomegaly"])
    assert math.isnan(row.labels["no_finding"])
    assert row.labels["pneumothorax"] == 0
    kind = "images without 3 readers; labels that the others could turn are unknown"
    assert opened.noticed() == [f"image_labels_train.csv: {kind}: 1 ({HEART} has 2)"]
    write_kaggle(tmp_path / "kaggle")
    change(tmp_path / "kaggle" / "train.csv", lambda rows: rows.pop(4))
    opened = source(tmp_path / "kaggle")
    row = {row.image_id: row for row in opened.rows()}[HEART]
    assert math.isnan(row.labels["cardiomegaly"])
    assert row.labels["pneumothorax"] == 0
    assert opened.noticed() == [f"train.csv: {kind}: 1 ({HEART} has 2)"]


def test_a_release_as_described_has_nothing_to_tell(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    opened.rows()
    assert opened.noticed() == []


def test_an_image_without_annotations_has_unknown_boxes_unless_nobody_saw_anything(tmp_path: Path) -> None:
    write_release(tmp_path)
    nothing = image_id("train", 0)
    change(
        tmp_path / TRAIN,
        lambda rows: rows.__setitem__(slice(None), [row for row in rows if row[:32] not in (HEART, nothing)]),
    )
    opened = source(tmp_path)
    rows = {row.image_id: row for row in opened.rows()}
    assert (rows[nothing].boxes_known, rows[nothing].facts["finding"]) == (True, "0")
    assert (rows[HEART].boxes_known, rows[HEART].facts["finding"]) == (False, "1")
    assert positives(rows[HEART]) == {"cardiomegaly"}
    assert rows[NODULE].boxes_known
    assert opened.noticed() == [
        f"annotations_train.csv: no row for images without a finding; taken to have no box: 1 ({nothing})",
        f"annotations_train.csv: no row for images with a finding; boxes unknown: 1 ({HEART})",
    ]


def test_an_image_without_labels_has_unknown_ones_and_its_boxes(tmp_path: Path) -> None:
    write_release(tmp_path)
    last = image_id("test", 4)
    path = tmp_path / "annotations/image_labels_test.csv"
    change(path, lambda rows: rows.__setitem__(slice(None), [row for row in rows if row[:32] != last]))
    opened = source(tmp_path)
    rows = {row.image_id: row for row in opened.rows()}
    assert len(rows) == 30
    assert all(math.isnan(value) for value in rows[last].labels.values())
    assert rows[last].labels.keys() == rows[HEART].labels.keys()
    assert rows[last].boxes
    assert rows[last].boxes_known
    assert opened.noticed() == [
        f"image_labels_test.csv: no row for images of annotations_test.csv; labels unknown: 1 ({last})"
    ]


def test_tables_of_different_images_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / LABELS).write_text((tmp_path / LABELS).read_text(encoding="utf-8").replace("\n", "\n0"))
    assert "image_labels_train.csv and annotations_train.csv have no image in common" in problems_of(tmp_path)


def test_a_class_of_a_place_without_a_box_leaves_the_boxes_unknown(tmp_path: Path) -> None:
    write_release(tmp_path)
    expected = rows_of(tmp_path)[HEART]
    replace(tmp_path / TRAIN, HEART_BOX, "Cardiomegaly,,,,")
    opened = source(tmp_path)
    rows = {row.image_id: row for row in opened.rows()}
    assert not rows[HEART].boxes_known
    assert (rows[HEART].labels, rows[HEART].facts) == (expected.labels, expected.facts)
    # Pneumonia is said of the whole image and needs no box.
    assert rows[NODULE].boxes_known
    kind = "images with a class of a place and no box to it; boxes unknown"
    assert opened.noticed() == [f"annotations_train.csv: {kind}: 1 ({HEART}: Cardiomegaly)"]


def test_a_row_that_stands_twice_counts_once_and_one_that_contradicts_it_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    expected = rows_of(tmp_path)
    table = tmp_path / "annotations/image_labels_test.csv"
    change(table, lambda rows: rows.append(rows[1]))
    change(tmp_path / LABELS, lambda rows: rows.insert(2, rows[1]))
    opened = source(tmp_path)
    assert {row.image_id: row for row in opened.rows()} == expected
    assert opened.noticed() == [
        "image_labels_train.csv: rows that stand twice, left out: 1 (row 3)",
        "image_labels_test.csv: rows that stand twice, left out: 1 (row 8)",
    ]
    change(table, lambda rows: rows.append(f"{rows[1][:32]},{rows[2][33:]}"))
    assert f"row 9: image {image_id('test', 0)!r} stands in an earlier row too, and that says" in problems_of(tmp_path)


def test_oddities_are_kept_with_the_prepared_data(tmp_path: Path) -> None:
    write_release(tmp_path)
    for number in range(7):
        replace(tmp_path / LABELS, f"{image_id('train', number)},R{number + 1},", f"{image_id('train', number)},R99,")
        change(tmp_path / LABELS, lambda rows: rows.pop(1 + next(i for i, row in enumerate(rows[1:]) if "R99" in row)))
    opened = source(tmp_path)
    made = prepare(opened.request, tmp_path / "work", jobs=1)
    (line,) = made.facts["noticed"]  # type: ignore[misc]
    assert "image_labels_train.csv: images without 3 readers;" in line
    assert line.endswith(", …)")
    assert ": 7 (" in line
    assert line.count(" has 2") == 5
    assert len(pickle.dumps(opened)) < 2000
    assert verify(made, source=None)[4].examples == (line,)
