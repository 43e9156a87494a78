"""`vlpbench data summarize` as a user calls it."""

from __future__ import annotations

import json
import re

import pytest

from tests.data.folders import table_folder
from tests.summaries.server import completion, serve
from tests.summaries.tiny_models import write_gpt2
from vlpbench.commands.summarize import summarize
from vlpbench.errors import StoppedError, UnknownNameError, VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.table import TableSource
from vlpbench.summaries.reading import describe_summaries, load_summaries

SUITE = """
name = "small"
title = "Small"
synthetic = false
note = ""
needs_data = true
arch = "resnet18"
image_size = 32
protocol = "clean"
fractions = [1.0]
seeds = [0]
dataset = []
pair = []

[corpus]
source = "{source}"
options = {{report = "report", study = "patient"}}

[pretraining]
[evaluation]
"""


@pytest.fixture
def call(tmp_path):
    """The command on six studies of two images each."""
    table = table_folder(tmp_path / "data", patients=6)

    @register_source("ward", licence="Ward licence 1.0", third_parties=False)
    class WardSource(TableSource):
        pass

    def run(writer="impression", *, source="table", name="corpus", **named):
        suite = tmp_path / f"{source}.toml"
        suite.write_text(SUITE.format(source=source))
        defaults = {"model": None, "batch": 4, "limit": None, "device": "cpu", "insist": False, "plugins": ()}
        places = {"suite": str(suite), "data": tmp_path / "data", "work": tmp_path / "work"}
        summarize(name, writer=writer, **{**places, **defaults, **named})

    run.work = tmp_path / "work"
    run.reports = dict(zip(table["patient"], table["report"], strict=True))
    return run


def path_told(text):
    return re.search(r'summaries = "(.*)"', text).group(1)


def test_the_impression_is_written_once_for_each_study(call, capsys):
    call()
    out = capsys.readouterr().out
    assert "corpus: 0 there, 6 written, 0 failed." in out
    path = call.work / "summaries" / path_told(out).rpartition("/")[2]
    assert load_summaries(path, reports=call.reports, max_missing=0) == call.reports, "one sentence stays as it is"
    assert "impression" in describe_summaries(path)
    before = {entry: entry.stat().st_mtime_ns for entry in path.parent.iterdir() if not entry.name.startswith(".")}
    call(name="table")
    assert "corpus: 6 there, 0 to do." in capsys.readouterr().out
    assert {entry: entry.stat().st_mtime_ns for entry in before} == before
    assert len(before) == 2


def test_other_reports_make_another_file(call, tmp_path, capsys):
    call()
    table = tmp_path / "data" / "table.csv"
    table.write_text(table.read_text().replace("of patient 3", "of the patient 3"))
    call()
    assert "corpus: 0 there, 6 written" in capsys.readouterr().out
    assert len(list((call.work / "summaries").glob("*.jsonl"))) == 2


def test_a_local_model_writes_and_is_named(call, tmp_path, capsys):
    folder = write_gpt2(tmp_path / "scribe", positions=600)
    call(f"hf:{folder}", limit=2)
    out = capsys.readouterr().out
    assert "corpus: 0 there, 2 written, 0 failed." in out
    assert "2 of 6 studies" in out
    header = json.loads(next((call.work / "summaries").glob("*.json")).read_text())
    assert header["model"] == "scribe"
    assert header["facts"]["precision"] == "float32"
    assert header["written_by"]["settings"]["decoding"] == "greedy"
    assert describe_summaries(call.work / path_told(out)).startswith("written by scribe (weights ")
    call(f"hf:{folder}", limit=2)
    assert "corpus: 2 there, 0 to do." in capsys.readouterr().out


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_server_on_this_machine_is_no_third_party_and_failures_are_listed(call, capsys):
    def reply(prompt, _):
        if "patient 2" in prompt:
            return 400, {"error": {"message": "too [long]"}}
        if "patient 3" in prompt:
            return 200, completion("")
        return 200, completion("Longer " * 40 if "patient 4" in prompt else "Short.")

    with serve(reply) as fake:
        with pytest.raises(SystemExit) as caught:
            call(f"openai:{fake.url}#scribe", source="ward")
        out = capsys.readouterr().out
        assert caught.value.code == 1
        assert "corpus: 0 there, 5 written, 1 failed." in out
        assert re.search(r"study p2: .*too \[long\]", out)
        assert "Of the 5 summaries in the file: 1 empty, 1 longer than the report." in out
        assert "Reports are sent" not in out
        with pytest.raises(SystemExit):
            call(f"openai:{fake.url}", model="scribe", source="ward")
        assert "corpus: 5 there, 0 written, 1 failed." in capsys.readouterr().out
    assert len(fake.requests) == 7


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_server_that_refuses_the_key_ends_the_call(call, capsys):
    with serve(lambda *_: (401, {"error": {"message": "bad key"}})) as fake:
        with pytest.raises(SystemExit) as caught:
            call(f"openai:{fake.url}#scribe")
        assert caught.value.code == 1
        assert len(fake.requests) == 4, "one batch"
    out = capsys.readouterr().out
    assert "Stopped with 6 untried: " in out
    assert "bad key" in out


def test_reports_that_must_stay_here_are_not_sent_elsewhere(call, capsys, monkeypatch):
    with pytest.raises(VlpbenchError) as caught:
        call("openai:https://api.example.org/v1#scribe", source="ward")
    message = str(caught.value)
    for words in ("'ward'", "api.example.org", "Ward licence 1.0", "--with hf:MODEL", "localhost", "--insist"):
        assert words in message
    sent = []
    monkeypatch.setattr(
        "vlpbench.summaries.endpoint.OpenAIWriter.write", lambda _, reports: sent.extend(reports) or stop()
    )

    def stop():
        raise KeyboardInterrupt

    for named in ({"source": "ward", "insist": True}, {"source": "table"}):
        with pytest.raises(StoppedError, match="What was written stays"):
            call("openai:https://api.example.org/v1#scribe", **named)
        assert "Reports are sent to api.example.org." in capsys.readouterr().out
    assert len(sent) == 8


@pytest.mark.parametrize("writer", ["", "gpt", "hf:", "hf", "openai:", "openai", "impression:x"])
def test_an_unknown_writer_is_told_the_known_ones(call, writer):
    with pytest.raises(VlpbenchError, match="--with takes impression, hf:MODEL or openai:URL"):
        call(writer)


@pytest.mark.parametrize("writer", ["impression", "hf:somewhere/model"])
def test_a_model_apart_goes_with_a_server_only(call, writer):
    with pytest.raises(VlpbenchError, match="--model names a model of a server"):
        call(writer, model="scribe")


def test_a_corpus_that_the_suite_has_not_is_told(call):
    with pytest.raises(UnknownNameError, match=r"No corpus of the suite 'small' named 'mimic_cxr'.*--suite"):
        call(name="mimic_cxr")


def test_a_corpus_without_reports_is_told(call, tmp_path):
    table = tmp_path / "data" / "table.csv"
    table.write_text(re.sub(r"Effusion on[^,\n]*", "None.", table.read_text()))
    with pytest.raises(VlpbenchError, match="has no report of 3 words or more"):
        call()
