from __future__ import annotations

import csv
import gzip
import math
import pickle
import shutil
from pathlib import Path

import pytest

from tests.releases.covid_chestxray import row, write_release, write_table
from vlpbench.data.corpus import Corpus
from vlpbench.data.prepared import prepare
from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.sources.covid_chestxray import FINDINGS, LABELS, CovidChestXray, finding_labels
from vlpbench.suite import DataSpec

REAL = Path(__file__).parents[3] / "shared" / "data" / "cxr_open" / "covid"
COVID = "case-000-0.jpg"
FULL_FINDINGS = {
    "COVID-19": "Pneumonia/Viral/COVID-19",
    "COVID-19, ARDS": "Pneumonia/Viral/COVID-19",
    "Varicella": "Pneumonia/Viral/Varicella",
    "Influenza": "Pneumonia/Viral/Influenza",
    "Bacterial": "Pneumonia/Bacterial",
    "Streptococcus": "Pneumonia/Bacterial/Streptococcus",
    "Klebsiella": "Pneumonia/Bacterial/Klebsiella",
    "E.Coli": "Pneumonia/Bacterial/E.Coli",
    "Legionella": "Pneumonia/Bacterial/Legionella",
    "Mycoplasma Bacterial Pneumonia": "Pneumonia/Bacterial/Mycoplasma",
    "Lipoid": "Pneumonia/Lipoid",
    "Pneumocystis": "Pneumonia/Fungal/Pneumocystis",
}
"""How the newest table spells what an older one said."""


def source(folder: Path, **options: object) -> CovidChestXray:
    data = DataSpec("covid", "COVID-19 Image Data Collection", "covid_chestxray", options=options)
    return CovidChestXray(SourceRequest(data, root=folder, image_size=64))


def rows_of(folder: Path, **options: object) -> dict[str, ImageRow]:
    return {row.image_id: row for row in source(folder, **options).rows()}


def problems_of(folder: Path, **options: object) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder, **options).rows()
    return str(error.value)


def replace(folder: Path, old: str, new: str) -> None:
    """Replace a text of the table that must be there, once."""
    text = (folder / "metadata.csv").read_text(encoding="utf-8")
    assert old in text
    (folder / "metadata.csv").write_text(text.replace(old, new, 1), encoding="utf-8")


def test_rows_of_the_release(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == 28
    first = rows[COVID]
    assert (first.patient, first.study, first.split) == ("2", COVID, "")
    assert first.source_path == f"images/{COVID}"
    assert first.report == "A patient with fever and cough. Ground-glass opacities in both lower lobes."
    assert (first.boxes_known, first.has_mask) == (False, False)
    assert first.facts == {
        "licence": "CC BY-NC-SA",
        "view": "PA",
        "finding": "Pneumonia/Viral/COVID-19",
        "offset": "0",
        "rt_pcr_positive": "Y",
        "url": "https://example.org/case",
        "credit": "",
    }
    assert rows["case-000-1.png"].patient == "2"


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    write_release(tmp_path)
    expected = {
        "images": 28,
        "images without a clinical note": 8,
        "images with an unknown finding": 2,
        "other views left out": 13,
        "volumes left out": 1,
        "other modalities left out": 1,
    }
    opened = source(tmp_path)
    assert opened.counts() == expected
    opened.rows()
    assert opened.counts() == expected


def test_every_image_is_read(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    for listed in opened.rows():
        pixels = opened.read(listed)
        assert (pixels.height, pixels.width) == (96, 108)
        # The opacities of an abnormal image are the brightest of it.
        assert (pixels.image.max() > 150) == (listed.labels["no_finding"] != 1)


def test_blanks_around_findings_and_file_names_are_forgiven(tmp_path: Path) -> None:
    write_release(tmp_path)
    herpes = rows_of(tmp_path)["herpes.jpg"]
    assert herpes.labels["viral"] == 1
    assert source(tmp_path).read(herpes).image.shape == (96, 108)


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        ("Pneumonia/Viral/COVID-19", {"pneumonia": 1, "covid": 1, "viral": 1, "bacterial": 0, "no_finding": 0}),
        ("Pneumonia/Viral/SARS", {"pneumonia": 1, "covid": 0, "viral": 1, "bacterial": 0}),
        ("Pneumonia/Viral", {"pneumonia": 1, "covid": math.nan, "viral": 1, "bacterial": 0}),
        ("Pneumonia", {"pneumonia": 1, "covid": math.nan, "viral": math.nan, "bacterial": math.nan, "no_finding": 0}),
        ("Pneumonia/Bacterial/Staphylococcus/MRSA", {"pneumonia": 1, "covid": 0, "viral": 0, "bacterial": 1}),
        ("Pneumonia/Fungal/Pneumocystis", {"pneumonia": 1, "covid": 0, "fungal": 1, "bacterial": 0}),
        ("Pneumonia/Lipoid", {"pneumonia": 1, "lipoid": 1, "covid": 0}),
        ("Tuberculosis", {"pneumonia": 0, "tuberculosis": 1, "covid": 0, "bacterial": 0, "no_finding": 0}),
        ("No Finding", {"pneumonia": 0, "covid": 0, "viral": 0, "no_finding": 1}),
    ],
)
def test_labels_say_what_the_finding_says_and_no_more(finding: str, expected: dict[str, float]) -> None:
    labels = finding_labels(finding)
    assert {name: labels[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert set(labels) == set(LABELS)


@pytest.mark.parametrize("finding", ["todo", "Unknown", ""])
def test_an_open_finding_leaves_every_label_unknown(finding: str) -> None:
    assert finding in FINDINGS
    assert all(map(math.isnan, finding_labels(finding).values()))


def test_views_are_chosen(tmp_path: Path) -> None:
    write_release(tmp_path)
    assert {row.facts["view"] for row in rows_of(tmp_path).values()} == {"PA", "AP", "AP Supine"}
    assert set(rows_of(tmp_path, views=["AP Erect"])) == {"erect.jpg"}
    assert {row.facts["view"] for row in rows_of(tmp_path, views="L").values()} == {"L"}


def test_licences_are_chosen_by_their_beginning(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path, licences=["CC"])
    assert {row.facts["licence"] for row in opened.rows()} == {"CC BY-NC-SA", "CC BY 4.0"}
    assert opened.counts()["images"] == 12
    assert opened.counts()["other licences left out"] == 16
    assert {row.facts["licence"] for row in rows_of(tmp_path, licences="Apache").values()} == {"Apache 2.0"}


def test_no_image_left_names_the_views_there_are(tmp_path: Path) -> None:
    write_release(tmp_path)
    text = problems_of(tmp_path, views=["pa"])
    assert "no X-ray is left by the options views ['pa'] and licences []" in text
    assert "PA (16), AP (6), L (12), AP Supine (6), AP Erect (1)" in text


def test_notes_make_pairs_and_patients_stay_together(tmp_path: Path) -> None:
    write_release(tmp_path)
    corpus = Corpus(prepare(source(tmp_path).request, tmp_path / "work", jobs=1))
    corpus.require_pairs()
    assert corpus.counts["blank reports"] == 8
    assert "lobe, with air bronchograms" in "".join(corpus.prepared.manifest["report"])
    manifest = corpus.prepared.manifest
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()
    for part in ("train", "val", "test"):
        assert set(manifest["label:covid"][manifest["split"] == part].dropna()) == {0.0, 1.0}


def test_a_compressed_table_with_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    write_release(tmp_path)
    expected = {name: (row.report, row.facts) for name, row in rows_of(tmp_path).items()}
    text = (tmp_path / "metadata.csv").read_text(encoding="utf-8")
    (tmp_path / "metadata.csv").unlink()
    with gzip.open(tmp_path / "metadata.csv.gz", "wt", encoding="utf-8-sig", newline="\r\n") as file:
        file.write(text.replace(",url,", ", url,", 1))
    assert {name: (row.report, row.facts) for name, row in rows_of(tmp_path).items()} == expected


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "indiana_reports.csv").write_text("uid\n")
    assert "expected metadata.csv or metadata.csv.gz; found indiana_reports.csv" in problems_of(tmp_path)


def test_the_table_of_another_collection_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("patientid,offset,sex,age,finding,survival\n")
    assert f"No column of {tmp_path / 'metadata.csv'} named 'RT_PCR_positive'" in problems_of(tmp_path)


@pytest.mark.parametrize("column", ["patientid", "finding", "license", "clinical_notes", "filename", "modality"])
def test_a_renamed_column_is_named(tmp_path: Path, column: str) -> None:
    write_release(tmp_path)
    replace(tmp_path, column, "renamed")
    assert f"No column of {tmp_path / 'metadata.csv'} named {column!r}" in problems_of(tmp_path)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"finding": "COVID-19"}, "finding is 'COVID-19'; expected one such as Pneumonia/Viral/COVID-19"),
        ({"finding": "Pneumonia/Viral/COVID19"}, "finding is 'Pneumonia/Viral/COVID19'; expected one such as"),
        ({"finding": "Pneumonia/Bacterial/SARS"}, "finding is 'Pneumonia/Bacterial/SARS'"),
        ({"filename": "../../secret.jpg"}, "the path 'images/../../secret.jpg' leaves the folder"),
        ({"folder": "/etc"}, "the path '/etc/b.jpg' leaves the folder"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, cells: dict[str, str], problem: str) -> None:
    good = row(patientid="1", filename="a.jpg")
    write_table(tmp_path, [good, row(**{"patientid": "2", "filename": "b.jpg", **cells})])
    text = problems_of(tmp_path)
    assert f"metadata.csv row 3: {problem}" in text
    assert "1 problem(s)" in text


@pytest.mark.parametrize(
    ("cells", "kept", "reason"),
    [
        ({"patientid": ""}, ["a.jpg", "c.jpg"], "rows with a blank patientid"),
        ({"filename": ""}, ["a.jpg", "c.jpg"], "rows with a blank filename"),
        ({"folder": ""}, ["a.jpg", "c.jpg"], "rows with a blank folder"),
        ({"filename": "a.jpg", "patientid": "1"}, ["a.jpg", "c.jpg"], "rows that repeat an image"),
    ],
)
def test_rows_of_no_use_are_left_out_and_told(
    tmp_path: Path, cells: dict[str, str], kept: list[str], reason: str
) -> None:
    rows = [row(patientid="1", filename="a.jpg", clinical_notes="First.")]
    rows += [row(**{"patientid": "2", "filename": "b.jpg", **cells}), row(patientid="3", filename="c.jpg")]
    write_table(tmp_path, rows)
    opened = source(tmp_path)
    assert [listed.image_id for listed in opened.rows()] == kept
    assert opened.rows()[0].report == "First."
    assert opened.counts()[f"{reason} left out"] == 1
    assert opened.noticed() == [f"metadata.csv: {reason}, left out: 1 (row 3)"]


@pytest.mark.parametrize("cells", [{"patientid": "2"}, {"finding": "No Finding"}, {"view": "L"}])
def test_rows_of_one_image_that_contradict_each_other_are_all_left_out(tmp_path: Path, cells: dict[str, str]) -> None:
    same = {"patientid": "1", "filename": "a.jpg"}
    write_table(tmp_path, [row(**same), row(patientid="3", filename="c.jpg"), row(**{**same, **cells})])
    opened = source(tmp_path)
    assert [listed.image_id for listed in opened.rows()] == ["c.jpg"]
    told = opened.noticed()[0]
    assert told.startswith("metadata.csv: rows of one image that differ in patient, finding or view, left out: ")
    assert "(row 2" in told


def test_a_release_as_described_has_nothing_to_tell(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    opened.rows()
    assert opened.noticed() == []


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    with pytest.raises(UnknownNameError, match=r"option of the source covid_chestxray named 'licenses'.*licences"):
        source(tmp_path, licenses=["CC"])


def test_a_source_is_small_when_it_is_sent_to_another_process(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    opened.rows()
    assert len(pickle.dumps(opened)) < 2000


@pytest.mark.skipif(not REAL.is_dir(), reason="the real radiographs are not here")
def test_real_radiographs_are_read_from_the_layout_of_the_repository(tmp_path: Path) -> None:
    """The real images with their notes and licences, put back into a table like the repository's."""
    (tmp_path / "images").mkdir()
    with (REAL / "table.csv").open(encoding="utf-8", newline="") as file:
        given = list(csv.DictReader(file))
    write_table(
        tmp_path,
        [
            row(
                patientid=entry["patient"],
                filename=Path(entry["image"]).name,
                finding=FULL_FINDINGS.get(entry["finding"], entry["finding"]),
                view=entry["view"],
                license=entry["license"],
                clinical_notes=entry["report"],
            )
            for entry in given
        ],
    )
    opened = source(tmp_path, licences=["CC"])
    rows = opened.rows()
    assert (len(rows), len({listed.patient for listed in rows})) == (234, 121)
    assert opened.counts()["images without a clinical note"] == 234 - 142
    assert sum(listed.labels["covid"] == 1 for listed in rows) == 179
    for listed in rows[::40]:
        shutil.copy(REAL / listed.source_path, tmp_path / listed.source_path)
        assert opened.read(listed).image.std() > 10
