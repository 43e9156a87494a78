from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.releases.covidx import write_images, write_lines, write_release
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench.sources.covidx import CovidX
from vlpbench.suite import DataSpec

OLD = ["3 SARS-10.1148rg.242035193-g04mr34g0-Fig8a-day0.jpeg pneumonia", "47c7-1b 47c7-1b.png normal"]
MIXED = ["47c7-1b 47c7-1b.png normal", "COVID 70 COVID(70).png COVID-19 sirm", "8 a.jpg COVID-19 cohen"]
NEWEST = ["S1 sub-S1_ses-E1_run-1_bp-chest_vp-ap_dx-corrected.png positive bimcv", "00a 00a.png negative rsna"]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "covidx"
    write_release(folder)
    return folder


def source(folder: Path, **options: object) -> CovidX:
    return CovidX(SourceRequest(DataSpec("covidx", "COVIDx", "covidx", options), folder, 64))


def problems(folder: Path, **options: object) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder, **options).rows()
    return str(error.value)


def written(folder: Path, **files: list[str]) -> Path:
    """A folder with label files, named with underscores for the first dot, and empty image folders."""
    for part in ("train", "val", "test"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        write_lines(folder / f"{name.replace('CXR_', 'CXR-')}.txt", lines)
    return folder


def row_of(folder: Path, line: str, **options: object) -> ImageRow:
    """The row that one training line of version 9A becomes."""
    return source(written(folder, train_COVIDx9A=[line], test_COVIDx9A=OLD), **options).rows()[0]


def test_it_is_registered() -> None:
    assert REGISTRY.target("source", "covidx") is CovidX
    assert REGISTRY.card("source", "covidx").name == "covidx"


def test_rows_are_the_lines_with_exclusive_classes_and_the_official_split(release: Path) -> None:
    adapter = source(release)
    rows = adapter.rows()
    assert adapter.counts() == {"images": 90, "repeated lines": 0}
    assert len({row.image_id for row in rows}) == 90
    assert [path.name for path in adapter.tables()] == ["train_COVIDx9A.txt", "test_COVIDx9A.txt"]
    assert {row.split for row in rows[:72]} == {"train"}
    assert {row.split for row in rows[72:]} == {"test"}
    assert all(sum(row.labels.values()) == 1.0 and not row.boxes_known for row in rows)
    for rows_of_part in (rows[:72], rows[72:]):
        for name in ("normal", "pneumonia", "covid"):
            assert {row.labels[name] for row in rows_of_part} == {0.0, 1.0}
    first, second = rows[:2]
    assert first.image_id == first.source_path == "train/00000000-41ad.png"
    assert first.patient == second.patient == "00000000-41ad"
    assert first.study != second.study
    assert first.facts == {
        "csv_row": "0",
        "csv_length": "72",
        "file": "train_COVIDx9A.txt",
        "version": "9A",
        "source": "rsna",
    }


def test_the_slip_of_the_pen_in_a_source_is_mended(release: Path) -> None:
    assert "rnsa" in (release / "train_COVIDx9A.txt").read_text()
    assert {row.facts["source"] for row in source(release).rows()} == {"rsna", "cohen", "sirm"}


def test_every_row_can_be_read_and_survives_a_process_border(release: Path) -> None:
    adapter = pickle.loads(pickle.dumps(source(release)))  # as workers get it
    for row in adapter.rows():
        pixels = adapter.read(row)
        assert pixels.width == 96
        assert pixels.image.max() > 200
        third = list(row.labels.values()).index(1.0)
        assert np.argmax(pixels.image[30].astype(int)) // 32 == third
        assert len(pixels.content) == 32


def test_names_that_agree_up_to_their_first_dot_stay_apart(release: Path) -> None:
    pixels = np.full((8, 8), 9, dtype=np.uint8)
    for name in ("DX.1.2.840.1.png", "DX.1.2.840.2.png"):
        Image.fromarray(pixels).save(release / "train" / name)
        pixels = pixels + 100
    write_lines(
        release / "train_COVIDx9A.txt", ["A1 DX.1.2.840.1.png normal actmed", "A1 DX.1.2.840.2.png normal actmed"]
    )
    adapter = source(release)
    one, two = adapter.rows()[:2]
    assert (one.image_id, two.image_id) == ("train/DX.1.2.840.1.png", "train/DX.1.2.840.2.png")
    assert (adapter.read(one).image.max(), adapter.read(two).image.max()) == (9, 109)


def test_missing_images_are_told_when_they_are_read(release: Path) -> None:
    adapter = source(release)
    row = adapter.rows()[3]
    (release / row.source_path).unlink()
    assert len(adapter.rows()) == 90
    with pytest.raises(UnreadableImageError, match="no such file"):
        adapter.read(row)


@pytest.mark.parametrize(
    ("line", "patient", "name", "label", "origin"),
    [
        (OLD[0], "3", "SARS-10.1148rg.242035193-g04mr34g0-Fig8a-day0.jpeg", "pneumonia", ""),
        ("COVID_12 COVID(12).png positive sirm", "COVID_12", "COVID(12).png", "covid", "sirm"),
        ("COVID 12 COVID(12).png COVID-19 sirm", "COVID 12", "COVID(12).png", "covid", "sirm"),
        ("COVID_12 COVID (12).png COVID-19 sirm", "COVID_12", "COVID (12).png", "covid", "sirm"),
        ("COVID 12 COVID (12).png COVID-19", "COVID 12", "COVID (12).png", "covid", ""),
        ("210 16745_2_1.PNG normal some where", "210", "16745_2_1.PNG", "normal", "some where"),
        ("normal a.JPG normal rnsa", "normal", "a.JPG", "normal", "rsna"),
    ],
)
def test_lines_are_read_from_the_right(
    tmp_path: Path, line: str, patient: str, name: str, label: str, origin: str
) -> None:
    row = row_of(tmp_path, line)
    assert (row.patient, row.image_id, row.facts["source"]) == (patient, f"train/{name}", origin)
    assert [key for key, value in row.labels.items() if value == 1.0] == [label]


def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(release: Path) -> None:
    before = source(release).rows()
    path = release / "train_COVIDx9A.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b" \r\n") + b"\r\n")
    assert source(release).rows() == before


@pytest.mark.parametrize(
    ("version", "train", "labels"),
    [
        ("1", "train_COVIDx", ("normal", "pneumonia", "covid")),
        ("4", "train_COVIDx4", ("normal", "pneumonia", "covid")),
        ("7A", "train_COVIDx7A", ("normal", "pneumonia", "covid")),
        ("CXR-3A", "train_COVIDx_CXR_3A", ("normal", "pneumonia", "covid")),
        ("6", "train_COVIDx6", ("no_covid", "covid")),
        ("9B", "train_COVIDx9B", ("no_covid", "covid")),
        ("9B", "train", ("no_covid", "covid")),
        ("8B", "labels/train_COVIDx8B", ("no_covid", "covid")),
        ("Sev", "train_COVIDxSev", ("level1", "level2")),
    ],
)
def test_every_version_has_its_files_and_labels(
    tmp_path: Path, version: str, train: str, labels: tuple[str, ...]
) -> None:
    lines = {"normal": MIXED, "no_covid": NEWEST, "level1": ["4-1 M-4-1-0.png level2 ricord", "5 b.png level1 ricord"]}
    (tmp_path / "labels").mkdir()
    written(tmp_path, **{train: lines[labels[0]], train.replace("train", "test"): lines[labels[0]][1:]})
    adapter = source(tmp_path, version=int(version) if version.isdigit() else version)
    rows = adapter.rows()
    assert tuple(rows[0].labels) == labels
    assert {row.facts["version"] for row in rows} == {version}
    assert len([row for row in rows if row.split == "train"]) == len(lines[labels[0]])
    assert adapter.tables()[0].name.startswith(train.replace("CXR_", "CXR-").removeprefix("labels/"))


def test_cxr_4_has_an_official_validation_split(tmp_path: Path) -> None:
    written(tmp_path, train=NEWEST, val=NEWEST[:1], test=NEWEST[1:])
    write_images(tmp_path / "val", [NEWEST[0]], side=32)
    adapter = source(tmp_path, version="CXR-4")
    rows = adapter.rows()
    assert [row.split for row in rows] == ["train", "train", "val", "test"]
    assert [row.facts["file"] for row in rows] == ["train.txt", "train.txt", "val.txt", "test.txt"]
    assert rows[0].labels == {"no_covid": 0.0, "covid": 1.0}
    assert rows[1].labels == {"no_covid": 1.0, "covid": 0.0}
    assert adapter.read(rows[2]).width == 32
    for version in ("9A", "9B"):
        named = f"expected train_COVIDx{version}.txt or labels/train_COVIDx{version}.txt"
        hint = "val.txt belongs to the option version = 'CXR-4'"
        assert f"{named}; {hint}" in problems(tmp_path, version=version)


def test_lines_that_repeat_an_image_count_once(tmp_path: Path) -> None:
    lines = [OLD[1], *MIXED, "340 a.jpg COVID-19 cohen"]
    adapter = source(written(tmp_path, train_COVIDx4=lines, test_COVIDx4=OLD), version="4")
    rows = adapter.rows()
    assert adapter.counts() == {"images": 5, "repeated lines": 2}
    assert [row.facts["csv_row"] for row in rows] == ["0", "2", "3", "0", "1"]
    assert (rows[2].patient, rows[2].facts["csv_length"]) == ("8", "5")


def test_all_bad_lines_are_listed(tmp_path: Path) -> None:
    train = [
        "1 a.png covid cohen",
        "2 b.png negative rsna",
        "",
        "c.png normal",
        "4 d normal rsna",
        "5 ../e.png normal rsna",
        "6 f.png normal rsna",
        "7 f.png pneumonia rsna",
        "patient filename class source",
    ]
    with pytest.raises(BadInputError) as error:
        source(written(tmp_path, train_COVIDx9A=train, test_COVIDx9A=["8 g.png level1"])).rows()
    vocabulary = "expected one of normal, pneumonia, COVID-19, positive"
    suffixes = "expected a name that ends in .png, .jpg, .jpeg"
    assert error.value.problems == (
        f"train_COVIDx9A.txt line 1: no class in '1 a.png covid cohen'; {vocabulary}",
        f"train_COVIDx9A.txt line 2: the class is 'negative'; {vocabulary}, or another version",
        "train_COVIDx9A.txt line 4: too few words in 'c.png normal'; expected patient, file name, class and source",
        f"train_COVIDx9A.txt line 5: the file name is 'd'; {suffixes}",
        f"train_COVIDx9A.txt line 6: the file name is '../e.png'; {suffixes}",
        "train_COVIDx9A.txt line 8: the image f.png is pneumonia here and normal in an earlier line; expected one "
        "class per image",
        f"train_COVIDx9A.txt line 9: no class in 'patient filename class source'; {vocabulary}",
        f"test_COVIDx9A.txt line 1: the class is 'level1'; {vocabulary}, or another version",
    )
    assert str(error.value).startswith(f"{tmp_path} has 8 problem(s):")


def test_a_folder_that_is_something_else_is_told(tmp_path: Path, release: Path) -> None:
    (tmp_path / "metadata.csv").write_text("patientid,finding\n")
    text = problems(tmp_path)
    assert "is not the release that 'covidx' reads: expected train_COVIDx9A.txt or labels/train_COVIDx9A.txt" in text
    assert "found covidx/, metadata.csv" in text
    (release / "test_COVIDx9A.txt").unlink()
    assert "expected test_COVIDx9A.txt or labels/test_COVIDx9A.txt; found test/, train/" in problems(release)


def test_missing_image_folders_are_told(release: Path) -> None:
    shutil.rmtree(release / "test")
    assert "expected the image folder test; found test_COVIDx9A.txt, train/" in problems(release)


def test_a_label_file_that_is_no_text_is_told(release: Path) -> None:
    (release / "train_COVIDx9A.txt").write_bytes("3 ö.png normal cohen\n".encode("latin-1"))
    text = problems(release)
    assert "train_COVIDx9A.txt is not a text file in UTF-8" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"versions": "9A"}, "No option of the source covidx named 'versions'. Near: version"),
        ({"version": "9"}, "No version of covidx named '9'. Near: 9B, 9A"),
        ({"version": "CXR-5"}, "No version of covidx named 'CXR-5'. Near: CXR-4"),
    ],
)
def test_options_are_checked(release: Path, options: dict[str, object], message: str) -> None:
    assert message in problems(release, **options)
