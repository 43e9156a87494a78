from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.releases.siim import encode_runs, write_release
from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.source import BadAnnotationError, ImageRow, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench.sources.siim import SiimSource
from vlpbench.suite import DataSpec

TABLE = "stage_2_train.csv"


def source(folder: Path, **options: object) -> SiimSource:
    data = DataSpec("siim", "SIIM", "siim", options=options)
    return SiimSource(SourceRequest(data, root=folder, image_size=64))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_release(folder / "stage_2")
    write_release(folder / "png", edition="png")
    return folder


@pytest.fixture
def release(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written / "stage_2", tmp_path / "siim"))


@pytest.fixture
def pictures(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written / "png", tmp_path / "pictures"))


def problems(folder: Path, **options: object) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder, **options).rows()
    return str(error.value)


def append(folder: Path, *lines: str, name: str = TABLE) -> None:
    with (folder / name).open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def by_id(rows: Sequence[ImageRow]) -> dict[str, ImageRow]:
    return {row.image_id: row for row in rows}


def test_rows_of_stage_two(release: Path) -> None:
    adapter = source(release)
    rows = adapter.rows()
    assert adapter.counts() == {
        "images": 24,
        "pneumothorax": 12,
        "rows of run lengths": 16,
        "images without a file": 0,
        "files without a label": 0,
        "files that repeat another": 0,
    }
    first, second, both = rows[0], rows[1], rows[3]
    assert [first.labels, second.labels] == [{"pneumothorax": 0.0}, {"pneumothorax": 1.0}]
    assert first.patient == first.image_id
    assert first.study == "1.2.276.0.7230010.3.1.2.0"
    assert first.source_path == (
        f"dicom-images-train/1.2.276.0.7230010.3.1.2.0/1.2.276.0.7230010.3.1.3.0/{first.image_id}.dcm"
    )
    assert all(row.has_mask and not row.boxes_known for row in rows)
    assert first.facts == {"edition": "stage_2", "official": "train", "csv_rows": "0"}
    assert both.facts["csv_rows"] == "3 4"
    assert [row.split for row in rows].count("test") == 6


def test_stage_one_counts_files_without_a_label_and_has_no_official_split(tmp_path: Path) -> None:
    write_release(tmp_path, edition="stage_1")
    adapter = source(tmp_path)
    assert {row.split for row in adapter.rows()} == {""}
    assert adapter.counts()["files without a label"] == 6


def test_rows_of_the_png_edition(pictures: Path) -> None:
    adapter = source(pictures)
    rows = adapter.rows()
    assert adapter.counts() == {"images": 24, "pneumothorax": 12}
    assert rows[1].facts == {"edition": "png", "official": "train", "file": "1_train_1_"}
    assert rows[1].image_id.startswith("1.2.276.")
    assert [row.split for row in rows].count("test") == 6


def test_editions_agree_on_ids_labels_splits_and_masks(release: Path, pictures: Path, tmp_path: Path) -> None:
    write_release(tmp_path / "one", edition="stage_1")
    folders = (release, tmp_path / "one", pictures)
    adapters = [source(folder) for folder in folders]
    whole, part, other = (by_id(adapter.rows()) for adapter in adapters)
    assert whole.keys() == other.keys()
    assert part.keys() == {name for name, row in whole.items() if row.split == "train"}
    for name, row in whole.items():
        assert (row.labels, row.split) == (other[name].labels, other[name].split)
        mask = adapters[0].read(row).mask
        assert mask is not None
        assert mask.any() == (row.labels["pneumothorax"] == 1)
        np.testing.assert_array_equal(mask, adapters[2].read(other[name]).mask)
        if name in part:
            np.testing.assert_array_equal(mask, adapters[1].read(part[name]).mask)


def test_rows_of_one_image_are_united(release: Path) -> None:
    adapter = source(release)
    row = adapter.rows()[3]
    mask = adapter.read(row).mask
    assert mask is not None
    assert mask[12 + 3 : 12 + 3 + 48, 9:19].all()
    assert mask[16:32, 48:72].all()
    assert mask.sum() == 48 * 10 + 16 * 24


@pytest.mark.parametrize(
    ("header", "marker", "start"),
    [
        ("ImageId, EncodedPixels", " -1", b""),
        ("ImageId,EncodedPixels", "-1", b""),
        ("fname,mask", "-1", b"\xef\xbb\xbf"),
    ],
)
def test_every_spelling_is_read(release: Path, header: str, marker: str, start: bytes) -> None:
    expected = source(release).rows()
    _, *lines = (release / TABLE).read_text().splitlines()
    respelled = [line.replace(", -1", f",{marker}") for line in lines]
    (release / TABLE).write_bytes(start + "\r\n".join([header, *respelled, ""]).encode())
    adapter = source(release)
    assert adapter.rows() == expected
    assert adapter.read(expected[0]).mask is not None


def test_the_table_may_be_compressed(release: Path) -> None:
    expected = source(release).rows()
    (release / f"{TABLE}.gz").write_bytes(gzip.compress((release / TABLE).read_bytes()))
    (release / TABLE).unlink()
    adapter = source(release)
    assert adapter.rows() == expected
    mask = adapter.read(expected[1]).mask
    assert mask is not None
    assert mask.any()


def test_an_edition_may_be_named_where_there_are_several(release: Path) -> None:
    (release / "train-rle.csv").write_text("\n".join((release / TABLE).read_text().splitlines()[:3]) + "\n")
    assert len(source(release).rows()) == 24
    assert len(source(release, edition="stage_1").rows()) == 2
    with pytest.raises(VlpbenchError, match="expected png_images or siim-acr-pneumothorax/png_images"):
        source(release, edition="png").rows()
    with pytest.raises(UnknownNameError, match=r"edition of siim named 'stage_3'.*stage_2"):
        source(release, edition="stage_3")


def test_repeated_files_are_counted_and_labels_without_a_file_are_unreadable(release: Path) -> None:
    adapter = source(release)
    rows = adapter.rows()
    (release / "dicom-images-train" / "again").mkdir()
    shutil.copy(release / rows[0].source_path, release / "dicom-images-train" / "again")
    (release / rows[1].source_path).unlink()
    again = source(release)
    missing = by_id(again.rows())[rows[1].image_id]
    assert again.counts()["files that repeat another"] == 1
    assert again.counts()["images without a file"] == 1
    with pytest.raises(UnreadableImageError, match="no such file"):
        again.read(missing)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("7 3 5", "row 30: the run lengths are 3 numbers; expected pairs of gap and run"),
        ("7 x", "row 30: the run lengths hold 'x'; expected whole numbers"),
        ("7 0", "row 30: pair 1 of the run lengths has no pixel"),
        ("", "row 30: the run lengths are 0 numbers"),
    ],
)
def test_malformed_run_lengths_are_named(release: Path, cell: str, message: str) -> None:
    append(release, f"1.2.3,{cell}")
    assert f"{TABLE} {message}" in problems(release)


def test_contradictions_and_duplicates_are_named(release: Path) -> None:
    rows = source(release).rows()
    line = (release / TABLE).read_text().splitlines()[2]
    append(release, f"{rows[0].image_id},-1", f"{rows[0].image_id},1 2", f"{rows[1].image_id},-1", line, ",-1")
    append(release, "../../../x,-1")
    text = problems(release)
    assert f"{TABLE} row 30: the row of image '{rows[0].image_id}' stands in an earlier row too" in text
    assert f"row 31: image '{rows[0].image_id}' has run lengths in one row and -1 in another" in text
    assert f"row 32: image '{rows[1].image_id}' has run lengths in one row and -1 in another" in text
    assert f"row 33: the row of image '{rows[1].image_id}' stands in an earlier row too" in text
    assert "row 34: the image id is blank" in text
    assert "row 35: the path 'dicom-images-train/../../../x.dcm' leaves the folder" in text
    assert "6 problem(s)" in text


def test_run_lengths_beyond_the_image_stop_at_reading_and_name_the_row(release: Path) -> None:
    lines = (release / TABLE).read_text().splitlines()
    lines[2] = lines[2].split(",")[0] + ", 9200 17"
    (release / TABLE).write_text("\n".join(lines) + "\n")
    adapter = source(release)
    message = rf"{TABLE} row 3: the run lengths end at pixel 9,217, the image of 96 x 96 has 9,216"
    with pytest.raises(BadAnnotationError, match=message):
        adapter.read(adapter.rows()[1])


def test_a_changed_mask_changes_the_content(release: Path) -> None:
    adapter = source(release)
    row = adapter.rows()[1]
    before = adapter.read(row).content
    assert adapter.read(row).content == before
    mask = np.zeros((96, 96), dtype=np.uint8)
    mask[3, 5] = 1
    lines = (release / TABLE).read_text().splitlines()
    lines[2] = f"{row.image_id}, {encode_runs(mask)}"
    (release / TABLE).write_text("\n".join(lines) + "\n")
    changed = source(release).read(row)
    assert changed.content != before
    np.testing.assert_array_equal(changed.mask, mask)


def test_bad_rows_of_the_png_edition_are_named(pictures: Path) -> None:
    name = "stage_1_test_images.csv"
    first = (pictures / name).read_text().splitlines()[1]
    append(
        pictures, "6_train_1_.png,1.2,1", "7_test_1_.png,1.3,0", "../8_test_1_.png,1.4,1", "9_test_0_.png,,0", name=name
    )
    append(pictures, first, name=name)
    text = problems(pictures)
    assert (
        f"{name} row 8: new_filename is '6_train_1_.png' and has_pneumo '1'; expected a name such as 17_test_1_" in text
    )
    assert "row 9: new_filename is '7_test_1_.png' and has_pneumo '0'" in text
    assert "row 10: new_filename is '../8_test_1_.png'" in text
    assert "row 11: image '', 9_test_0_.png, is blank or stands in an earlier row too" in text
    assert "row 12: image '1.2.276." in text
    assert "5 problem(s)" in text


def test_bad_masks_of_the_png_edition_are_named(pictures: Path) -> None:
    adapter = source(pictures)
    row = adapter.rows()[1]
    Image.fromarray(np.zeros((96, 96), dtype=np.uint8)).save(pictures / row.mask_path)
    with pytest.raises(BadAnnotationError, match=r"1_train_1_\.png has 0 white pixels, but has_pneumo is 1"):
        adapter.read(row)
    Image.fromarray(np.full((96, 95), 255, dtype=np.uint8)).save(pictures / row.mask_path)
    with pytest.raises(BadAnnotationError, match=r"1_train_1_\.png is 95 x 96 pixels, its image 96 x 96"):
        adapter.read(row)
    (pictures / row.mask_path).unlink()
    with pytest.raises(UnreadableImageError, match=r"mask png_masks/1_train_1_\.png: no such file"):
        adapter.read(row)


def test_the_png_edition_may_lie_one_folder_deeper(pictures: Path, tmp_path: Path) -> None:
    expected = source(pictures).rows()
    (tmp_path / "unzipped").mkdir()
    pictures.rename(tmp_path / "unzipped" / "siim-acr-pneumothorax")
    adapter = source(tmp_path / "unzipped")
    assert by_id(adapter.rows()).keys() == by_id(expected).keys()
    assert adapter.read(adapter.rows()[0]).image.shape == (96, 96)


def test_other_folders_are_refused_with_what_was_found(release: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.csv").touch()
    text = problems(tmp_path / "other")
    assert "expected stage_2_train.csv or" in text
    assert "found train.csv" in text
    (release / "dicom-images-train").rename(release / "images")
    assert "expected dicom-images-train" in problems(release)
    (pictures / "png_masks").rename(pictures / "masks")
    assert "expected png_masks" in problems(pictures)


def test_a_renamed_column_is_named(release: Path, pictures: Path) -> None:
    text = (release / TABLE).read_text()
    (release / TABLE).write_text(text.replace("EncodedPixels", "Pixels"))
    assert "named 'EncodedPixels or mask'" in problems(release)
    table = pictures / "stage_1_train_images.csv"
    table.write_text(table.read_text().replace("has_pneumo", "pneumothorax"))
    assert "'has_pneumo'" in problems(pictures)


def test_the_card_says_every_option() -> None:
    card = REGISTRY.card("source", "siim")
    assert set(getattr(card, "options", {})) == {"folder", *SiimSource.OPTIONS}
