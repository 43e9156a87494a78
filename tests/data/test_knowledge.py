from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.data.folders import request, table_folder
from vlpbench.data.corpus import Corpus
from vlpbench.data.prepared import Prepared, prepare
from vlpbench.data.source import SourceRequest
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.suite import DataSpec

LEFT, RIGHT = "left lung", "right lung"
BOTH = "air|left lung|absent;air|left lung|present ;air|right lung|present;air|right lung|absent"
ROWS = [
    # split, report, triplets, entities, effusion, nodule
    ("train", "Effusion on the left.", "effusion|left lung|present; effusion|right lung|absent", "effusion", "1", ""),
    (
        "train",
        "First so, then so.",
        BOTH,
        "none",
        "0",
        "",
    ),
    ("train", "Nobody looked at this.", "", "", "", ""),
    (
        "val",
        "A nodule and an effusion.",
        "effusion | left lung | absent; nodule|left lung|present; effusion|hilum|present",
        "nodule; effusion",
        "1",
        "1",
    ),
    ("test", "Nothing is said here.", "None", "effusion;air", "0", "0"),
    ("train", "", "granuloma|apex|present", "granuloma", "0", "1"),
]
KNOWLEDGE = {"triplets": "said", "entities": "found", "descriptions": "words.csv"}


def write(folder: Path) -> None:
    """A folder of six images whose table is `ROWS`."""
    table = table_folder(folder, patients=6, images_each=1)
    columns = ("part", "report", "said", "found", "effusion", "nodule")
    for column, values in zip(columns, zip(*ROWS, strict=True), strict=True):
        table[column] = list(values)
    table.to_csv(folder / "table.csv", index=False)
    (folder / "words.csv").write_text("name,description\neffusion,Fluid around the lung.\nair,Gas.\n")


def prepared(folder: Path, **changes: object) -> Prepared:
    return prepare(request(folder, **{"split": "part", "classes": {}, **KNOWLEDGE, **changes}), folder / "work", jobs=1)


def problems_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(BadInputError) as error:
        prepared(folder)
    return error.value.problems


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    write(tmp_path)
    return Corpus(prepared(tmp_path))


def rewrite(folder: Path, row: int, column: str, value: str) -> None:
    table = pd.read_csv(folder / "table.csv", dtype=str, keep_default_na=False)
    table.loc[row, column] = value
    table.to_csv(folder / "table.csv", index=False)


def test_the_manifest_tells_nothing_mentioned_from_unknown(corpus: Corpus) -> None:
    manifest = corpus.prepared.manifest
    assert json.loads(manifest["triplets"][0]) == [["effusion", LEFT, True], ["effusion", RIGHT, False]]
    assert [manifest["triplets"][row] for row in (2, 4)] == ["", "[]"]
    assert [manifest["entities"][row] for row in (0, 1, 2)] == ['["effusion"]', "[]", ""]


def test_vocabularies_are_those_of_the_training_pairs(corpus: Corpus) -> None:
    assert corpus.triplet_entities == ("air", "effusion")
    assert corpus.positions == (LEFT, RIGHT)
    assert corpus.entity_names == ("effusion",)
    # nodule is known of a blank report and outside of training only
    assert corpus.label_names == ("effusion",)
    assert corpus.descriptions == {"effusion": "Fluid around the lung.", "air": "Gas."}


def test_batches_hold_what_each_row_says(corpus: Corpus) -> None:
    rows = np.array([3, 0, 1, 0, 2, 4])
    nothing = [[-1, -1], [-1, -1]]
    left_right = [[-1, -1], [1, 0]]
    triplets = corpus.triplets(rows)
    assert triplets.dtype == np.int8
    assert triplets.tolist() == [[[-1, -1], [0, -1]], left_right, [[1, 1], [-1, -1]], left_right, nothing, nothing]
    entities = corpus.entities(rows)
    assert entities.dtype == np.bool_
    assert entities[:, 0].tolist() == [True, True, False, True, False, True]
    labels = corpus.labels(rows)
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels[:, 0], [1, 1, 0, 1, np.nan, 0])


def test_batches_read_no_text_and_survive_the_way_to_a_worker(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([0, 1])
    before = corpus.triplets(rows), corpus.entities(rows), corpus.labels(rows)
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("a batch was read from text"))
    sent = pickle.loads(pickle.dumps(corpus))
    for earlier, later in zip(before, (sent.triplets(rows), sent.entities(rows), sent.labels(rows)), strict=True):
        np.testing.assert_array_equal(earlier, later)


def test_a_corpus_that_knows_offers_everything(corpus: Corpus) -> None:
    assert corpus.offers == {"summaries", "text similarity", "labels", "triplets", "entities"}
    assert {corpus.lacks(need) for need in corpus.offers} == {None}
    with pytest.raises(UnknownNameError, match="Near: triplets"):
        corpus.lacks("triplet")


def test_a_corpus_that_knows_nothing_says_what_would_add_it(tmp_path: Path) -> None:
    write(tmp_path)
    silent = Corpus(prepared(tmp_path, triplets="", entities="", descriptions="", labels=[]))
    assert silent.offers == {"summaries", "text similarity"}
    assert silent.lacks("summaries") is None
    assert silent.lacks("triplets") == (
        "needs triplets (what the report says of each entity at each position: present, absent or nothing), "
        "which no training pair of the corpus carries; "
        "a table source takes them from the column of its option `triplets`: docs/data.md"
    )
    assert "needs labels" in str(silent.lacks("labels"))
    assert "options `labels` and `classes`" in str(silent.lacks("labels"))
    assert "needs entities" in str(silent.lacks("entities"))
    rows = np.array([0, 4])
    assert silent.descriptions == {}
    assert (silent.triplets(rows).shape, silent.entities(rows).shape) == ((2, 0, 0), (2, 0))
    assert silent.labels(rows).shape == (2, 0)


def test_knowledge_of_other_rows_than_the_training_pairs_is_not_offered(tmp_path: Path) -> None:
    write(tmp_path)
    for row in (0, 1, 2):
        for column, value in (("said", "none"), ("found", "none"), ("effusion", "")):
            rewrite(tmp_path, row, column, value)
    assert Corpus(prepared(tmp_path)).offers == {"summaries", "text similarity"}


def test_a_folder_without_these_columns_is_as_good_as_unknown(corpus: Corpus, tmp_path: Path) -> None:
    manifest = corpus.prepared.manifest.drop(columns=["triplets", "entities"])
    manifest.to_parquet(corpus.prepared.folder / "manifest.parquet")
    assert Corpus(Prepared(corpus.prepared.folder)).offers == {"summaries", "text similarity", "labels"}


@pytest.mark.parametrize("change", ["triplet", "entity", "description"])
def test_the_fingerprint_follows_what_is_known(tmp_path: Path, change: str) -> None:
    write(tmp_path)
    before = prepared(tmp_path).fingerprint
    if change == "description":
        (tmp_path / "words.csv").write_text("name,description\neffusion,Water.\n")
    else:
        rewrite(tmp_path, 2, *{"triplet": ("said", "none"), "entity": ("found", "effusion")}[change])
    assert prepared(tmp_path).fingerprint != before


@pytest.mark.parametrize(
    ("column", "value", "part"),
    [
        ("said", "effusion|left lung|maybe", "'effusion|left lung|maybe'"),
        ("said", "effusion|left lung", "'effusion|left lung'"),
        ("said", "effusion|left|lung|present", "'effusion|left|lung|present'"),
        ("said", "|left lung|present", "'|left lung|present'"),
        ("said", "effusion| |absent", "'effusion| |absent'"),
        ("said", "air|left lung|present; ", "''"),
        ("said", "air|left lung|present; none", "'none'"),
        ("found", "effusion;;nodule", "'' among 'effusion;;nodule'"),
        ("found", "effusion; None", "'None' among 'effusion; None'"),
    ],
)
def test_a_malformed_cell_is_named_with_what_was_expected(tmp_path: Path, column: str, value: str, part: str) -> None:
    write(tmp_path)
    rewrite(tmp_path, 1, column, value)
    (problem,) = problems_of(tmp_path)
    expected = "entity|position|present or entity|position|absent" if column == "said" else "names"
    assert problem == (
        f"table.csv row 3: column {column} holds {part}; expected {expected}, "
        "';' in between, 'none' where the report says nothing, or blank for unknown"
    )


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    write(tmp_path)
    rewrite(tmp_path, 0, "said", "effusion; air")
    rewrite(tmp_path, 4, "found", ";")
    rewrite(tmp_path, 5, "effusion", "2")
    words = "name,description\n,Water.\neffusion,\nair,Gas.\nair,Also gas.\n"
    (tmp_path / "words.csv").write_text(words)
    problems = problems_of(tmp_path)
    assert [problem.split(":")[0] for problem in problems] == [
        *["table.csv row 2"] * 2,
        *["table.csv row 6"] * 2,
        "table.csv row 7",
        *[f"words.csv row {line}" for line in (2, 3, 5)],
    ]
    assert [problem.split(": ", 1)[1] for problem in problems[-3:]] == [
        "the name is blank",
        "the description of 'effusion' is blank; give a sentence, or leave out the row",
        "'air' stands in an earlier row too",
    ]


def test_a_missing_file_or_column_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    for option in ("descriptions", "boxes"):
        with pytest.raises(VlpbenchError, match=rf"No file at .*words2.csv, which the option '{option}'"):
            prepared(tmp_path, **{option: "words2.csv"})
    (tmp_path / "words.csv").write_text("name,meaning\neffusion,Fluid.\n")
    with pytest.raises(UnknownNameError, match=r"column of .*words.csv named 'description'"):
        prepared(tmp_path)
    with pytest.raises(UnknownNameError, match=r"column of .*table.csv named 'sayd'.*Near: said"):
        prepared(tmp_path, triplets="sayd")


def test_the_phantom_corpus_offers_everything(tmp_path: Path) -> None:
    options = {"population": "corpus", "count": 40, "seed": 3}
    data = DataSpec("corpus", "Corpus", "phantom", options, (4, 1, 0))
    corpus = Corpus(prepare(SourceRequest(data, None, 32), tmp_path, jobs=1))
    assert corpus.offers == {"summaries", "text similarity", "labels", "triplets", "entities"}
    assert set(corpus.triplet_entities) | set(corpus.entity_names) <= set(corpus.descriptions)
    rows = corpus.rows("train")
    present = (corpus.triplets(rows) == 1).any(axis=2)
    for entity in set(corpus.label_names) & set(corpus.entity_names):
        labels = corpus.labels(rows)[:, corpus.label_names.index(entity)]
        np.testing.assert_array_equal(present[:, corpus.triplet_entities.index(entity)], labels == 1)
        np.testing.assert_array_equal(corpus.entities(rows)[:, corpus.entity_names.index(entity)], labels == 1)
