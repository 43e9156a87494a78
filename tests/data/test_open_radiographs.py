from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlpbench.data.corpus import Corpus
from vlpbench.data.dataset import Dataset
from vlpbench.data.prepared import Prepared, prepare
from vlpbench.data.source import SourceRequest
from vlpbench.suite import DataSpec, load_suite

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "cxr_open"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the real radiographs are not here")


def prepared(data: DataSpec, work: Path) -> Prepared:
    return prepare(SourceRequest(data, FOLDER, 64), work, jobs=1)


def test_real_radiographs_are_read_with_their_labels_boxes_masks_and_notes(tmp_path: Path) -> None:
    suite = load_suite("open")
    nih, covid = (prepared(suite.datasets[name], tmp_path) for name in ("nih", "covid"))
    corpus = Corpus(prepared(suite.corpus, tmp_path))
    assert (nih.facts["images"], nih.facts["patients"], nih.facts["unreadable"]) == (1119, 895, [])
    boxes = [box for text in nih.manifest["boxes"] for box in json.loads(text)]
    assert len(boxes) == 145
    assert all(0 <= box["x"] <= box["x"] + box["width"] <= 64.001 for box in boxes)
    assert (covid.facts["images"], int((covid.manifest["mask_row"] >= 0).sum())) == (234, 179)
    assert corpus.counts["images"] - corpus.counts["blank reports"] == 142
    for data in (nih, covid):
        assert (data.manifest.groupby("patient")["split"].nunique() == 1).all()
    annotated = {
        pair.task: sum(map(len, Dataset(nih if pair.dataset == "nih" else covid, pair).splits.values()))
        for pair in suite.pairs
    }
    assert annotated == {"classification": 1119, "segmentation": 179, "detection": 384}


def test_no_test_patient_of_the_segmentation_is_pre_trained_on(tmp_path: Path) -> None:
    suite = load_suite("open")
    corpus, covid = Corpus(prepared(suite.corpus, tmp_path)), prepared(suite.datasets["covid"], tmp_path)
    seen = {
        patient for split in ("train", "val") for patient in corpus.prepared.manifest["patient"][corpus.rows(split)]
    }
    assert seen
    assert not seen & set(covid.manifest["patient"][covid.manifest["split"] == "test"])
