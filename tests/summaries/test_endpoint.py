"""Servers: addresses, what is sent, what is made of every kind of answer."""

from __future__ import annotations

import builtins
import threading

import pytest

from tests.summaries.server import SOON, completion, serve
from vlpbench.errors import VlpbenchError
from vlpbench.summaries.endpoint import CONCURRENCY, MAX_RETRIES, Endpoint, OpenAIWriter, parse_endpoint
from vlpbench.summaries.prompt import MAX_NEW_TOKENS, ask
from vlpbench.summaries.writer import Answer, Failure

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
BUSY = {"error": {"message": "busy"}}


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def write(url, reports):
    return OpenAIWriter(Endpoint(url, "scribe")).write(reports)


def test_address_and_model_are_read_apart():
    assert parse_endpoint("http://localhost:8000/v1#a/b:7b", None) == Endpoint("http://localhost:8000/v1", "a/b:7b")
    assert parse_endpoint("https://api.example.org/v1/", "m") == Endpoint("https://api.example.org/v1", "m")
    assert parse_endpoint("http://[::1]:80#m", "m") == Endpoint("http://[::1]:80", "m")


@pytest.mark.parametrize(
    "text",
    [
        "localhost:8000#m",
        "ftp://localhost#m",
        "http://#m",
        "http://user:secret@localhost/v1#m",
        "http://localhost/v1?key=secret#m",
        "http://127.0.0.1\\@example.org/v1#m",
        "http://local host/v1#m",
    ],
)
def test_an_address_that_is_not_plain_is_refused_and_not_repeated(text):
    with pytest.raises(VlpbenchError, match="takes a plain http or https address") as caught:
        parse_endpoint(text, None)
    assert "secret" not in str(caught.value)


def test_one_model_must_be_named():
    with pytest.raises(VlpbenchError, match=r"Which model of http://localhost/v1\?.*http://localhost/v1/models"):
        parse_endpoint("http://localhost/v1", None)
    with pytest.raises(VlpbenchError, match="Two models are named, 'a' in --with and 'b' in --model"):
        parse_endpoint("http://localhost/v1#a", "b")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("localhost.", False),
        ("[::2]", False),
        ("api.openai.com", False),
    ],
)
def test_this_machine_is_told_from_others(host, local):
    assert Endpoint(f"http://{host}:1/v1", "m").is_local is local


def test_answers_come_in_the_order_of_the_reports_four_at_a_time():
    gate = threading.Barrier(CONCURRENCY, timeout=10)

    def reply(prompt, _):
        gate.wait()
        return 200, completion(f"  short {prompt.count('!')}\n")

    reports = [f"Effusion {'!' * number}" for number in range(2 * CONCURRENCY)]
    with serve(reply) as fake:
        scribe = OpenAIWriter(Endpoint(fake.url, "scribe"))
        answers = scribe.write(reports)
    assert [answer.summary for answer in answers] == [f"short {number}" for number in range(2 * CONCURRENCY)]
    assert fake.most_at_once == CONCURRENCY
    path, headers, body = fake.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer none"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("scribe", 0, MAX_NEW_TOKENS)
    assert set(fake.tries()) == {ask(report) for report in reports}
    assert scribe.facts == {"served": ["scribe-2026-01"]}


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "given")
    with serve(lambda *_: (200, completion("Short."))) as fake:
        write(fake.url, ["Report."])
    assert fake.requests[0][1]["authorization"] == "Bearer given"


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_fails_the_report_alone():
    def reply(prompt, tries):
        busy = "always" in prompt or ("twice" in prompt and tries <= 2)
        return (429, BUSY, SOON) if busy else (200, completion("Short."))

    with serve(reply) as fake:
        answers = write(fake.url, ["busy twice", "always busy", "never"])
    assert [isinstance(answer, Answer) for answer in answers] == [True, False, True]
    assert "busy" in answers[1].reason
    assert not answers[1].fatal
    tries = fake.tries()
    assert [tries[ask(report)] for report in ("busy twice", "always busy", "never")] == [3, MAX_RETRIES + 1, 1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (completion(None), Answer("", served="scribe-2026-01")),
        (completion("Cut", finish="length"), Answer("Cut", cut=True, served="scribe-2026-01")),
        (completion("<think>Left?\nRight.</think>\nRight."), Answer("Right.", served="scribe-2026-01")),
        (completion("<think>Endless"), Answer("", served="scribe-2026-01")),
        (completion("half \ud83d pair"), Answer("half ? pair", served="scribe-2026-01")),
    ],
)
def test_what_is_kept_of_an_answer(answer, expected):
    with serve(lambda *_: (200, answer)) as fake:
        assert write(fake.url, ["Report."]) == [expected]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion("partly", finish="content_filter"), "content filter"),
        ({**completion(""), "choices": []}, "expected a chat completion"),
        ({"choices": [{"finish_reason": "stop"}]}, "expected a chat completion"),
        ({"choices": [{"message": "Short."}]}, "expected a chat completion"),
        ({"choices": [None]}, "expected a chat completion"),
        ({}, "expected a chat completion"),
        ([], "expected a chat completion"),
        ("<html>login</html>", "expected a chat completion"),
        ("{torn", "JSON"),
    ],
)
def test_an_answer_that_is_no_completion_fails_the_report_alone(answer, reason):
    with serve(lambda *_: (200, answer)) as fake:
        failed = write(fake.url, ["Report."])[0]
    assert isinstance(failed, Failure)
    assert reason in failed.reason
    assert not failed.fatal


@pytest.mark.parametrize(
    ("status", "fatal", "reason"),
    [
        (400, False, "no such thing"),
        (401, True, "OPENAI_API_KEY"),
        (403, True, "OPENAI_API_KEY"),
        (404, True, "has the model 'scribe'"),
    ],
)
def test_what_would_fail_every_report_is_fatal(status, fatal, reason):
    with serve(lambda *_: (status, {"error": {"message": "no such thing"}})) as fake:
        failed = write(fake.url, ["Report."])[0]
    assert failed.fatal is fatal
    assert reason in failed.reason
    assert "no such thing" in failed.reason


def test_a_server_that_is_not_there_is_fatal(monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    with serve(lambda *_: (200, {})) as fake:
        pass
    failed = write(fake.url, ["Report."])[0]
    assert failed.fatal
    assert f"{fake.url} cannot be reached" in failed.reason


def test_reports_for_this_machine_follow_neither_proxy_nor_redirect(monkeypatch):
    with serve(lambda *_: (200, completion("Elsewhere."))) as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        def reply(prompt, _):
            elsewhere = {"location": f"{other.url}/chat/completions"}
            return (307, {}, elsewhere) if "sent on" in prompt else (200, completion("Here."))

        with serve(reply) as fake:
            here, sent_on = write(fake.url, ["Report.", "sent on"])
    assert here.summary == "Here."
    assert isinstance(sent_on, Failure)
    assert other.requests == []


def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch):
    genuine = builtins.__import__

    def missing(name, *arguments, **named):
        if name == "openai":
            raise ImportError(name)
        return genuine(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(VlpbenchError, match=r'pip install "vlpbench\[summaries\]"'):
        OpenAIWriter(Endpoint("http://localhost", "m"))


def test_the_identity_names_address_model_and_settings():
    first = OpenAIWriter(Endpoint("http://localhost", "m")).identity
    others = [Endpoint("http://localhost:1", "m"), Endpoint("http://localhost", "n")]
    assert all(OpenAIWriter(other).identity != first for other in others)
    assert OpenAIWriter(Endpoint("http://localhost", "m"), max_new_tokens=9).identity != first
