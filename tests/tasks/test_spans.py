"""Spans: read from answers, files and tags, written back the same, compared as seqeval compares."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from seqeval.metrics import f1_score  # type: ignore[import-untyped]
from seqeval.scheme import IOB2  # type: ignore[import-untyped]

from agent.errors import AnswerInvalid, JobFileError
from agent.job import TaskSettings
from agent.records import Answer, Text, TextId, TokenChoice
from agent.tasks import Spans, build
from agent.tasks.bio import spans_of, tags_of, words_of
from agent.tasks.quoting import located

TASK = Spans(TaskSettings(kind="spans", labels={"person": "a human being", "place": "where something is"}))
WORDS = "Ada Lovelace met Ada in London ."


def text(words: str = WORDS) -> Text:
    return Text(TextId("t"), words)


def said(*spans: tuple[str, str]) -> str:
    return json.dumps({"spans": [{"text": quote, "label": label} for quote, label in spans]})


def found(words: str, *spans: tuple[str, str]) -> list[tuple[str, str]]:
    return [(quote, label) for _, _, label, quote in TASK.parse(said(*spans), text(words))]


def test_a_job_file_names_it() -> None:
    assert isinstance(build(TaskSettings(kind="spans", labels={"person": ""})), Spans)
    with pytest.raises(ValueError, match="spans needs at least one label"):
        TaskSettings(kind="spans")
    with pytest.raises(JobFileError, match="did you mean 'spans'"):
        build(TaskSettings(kind="span", labels={"a": "", "b": ""}))


def test_a_quotation_is_found_where_it_stands_and_the_second_one_behind_the_first() -> None:
    value = TASK.parse(said(("Ada", "person"), ("Ada", "person"), ("London", "place")), text())
    assert value == ((0, 3, "person", "Ada"), (17, 20, "person", "Ada"), (24, 30, "place", "London"))
    assert TASK.parse(said(("London", "place"), ("Ada", "person")), text())[0][:2] == (0, 3), "out of order"


@pytest.mark.parametrize(
    ("words", "quote", "there"),
    [
        ("Met ada  lovelace today", "Ada Lovelace", "ada  lovelace"),
        ("Met “Ada Lovelace” today", '"Ada Lovelace"', "Ada Lovelace"),
        ("Parkinson ' s disease is one", "Parkinson's disease", "Parkinson ' s disease"),
        ("They went to Constantinopel yesterday", "Constantinople", "Constantinopel"),
        ("induced postural hypotension in rats", "postural hypotention", "postural hypotension"),
    ],
)
def test_a_careless_quotation_is_repaired_and_counted(words: str, quote: str, there: str) -> None:
    assert found(words, (quote, "person")) == [(there, "person")]
    assert TASK.repairs(said((quote, "person")), text(words)) == 1
    assert TASK.repairs(said((there, "person")), text(words)) == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("none", "not JSON with a list of spans"),
        ('{"spans": "Ada"}', "not JSON with a list of spans"),
        ('{"spans": ["Ada"]}', "a span without its text"),
        (said(("Ada", "robot")), "unknown label 'robot'"),
        (said(("Charles Babbage", "person")), "'Charles Babbage' (person) stands not in the text"),
        (said(("Ada Lovelace", "person"), ("Lovelace", "person")), "stands only inside another span"),
        (said(("Ada Lovelace", "person"), ("", "person")), "stands not in the text"),
    ],
)
def test_an_answer_that_is_no_label_says_why(content: str, why: str) -> None:
    with pytest.raises(AnswerInvalid) as wrong:
        TASK.parse(content, text())
    assert why in str(wrong.value)


def test_nothing_found_is_a_label_too() -> None:
    assert TASK.parse('```json\n{"spans": []}\n```', text()) == ()
    assert TASK.agreement((), ()) == 1.0


@pytest.mark.parametrize(
    "cell",
    [
        '[{"start": 0, "end": 12, "label": "person"}]',
        [[0, 12, "Person"]],
        [{"text": "Ada Lovelace", "label": "person"}],
        ["B-person", "I-person", "O", "O", "O", "O", "O"],
        "B-person I-person O O O O O",
        "I-person I-person O O O O O",
        "B-person L-person O O O O O",
        '["B-person", "E-person", "O", "O", "O", "O", "O"]',
    ],
)
def test_a_file_may_hold_spans_in_many_ways(cell: Any) -> None:
    assert TASK.read(cell, text()) == ((0, 12, "person", "Ada Lovelace"),)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("B-person O", "2 tags for 7 words"),
        ("B-persn I-persn O O O O O", "did you mean 'person'"),
        ("X-person O O O O O O", "is no tag such as B-person"),
        ("[0, 3", "not a JSON list of spans"),
        ([[0, 99, "person"]], "the text has 32 characters"),
        ([[0, 12, "person"], [4, 12, "person"]], "'Ada Lovelace' and 'Lovelace' overlap"),
        ([{"label": "person"}], "is no span such as"),
        ([[0, 1.5, "person"]], "is no place in a text"),
        ('[[0, 1e999, "person"]]', "is no place in a text"),
        ("[" * 100_000, "not a JSON list of spans"),
        ('{"start": 0, "end": 3, "label": "person"}', "not a JSON list of spans"),
        ({"start": 0, "end": 3, "label": "person"}, "not a list of spans"),
        ([{"start": 0, "end": 3}], "the span from 0 to 3 has no `label`"),
        ([b"x"], "is no span such as"),
    ],
)
def test_a_cell_that_is_none_says_why(cell: Any, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as wrong:
        TASK.read(cell, text())
    assert why in str(wrong.value)


@pytest.mark.parametrize("cell", [None, "", float("nan"), [], "[]", "  "])
def test_an_empty_cell_is_no_span(cell: Any) -> None:
    assert TASK.read(cell, text()) == ()


ranges = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 3), st.sampled_from(TASK.types)), max_size=4)


def some_spans(words: list[tuple[int, int]], drawn: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Spans of whole words that do not overlap."""
    spans: list[tuple[int, int, str]] = []
    for first, count, label in sorted(drawn):
        last = min(first + count, len(words)) - 1
        if first < len(words) and (not spans or words[first][0] >= spans[-1][1]):
            spans.append((words[first][0], words[last][1], label))
    return spans


texts = st.lists(st.text("ab'é\U0001f600", min_size=1, max_size=4), min_size=1, max_size=12).map(" ".join)


@given(texts, ranges)
def test_what_is_shown_written_or_tagged_is_read_back(words: str, drawn: list[tuple[int, int, str]]) -> None:
    where = words_of(words)
    assert [words[a:b] for a, b in where] == words.split()
    spans = some_spans(where, drawn)
    value = TASK.read([list(s) for s in spans], text(words))
    assert TASK.read(TASK.show(value), text(words)) == value
    assert TASK.read(TASK.tags(value, words), text(words)) == value
    assert spans_of(tags_of(spans, where), where) == spans


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=6), max_size=4))
@example("aaaa", ["aa", "aa", "aa"])
@example("ß SS", ["ss", "SS"])
def test_places_are_in_the_text_and_never_overlap(words: str, quotes: list[str]) -> None:
    places = [p for p in located(words, quotes) if p is not None]
    covered = [i for p in places for i in range(p.start, p.end)]
    assert len(covered) == len(set(covered))
    assert all(0 <= p.start < p.end <= len(words) for p in places)
    for quote, place in zip(quotes, located(words, quotes), strict=True):
        if place is not None and not place.repaired:
            assert words[place.start : place.end] == quote


tags = st.lists(st.sampled_from(["O", "O", "B-person", "I-person", "B-place", "I-place"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(tags, tags), min_size=1, max_size=4))
def test_f1_is_that_of_seqeval(pairs: list[tuple[list[str], list[str]]]) -> None:
    gold, predicted = [], []
    for one, other in pairs:
        words = text(" ".join("w" * len(one)))
        gold.append(TASK.read(one, words))
        predicted.append(TASK.read((other * 8)[: len(one)], words))
    sequences = [
        [TASK.tags(value, " ".join("w" * len(one))) for value, (one, _) in zip(values, pairs, strict=True)]
        for values in (gold, predicted)
    ]
    if any(gold) and any(predicted):
        expected = f1_score(*sequences, mode="strict", scheme=IOB2)
        assert TASK.metrics(gold, predicted)["f1"] == pytest.approx(expected)


def tokens_of(content: str, sure: float = 0.99, **doubts: float) -> tuple[TokenChoice, ...]:
    """A token a character; that of a doubted piece's first character is as likely as said."""
    chances = [sure] * len(content)
    for piece, p in doubts.items():
        chances[content.index(piece)] = p
    return tuple(TokenChoice(c, math.log(p)) for c, p in zip(content, chances, strict=True))


def test_the_least_sure_span_is_how_sure_an_answer_is() -> None:
    content = said(("Ada", "person"), ("London", "place"))
    value = TASK.parse(content, text())
    belief = TASK.confidence(Answer(content, "m", None, tokens_of(content, 1.0, London=0.25)), value)
    assert belief.confidence == pytest.approx(0.25)
    assert belief.probabilities == pytest.approx({"0:3:person": 1.0, "24:30:place": 0.25})


def test_that_the_list_ends_is_a_decision_too() -> None:
    content = said()
    unsure = tuple(TokenChoice(c, math.log(0.4 if c == "]" else 1.0)) for c in content)
    assert TASK.confidence(Answer(content, "m", None, unsure), ()).confidence == pytest.approx(0.4)
    assert math.isnan(TASK.confidence(Answer(content, "m", None), ()).confidence)


@given(st.lists(st.sampled_from(['a "]', "b}{", "c,", "\U0001f600\\"]), max_size=3))
def test_brackets_inside_a_quotation_end_nothing(quotes: list[str]) -> None:
    words = " ".join(quotes)
    content = said(*((quote, "person") for quote in quotes))
    value = TASK.parse(content, text(words))
    belief = TASK.confidence(Answer(content, "m", None, tokens_of(content, 1.0)), value)
    assert belief.confidence == 1.0
    assert len(belief.probabilities or {}) == len(quotes)


@pytest.mark.parametrize("quotes", [("spans", "a[b]"), ("spans",), ("a[b]", "spans"), ('"spans": [',)])
def test_a_text_that_speaks_of_spans_is_not_taken_for_the_list(quotes: tuple[str, ...]) -> None:
    content = said(*((quote, "person") for quote in quotes))
    value = TASK.parse(content, text(" and ".join(quotes)))
    belief = TASK.confidence(Answer(content, "m", None, tokens_of(content, 1.0)), value)
    assert (belief.confidence, len(belief.probabilities or {})) == (1.0, len(quotes))


def test_a_list_inside_of_a_span_is_not_taken_for_the_answers() -> None:
    content = '{"spans": [{"text": "Ada", "label": "person", "spans": [1, 2]}]}'
    belief = TASK.confidence(Answer(content, "m", None, tokens_of(content, 1.0)), TASK.parse(content, text()))
    assert belief.probabilities in (None, {"0:3:person": 1.0})


def test_worked_examples_are_answers_that_are_read() -> None:
    value = TASK.read([[0, 12, "person"], [24, 30, "place"]], text())
    assert TASK.parse(TASK.write(value), text()) == value
