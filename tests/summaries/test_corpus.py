"""Summaries on their way into pre-training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endtoend.test_chain import arguments, records, vlpbench
from tests.endtoend.tiny import SUITE
from vlpbench.data.corpus import Corpus
from vlpbench.data.prepared import prepare
from vlpbench.data.source import SourceRequest
from vlpbench.suite import DataSpec

PHANTOM = DataSpec("corpus", "corpus", "phantom", {"population": "corpus", "count": 24, "seed": 1}, (3, 1, 0))


def test_written_summaries_outrank_the_corpus_own(tmp_path: Path) -> None:
    plain = Corpus(prepare(SourceRequest(PHANTOM, None, 32), tmp_path, jobs=1))
    studies = sorted(plain.study_reports())
    written = {study: f"Summary of {study}." for study in studies[:-1]} | {studies[0]: " "}
    corpus = Corpus(plain.prepared, written=written, summary_origin="written by a test")
    rows = plain.rows("train")
    names = plain.prepared.manifest["study"].to_numpy()[rows]
    for study, summary, usual in zip(names, corpus.summaries(rows), plain.summaries(rows), strict=True):
        if study in (studies[0], studies[-1]):
            assert summary not in ("", usual, f"Summary of {study}.")
        else:
            assert summary == f"Summary of {study}."
    assert corpus.summary_kind == f"written by a test; 1 of {len(studies)} studies have none"
    assert corpus.fingerprint != plain.fingerprint
    other = Corpus(plain.prepared, written={**written, studies[1]: "Else."}, summary_origin="written by a test")
    assert other.fingerprint not in (corpus.fingerprint, plain.fingerprint)


def test_a_suite_names_the_file_and_the_lineage_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE, encoding="utf-8")
    suite, work = str(tmp_path / "tiny.toml"), str(tmp_path / "work")
    command = ["data", "summarize", "corpus", "--suite", suite, "--with", "impression", "--work", work]
    assert vlpbench(monkeypatch, *command) == 0
    (path,) = (tmp_path / "work" / "summaries").glob("*.jsonl")
    assert f'summaries = "{path}"' in capsys.readouterr().out
    text = SUITE.replace("[corpus]\n", f'[corpus]\nsummaries = "{path}"\n')
    (tmp_path / "tiny.toml").write_text(text, encoding="utf-8")
    few = ["--tasks", "classification", "--fractions", "1"]
    assert vlpbench(monkeypatch, *arguments(tmp_path, "sista", *few)) == 0
    (record,) = records(tmp_path).values()
    told = record["provenance"]["backbone"]["lineage"]["corpus"]["summaries"]  # type: ignore[index]
    assert told == "the impression of each report, else its sentences in reverse order"
    path.unlink()
    assert vlpbench(monkeypatch, *arguments(tmp_path, "sista", *few)) == 1
    assert f"No summaries at {path}" in capsys.readouterr().err
