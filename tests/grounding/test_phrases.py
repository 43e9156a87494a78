"""Phrases: what is asked for, in which words of a text it stands, and what it names."""

import pytest

from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.grounding.phrases import (
    Phrase,
    is_named,
    named_best,
    occurrences,
    parse_phrases,
    tokenise_phrases,
    unknown_words,
)
from vlpbench.tokens import Tokeniser, wordpiece_tokenizer

REPORT = "There is a small left pleural effusion. No other effusion; the heart is normal."


@pytest.fixture(scope="module")
def tokeniser() -> Tokeniser:
    # too few for "pleural" to be one token, so that words have several
    return Tokeniser(wordpiece_tokenizer([REPORT], vocabulary=48), max_tokens=60)


def asked_words(tokeniser: Tokeniser, phrase: Phrase) -> list[int]:
    _, asked = tokenise_phrases(tokeniser, [phrase])
    return asked[0].nonzero().flatten().tolist()


def test_phrases_are_split_at_commas_and_each_asked_for_once() -> None:
    found = parse_phrases(" pleural  effusion,opacity,, opacity ")
    assert found == (Phrase("pleural effusion", "pleural effusion"), Phrase("opacity", "opacity"))


@pytest.mark.parametrize("words", ["", " , ,"])
def test_no_words_at_all_are_refused(words: str) -> None:
    with pytest.raises(VlpbenchError, match=r"No words to look for.*--words"):
        parse_phrases(words)


def test_every_bad_phrase_is_named_at_once() -> None:
    with pytest.raises(BadInputError) as caught:
        parse_phrases("..., effusion, nodule, -", REPORT)
    assert caught.value.problems == (
        "'...' holds no letter or digit",
        "'-' holds no letter or digit",
        "'nodule' does not stand in the report",
    )


def test_a_phrase_is_all_words_of_its_own_text(tokeniser: Tokeniser) -> None:
    tokens, asked = tokenise_phrases(tokeniser, parse_phrases("pleural effusion,heart"))
    assert asked.tolist() == [[True, True], [True, False]]
    assert int((tokens.word == 0).sum(dim=1).max()) > 1


def test_a_phrase_in_a_report_is_its_words_wherever_they_stand(tokeniser: Tokeniser) -> None:
    # there 0 is 1 a 2 small 3 left 4 pleural 5 effusion 6 no 7 other 8 effusion 9 the 10 heart 11
    assert asked_words(tokeniser, Phrase("Effusion", REPORT)) == [6, 9]
    assert asked_words(tokeniser, Phrase("pleural effusion", REPORT)) == [5, 6]
    assert asked_words(tokeniser, Phrase("left pleural", REPORT)) == [4, 5]


def test_a_phrase_is_not_a_part_of_a_longer_word(tokeniser: Tokeniser) -> None:
    with pytest.raises(BadInputError, match="'fusion' does not stand in the report"):
        parse_phrases("fusion", REPORT)


def test_a_phrase_beyond_what_is_read_is_refused() -> None:
    short = Tokeniser(wordpiece_tokenizer([REPORT], vocabulary=200), max_tokens=8)
    with pytest.raises(VlpbenchError, match="'heart' stands beyond the first 8 tokens"):
        tokenise_phrases(short, [Phrase("heart", REPORT)])


def test_characters_that_no_report_has_are_told(tokeniser: Tokeniser) -> None:
    assert unknown_words(tokeniser, parse_phrases("effusion,Héal,肺")) == ["肺"]


def test_reports_that_hold_a_phrase_are_counted_once() -> None:
    reports = [REPORT, "Effusions.", "Pleural\neffusion and pleural effusion"]
    assert occurrences(Phrase("pleural effusion", ""), reports) == 2
    assert occurrences(Phrase("effusions", ""), reports) == 1


@pytest.mark.parametrize(
    ("words", "name", "named"),
    [
        ("pleural effusion", "pleural_effusion", True),
        ("Effusions", "pleural_effusion", True),
        ("small left pleural effusion", "pleural_effusion", True),
        ("pleural thickening", "pleural_effusion", False),
        ("pleural", "pleural_effusion", False),
        ("chest", "chest_tube", False),
        ("COVID-19 pneumonia", "covid", True),
        ("opacity", "consolidation", False),
        ("...", "covid", False),
    ],
)
def test_what_words_name(words: str, name: str, named: bool) -> None:
    assert is_named(words, name) is named


def test_the_nearest_of_several_things_is_named() -> None:
    names = ["lung", "lung_opacity", "pleural_effusion"]
    assert named_best("lung", names) == "lung"
    assert named_best("opacity", names) == "lung_opacity"
    assert named_best("nodule", names) is None
