from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.releases.openi import (
    FINDINGS,
    IMPRESSIONS,
    dicom_stem,
    image_ids,
    report,
    write_kaggle,
    write_projections,
    write_r2gen,
    write_release,
)
from vlpbench.data.corpus import Corpus, plain_text, reworded
from vlpbench.data.prepared import prepare
from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.sources.deidentification import drop_placeholders
from vlpbench.sources.openi import OpenI
from vlpbench.suite import DataSpec

BOMB = """<?xml version="1.0"?>
<!DOCTYPE eCitation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<eCitation><uId id="CXR2"/><AbstractText Label="FINDINGS">&b;</AbstractText></eCitation>
"""
THIEF = """<?xml version="1.0"?>
<!DOCTYPE eCitation [<!ENTITY secret SYSTEM "file:///etc/hostname">]>
<eCitation><uId id="CXR2"/><AbstractText Label="FINDINGS">&secret;</AbstractText></eCitation>
"""


def source(folder: Path, **options: object) -> OpenI:
    return OpenI(SourceRequest(DataSpec("openi", "Open-i", "openi", options=options), root=folder, image_size=64))


def rows_of(folder: Path, **options: object) -> dict[str, ImageRow]:
    return {row.image_id: row for row in source(folder, **options).rows()}


def problems_of(folder: Path, **options: object) -> str:
    with pytest.raises(VlpbenchError) as error:
        source(folder, **options).rows()
    return str(error.value)


def listed(folder: Path) -> tuple[str, ...]:
    """Problems of a release, none where it is read."""
    try:
        source(folder).rows()
    except BadInputError as error:
        return error.problems
    return ()


def replace(path: Path, old: str, new: str) -> int:
    """Replace a text that must be there, once; the row it stands in."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def change(folder: Path, edit: Callable[[Any], object]) -> None:
    """Change the contents of R2Gen's annotation.json."""
    content = json.loads((folder / "annotation.json").read_text())
    edit(content)
    (folder / "annotation.json").write_text(json.dumps(content))


def projections(uids: range) -> list[tuple[int, str, str]]:
    """Kaggle's table of views for the made-up images."""
    views = ("Frontal", "Lateral")
    named = [(uid, name, view) for uid in uids for name, view in zip(image_ids(uid), views, strict=True)]
    return [(uid, f"{dicom_stem(uid, name)}.dcm.png", view) for uid, name, view in named]


def test_rows_of_the_nlm_edition(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    rows = opened.rows()
    assert len(rows) == 22
    assert opened.counts() == {"reports": 12, "reports without images": 1, "images": 22}
    row = rows[2]
    assert row.image_id == "CXR2_IM-0002-1001"
    assert row.patient == row.study == "CXR2"
    assert row.source_path == "NLMCXR_png/CXR2_IM-0002-1001.png"
    assert row.facts == {"view": "", "mesh": "Opacity/lung/base/right"}
    assert (row.split, row.labels, row.boxes_known, row.has_mask) == ("", {}, False, False)


def test_reports_are_findings_and_impression_that_the_corpus_can_tell_apart(tmp_path: Path) -> None:
    write_release(tmp_path)
    rows = rows_of(tmp_path)
    row = rows[image_ids(4)[0]]
    assert row.report.split("\n") == [
        "FINDINGS: The heart is enlarged. There are of a pleural effusion on the left. No pneumothorax.",
        "IMPRESSION: Cardiomegaly with small effusion.",
    ]
    assert reworded(row.report) == IMPRESSIONS[1]
    assert plain_text(row.report).endswith(f"No pneumothorax. {IMPRESSIONS[1]}")
    # The seventh has no findings, the ninth no impression.
    assert rows[image_ids(7)[0]].report == f"IMPRESSION: {IMPRESSIONS[1]}"
    assert rows[image_ids(9)[0]].report == f"FINDINGS: {FINDINGS[0]}"


def test_a_prepared_corpus_has_pairs(tmp_path: Path) -> None:
    write_release(tmp_path)
    corpus = Corpus(prepare(source(tmp_path).request, tmp_path / "work", jobs=1))
    corpus.require_pairs()
    manifest = corpus.prepared.manifest
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()
    told = corpus.reports(corpus.rows("train"))
    assert all("FINDINGS" not in text and "XXXX" not in text for text in told)


def test_placeholders_are_dropped_or_kept(tmp_path: Path) -> None:
    write_release(tmp_path)
    name = image_ids(3)[0]
    assert rows_of(tmp_path)[name].report.endswith("IMPRESSION: Normal chest x.")
    assert rows_of(tmp_path, deidentified="keep")[name].report.endswith("IMPRESSION: Normal chest x-XXXX.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Normal chest x-XXXX.", "Normal chest x."),
        ("This is a XXXX-year-old female.", "This is a year-old female."),
        ("Comparison XXXX, XXXX. Lungs clear.", "Comparison. Lungs clear."),
        ("XXXX XXXX and lateral chest examination.", "and lateral chest examination."),
        ("Heart normal. XXXX. Lungs clear.", "Heart normal. Lungs clear."),
        ("seen, XXXX, clear", "seen, clear"),
        ("the left XXXX, XXXX subsegmental atelectasis", "the left subsegmental atelectasis"),
        ("rib fractures (XXXX), healed", "rib fractures, healed"),
        ("report dated 02/010/XXXX.", "report dated 02/010."),
        ("the XXXX's left lung", "the left lung"),
        ("at XXXXPM", "at PM"),
        ("please XXXX. XXXX at XXXX. Thanks.", "please. at. Thanks."),
        ("XXXX.", ""),
        ("e.g., 2.5 cm  nodule;\n none", "e.g., 2.5 cm nodule; none"),
    ],
)
def test_nothing_odd_is_left_where_a_placeholder_was(text: str, expected: str) -> None:
    assert drop_placeholders(text) == expected


def test_dicom_is_read_where_there_is_no_png_and_inverted_images_are_turned(tmp_path: Path) -> None:
    write_release(tmp_path / "png")
    write_release(tmp_path / "dcm", dicom=True)
    one, other = source(tmp_path / "png"), source(tmp_path / "dcm")
    for row, twin in zip(one.rows(), other.rows(), strict=True):
        assert twin.source_path.endswith(".dcm")
        assert row.image_id == twin.image_id
        pair = [one.read(row).image.astype(float), other.read(twin).image.astype(float)]
        assert np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1] > 0.99


def test_png_comes_before_dicom(tmp_path: Path) -> None:
    write_release(tmp_path, dicom=True)
    (tmp_path / "NLMCXR_png").mkdir()
    (tmp_path / "NLMCXR_png" / f"{image_ids(2)[0]}.png").write_bytes(b"")
    rows = rows_of(tmp_path)
    assert rows[image_ids(2)[0]].source_path == "NLMCXR_png/CXR2_IM-0002-1001.png"
    assert rows[image_ids(2)[1]].source_path == "NLMCXR_dcm/2/2_IM-0002-2001.dcm"


def test_an_image_that_is_missing_stays_a_row(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "NLMCXR_png" / f"{image_ids(2)[0]}.png").unlink()
    assert rows_of(tmp_path)[image_ids(2)[0]].source_path == f"{image_ids(2)[0]}.png"


def test_projections_name_the_views_of_the_nlm_edition(tmp_path: Path) -> None:
    write_release(tmp_path)
    write_projections(tmp_path, projections(range(1, 12)))
    opened = source(tmp_path, projections="indiana_projections.csv")
    rows = opened.rows()
    # The odd ids of the first report are found too; nothing is known of the twelfth.
    assert {row.image_id for row in rows} == {image_ids(uid)[0] for uid in range(1, 12) if uid != 11}
    assert {row.facts["view"] for row in rows} == {"frontal"}
    assert opened.counts()["lateral images left out"] == 10
    assert opened.counts()["unknown images left out"] == 2
    assert tmp_path / "indiana_projections.csv" in opened.tables()
    assert len(rows_of(tmp_path, projections="indiana_projections.csv", views=["frontal", "lateral"])) == 20


def test_rows_of_the_kaggle_edition(tmp_path: Path) -> None:
    write_kaggle(tmp_path)
    opened = source(tmp_path)
    rows = {row.image_id: row for row in opened.rows()}
    assert len(rows) == 12
    assert opened.counts() == {"reports": 12, "images": 12, "lateral images left out": 12}
    row = rows["2_IM-0002-1001.dcm.png"]
    assert row.patient == row.study == "CXR2"
    assert row.source_path == "images/images_normalized/2_IM-0002-1001.dcm.png"
    assert row.facts["view"] == "frontal"
    assert row.report.endswith("IMPRESSION: Right lower lobe opacity.")
    assert opened.read(row).image.shape == (112, 96)
    lateral = rows_of(tmp_path, views="lateral")
    assert {row.facts["view"] for row in lateral.values()} == {"lateral"}


def test_editions_of_one_report_say_the_same(tmp_path: Path) -> None:
    write_release(tmp_path / "nlm")
    write_kaggle(tmp_path / "kaggle")
    ours = {row.study: (row.patient, row.report) for row in source(tmp_path / "nlm").rows()}
    theirs = {row.study: (row.patient, row.report) for row in source(tmp_path / "kaggle").rows()}
    assert {study: theirs[study] for study in ours} == ours


def test_rows_of_the_r2gen_edition(tmp_path: Path) -> None:
    write_r2gen(tmp_path)
    opened = source(tmp_path)
    rows = {row.image_id: row for row in opened.rows()}
    assert opened.counts() == {"reports": 12, "images": 24}
    row = rows["CXR4_IM-0004/1.png"]
    assert (row.patient, row.study, row.split) == ("CXR4", "CXR4_IM-0004", "test")
    assert row.source_path == "images/CXR4_IM-0004/1.png"
    assert row.report == "The heart is enlarged. There are of a pleural effusion on the left. No pneumothorax."
    assert {part: sum(row.split == part for row in rows.values()) for part in ("train", "val", "test")} == {
        "train": 18,
        "val": 2,
        "test": 4,
    }
    assert opened.read(row).image.shape == (112, 96)


def test_one_of_the_two_images_of_r2gen(tmp_path: Path) -> None:
    write_r2gen(tmp_path)
    change(tmp_path, lambda content: content["train"][0]["image_path"].pop())
    opened = source(tmp_path, image="second")
    assert {row.image_id[-5:] for row in opened.rows()} == {"1.png"}
    assert opened.counts()["reports without the image asked for"] == 1
    assert len(rows_of(tmp_path, image="first")) == 12
    assert len(rows_of(tmp_path)) == 23


def test_a_blanked_key_of_r2gen_follows_the_reports_own_split(tmp_path: Path) -> None:
    write_r2gen(tmp_path)
    expected = rows_of(tmp_path)
    change(tmp_path, lambda content: content.__setitem__("    ", content.pop("test")))
    opened = source(tmp_path)
    assert {row.image_id: row for row in opened.rows()} == expected
    assert opened.counts()["reports under a blank key"] == 2
    change(tmp_path, lambda content: content["    "][1].pop("split"))
    assert "annotation.json '    ' item 2: split is '    ' under the key '    '" in problems_of(tmp_path)


def test_several_editions_ask_for_a_choice(tmp_path: Path) -> None:
    write_release(tmp_path)
    write_kaggle(tmp_path)
    assert "holds several editions: kaggle, nlm. Choose one with the option edition." in problems_of(tmp_path)
    assert len(rows_of(tmp_path, edition="nlm")) == 22
    assert len(rows_of(tmp_path, edition="kaggle")) == 12
    assert "expected annotation.json" in problems_of(tmp_path, edition="r2gen")


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("patientid\n")
    text = problems_of(tmp_path)
    assert "expected ecgen-radiology/*.xml, indiana_reports.csv or annotation.json; found metadata.csv" in text
    assert "expected ecgen-radiology/*.xml; found metadata.csv" in problems_of(tmp_path, edition="nlm")


def test_tables_make_the_stamp(tmp_path: Path) -> None:
    write_release(tmp_path)
    before = source(tmp_path).stamp()
    assert before == source(tmp_path).stamp()
    replace(tmp_path / "ecgen-radiology" / "3.xml", "Normal", "An ordinary")
    assert source(tmp_path).stamp() != before


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    for options, expected in (
        ({"views": ["PA"]}, r"view of openi named 'PA'.*frontal"),
        ({"deidentified": "remove"}, r"value of the option deidentified named 'remove'"),
        ({"edition": "mimic"}, r"value of the option edition named 'mimic'"),
        ({"image": 0}, r"value of the option image named '0'"),
    ):
        with pytest.raises(UnknownNameError, match=expected):
            source(tmp_path, **options).rows()
    with pytest.raises(VlpbenchError, match=r"No file at .*views\.csv, which the option projections names"):
        source(tmp_path, projections="views.csv").rows()


def test_a_source_is_small_when_it_is_sent_to_another_process(tmp_path: Path) -> None:
    write_release(tmp_path)
    opened = source(tmp_path)
    opened.rows()
    assert len(pickle.dumps(opened)) < 2000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (report(2, image_ids(2))[:600], "2.xml: not well-formed XML (no element found: line 12"),
        ("", "2.xml: not well-formed XML (no element found"),
        ('<?xml version="1.0" encoding="klingon"?><eCitation/>', "2.xml: not well-formed XML (unknown encoding"),
        (BOMB, "2.xml: declares entities, which a report never does (EntitiesForbidden); refused"),
        (THIEF, "2.xml: declares entities, which a report never does (EntitiesForbidden); refused"),
        (report(2, ()).replace("CXR2", "PMC2"), "2.xml: the id of uId is 'PMC2'; expected one such as CXR1"),
        ("<eCitation/>", "2.xml: the id of uId is ''; expected one such as CXR1"),
        (report(2, ()).replace('"FINDINGS"', '"RESULTS"'), "2.xml: no AbstractText labelled FINDINGS"),
        (report(2, ("",)), "2.xml: a parentImage without an id"),
        (report(2, image_ids(3)), "3.xml: 'CXR3_IM-0003-1001' stands in 2.xml too"),
        (report(3, ()), "3.xml: 'CXR3' stands in 2.xml too"),
        (report(2, ("../../secret",)), "2.xml: the path '../../secret.png' leaves the folder"),
    ],
)
def test_bad_reports_are_named_by_file(tmp_path: Path, text: str, problem: str) -> None:
    write_release(tmp_path)
    (tmp_path / "ecgen-radiology" / "2.xml").write_text(text, encoding="utf-8")
    assert problem in problems_of(tmp_path)


def test_every_bad_report_is_listed_at_once(tmp_path: Path) -> None:
    write_release(tmp_path)
    for number in (2, 5, 9):
        (tmp_path / "ecgen-radiology" / f"{number}.xml").write_text("<eCitation>", encoding="utf-8")
    assert [problem.split(":")[0] for problem in listed(tmp_path)] == ["2.xml", "5.xml", "9.xml"]


def test_an_image_in_two_places_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path)
    name = f"{image_ids(2)[0]}.png"
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / name).write_bytes((tmp_path / "NLMCXR_png" / name).read_bytes())
    assert f"lies in two places: NLMCXR_png/{name} and copy/{name}" in problems_of(tmp_path)


@pytest.mark.parametrize(
    ("table", "old", "new", "problem"),
    [
        ("projections", "png,Frontal", "png,PA", "projection is 'PA'; expected Frontal or Lateral"),
        ("projections", "3,3_IM", "99,3_IM", "uid '99' has no row in indiana_reports.csv"),
        ("projections", "3,3_IM", "CXR3,3_IM", "uid is 'CXR3'; expected a number"),
        ("projections", "3_IM-0003-2001.dcm.png", "3_IM-0003-1001.dcm.png", "1001.dcm.png' stands in an earlier row"),
        ("projections", "3_IM-0003-2001.dcm.png", "", "the filename is blank"),
        ("projections", "3_IM-0003-2001.dcm.png", "../../x.png", "the path '../../x.png' leaves the folder"),
        ("reports", "4,Cardiomegaly", "2,Cardiomegaly", "uid '2' stands in an earlier row too"),
    ],
)  # fmt: skip
def test_bad_rows_of_the_kaggle_edition(tmp_path: Path, table: str, old: str, new: str, problem: str) -> None:
    write_kaggle(tmp_path)
    row = replace(tmp_path / f"indiana_{table}.csv", old, new)
    assert f"indiana_{table}.csv row {row}: " in problems_of(tmp_path)
    assert problem in problems_of(tmp_path)


@pytest.mark.parametrize(("table", "column"), [("reports", "impression"), ("projections", "projection")])
def test_a_renamed_column_of_the_kaggle_edition_is_named(tmp_path: Path, table: str, column: str) -> None:
    write_kaggle(tmp_path)
    replace(tmp_path / f"indiana_{table}.csv", column, "view")
    assert f"indiana_{table}.csv named {column!r}" in problems_of(tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    write_kaggle(tmp_path)
    expected = rows_of(tmp_path)
    for path in (tmp_path / "indiana_reports.csv", tmp_path / "indiana_projections.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").replace(b"uid,", b" uid ,", 1))
    assert rows_of(tmp_path) == expected


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda content: content["train"].append("x"), "'train' item 10: is str 'x'; expected an object"),
        (lambda content: content["train"][0].pop("id"), "'train' item 1: id is missing; expected text"),
        (lambda content: content["val"][0].update(report=3), "'val' item 1: report is int '3'; expected text"),
        (lambda content: content["val"][0].update(image_path="0.png"), "image_path is str '0.png'; expected a list"),
        (lambda content: content["val"][0].update(image_path=[]), "image_path is list '[]'; expected a list of paths"),
        (lambda content: content["val"][0].update(split="train"), "split is 'train' under the key 'val'"),
        (lambda content: content["val"][0].update(id="02aa804e-bde0afdd"), "expected one such as CXR2384_IM-0942"),
        (lambda content: content["val"].append(content["val"][0]), "'val' item 2: 'CXR10_IM-0010' stands in"),
        (lambda content: content["val"][0].update(image_path=["/etc/x"]), "the path '/etc/x' leaves the folder"),
        (lambda content: content.update(extra=[]), "the key 'extra'; expected train, val and test"),
        (lambda content: content.update(test="gone"), "'test' holds str 'gone'; expected a list of reports"),
        (lambda content: content.pop("train"), "has another shape than R2Gen's: found ['test', 'val']"),
    ],
)  # fmt: skip
def test_bad_items_of_the_r2gen_edition(tmp_path: Path, edit: Callable[[Any], object], problem: str) -> None:
    write_r2gen(tmp_path)
    change(tmp_path, edit)
    assert "annotation.json" in problems_of(tmp_path)
    assert problem in problems_of(tmp_path)


@pytest.mark.parametrize(("text", "problem"), [("[]", "found list"), ('{"train": [', "is not JSON")])
def test_json_of_another_kind_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    write_r2gen(tmp_path)
    (tmp_path / "annotation.json").write_text(text)
    assert problem in problems_of(tmp_path)


def test_damaged_reports_never_end_in_anything_but_a_problem(tmp_path: Path) -> None:
    write_release(tmp_path, patients=3)
    path = tmp_path / "ecgen-radiology" / "2.xml"
    good = path.read_bytes()
    dice = random.Random(0)
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(3):
            bad[dice.randrange(len(bad))] = dice.randrange(256)
        path.write_bytes(bytes(bad[: dice.randrange(len(bad))]) if dice.random() < 0.3 else bytes(bad))
        assert all(problem.startswith(("2.xml", "3.xml", "image")) for problem in listed(tmp_path))
