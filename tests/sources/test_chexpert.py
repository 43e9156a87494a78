from __future__ import annotations

import csv
import gzip
import math
import pickle
import shutil
from pathlib import Path

import pytest

from tests.releases.chexpert import COLUMNS, HEADER, PREFIX, write_release, write_table
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench.sources.chexpert import CLASSES, CheXpert
from vlpbench.splits.chexpert import COMPETITION
from vlpbench.suite import DataSpec


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "CheXpert-v1.0-small"
    write_release(folder)
    return folder


def source(folder: Path, **options: object) -> CheXpert:
    return CheXpert(SourceRequest(DataSpec("chexpert", "CheXpert", "chexpert", options), folder, 64))


def by_id(folder: Path, **options: object) -> dict[str, ImageRow]:
    return {row.image_id: row for row in source(folder, **options).rows()}


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def change(folder: Path, line: int, column: str, value: str, *, table: str = "train.csv") -> None:
    """Set a cell; lines are counted as in messages, the header being 1."""
    rows = cells(folder / table)
    rows[line - 1][rows[0].index(column)] = value
    write_table(folder / table, rows[1:], header=rows[0])


def problems(folder: Path, **options: object) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder, **options).rows()
    return str(error.value)


def test_it_is_registered() -> None:
    assert REGISTRY.target("source", "chexpert") is CheXpert
    assert REGISTRY.card("source", "chexpert").name == "chexpert"


def test_rows_are_the_frontal_images_with_patients_and_the_official_split(release: Path) -> None:
    adapter = source(release)
    rows = adapter.rows()
    assert len({row.image_id for row in rows}) == len(rows) == 12 * 2 + 6
    assert adapter.counts() == {"images": 30, "not frontal": 12}
    row = rows[0]
    assert row.image_id == row.source_path == "train/patient00001/study1/view1_frontal.jpg"
    assert (row.patient, row.study, row.split) == ("patient00001", "patient00001/study1", "train")
    assert not row.boxes_known
    assert {row.split for row in rows if row.patient < "patient64541"} == {"train"}
    assert [row.image_id for row in rows if row.split == "test"] == [
        f"valid/patient{number}/study1/view1_frontal.jpg" for number in range(64541, 64547)
    ]
    assert tuple(row.labels) == CLASSES
    for part in ("train", "test"):
        for name in COMPETITION:
            assert {row.labels[name] for row in rows if row.split == part} == {0.0, 1.0}


def test_facts_name_row_file_view_and_raw_labels(release: Path) -> None:
    rows = by_id(release, views="all")
    first = rows["train/patient00001/study2/view1_frontal.jpg"].facts
    assert first["csv_row"] == "2"
    assert first["csv_length"] == "36"
    assert (first["file"], first["view"]) == ("train.csv", "frontal")
    assert first["raw"] == ",".join(cells(release / "train.csv")[3][-len(COLUMNS) :])
    assert "-1.0" in first["raw"]
    assert rows["train/patient00001/study1/view2_lateral.jpg"].facts["view"] == "lateral"
    assert rows["valid/patient64541/study1/view1_frontal.jpg"].facts["file"] == "valid.csv"
    assert {row.facts["rest_row"] for row in rows.values()} == {""}


def test_every_row_can_be_read_and_survives_a_process_border(release: Path) -> None:
    adapter = pickle.loads(pickle.dumps(source(release, views="all")))  # as workers get it
    rows = adapter.rows()
    assert len(rows) == 42
    for row in rows:
        pixels = adapter.read(row)
        assert (pixels.height, pixels.width) == (96, 120)
        assert pixels.image.max() > 200
        assert len(pixels.content) == 32


def test_a_missing_image_is_told_when_it_is_read(release: Path) -> None:
    adapter = source(release)
    row = adapter.rows()[0]
    (release / row.source_path).unlink()
    assert adapter.rows()[0] == row
    with pytest.raises(UnreadableImageError, match="no such file"):
        adapter.read(row)


@pytest.mark.parametrize(
    ("name", "uncertain"),
    [
        ("Atelectasis", 1.0),
        ("Cardiomegaly", 0.0),
        ("Consolidation", 0.0),
        ("Edema", 1.0),
        ("Pleural Effusion", 1.0),
        ("Fracture", math.nan),
        ("No Finding", math.nan),
    ],
)
def test_uncertain_labels_follow_gloria_and_mgca(release: Path, name: str, uncertain: float) -> None:
    label, image = name.lower().replace(" ", "_"), "train/patient00001/study1/view1_frontal.jpg"
    for value, expected in (("", 0.0), ("0.0", 0.0), ("1.0", 1.0), ("-1.0", uncertain), ("-1", uncertain), ("1", 1.0)):
        change(release, 2, name, value)
        assert by_id(release)[image].labels[label] == pytest.approx(expected, nan_ok=True)


def test_the_policy_of_a_class_can_be_changed(release: Path) -> None:
    image = "train/patient00001/study1/view1_frontal.jpg"
    for name in ("Edema", "Fracture", "Cardiomegaly"):
        change(release, 2, name, "-1.0")
    labels = by_id(release, uncertain={"edema": "zero", "fracture": "one"})[image].labels
    assert (labels["edema"], labels["fracture"], labels["cardiomegaly"]) == (0.0, 1.0, 0.0)
    assert math.isnan(by_id(release, uncertain={"edema": "unknown"})[image].labels["edema"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "all"}, "No option of the source chexpert named 'view'. Near: views"),
        ({"views": "lateral"}, "No value of the option 'views' of chexpert named 'lateral'"),
        ({"test": "train"}, "No value of the option 'test' of chexpert named 'train'"),
        ({"uncertain": "one"}, "names a policy per class, such as {edema = 'zero'}; got 'one'"),
        ({"uncertain": {"Edema": "one"}}, "No class of chexpert (option 'uncertain') named 'Edema'. Near: edema"),
        ({"uncertain": {"edema": "ones"}}, "No policy for uncertain edema of chexpert named 'ones'. Near: one"),
    ],
)
def test_options_are_checked(release: Path, options: dict[str, object], message: str) -> None:
    assert message in problems(release, **options)


@pytest.mark.parametrize("prefix", ["CheXpert-v1.0", "CheXpert-v1.0 batch 2 (train 1)", "data/CheXpert-v1.0-small", ""])
def test_the_prefix_of_paths_does_not_matter(release: Path, prefix: str) -> None:
    before = source(release).rows()
    for name in ("train.csv", "valid.csv"):
        rows = cells(release / name)
        moved = [[(prefix + row[0].removeprefix(PREFIX)).removeprefix("/"), *row[1:]] for row in rows[1:]]
        write_table(release / name, moved, header=rows[0])
    assert source(release).rows() == before


def test_the_folder_above_the_release_serves_too(release: Path) -> None:
    adapter = source(release.parent)
    rows = adapter.rows()
    assert rows[0].image_id == "train/patient00001/study1/view1_frontal.jpg"
    assert rows[0].source_path == "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    assert adapter.read(rows[-1]).width == 120


def test_batch_folders_are_read_as_they_come(release: Path, tmp_path: Path) -> None:
    expected, home = source(release).rows(), tmp_path / "chexpertchestxrays-u20210408"
    first = home / "CheXpert-v1.0 batch 1 (validate & csv)"
    for number, patients in ((2, range(1, 6)), (3, range(6, 11)), (4, range(11, 13))):
        for patient in patients:
            name = f"patient{patient:05d}"
            shutil.copytree(
                release / "train" / name, home / f"CheXpert-v1.0 batch {number} (train {number - 1})" / name
            )
    shutil.copytree(release / "valid", first / "valid")
    for name in ("train.csv", "valid.csv"):
        rows = cells(release / name)
        flat = [[row[0].replace(f"{PREFIX}/train", "CheXpert-v1.0 batch 2 (train 1)"), *row[1:]] for row in rows[1:]]
        write_table(first / name, flat, header=rows[0])
    adapter = source(home)
    rows = adapter.rows()
    assert [row.image_id for row in rows] == [row.image_id for row in expected]
    assert rows[12].source_path == "CheXpert-v1.0 batch 3 (train 2)/patient00007/study1/view1_frontal.jpg"
    assert all(adapter.read(row).height == 96 for row in rows)


def test_byte_order_mark_line_ends_and_compression_do_not_matter(release: Path) -> None:
    before = source(release).rows()
    text = (release / "train.csv").read_text(encoding="utf-8").replace("\n", "\r\n")
    (release / "train.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("Path,Sex", " Path , Sex").encode())
    assert source(release).rows() == before
    (release / "train.csv.gz").write_bytes(gzip.compress((release / "train.csv").read_bytes()))
    (release / "train.csv").unlink()
    assert [path.name for path in source(release).tables()] == ["train.csv.gz", "valid.csv"]
    assert source(release).rows() == before


@pytest.mark.parametrize("name", ["test.csv", "test_labels.csv"])
def test_the_test_set_of_2022_makes_the_official_validation_set_validate(release: Path, name: str) -> None:
    assert "expected test.csv or test.csv.gz or test_labels.csv; found" in problems(release, test="test")
    rows = cells(release / "valid.csv")[1:]
    kept = [0, *range(5, len(HEADER))]
    moved = [[row[0].replace(f"{PREFIX}/valid", "test"), *row[1:]] for row in rows]
    lateral = [moved[0][0].replace("view1_frontal", "view2_lateral"), *moved[0][1:]]
    tabled = [[row[column] for column in kept] for row in (*moved, lateral)]
    write_table(release / name, tabled, header=[HEADER[column] for column in kept])
    shutil.copytree(release / "valid", release / "test")
    adapter = source(release, test="test")
    rows_of = {row.image_id: row for row in adapter.rows()}
    assert rows_of["valid/patient64541/study1/view1_frontal.jpg"].split == "val"
    row = rows_of["test/patient64541/study1/view1_frontal.jpg"]
    assert (row.split, row.facts["file"], row.facts["view"]) == ("test", "test.csv", "frontal")
    assert adapter.counts() == {"images": 36, "not frontal": 13}
    assert adapter.read(row).height == 96
    assert len(adapter.tables()) == 3


def test_rows_of_the_5x200_set_are_named_and_the_others_numbered_without_them(release: Path) -> None:
    entries = []
    for number, name in enumerate(["Edema", *(column for column in COLUMNS for _ in range(210))]):
        labels = ["1.0" if column == name else "" for column in COLUMNS]
        where = f"{PREFIX}/train/patient{number + 1:05d}/study1"
        entries.append((f"{where}/view1_frontal.jpg", "Male", "60", "Frontal", "AP", *labels))
        if number % 2:
            entries.append((f"{where}/view2_lateral.jpg", "Male", "60", "Lateral", "", *labels))
    write_table(release / "train.csv", entries)
    rows = [row for row in source(release, views="all").rows() if row.facts["file"] == "train.csv"]
    drawn = [row for row in rows if row.facts["5x200"]]
    assert {name: sum(row.facts["5x200"] == name for row in drawn) for name in COMPETITION} == dict.fromkeys(
        COMPETITION, 200
    )
    assert all(row.labels[row.facts["5x200"]] == 1.0 and row.facts["view"] == "frontal" for row in drawn)
    assert {row.facts["rest_row"] for row in drawn} == {""}
    others = [row.facts["rest_row"] for row in rows if not row.facts["5x200"]]
    assert others == [str(number) for number in range(len(entries) - 1000)]


def test_a_folder_that_is_something_else_is_told(tmp_path: Path, release: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "df_chexpert_plus_240401.csv").write_text("path_to_image\n")
    text = problems(tmp_path / "other")
    assert "is not the release that 'chexpert' reads: expected train.csv here" in text
    assert "found df_chexpert_plus_240401.csv" in text
    (release / "valid.csv").unlink()
    assert "expected valid.csv or valid.csv.gz; found train.csv, train/, valid/" in problems(release)


def test_missing_image_folders_are_told(release: Path) -> None:
    shutil.rmtree(release / "valid")
    assert "expected the image folder valid; found" in problems(release)
    (release / "valid").mkdir()
    shutil.rmtree(release / "train")
    assert "expected the image folder train, or the batch folders" in problems(release)


@pytest.mark.parametrize("column", ["Path", "Frontal/Lateral", "Edema"])
def test_a_renamed_column_is_told(release: Path, column: str) -> None:
    rows = cells(release / "train.csv")
    write_table(release / "train.csv", rows[1:], header=[name if name != column else f"{name}s" for name in rows[0]])
    text = problems(release)
    assert f"train.csv named {column!r}" in text
    assert f"{column}s" in text


def test_all_bad_rows_are_listed_with_their_lines(release: Path) -> None:
    change(release, 2, "Edema", "2.0")
    change(release, 3, "Path", f"{PREFIX}/train/00001/study1/view2_lateral.jpg")
    change(release, 4, "Path", f"{PREFIX}/valid/patient00001/study2/view1_frontal.jpg")
    change(release, 5, "Frontal/Lateral", "PA")
    change(release, 7, "Path", f"{PREFIX}/train/patient00003/study1/view1_frontal.jpg")
    change(release, 3, "Cardiomegaly", "yes", table="valid.csv")
    with pytest.raises(BadInputError) as error:
        source(release).rows()
    listed, base = error.value.problems, f"{PREFIX}/train"
    wanted = "expected one like train/patient00001/study1/view1_frontal.jpg"
    assert listed == (
        "train.csv row 2: column Edema is '2.0'; expected 1.0, 0.0, -1.0 or blank",
        f"train.csv row 3: Path is '{base}/00001/study1/view2_lateral.jpg'; {wanted}",
        f"train.csv row 4: Path is '{PREFIX}/valid/patient00001/study2/view1_frontal.jpg', in the folder valid; "
        f"{wanted}",
        "train.csv row 5: Frontal/Lateral is 'PA' for view1_frontal.jpg; expected Frontal or Lateral",
        f"train.csv row 8: the image {base}/patient00003/study1/view1_frontal.jpg stands in an earlier row too; "
        "expected one row per image",
        "valid.csv row 3: column Cardiomegaly is 'yes'; expected 1.0, 0.0, -1.0 or blank",
    )
    assert str(error.value).startswith(f"{release} has 6 problem(s):")


def test_a_path_cannot_leave_the_release(release: Path) -> None:
    change(release, 2, "Path", f"{PREFIX}/train/patient00001/../view1_frontal.jpg")
    change(release, 3, "Path", "..")
    text = problems(release)
    assert "train.csv row 2: Path is" in text
    assert "train.csv row 3: Path is '..'" in text
