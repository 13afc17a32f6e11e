"""Generation: answers read as texts, what is none refused, several references, and which of several answers
counts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AnswerInvalid, DataError, JobFileError
from agent.job import DataSettings, FormatSettings, Job, TaskSettings
from agent.oracle import Phrasing, Put, Questions, Reading, Sampling, Template, most_alike, one_a_class
from agent.oracle.chat import request_body
from agent.oracle.dialect import Dialect
from agent.pool.labelled import read_labelled
from agent.records import Answer, Belief, Label, Source, Text, TextId, TokenChoice
from agent.tasks import Classification, Generation, build, is_right

SETTINGS = TaskSettings(kind="generation", guidelines="Translate into German.")
TASK = Generation(SETTINGS)
TEXT = Text(TextId("t"), "The roof leaks.")
JOB: dict[str, Any] = {
    "task": {"kind": "generation", "guidelines": "Translate into German."},
    "data": {"pool": "pool.csv"},
    "oracle": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "price": {"input": 1, "output": 1}},
    "budget": {"dollars": 1},
    "distil": {"model": "tiny"},
}
plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1).map(str.strip).filter(bool)


def questions(**form: Any) -> Questions:
    phrasing = Phrasing(TASK, SETTINGS, FormatSettings(**form))
    sampling = Sampling("m", "json_schema", temperature=0.7)
    return Questions(phrasing, Template.find(TASK.prompt), guidelines="Translate into German.", sampling=sampling)


def read(answer: Answer) -> Reading:
    return Phrasing(TASK, SETTINGS).read(TEXT, answer)


def test_a_job_file_names_it(tmp_path: Path) -> None:
    job = Job.of(JOB, tmp_path)
    assert isinstance(build(job.task), Generation)
    assert "max_answer_tokens" not in job.settings()["task"], "a job without it is the job that it was"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"task": {"kind": "generation", "guidelines": "Do.", "labels": ["a"]}},
            "an answer of generation is any text",
        ),
        ({"task": {"kind": "generation"}}, "`guidelines`: generation needs them; say what is to be written"),
        ({"task": {"kind": "generation", "guidelines": "Do.", "max_answer_tokens": 0}}, "max_answer_tokens"),
        ({"task": {"labels": ["a", "b"], "right_at": 0.5}}, "`right_at` is for `kind: generation`"),
        ({"distil": {}}, "`distil.model`: name what is to be taught to write"),
        ({"task": {"labels": ["a", "b"]}}, "is distilled into `student.encoder`; leave it out"),
        ({"oracle": JOB["oracle"] | {"format": {"samples": 3}}}, "3 answers at `temperature: 0` are the same one"),
        (
            {"task": {"labels": ["a", "b"]}, "distil": {}, "oracle": JOB["oracle"] | {"format": {"samples": 3}}},
            "`oracle.format.samples`: it is for `kind: generation`",
        ),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(JobFileError) as wrong:
        Job.of(JOB | changes, tmp_path)
    assert why in str(wrong.value)


def test_the_question_holds_the_guideline_and_asks_for_free_text() -> None:
    question = questions()(TEXT)
    assert "Translate into German." in question.messages[0].content
    assert "<text>\nThe roof leaks.\n</text>" in question.messages[-1].content
    settings = Job.of(JOB, ".").oracle[0]
    body = request_body(question, settings, "json_schema", Dialect(), logprobs=False)
    assert "response_format" not in body
    assert question.schema.max_tokens == 256


def test_each_further_sample_is_a_question_of_its_own() -> None:
    ask = questions(samples=3)
    keys = {ask(TEXT, Put(sample=k)).key for k in range(3)}
    assert len(keys) == 3
    assert ask(TEXT).key in keys


def test_worked_examples_are_the_first_of_the_seed_that_are_not_too_long() -> None:
    seed = [(Text(TextId(str(k)), f"text {k}" * (400 if k == 1 else 1)), f"Text {k}") for k in range(6)]
    shown = one_a_class(TASK, seed)
    assert [v for _, v in shown] == ["Text 0", "Text 2", "Text 3"]
    asked = Questions(
        Phrasing(TASK, SETTINGS),
        Template.find(TASK.prompt),
        guidelines="Do.",
        examples=shown,
        sampling=Sampling("m", "plain"),
    )(TEXT)
    assert [m.content for m in asked.messages if m.role == "assistant"] == ["Text 0", "Text 2", "Text 3"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        " \n",
        "<think>about it</think>",
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I cannot translate this text.",
        "Sorry, I am unable to help with this request.",
        "As an AI language model, I have no opinion.",
        "I cannot provide a summary of this text.",
        "half \ud800",
    ],
)
def test_what_is_no_answer_is_no_label(content: str) -> None:
    with pytest.raises(AnswerInvalid):
        TASK.parse(content, TEXT)


@pytest.mark.parametrize(
    "content",
    ["Es tut mir leid.", "I can't help but smile.", "Sorry seems to be the hardest word", '["a", "b"]', "42"],
)
def test_what_merely_sounds_like_one_is_a_label(content: str) -> None:
    assert TASK.parse(content, TEXT) == content


def test_a_text_that_itself_says_sorry_may_be_answered_so() -> None:
    said = "I'm sorry, but I can't help you with that."
    assert TASK.parse(said, Text(TextId("s"), "I’m sorry but I cannot help you with this.")) == said


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_answer_that_was_cut_off_is_a_failure(finish: str) -> None:
    assert read(Answer('{"a": "whole"}', "m", None)).value == '{"a": "whole"}'
    with pytest.raises(AnswerInvalid, match="cut"):
        read(Answer('{"a": "whole"}', "m", None, finish_reason=finish))


def test_confidence_is_the_mean_probability_of_the_answers_own_tokens() -> None:
    tokens = [
        ("<think>", 0.01),
        ("x", 0.01),
        ("</think>", 0.01),
        ("\n", 0.5),
        ("Das", 0.8),
        (" Dach", 0.2),
        ("<|im_end|>", 0.9),
    ]
    answer = Answer(
        "<think>x</think>\nDas Dach", "m", None, tuple(TokenChoice(token, math.log(p)) for token, p in tokens)
    )
    found = read(answer)
    assert found.value == "Das Dach"
    assert found.belief.confidence == pytest.approx(math.sqrt(0.8 * 0.2))
    assert math.isnan(read(Answer("Das Dach", "m", None)).belief.confidence)


def test_of_several_answers_that_counts_which_is_most_like_the_others() -> None:
    said = ["Das Dach leckt.", "Ganz etwas anderes hier", "Das Dach leckt sehr."]
    place, found = most_alike([Reading(s, Belief(0.9)) for s in said], TASK)
    assert (place, found.value) in {(0, said[0]), (2, said[2])}
    assert 0.2 < found.belief.confidence < 0.6
    assert most_alike([Reading("x", Belief(0.4))], TASK) == (0, Reading("x", Belief(0.4)))


@given(st.lists(plain, min_size=1, max_size=3, unique=True))
def test_texts_come_back_from_a_cell_however_many_there_are(texts: list[str]) -> None:
    value = texts[0] if len(texts) == 1 else tuple(texts)
    assert TASK.read(TASK.show(value)) == value
    assert TASK.read(list(texts)) == value
    assert TASK.write(value) == texts[0]


@pytest.mark.parametrize("cell", [None, "", "  ", [], [None, " "], float("nan"), "\ud800"])
def test_an_empty_cell_is_no_text(cell: object) -> None:
    with pytest.raises(ValueError, match=r"write one|no text"):
        TASK.read(cell)


def test_a_gold_file_may_give_several_references_as_a_list_or_in_several_rows(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "label": ["x", "y"]},
        {"text": "b", "label": "z"},
        {"text": "b", "label": "w"},
        {"text": "c", "label": ["one"]},
    ]
    path = tmp_path / "gold.jsonl"
    path.write_text(
        "".join(
            json.dumps(r | {"label": r["label"] if isinstance(r["label"], list) else [r["label"]]}) + "\n"
            for r in rows
        )
    )
    found = TASK.together(read_labelled(path, DataSettings(pool="p"), TASK))
    assert [(t.text, v) for t, v in found] == [("a", ("x", "y")), ("b", ("z", "w")), ("c", "one")]
    path.write_text(json.dumps({"text": "a", "label": " "}) + "\n")
    with pytest.raises(DataError, match=r"gold\.jsonl:1: no text was given"):
        read_labelled(path, DataSettings(pool="p"), TASK)


def test_right_is_near_enough_to_one_reference_or_left_as_it_is_by_who_saw_it() -> None:
    truth = ("The roof is leaking badly.", "Water comes through the roof.")
    assert is_right(TASK, truth, "The roof is leaking.")
    assert not is_right(TASK, truth, "My cat sleeps.")
    assert not is_right(TASK, "The roof is leaking badly.", "The roof is leaking.", seen=True)
    assert is_right(TASK, "The roof is leaking.", "The roof is leaking.", seen=True)
    strict = Generation(TaskSettings(kind="generation", guidelines="Do.", right_at=0.99))
    assert not is_right(strict, truth, "The roof is leaking.")
    other = Classification(TaskSettings(labels={"a": "", "b": ""}))
    assert is_right(other, "a", "a", seen=True)
    assert not is_right(other, "a", "b")


def test_figures_of_quality_begin_with_chrf_and_a_resample_is_what_it_would_be_alone() -> None:
    gold = ["The roof leaks.", ("A cat sleeps.", "The cat is asleep."), "It rains."]
    said = ["The roof is leaking.", "The cat sleeps.", "Sun"]
    found = TASK.metrics(gold, said)
    assert list(found) == ["chrf", "bleu", "rouge_1", "rouge_2", "rouge_l", "right"]
    assert all(0 <= v <= 1 for v in found.values())
    draw = np.array([0, 1, 1])
    resampled = TASK.resampled(gold, said, [np.arange(3), draw])
    assert resampled[0] == pytest.approx(found["chrf"])
    assert resampled[1] == pytest.approx(TASK.metrics([gold[i] for i in draw], [said[i] for i in draw])["chrf"])
    assert TASK.metrics(gold, ["The roof leaks.", "The cat is asleep.", "It rains."])["chrf"] == pytest.approx(1.0)
    assert math.isnan(TASK.metrics([], [])["chrf"])


def test_a_student_is_taught_the_first_reference() -> None:
    labels = [Label(TextId("a"), v, Source.SEED, by="seed") for v in ("x", ("y", "z"))]
    assert TASK.targets(labels) == ["x", "y"]
    assert TASK.agreement("y", ("z", "y")) == 1.0
