"""The file of summaries: what it keeps, what it forgives and what it refuses."""

from __future__ import annotations

import json

import pytest

from vlpbench.data.source import ImageRow
from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.summaries.reading import describe_summaries, load_summaries
from vlpbench.summaries.store import Line, SummaryStore
from vlpbench.summaries.studies import Study, collect_studies, reports_fingerprint, text_hash

REPORTS = {f"s{number}": f"Report of patient {number}." for number in range(10)}


def line(study, summary="Short."):
    return Line(study, text_hash(REPORTS[study]), summary)


@pytest.fixture
def store(tmp_path):
    store = SummaryStore.of(tmp_path, label="corpus", identity={"reports": "r"})
    store.append([line("s0", "One\u2028line; é"), line("s1", "")])
    store.append([line("s2")])
    store.write_header({"prompt": "Say it shortly.", "model": "scribe", "written_by": {}, "counts": {}})
    return store


def test_lines_come_back_as_they_were_written(store):
    assert store.lines() == [line("s0", "One\u2028line; é"), line("s1", ""), line("s2")]
    assert store.path.parent.name == "summaries"


def test_every_part_of_the_identity_names_another_file(tmp_path):
    first = SummaryStore.of(tmp_path, label="corpus", identity={"reports": "r", "prompt": "p"})
    assert first.path == SummaryStore.of(tmp_path, label="corpus", identity={"prompt": "p", "reports": "r"}).path
    assert first.path != SummaryStore.of(tmp_path, label="corpus", identity={"reports": "r", "prompt": "q"}).path


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_torn_last_line_is_dropped_and_written_over(store, kept):
    whole = store.path.read_bytes()
    torn = line("s3").written().encode()[:kept]
    store.path.write_bytes(whole + torn)
    assert [found.study for found in store.lines()] == ["s0", "s1", "s2"]
    store.append([line("s4")])
    assert store.path.read_bytes() == whole + line("s4").written().encode()


def test_bad_lines_are_listed_by_number_and_not_taken(store):
    fields = json.loads(line("s5").written())
    bad = [
        "no JSON",
        "[]",
        json.dumps({**fields, "more": 1}),
        json.dumps({**fields, "study": 5}),
        json.dumps({**fields, "cut": 0}),
        json.dumps({**fields, "summary": "Changed."}),
        json.dumps({**fields, "study": "s2"}),
    ]
    with store.path.open("a") as file:
        file.write("\n".join(bad) + "\n")
    with pytest.raises(BadInputError, match="run `vlpbench data summarize` again") as caught:
        store.lines()
    expected = (
        "not JSON",
        "expected an object",
        "expected an object",
        "study is not a text",
        "cut is not true or false",
    )
    for problem, number, words in zip(
        caught.value.problems,
        range(4, 11),
        (*expected, "its hash differs", "'s2' stands in an earlier line"),
        strict=True,
    ):
        assert f"line {number}: " in problem
        assert words in problem


def test_a_second_process_is_kept_out(store):
    with (
        store.alone(),
        pytest.raises(VlpbenchError, match="Another process is writing"),
        SummaryStore(store.path).alone(),
    ):
        pass
    with store.alone():
        pass


def test_summaries_are_read_for_the_reports_they_were_made_from(store):
    assert load_summaries(store.path) == {"s0": "One\u2028line; é", "s1": "", "s2": "Short."}
    wanted = {name: REPORTS[name] for name in ("s2", "s1")}
    assert load_summaries(store.path, reports=wanted) == {"s2": "Short.", "s1": ""}


def test_missing_and_stale_summaries_are_refused_when_they_are_many(store):
    wanted = {**{name: REPORTS[name] for name in ("s0", "s1", "s9")}, "s2": "Another report."}
    with pytest.raises(BadInputError, match=r"lacks summaries of 2 of 4 studies") as caught:
        load_summaries(store.path, reports=wanted)
    assert caught.value.problems[0] == "study 's9' has none"
    assert "'s2': the report is not the one" in caught.value.problems[1]
    assert set(load_summaries(store.path, reports=wanted, max_missing=0.5)) == {"s0", "s1"}


def test_no_file_and_no_header_are_told(store, tmp_path):
    with pytest.raises(VlpbenchError, match=r"No summaries at .*none\.jsonl"):
        load_summaries(tmp_path / "none.jsonl")
    for text in ("{", "[]", '{"format": 0}'):
        store.header_path.write_text(text)
        with pytest.raises(VlpbenchError, match=r"The header .*\.json"):
            load_summaries(store.path)
    store.header_path.unlink()
    with pytest.raises(VlpbenchError, match="No header at"):
        load_summaries(store.path)


def test_the_lineage_names_model_version_prompt_and_what_is_empty(store):
    def sentence(**fields):
        store.write_header({"prompt": "p", "model": "scribe", "counts": {"empty": 0, "written": 9}, **fields})
        return describe_summaries(store.path)

    assert sentence(written_by={"revision": "abc"}).startswith("written by scribe (revision abc) with prompt ")
    assert sentence(written_by={"weights": "abc"}).startswith("written by scribe (weights abc) with prompt ")
    assert sentence(written_by={}) != sentence(written_by={}, prompt="q")
    assert sentence(written_by={}, counts={"empty": 2, "written": 9}).endswith("; 2 of 9 are empty")
    assert "impression of each report" in sentence(written_by={}, prompt="")


def row(image, study, report):
    return ImageRow(image_id=image, patient="p", study=study, report=report)


def test_a_study_is_summarised_once_and_only_where_the_corpus_uses_it():
    rows = [row("a", "s1", "Three words here."), row("b", "s0", "Two words."), row("c", "s0", ""), row("d", "s1", "")]
    rows += [row("e", "s1", "Three words here."), row("f", "s2", "Another three words.")]
    assert collect_studies(rows) == [Study("s1", "Three words here."), Study("s2", "Another three words.")]


def test_images_of_a_study_with_different_reports_are_refused():
    rows = [
        row("a", "s1", "Three words here."),
        row("b", "s1", "Three other words."),
        row("c", "s2", "Three words here."),
    ]
    with pytest.raises(BadInputError, match="study 's1': the report of b differs") as caught:
        collect_studies(rows)
    assert len(caught.value.problems) == 1


def test_the_fingerprint_is_of_studies_and_texts_and_not_of_their_order():
    studies = [Study(name, report) for name, report in REPORTS.items()]
    assert reports_fingerprint(studies) == reports_fingerprint(studies[::-1])
    assert reports_fingerprint(studies) != reports_fingerprint(studies[:-1])
    assert reports_fingerprint(studies) != reports_fingerprint([*studies[:-1], Study("s9", "Changed.")])
