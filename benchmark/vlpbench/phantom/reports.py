"""From findings to a report and a summary, in the words of `vlpbench.phantom.wording`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlpbench.phantom.study import KINDS, Finding
from vlpbench.phantom.wording import (
    FINDINGS,
    GRADES,
    IMPRESSIONS,
    NARROW_NEGATIONS,
    NEGATIONS,
    NORMAL_IMPRESSIONS,
    NORMAL_SUMMARIES,
    OBJECTS,
    SUMMARIES,
    ZONES,
)

_LONGEST = 70
_HEADINGS = 2
_ROOM = 38
_NEGATIONS = (2, 4)
_REMARK = 0.35
_SENTENCE = re.compile(r"[^.\s][^.]*\.")
_DENIED = {
    sentence: NARROW_NEGATIONS.get(sentence, kinds) for kinds, sentences in NEGATIONS.items() for sentence in sentences
}


@dataclass(frozen=True)
class Text:
    """The two sections of a report, and the summary in words of its own."""

    findings: str
    impression: str
    summary: str


def write_report(findings: Sequence[Finding], rng: np.random.Generator) -> Text:
    """Write what is there, some of what is not, and the conclusion; 15 to 70 words in all.

    Negations name only kinds that are absent. Sentence order and wording follow from the generator.
    """
    present = [_say(FINDINGS, finding, rng) for finding in findings]
    used = _words(present)
    concluded = _conclude(findings, _LONGEST - _HEADINGS - used, rng)
    sentences = present + _deny(findings, used, min(_ROOM, _LONGEST - _HEADINGS - _words(concluded)), rng)
    order = rng.permutation(len(sentences))
    if not findings:
        summary = _pick(rng, NORMAL_SUMMARIES)
    else:
        joined = (", " if rng.random() < 0.5 else "; ").join(_say(SUMMARIES, finding, rng) for finding in findings)
        summary = f"{joined[0].upper()}{joined[1:]}."
    return Text(
        findings=" ".join(sentences[int(index)] for index in order), impression=" ".join(concluded), summary=summary
    )


def denied_kinds(report_findings: str) -> tuple[str, ...]:
    """Kinds whose absence the findings section of a report states, in the order of `KINDS`.

    Impressions are left alone: "Normal chest radiograph." names no kind.
    """
    denied = {kind for sentence in _SENTENCE.findall(report_findings) for kind in _DENIED.get(sentence, ())}
    return tuple(kind for kind in KINDS if kind in denied)


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _words(sentences: Sequence[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)


def _conclude(findings: Sequence[Finding], room: int, rng: np.random.Generator) -> list[str]:
    """The impression: the first finding, and the others as far as there is room."""
    if not findings:
        return [_pick(rng, NORMAL_IMPRESSIONS)]
    concluded: list[str] = []
    for finding in findings:
        sentence = _say(IMPRESSIONS, finding, rng)
        if not concluded or _words([*concluded, sentence]) <= room:
            concluded.append(sentence)
    return concluded


def _say(book: dict[str, tuple[str, ...]], finding: Finding, rng: np.random.Generator) -> str:
    """One sentence of a book for a finding."""
    key = finding.kind
    for variant in (f"{finding.kind}/{finding.side}", f"{finding.kind}/{finding.severity}"):
        key = variant if variant in book else key
    words = {
        "side": finding.side,
        "grade": _pick(rng, GRADES.get((finding.kind, finding.severity), (finding.severity,))),
        "zone": _pick(rng, ZONES.get(finding.location, (finding.location,))),
        "object": _pick(rng, OBJECTS.get(finding.location, (finding.location,))),
    }
    template = _pick(rng, book[key])
    for article in ("{a} ", "{A} "):
        before, found, after = template.partition(article)
        if found:
            following = after.replace("{grade}", words["grade"]).replace("{object}", words["object"])
            one = "an" if following[0] in "aeiou" else "a"
            template = f"{before}{one if article == '{a} ' else one.capitalize()} {after}"
    for name, word in words.items():
        template = template.replace(f"{{{name}}}", word).replace(f"{{{name.capitalize()}}}", word.capitalize())
    return template


def _deny(findings: Sequence[Finding], used: int, room: int, rng: np.random.Generator) -> list[str]:
    """Sentences for kinds that are absent, as many as there is room for."""
    present = [finding.kind for finding in findings]
    wanted = int(rng.integers(_NEGATIONS[0], _NEGATIONS[1] + 1)) + (0 if findings else 1)
    books = list(NEGATIONS.items())
    denied: list[str] = []
    sentences: list[str] = []
    for index in rng.permutation(len(books)):
        kinds, choices = books[int(index)]
        if any(kind in present or kind in denied for kind in kinds) or (not kinds and rng.random() >= _REMARK):
            continue
        sentence = _pick(rng, choices)
        if len(sentences) >= wanted or used + len(sentence.split()) > room:
            break
        denied.extend(kinds)
        sentences.append(sentence)
        used += len(sentence.split())
    return sentences
