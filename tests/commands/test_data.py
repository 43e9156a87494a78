from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.data.folders import OPTIONS, table_folder
from vlpbench.commands import data as command
from vlpbench.commands.data_splits import show_splits
from vlpbench.commands.prepared_data import parse_options, prepare_request, prepared_folders
from vlpbench.commands.show_data import show_data
from vlpbench.commands.to_do import require_data
from vlpbench.data.prepared import Prepared
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.splits.recipe import NamedSplit, SplitRecipe
from vlpbench.suite import DataSpec, load_suite

SUITE = """
name = "mine"
title = "Mine"
synthetic = false
note = "For tests."
needs_data = true
arch = "resnet18"
image_size = 32
protocol = "clean"
fractions = [1.0]
seeds = [0]
pretraining = {{}}
evaluation = {{}}
corpus = {{source = "table", options = {{folder = "ward", report = "report"}}}}

[[dataset]]
name = "ward"
title = "Ward films"
source = "table"
options = {options}

[[pair]]
dataset = "ward"
task = "segmentation"
metric = "dice"
"""


@pytest.fixture
def suite(tmp_path: Path) -> str:
    table_folder(tmp_path / "data" / "ward")
    options = {"folder": "ward", **OPTIONS}
    inline = ", ".join(
        f"{name} = {json.dumps(value)}" for name, value in options.items() if not isinstance(value, dict)
    )
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(options=f"{{{inline}}}"), encoding="utf-8")
    return str(path)


def prepare(suite: str, folder: Path, work: Path) -> None:
    command.prepare_data("ward", folder=folder, size=None, suite=suite, jobs=1, settings=(), work=work, plugins=())


@pytest.fixture
def prepared(suite: str, tmp_path: Path) -> Prepared:
    prepare(suite, tmp_path / "data", tmp_path / "work")
    (found,) = prepared_folders("ward", tmp_path / "work")
    return found


def test_prepare_prints_what_came_of_it(
    suite: str, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(suite, tmp_path / "data", tmp_path / "work")
    printed = capsys.readouterr().out
    assert "24 images of 12 patients at 32 px" in printed
    assert "effusion: 12 yes, 12 no" in printed
    assert "nodule: 0 yes, 12 no, 12 unknown" in printed
    splits = prepared.manifest["split"].value_counts()
    assert f"split: train {splits['train']}, val {splits['val']}, test {splits['test']}" in printed
    assert "Next: vlpbench data verify ward" in printed


def test_src_may_name_the_release_itself(suite: str, tmp_path: Path, prepared: Prepared) -> None:
    inside = prepare_request("ward", suite=suite, folder=tmp_path / "data" / "ward", size=None, settings={})
    assert inside.data.options["folder"] == "."
    prepare(suite, tmp_path / "data" / "ward", tmp_path / "work")
    assert [one.folder for one in prepared_folders("ward", tmp_path / "work")] == [prepared.folder]


def test_names_that_are_not_there_show_those_that_are(suite: str, tmp_path: Path, prepared: Prepared) -> None:
    with pytest.raises(UnknownNameError, match=r"No dataset named 'wart'.*Near: ward"):
        prepare_request("wart", suite=suite, folder=None, size=None, settings={})
    with pytest.raises(
        VlpbenchError, match=r"No prepared data named 'other'.*found there: ward.*data prepare other --src"
    ):
        command.verify_data("other", folder=None, work=tmp_path / "work")


def test_options_are_json_or_text() -> None:
    assert parse_options(("views=[1]", "name=x y", "flag=true")) == {"views": [1], "name": "x y", "flag": True}
    with pytest.raises(VlpbenchError, match="takes option=value"):
        parse_options(("views",))


def test_verify_finds_nothing_wrong(prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.verify_data("ward", folder=tmp_path / "data" / "ward", work=tmp_path / "work")
    printed = capsys.readouterr().out
    assert "broken" not in printed
    assert "24, none twice; 12 patients" in printed
    assert "24 of 24 as they were; 0 missing" in printed
    assert "no patient in two parts" in printed


def test_verify_names_what_is_wrong(prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "data" / "ward"
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(source / "masks" / "00_0.png")
    (source / "images" / "01_0.png").unlink()
    manifest = pd.read_parquet(prepared.folder / "manifest.parquet")
    manifest.loc[3, "image_id"] = manifest["image_id"][2]
    manifest.loc[5, "boxes"] = json.dumps([{"label": "opacity", "x": 30, "y": 0, "width": 9, "height": 2}])
    manifest.loc[[6, 7], "split"] = ["train", "test"]
    manifest.loc[[0, 9], "content"] = [manifest["content"][0], manifest["content"][8]]
    manifest.to_parquet(prepared.folder / "manifest.parquet", index=False)
    images = np.load(prepared.folder / "images.npy", mmap_mode="r+")
    images[20] = images[0]
    images.flush()
    with pytest.raises(SystemExit) as caught:
        command.verify_data("ward", folder=source, work=tmp_path / "work")
    assert caught.value.code == 1
    printed = capsys.readouterr().out
    assert f"image ids: 1 stand twice\n        {manifest['image_id'][2]}" in printed
    assert "boxes: 1 of 13 lie outside or have no area" in printed
    assert "same file: 1 group(s)" in printed
    assert "same pixels: 1 group(s) of equal images; 1 of several patients" in printed
    assert "images/00_0.png: other bytes than when it was prepared" in printed
    assert "images/01_0.png: no file 01_0.png" in printed
    assert "1 patient(s) in both train and test" in printed
    assert "Broken: image ids, boxes, original files." in printed


def test_verify_notices_missing_arrays(prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(prepared.folder / "images.npy", np.zeros((3, 32, 32), np.uint8))
    np.save(prepared.folder / "masks.npy", np.zeros((3, 32, 32), np.uint8))
    from vlpbench.data.verification import _arrays

    finding = _arrays(Prepared(prepared.folder))
    assert finding.state == "broken"
    assert finding.examples == (
        "images.npy is (3, 32, 32), expected at least 24 x 32 x 32",
        "masks.npy has 3 masks, the manifest names mask 23",
    )


def test_splits_are_shown_and_written(prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    show_splits("ward", diff=("clean", "clean"), out=tmp_path / "lists", work=tmp_path / "work")
    printed = capsys.readouterr().out
    assert "Images of clean, a row for each part, in the parts of clean" in printed
    written = pd.read_csv(tmp_path / "lists" / "ward-clean.csv")
    parts = dict(zip(written["image_id"], written["split"], strict=True))
    assert parts == dict(zip(prepared.manifest["image_id"], prepared.manifest["split"], strict=True))
    with pytest.raises(UnknownNameError, match="named 'mgca-2022'"):
        show_splits("ward", diff=("clean", "mgca-2022"), out=None, work=tmp_path / "work")


def test_two_splits_that_are_compared_are_the_only_ones_shown(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def halves(manifest: pd.DataFrame) -> NamedSplit:
        rows = np.arange(len(manifest))
        return NamedSplit(rows[:12], rows[12:18], rows[18:])

    made = tuple(
        SplitRecipe(name, "table", ("segmentation",), f"rule of {name}", "https://example.org", {}, halves)
        for name in ("halves", "others")
    )
    for place in ("vlpbench.splits.catalogue", "vlpbench.data.placed_splits"):
        monkeypatch.setattr(f"{place}.recipes", lambda source: made if source == "table" else ())
    capsys.readouterr()
    show_splits("ward", diff=("halves", "clean"), out=None, work=tmp_path / "work")
    printed = capsys.readouterr().out
    assert "rule of halves" in printed
    assert "rule of others" not in printed
    assert "Images of halves (segmentation), a row for each part, in the parts of clean" in printed
    inside = int((prepared.manifest["split"][:12] == "train").sum())
    assert re.search(rf"train +{inside} ", printed)
    show_splits("ward", diff=None, out=None, work=tmp_path / "work")
    assert "rule of others" in capsys.readouterr().out


def test_other_sizes_that_are_prepared_are_named(
    suite: str, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"folder": tmp_path / "data", "suite": suite, "jobs": 1, "settings": (), "plugins": ()}
    command.prepare_data("ward", size=48, work=tmp_path / "work", **sizes)  # type: ignore[arg-type]
    capsys.readouterr()
    command.verify_data("ward", folder=None, work=tmp_path / "work")
    told = f"the newest at 48 px; also prepared: {prepared.folder.name} at 32 px"
    assert told in capsys.readouterr().out
    show_splits("ward", diff=None, out=None, work=tmp_path / "work")
    assert told in capsys.readouterr().out


def test_oddities_of_a_release_are_printed_by_prepare_and_verify(
    suite: str, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads((prepared.folder / "prepared.json").read_text(encoding="utf-8"))
    assert facts["noticed"] == []
    facts["noticed"] = ["table.csv: rows without a patient, left out: 1 (row 3)"]
    (prepared.folder / "prepared.json").write_text(json.dumps(facts), encoding="utf-8")
    prepare(suite, tmp_path / "data", tmp_path / "work")
    assert "noticed: table.csv: rows without a patient, left out: 1 (row 3)" in capsys.readouterr().out
    command.verify_data("ward", folder=None, work=tmp_path / "work")
    printed = capsys.readouterr().out
    assert "note  noticed: 1 kind(s) of oddity in the release\n        table.csv: rows without a patient" in printed


def test_the_to_do_list_says_where_each_dataset_belongs(tmp_path: Path) -> None:
    paper = load_suite("paper")

    def wanted() -> dict[str, DataSpec]:
        return {"corpus": paper.corpus, **paper.datasets}

    told = []
    for data in (None, tmp_path):
        asked = SimpleNamespace(suite=paper, wanted_data=wanted, data=data, image_size=64)
        with pytest.raises(BadInputError) as error:
            require_data(asked)  # type: ignore[arg-type]
        told.append(str(error.value))
    without, given = told
    assert "  - MIMIC-CXR" in without
    assert "[folder mimic_cxr]: Credentialed account" in without
    assert "\n      size: about 3.7 GB" in without
    assert "all of them in one, and run the same command again with --data THAT_FOLDER" in without
    assert "Put each into its folder there, and run the same command again; --tasks" in given
    assert f"No folder at {tmp_path / 'rsna'}" in given


def test_a_contact_sheet_shows_boxes_and_masks(prepared: Prepared, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    show_data("ward", count=6, out=out, seed=0, split="", work=tmp_path / "work")
    colours = {colour for _, colour in Image.open(out).convert("RGB").getcolors(1 << 20) or []}
    assert (230, 159, 0) in colours  # the first box label
    assert (0, 158, 115) in colours  # the outline of a mask
    show_data("ward", count=500, out=tmp_path / "all.jpg", seed=0, split="val", work=tmp_path / "work")
    with pytest.raises(UnknownNameError, match="format of a contact sheet"):
        show_data("ward", count=6, out=tmp_path / "sheet.gif", seed=0, split="", work=tmp_path / "work")
    with pytest.raises(UnknownNameError, match="part of the split"):
        show_data("ward", count=6, out=out, seed=0, split="valid", work=tmp_path / "work")


def test_half_of_a_sheet_is_annotated_where_that_is_possible(prepared: Prepared) -> None:
    from vlpbench.data.contact_sheet import choose_rows

    manifest = prepared.manifest
    manifest["mask_row"] = -1
    boxed = (manifest["boxes"] != "[]").to_numpy()
    rows = choose_rows(prepared, 8, seed=1, split="")
    assert len(set(rows)) == 8
    assert boxed[rows].sum() == 4
    assert len(choose_rows(prepared, 99, seed=1, split="")) == 24


def test_the_list_says_what_is_prepared_here(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared.folder.rename(prepared.folder.with_name("table-" + "0" * 16))
    capsys.readouterr()
    command.list_data(work=tmp_path / "work", plugins=())
    printed = " ".join(capsys.readouterr().out.split())
    assert "table whatever is in it; prepared here: 24 images at 32 px" in printed
    assert "rsna classification, segmentation, detection; not prepared here size: about 3.7 GB licence:" in printed
