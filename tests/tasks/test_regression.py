"""Regression: numbers read from answers and files, kept on their scale, written back the same, and compared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from agent.errors import AnswerInvalid, DataError, JobFileError
from agent.job import DataSettings, Job, TaskSettings
from agent.oracle import Phrasing, Questions, Sampling, Template
from agent.oracle.prompt import AnswerMode
from agent.pool.labelled import read_labelled
from agent.records import Answer, Label, Source, Text, TextId, TokenChoice
from agent.tasks import Regression, build
from agent.tasks.scale import Scale

STARS = {"low": 1, "high": 5, "step": 1}
TASK = Regression(TaskSettings(kind="regression", scale=STARS, labels={1: "not urgent", 5: "lives depend on it"}))
FREE = Regression(TaskSettings(kind="regression", scale={"low": -1, "high": 1}))
TEXT = Text(TextId("t"), "The roof leaks.")
JOB: dict[str, Any] = {
    "data": {"pool": "pool.csv"},
    "oracle": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "price": {"input": 1, "output": 1}},
    "budget": {"dollars": 1},
}


def graded(**scale: float) -> Regression:
    return Regression(TaskSettings(kind="regression", scale=scale))


def refused(tmp_path: Path, task: dict[str, Any]) -> str:
    with pytest.raises(JobFileError) as wrong:
        Job.of(JOB | {"task": task}, tmp_path)
    return str(wrong.value)


def test_a_job_file_names_it(tmp_path: Path) -> None:
    job = Job.of(JOB | {"task": {"kind": "regression", "scale": STARS, "labels": {1: "calm", 5: "urgent"}}}, tmp_path)
    assert isinstance(build(job.task), Regression)
    with pytest.raises(JobFileError, match="did you mean 'regression'"):
        build(TaskSettings(kind="regresion"))


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"kind": "regression"}, "`scale`: regression needs one, such as {low: 1, high: 5, step: 1}"),
        ({"kind": "regression", "scale": {"low": 5, "high": 1}}, "`task.scale`: `low` is 5 and `high` 1"),
        ({"kind": "regression", "scale": {"low": 1, "high": 1}}, "the scale goes up from low to high"),
        ({"kind": "regression", "scale": {"low": 1}}, "`task.scale.high` is missing"),
        ({"kind": "regression", "scale": {"low": 1, "high": "lots"}}, "`task.scale.high`: a number is needed"),
        ({"kind": "regression", "scale": {"low": 1, "high": math.inf}}, "`task.scale.high`"),
        ({"kind": "regression", "scale": STARS | {"step": 0}}, "`task.scale.step`: a number above 0 is needed"),
        ({"kind": "regression", "scale": STARS | {"step": 3}}, "steps of 3 from 1 do not end at 5"),
        ({"kind": "regression", "scale": STARS | {"stp": 1}}, "did you mean `step`?"),
        ({"kind": "regression", "scale": STARS, "labels": {6: "x"}}, "`labels`: '6' is not on the scale"),
        ({"kind": "regression", "scale": STARS, "labels": {"2.5": "x"}}, "`labels`: '2.5' is not on the scale"),
        ({"kind": "regression", "scale": STARS, "labels": {"high": "x"}}, "`labels`: 'high' is not on the scale"),
        ({"labels": ["a", "b"], "scale": STARS}, "`scale` is for `kind: regression`, and this is classification"),
        ({"kind": "spans", "labels": ["a"], "scale": STARS}, "`scale` is for `kind: regression`, and this is spans"),
    ],
)
def test_a_scale_that_is_none_is_told_by_its_key(tmp_path: Path, task: dict[str, Any], why: str) -> None:
    assert why in refused(tmp_path, task)


def test_jobs_without_a_scale_keep_the_fingerprint_that_stores_have_of_them(tmp_path: Path) -> None:
    task = {"labels": {"a": "one", "b": "other"}, "guidelines": "either"}
    assert Job.of(JOB | {"task": task}, tmp_path).fingerprint() == "bb03601b1bd2697b"
    stars, tens = (
        Job.of(JOB | {"task": {"kind": "regression", "scale": {"low": 1, "high": high}}}, tmp_path)
        for high in (5, 10)
    )
    assert stars.fingerprint() != tens.fingerprint(), "another scale is another question"


@pytest.mark.parametrize(
    "content",
    [
        "4",
        " 4.0\n",
        "4.",
        '{"score": 4}',
        '{"score": "4"}',
        '```json\n{"score": 4.0}\n```',
        "Score: 4",
        "**4**",
        '<think>5? no, {"score": 3}</think>{"score": 4}',
        '{"score": 4} since it drips',
        '{"score": 4.2}',
        "Answer: 4",
    ],
)
def test_an_answer_is_read_and_snapped_to_the_step(content: str) -> None:
    assert TASK.parse(content, TEXT) == 4.0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("6", "6 is not on the scale, which goes from 1 to 5 in steps of 1"),
        ('{"score": 0.4}', "0.4 is not on the scale"),
        ("-4", "-4 is not on the scale"),
        ("between 3 and 4", "a number from 1 to 5 in steps of 1 was expected, not 'between 3 and 4'"),
        ("4/5", "a number from 1 to 5 in steps of 1 was expected, not '4/5'"),
        ('{"score": null}', "a number from 1 to 5"),
        ('{"score": true}', "a number from 1 to 5"),
        ('{"score": [4]}', "a number from 1 to 5"),
        ('{"score": NaN}', "a number from 1 to 5"),
        ('{"score": 3, "score": 4}', "a number from 1 to 5"),
        ('{"label": 4}', "a number from 1 to 5"),
        ("", "not nothing"),
    ],
)
def test_an_answer_that_is_no_number_of_the_scale_says_why(content: str, why: str) -> None:
    with pytest.raises(AnswerInvalid) as wrong:
        TASK.parse(content, TEXT)
    assert why in str(wrong.value)


@pytest.mark.parametrize("cell", [4, 4.0, "4", " 4 ", "4.0", "+4", "4e0", np.float32(4), np.int64(4), 3.6])
def test_a_cell_is_a_number_or_words_that_are_one(cell: object) -> None:
    assert TASK.read(cell) == 4.0


@pytest.mark.parametrize("cell", [None, "", math.nan, "inf", True, "four", "4,5", "1_0", "٤", 0, "5.1", [4]])
def test_another_cell_is_refused(cell: object) -> None:
    with pytest.raises(ValueError, match=r"was expected|is not on the scale"):
        TASK.read(cell)


def test_a_file_with_a_number_off_the_scale_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "gold.csv").write_text("text,label\none,4\ntwo,7\nthree,\n", encoding="utf-8")
    with pytest.raises(DataError) as wrong:
        read_labelled(tmp_path / "gold.csv", DataSettings(pool="pool.csv"), TASK)
    said = str(wrong.value).splitlines()
    assert "gold.csv:3: 7 is not on the scale, which goes from 1 to 5 in steps of 1" in said[1]
    assert "gold.csv:4: a number from 1 to 5 in steps of 1 was expected, not nothing" in said[2]


@st.composite
def scales(draw: st.DrawFn) -> Scale:
    low = draw(st.integers(-1000, 1000)) / draw(st.sampled_from([1, 2, 4, 10, 100]))
    step = draw(st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0, 5.0]))
    width = step * draw(st.integers(1, 300))
    return Scale(low, low + width, draw(st.sampled_from([step, None])))


@given(scales(), st.floats(0, 1))
def test_every_value_comes_back_as_it_was(scale: Scale, share: float) -> None:
    settings = {"low": scale.low, "high": scale.high, "step": scale.step}
    task = Regression(TaskSettings(kind="regression", scale=settings))
    value = task.read(scale.low + share * scale.width)
    assert scale.low <= value <= scale.high
    assert task.read(task.show(value)) == value
    assert task.parse(task.write(value), TEXT) == value
    assert task.parse(task.show(value), TEXT) == value
    assert json.loads(json.dumps(value)) == value
    schema = task.schema(TEXT)
    assert len(task.write(value).encode()) <= schema.max_tokens
    if schema.choices is not None:
        assert task.show(value) in schema.choices
        assert value in schema.json_schema["properties"]["score"]["enum"]
    if scale.step is not None:
        assert abs(value - (scale.low + share * scale.width)) <= scale.step / 2 * (1 + 1e-6)


def test_an_answer_is_held_to_the_scale() -> None:
    few, free, many = (task.schema(TEXT) for task in (TASK, FREE, graded(low=0, high=1000, step=1)))
    assert few.choices == ("1", "2", "3", "4", "5")
    assert few.json_schema["properties"]["score"] == {"enum": [1, 2, 3, 4, 5]}
    assert graded(low=0, high=1, step=0.5).schema(TEXT).choices == ("0", "0.5", "1")
    assert (free.choices, many.choices) == (None, None)
    assert free.json_schema["properties"]["score"] == {"type": "number", "minimum": -1, "maximum": 1}


@pytest.mark.parametrize("task", [TASK, FREE], ids=["stars", "free"])
@pytest.mark.parametrize("mode", ["json_schema", "choice"])
def test_the_question_says_the_scale_and_ends_with_the_text(task: Regression, mode: AnswerMode) -> None:
    phrasing = Phrasing(task, TaskSettings(kind="regression", scale=STARS))
    ask = Questions(phrasing, Template.find(task.prompt), sampling=Sampling("m", mode), guidelines="Be fair.")
    system, user = ask(TEXT).messages
    assert ("from 1 to 5, in steps of 1" if task is TASK else "from -1 to 1; numbers between") in system.content
    assert ("- 5: lives depend on it" in system.content) == (task is TASK)
    assert ('{"score": <the number>}' in system.content) == (mode == "json_schema" or task is FREE)
    assert "Be fair." in system.content
    assert "<text>\nThe roof leaks.\n</text>" in user.content


def token(said: str, p: float, **others: float) -> TokenChoice:
    top = [(said, math.log(p)), *((name.strip("_"), math.log(q)) for name, q in others.items())]
    return TokenChoice(said, math.log(p), tuple(top))


def test_confidence_is_the_probability_of_the_grade_among_all_grades() -> None:
    answer = Answer(
        '{"score": 4}', "m", None, (token('{"score": ', 1.0), token("4", 0.6, _3=0.2, _5=0.1), token("}", 1.0))
    )
    belief = TASK.confidence(answer, 4.0)
    assert belief.confidence == pytest.approx(0.6 / 0.9)
    assert belief.lost_mass == pytest.approx(0.1)
    assert belief.probabilities == pytest.approx({"1": 0, "2": 0, "3": 0.2 / 0.9, "4": 0.6 / 0.9, "5": 0.1 / 0.9})
    label = Label(TEXT.id, 4.0, Source.ORACLE, "o", belief.probabilities)
    plain = Label(TEXT.id, 2.0, Source.PERSON, "p")
    assert TASK.targets([label, plain]).tolist() == pytest.approx([(3 * 0.2 + 4 * 0.6 + 5 * 0.1) / 0.9, 2.0])


def test_a_grade_that_begins_another_is_told_apart() -> None:
    tens = graded(low=1, high=10, step=1)
    answer = Answer("1", "m", None, (token("1", 0.9, _2=0.1), token("<|im_end|>", 0.7, _0=0.3)))
    found = tens.confidence(answer, 1.0).probabilities
    assert found is not None
    assert (found["1"], found["2"]) == pytest.approx((0.9, 0.1), abs=0.28)
    assert found["1"] > found["10"]


def test_without_grades_confidence_is_the_probability_of_the_number_s_own_tokens() -> None:
    tokens = (token('{"score": ', 0.9), token("0", 0.8), token(".", 0.5), token("25", 0.5), token("}", 0.1))
    answer = Answer('{"score": 0.25}', "m", None, tokens)
    belief = FREE.confidence(answer, 0.25)
    assert (belief.confidence, belief.probabilities) == (pytest.approx(0.2), None)
    snapped = TASK.confidence(Answer("4.2", "m", None, (token("4.2", 0.3),)), 4.0)
    assert (snapped.confidence, snapped.probabilities) == (pytest.approx(0.3), None)


def test_nothing_is_known_of_an_answer_without_tokens() -> None:
    assert math.isnan(TASK.confidence(Answer("4", "m", None), 4.0).confidence)
    assert math.isnan(TASK.confidence(Answer("4", "m", None, (token("else", 1.0),)), 4.0).confidence)


def test_agreement_is_the_share_of_the_scale_that_does_not_lie_between() -> None:
    assert [TASK.agreement(a, b) for a, b in ((2.0, 2.0), (1.0, 5.0), (4.0, 3.0))] == [1.0, 0.0, 0.75]
    assert FREE.agreement(-1.0, 0.0) == 0.5


grades = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=40)


@given(grades)
def test_metrics_are_those_of_scipy_and_sklearn(pairs: list[tuple[int, int]]) -> None:
    gold, said = ([float(x) for x in side] for side in zip(*pairs, strict=True))
    found = TASK.metrics(gold, said)
    assert next(iter(found)) == "within"
    assert found["within"] == np.mean([a == b for a, b in pairs])
    assert found["mae"] == pytest.approx(np.mean([abs(a - b) for a, b in pairs]))
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean([(a - b) ** 2 for a, b in pairs])))
    if len(set(gold)) > 1 and len(set(said)) > 1:
        assert found["pearson"] == pytest.approx(stats.pearsonr(gold, said).statistic, abs=1e-9)
        assert found["spearman"] == pytest.approx(stats.spearmanr(gold, said).statistic, abs=1e-9)
        assert found["weighted_kappa"] == pytest.approx(
            cohen_kappa_score(gold, said, labels=TASK.scale.grades, weights="quadratic"), abs=1e-9
        )


def test_without_a_step_a_tenth_of_the_scale_counts_as_near() -> None:
    found = FREE.metrics([0.0, 0.0, 0.0, 0.5], [0.2, 0.21, -0.05, 0.5])
    assert found["within"] == 0.75
    assert "weighted_kappa" not in found
    assert all(math.isnan(v) for v in FREE.metrics([], []).values())
    assert math.isnan(FREE.metrics([0.5, 0.5], [0.1, 0.2])["pearson"]), "the same everywhere goes with nothing"
