"""Batches: what is done stays, what is missing is tried, and when to give up."""

from __future__ import annotations

import pytest

from vlpbench.data.corpus import reworded
from vlpbench.errors import VlpbenchError
from vlpbench.summaries.prompt import PROMPT, ask, clean_answer
from vlpbench.summaries.store import SummaryStore
from vlpbench.summaries.studies import Study
from vlpbench.summaries.writer import Answer, Failure, ImpressionWriter, Writer
from vlpbench.summaries.writing import STOP_AFTER, write_missing

STUDIES = [Study(f"s{number}", f"Report number {number} here.") for number in range(60)]


class Scripted(Writer):
    """Answers as a function of the report's number says."""

    way, model, prompt = "scripted", "scripted", "p"
    identity = {}  # noqa: RUF012

    def __init__(self, answer=lambda number: Answer(f"short {number}")):
        self.answer = answer
        self.batches = []

    @property
    def facts(self):
        return {"batches": len(self.batches)} if self.batches else {}

    def write(self, reports):
        numbers = [int(report.split()[2]) for report in reports]
        self.batches.append(numbers)
        return [self.answer(number) for number in numbers]

    @property
    def asked(self):
        return [number for batch in self.batches for number in batch]


@pytest.fixture
def store(tmp_path):
    return SummaryStore.of(tmp_path, label="corpus", identity={})


def run(store, writer, studies=tuple(STUDIES[:10]), **named):
    return write_missing(store, studies, writer, header={"model": writer.model}, batch=named.pop("batch", 4), **named)


def test_what_is_missing_is_written_and_a_second_call_does_nothing(store):
    heard = []
    first = run(store, writer := Scripted(), progress=lambda *step: heard.append(step))
    assert (first.there, first.written, first.failed, first.stopped) == (0, 10, [], "")
    assert [len(batch) for batch in writer.batches] == [4, 4, 2]
    assert heard == [(0, 10), (4, 10), (8, 10), (10, 10)]
    assert {line.study: line.summary for line in store.lines()} == {f"s{n}": f"short {n}" for n in range(10)}
    before = [path.stat() for path in (store.path, store.header_path)]
    second = run(store, writer := Scripted())
    assert (second.there, second.written, writer.batches) == (10, 0, [])
    after = [path.stat() for path in (store.path, store.header_path)]
    assert [(stat.st_ino, stat.st_mtime_ns) for stat in after] == [(stat.st_ino, stat.st_mtime_ns) for stat in before]


def test_a_limit_counts_studies_and_the_rest_can_follow(store):
    assert run(store, Scripted(), limit=3).written == 3
    outcome = run(store, writer := Scripted(), limit=5)
    assert (outcome.there, outcome.written, writer.asked) == (3, 2, [3, 4])
    assert run(store, writer := Scripted()).there == 5
    assert writer.asked == [5, 6, 7, 8, 9]


def test_a_stop_keeps_the_batches_before_it_and_the_header_counts_them(store):
    def answer(number):
        if number == 9:
            raise KeyboardInterrupt
        return Answer("short")

    with pytest.raises(KeyboardInterrupt):
        run(store, Scripted(answer))
    assert len(store.lines()) == 8
    assert store.header()["counts"]["written"] == 8
    outcome = run(store, writer := Scripted())
    assert (outcome.there, outcome.written, writer.asked) == (8, 2, [8, 9])


def test_failures_are_told_and_tried_again(store):
    outcome = run(store, Scripted(lambda number: Failure("too long") if number % 4 == 1 else Answer("short")))
    assert outcome.failed == [f"study s{number}: too long" for number in (1, 5, 9)]
    assert (outcome.written, outcome.stopped) == (7, "")
    assert run(store, writer := Scripted()).written == 3
    assert writer.asked == [1, 5, 9]


def test_a_fatal_failure_ends_the_call_after_its_batch(store):
    outcome = run(store, writer := Scripted(lambda n: Failure("no server", fatal=True) if n == 5 else Answer("short")))
    assert writer.asked == list(range(8))
    assert (outcome.written, outcome.failed, outcome.untried, outcome.stopped) == (7, [], 3, "no server")


def test_many_failures_in_a_row_end_the_call_and_a_success_between_does_not(store):
    outcome = run(store, writer := Scripted(lambda number: Failure("busy")), studies=STUDIES, batch=1)
    assert len(writer.asked) == len(outcome.failed) == STOP_AFTER
    assert outcome.stopped == f"{STOP_AFTER} reports in a row failed"
    assert outcome.untried == len(STUDIES) - STOP_AFTER
    outcome = run(
        store, writer := Scripted(lambda n: Answer("a") if n == 19 else Failure("busy")), studies=STUDIES[:39], batch=1
    )
    assert (len(writer.asked), outcome.stopped) == (39, "")


def test_the_header_counts_what_is_odd_and_adds_up_time_and_facts(store, monkeypatch):
    now = iter([0.0, 1.0, 5.0, 100.0, 101.0, 107.0])
    monkeypatch.setattr("vlpbench.summaries.writing.time.monotonic", lambda: next(now))
    answers = {
        0: Answer(""),
        1: Answer("one two three four five"),
        2: Answer("one two three four"),
        3: Answer("x", cut=True),
    }
    run(store, Scripted(lambda number: answers[number]), limit=4)
    header = store.header()
    expected = {"studies": 10, "written": 4, "empty": 1, "longer than the report": 1, "cut off": 1}
    assert header["counts"] == expected
    assert (header["model"], header["seconds"], header["facts"]) == ("scripted", 5.0, {"batches": 1})
    outcome = run(store, Scripted())
    assert outcome.counts == store.header()["counts"] == {**expected, "written": 10}
    assert store.header()["seconds"] == 12.0


def test_a_header_that_was_lost_is_written_again(store):
    run(store, Scripted())
    store.header_path.unlink()
    assert run(store, Scripted()).there == 10
    assert store.header()["counts"]["written"] == 10


def test_a_file_that_somebody_else_writes_is_left_alone(store):
    with store.alone(), pytest.raises(VlpbenchError, match="Another process"):
        run(store, writer := Scripted())
    assert writer.batches == []


def test_the_impression_is_what_the_corpus_falls_back_to():
    reports = ["FINDINGS: Large effusion. IMPRESSION: Effusion.", "First. Second."]
    assert [answer.summary for answer in ImpressionWriter().write(reports)] == ["Effusion.", "Second. First."]
    assert [reworded(report) for report in reports] == ["Effusion.", "Second. First."]


def test_the_prompt_holds_the_report_as_it_is():
    assert ask(" Braces {here} and {report} there. ") == PROMPT.replace("{report}", "Braces {here} and {report} there.")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" Two\n lines. ", "Two lines."),
        ("<think>a</think>\nShort.", "Short."),
        ("a</think>Short.", "Short."),
        ("<think>never done", ""),
        ("", ""),
    ],
)
def test_an_answer_becomes_one_line_without_thoughts(text, kept):
    assert clean_answer(text) == kept
