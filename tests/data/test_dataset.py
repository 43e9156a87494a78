from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.folders import request, table_folder
from vlpbench.data.corpus import Corpus, plain_text, reworded
from vlpbench.data.dataset import Dataset
from vlpbench.data.prepared import Prepared, prepare
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.suite import TaskSpec


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    table = table_folder(tmp_path)
    table.loc[[0, 5], "report"] = ["", "two words"]
    table.loc[1, "mask"] = ""
    table["looked"] = ["yes"] * 12 + [""] * 12
    table.to_csv(tmp_path / "table.csv", index=False)
    return prepare(request(tmp_path, boxes_known="looked"), tmp_path / "work", jobs=1)


def test_each_task_sees_the_rows_annotated_for_it(prepared: Prepared) -> None:
    rows = {
        task: sum(len(found) for found in Dataset(prepared, TaskSpec("mine", task, metric, labels)).splits.values())
        for task, metric, labels in (
            ("classification", "auroc", ("nodule",)),
            ("segmentation", "dice", ()),
            ("detection", "map", ("opacity",)),
        )
    }
    # nodule is blank in every second row; one mask is blank; boxes were looked for in half the rows, or are there
    assert rows == {"classification": 12, "segmentation": 23, "detection": 18}


def test_boxes_masks_and_labels_belong_to_their_rows(prepared: Prepared) -> None:
    dataset = Dataset(prepared, TaskSpec("mine", "detection", "map", ("opacity",)))
    positive = prepared.manifest["label:effusion"].to_numpy() == 1
    rows = np.arange(len(positive))
    assert [len(boxes) for boxes in dataset.boxes(rows)] == positive.astype(int).tolist()
    np.testing.assert_array_equal(dataset.strata(rows)[:, 0], positive)
    assert Dataset(prepared, TaskSpec("mine", "detection", "map")).label_names == ("opacity",)


def test_an_unknown_label_shows_its_neighbours(prepared: Prepared) -> None:
    with pytest.raises(UnknownNameError, match="Near: effusion"):
        _ = Dataset(prepared, TaskSpec("mine", "classification", "auroc", ("efusion",))).label_names


def test_the_limit_caps_each_split_and_changes_the_split_hash(prepared: Prepared) -> None:
    pair = TaskSpec("mine", "classification", "auroc", ("effusion",))
    whole, capped = Dataset(prepared, pair), Dataset(prepared, pair, limit=3)
    assert {len(rows) for rows in capped.splits.values()} == {3}
    assert whole.split_hash != capped.split_hash


def test_a_task_without_annotation_says_so(tmp_path: Path) -> None:
    table_folder(tmp_path)
    bare = prepare(request(tmp_path, mask=""), tmp_path / "work", jobs=1)
    with pytest.raises(VlpbenchError, match="holds no image annotated for segmentation"):
        _ = Dataset(bare, TaskSpec("mine", "segmentation", "dice")).splits


def test_blank_and_short_reports_are_counted_and_skipped(prepared: Prepared) -> None:
    corpus = Corpus(prepared)
    assert corpus.counts["images"] == 24
    assert corpus.counts["blank reports"] == 1
    assert corpus.counts["reports under three words"] == 1
    used = np.concatenate([corpus.rows(split) for split in ("train", "val")])
    assert 0 not in used
    assert 5 not in used


def test_a_corpus_without_reports_is_refused_with_counts(tmp_path: Path) -> None:
    table_folder(tmp_path)
    silent = Corpus(prepare(request(tmp_path, report=""), tmp_path / "work", jobs=1))
    with pytest.raises(VlpbenchError, match="24 blank reports"):
        silent.require_pairs()


def test_reports_lose_headings_and_summaries_fall_back() -> None:
    report = "FINDINGS: Clear lungs.\n No effusion. IMPRESSION: Normal."
    assert plain_text(report) == "Clear lungs. No effusion. Normal."
    assert reworded(report) == "Normal."
    assert reworded("One thing. Another thing! A third") == "A third Another thing! One thing."
