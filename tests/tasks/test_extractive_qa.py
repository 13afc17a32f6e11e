"""Extractive questions: read from answers and files, written back the same, compared as SQuAD's own script does."""

from __future__ import annotations

import collections
import json
import math
import re
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AnswerInvalid, JobFileError
from agent.job import Job, TaskSettings
from agent.oracle.prompt import Template
from agent.pairing import join
from agent.records import Answer, Text, TextId, TokenChoice, Value
from agent.tasks import ExtractiveQa, build
from agent.tasks.pairs import parts
from agent.tasks.quoting import one_place

CONTEXT = "In 1954 Ada Lovelace, 19, met Ada Byron in London; the engine was finished in 1955."
QUESTION = "How old was Ada Lovelace?"
ALWAYS = ExtractiveQa(TaskSettings(kind="extractive_qa"))
MAYBE = ExtractiveQa(TaskSettings(kind="extractive_qa", no_answer=True))


def text(context: str = CONTEXT) -> Text:
    return Text(TextId("t"), join(QUESTION, context))


def quoting(quote: str | None) -> str:
    return json.dumps({"answer": quote})


def at(quote: str, context: str = CONTEXT) -> tuple[int, int, str]:
    start = context.index(quote)
    return start, start + len(quote), quote


# The job file ------------------------------------------------------------------------------------------------------


def job(**changes: Any) -> dict[str, Any]:
    return {
        "name": "qa",
        "task": {"kind": "extractive_qa"},
        "data": {"pool": "pool.csv", "text": "question", "second": "context"},
        "oracle": {"name": "local", "base_url": "http://127.0.0.1:1/v1", "model": "m"},
        "budget": {"dollars": 1},
    } | changes


def test_a_job_file_names_it_and_its_two_columns() -> None:
    task = build(Job.of(job()).task)
    assert isinstance(task, ExtractiveQa)
    assert [(p.key, p.name, p.text) for p in parts(task, join("Who?", "Ada."))] == [
        ("text", "question", "Who?"),
        ("second", "context", "Ada."),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"pool": "pool.csv", "text": "question"}}, "a question is asked of a context; name its column"),
        ({"task": {"kind": "extractive_qa", "labels": ["a", "b"]}}, "an answer of extractive_qa is a piece"),
        ({"task": {"kind": "pairs", "labels": ["a", "b"], "no_answer": True}}, "`no_answer` is for"),
    ],
)
def test_what_makes_no_sense_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(JobFileError, match=re.escape(said)):
        Job.of(job(**changes))


def test_jobs_of_other_kinds_keep_the_fingerprints_that_they_had() -> None:
    other = Job.of(job(task={"kind": "classification", "labels": ["a", "b"]}, data={"pool": "pool.csv"}))
    assert "no_answer" not in other.settings()["task"]
    assert Job.of(job()).fingerprint() != Job.of(job(task={"kind": "extractive_qa", "no_answer": True})).fingerprint()


@pytest.mark.parametrize("task", [ALWAYS, MAYBE])
def test_the_prompt_asks_for_no_answer_only_where_there_may_be_none(task: ExtractiveQa) -> None:
    template = Template.find(task.prompt)
    variables = dict(task.variables(text())) | {"guidelines": "", "mark": "", "form": "json"}
    system = template.render("system", variables)
    assert ('{"answer": ""}' in system) == task.may_be_none
    assert CONTEXT in template.render("user", variables)


# Answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "there"),
    [("Ada", (8, 11, "Ada")), ("19", (22, 24, "19")), ("London", at("London"))],
)
def test_a_quotation_is_found_where_it_stands_as_a_word_and_first_of_several(
    quote: str, there: tuple[int, int, str]
) -> None:
    assert ALWAYS.parse(quoting(quote), text()) == (there,)
    assert ALWAYS.repairs(quoting(quote), text()) == 0


def test_inside_of_a_word_it_is_found_only_as_it_is_written() -> None:
    assert one_place("the 1950s", "1950") is not None
    assert one_place("the house", "US") is None


@pytest.mark.parametrize(
    ("quote", "there"),
    [
        ("ada  lovelace", "Ada Lovelace"),
        ("“London”", "London"),
        ("the engin was finished in 1955", "the engine was finished in 1955"),
    ],
)
def test_a_careless_quotation_is_repaired_and_counted(quote: str, there: str) -> None:
    assert ALWAYS.parse(quoting(quote), text()) == (at(there),)
    assert ALWAYS.repairs(quoting(quote), text()) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("nineteen", "not JSON with a quoted answer"),
        ('{"answer": 19}', "not JSON with a quoted answer"),
        ('{"label": "19"}', "not JSON with a quoted answer"),
        (quoting("Charles Babbage"), "'Charles Babbage' does not stand in the second"),
        (quoting("How old"), "does not stand in the second"),  # it stands in the question alone
        (quoting(""), "it gives no answer"),
        (quoting(None), "it gives no answer"),
    ],
)
def test_an_answer_that_is_no_label_says_why(content: str, why: str) -> None:
    with pytest.raises(AnswerInvalid, match=re.escape(why)):
        ALWAYS.parse(content, text())


@pytest.mark.parametrize("content", [quoting(""), quoting(" "), quoting(None), f"```json\n{quoting('')}\n```"])
def test_that_there_is_no_answer_is_a_label_where_the_job_allows_it(content: str) -> None:
    assert MAYBE.parse(content, text()) == ()
    assert MAYBE.repairs(content, text()) == 0


@given(st.text(min_size=1, max_size=60), st.data())
def test_whatever_is_quoted_exactly_is_found_with_the_same_words(context: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(context) - 1))
    quote = context[start : data.draw(st.integers(start + 1, len(context)))]
    if not quote.strip():
        return
    ((a, b, words),) = MAYBE.parse(MAYBE.write(((0, 0, quote),)), text(context))
    assert words == quote == context[a:b]


def test_confidence_is_that_of_the_quotation_alone() -> None:
    pieces = ['{"', "answer", '": ', '"', "Ada", " Love", "lace", '"', "}"]
    chances = [0.5, 0.5, 0.5, 1.0, 0.9, 0.8, 1.0, 1.0, 0.5]
    tokens = tuple(TokenChoice(p, math.log(c)) for p, c in zip(pieces, chances, strict=True))
    answer = Answer("".join(pieces), "m", None, tokens)
    assert ALWAYS.confidence(answer, (at("Ada Lovelace"),)).confidence == pytest.approx(0.72)
    assert math.isnan(ALWAYS.confidence(Answer(answer.content, "m", None), ()).confidence)


# Files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "Ada Lovelace",
        ["Ada Lovelace"],
        np.array(["Ada Lovelace"], object),
        {"start": 8, "end": 20},
        {"text": "Ada Lovelace", "answer_start": 8},
        {"text": np.array(["Ada Lovelace"], object), "answer_start": np.array([8], np.int32)},
        [[8, 20]],
        '[{"start": 8, "end": 20, "text": "Ada Lovelace"}]',
        ["Ada Lovelace", {"text": "Ada Lovelace", "answer_start": 8}],
    ],
)
def test_files_have_answers_in_many_forms(cell: object) -> None:
    assert ALWAYS.read(cell, text()) == ((8, 20, "Ada Lovelace"),)


@pytest.mark.parametrize("cell", ["", None, float("nan"), [], "[]", {"text": [], "answer_start": []}, {"text": ""}])
def test_an_empty_cell_is_no_answer_where_the_job_allows_it(cell: object) -> None:
    assert MAYBE.read(cell, text()) == ()
    with pytest.raises(ValueError, match="set `task"):
        ALWAYS.read(cell, text())


def test_gold_may_have_several_right_answers_and_all_are_written_and_read_back() -> None:
    value = MAYBE.read(["19", "Ada Lovelace, 19"], text())
    assert [quote for *_, quote in value] == ["19", "Ada Lovelace, 19"]
    assert MAYBE.read(MAYBE.show(value), text()) == value
    assert MAYBE.metrics([value], [(at("Ada Lovelace, 19"),)]) == {"f1": 1.0, "exact_match": 1.0}


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("Charles", "'Charles' does not stand in the second"),
        ({"text": "Ada", "answer_start": 9}, "'Ada' is said to begin at 9, where 'da ' stands"),
        ({"start": 80, "end": 900}, "an answer from 80 to 900: the second has 83 characters"),
        ({"start": 3, "end": 3}, "an answer from 3 to 3"),
        ({"start": "x", "end": 3}, "'x' is no place in a text"),
        ([17], "'17' is no quoted answer"),
    ],
)
def test_a_cell_that_is_no_answer_says_why(cell: object, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        MAYBE.read(cell, text())


# Figures, beside the official evaluate-v2.0.py, in its words --------------------------------------------------------


def normalize_answer(s: str) -> str:
    def remove_articles(text: str) -> str:
        regex = re.compile(r"\b(a|an|the)\b", re.UNICODE)
        return re.sub(regex, " ", text)

    def white_space_fix(text: str) -> str:
        return " ".join(text.split())

    def remove_punc(text: str) -> str:
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    return white_space_fix(remove_articles(remove_punc(s.lower())))


def get_tokens(s: str) -> list[str]:
    return normalize_answer(s).split() if s else []


def compute_exact(a_gold: str, a_pred: str) -> int:
    return int(normalize_answer(a_gold) == normalize_answer(a_pred))


def compute_f1(a_gold: str, a_pred: str) -> float:
    gold_toks, pred_toks = get_tokens(a_gold), get_tokens(a_pred)
    common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
    num_same = sum(common.values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision, recall = 1.0 * num_same / len(pred_toks), 1.0 * num_same / len(gold_toks)
    return (2 * precision * recall) / (precision + recall)


def official(golds: list[list[str]], said: list[str]) -> dict[str, float]:
    exact, f1 = [], []
    for answers, a_pred in zip(golds, said, strict=True):
        gold_answers = [a for a in answers if normalize_answer(a)]
        if not gold_answers:
            gold_answers = [""]
        exact.append(max(compute_exact(a, a_pred) for a in gold_answers))
        f1.append(max(compute_f1(a, a_pred) for a in gold_answers))
    return {"f1": sum(f1) / len(f1), "exact_match": sum(exact) / len(exact)}


def value_of(*words: str) -> Value:
    return tuple((0, len(w), w) for w in words if w)


WORD = st.one_of(
    st.sampled_from(
        ["the", "A", "an", "Ada", "ada.", "U.S.", "--", "1,000", "co-op", "É", "’s", "\u00a0", "İ", "theme"]
    ),
    st.text(max_size=4),
)
WORDS = st.lists(WORD, max_size=5).map(" ".join)


@given(st.lists(st.tuples(st.lists(WORDS, max_size=3), WORDS), min_size=1, max_size=8))
def test_figures_are_those_of_the_official_script(rows: list[tuple[list[str], str]]) -> None:
    golds = [[a for a in answers if a] for answers, _ in rows]
    found = MAYBE.metrics([value_of(*answers) for answers in golds], [value_of(said) for _, said in rows])
    wanted = official(golds, [said for _, said in rows])
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_the_headline_is_f1_and_questions_without_an_answer_have_figures_of_their_own() -> None:
    gold = [value_of("Ada Lovelace"), value_of("London"), (), ()]
    said = [value_of("Ada"), value_of("London"), (), value_of("1954")]
    found = MAYBE.metrics(gold, said)
    assert next(iter(found)) == "f1"
    assert found == pytest.approx(
        {"f1": (2 / 3 + 2) / 4, "exact_match": 0.5, "f1_has_answer": (2 / 3 + 1) / 2, "f1_no_answer": 0.5}
    )
    assert all(math.isnan(x) for x in MAYBE.metrics([], []).values())


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        (value_of("The engine"), value_of("engine."), 1.0),
        (value_of("Ada Lovelace"), value_of("Ada"), 2 / 3),
        ((), (), 1.0),
        ((), value_of("the"), 0.0),
    ],
)
def test_two_agree_as_far_as_they_share_words(a: Value, b: Value, alike: float) -> None:
    assert MAYBE.agreement(a, b) == MAYBE.agreement(b, a) == pytest.approx(alike)
