"""How labels are put to an oracle: whatever the format, what it answers is read back as the job's own label."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AnswerInvalid, JobFileError, PromptError
from agent.job import FormatSettings, TaskSettings
from agent.oracle import Phrasing, Put, Questions, Reading, Sampling, Template, merged
from agent.oracle.phrasing import NONE, codes, orders
from agent.records import Answer, Belief, Text, TextId, TokenChoice, Value
from agent.tasks import Task, build

TEXT = Text(TextId("t"), "where is my card?")
NAMES = ("card_arrival", "card lost", "US", "us", "exchange", "café")

label_names = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=8),
    min_size=2,
    max_size=40,
    unique=True,
)
formats = st.builds(
    FormatSettings,
    answer=st.sampled_from(["name", "code"]),
    descriptions=st.booleans(),
    orders=st.integers(1, 4),
    reason=st.booleans(),
)


def phrasing(names: tuple[str, ...] | list[str] = NAMES, kind: str = "classification", **form: Any) -> Phrasing:
    settings = TaskSettings(kind=kind, labels={n: f"about {n}" for n in names})
    return Phrasing(build(settings), settings, FormatSettings(**form))


def questions(of: Phrasing, mode: Any = "choice", **more: Any) -> Questions:
    return Questions(of, Template.find(of.asked().prompt), sampling=Sampling("m", mode), **more)


def said(content: str, *tokens: tuple[str, dict[str, float]], finish: str = "stop") -> Answer:
    """An answer of these tokens, each with what might have stood there."""
    choices = tuple(
        TokenChoice(token, math.log(top[token]), tuple((t, math.log(p)) for t, p in top.items()))
        for token, top in tokens
    )
    return Answer(content, "m", None, choices, finish)


# out and back -----------------------------------------------------------------------------------------------


@given(names=label_names, form=formats, data=st.data())
def test_an_ideal_answer_in_any_format_is_read_back_as_the_label(
    names: list[str], form: FormatSettings, data: st.DataObject
) -> None:
    settings = TaskSettings(labels=dict.fromkeys(names, "a meaning"))
    of = Phrasing(build(settings), settings, form)
    value = data.draw(st.sampled_from(names))
    put = Put(order=data.draw(st.integers(0, 9)))
    plain = data.draw(st.booleans()) and not form.reason
    assert of.read(TEXT, said(of.written(value, plain=plain)), put).value == value


@given(names=label_names, form=formats, data=st.data())
def test_several_labels_are_read_back_in_the_jobs_order(
    names: list[str], form: FormatSettings, data: st.DataObject
) -> None:
    settings = TaskSettings(kind="multilabel", labels=dict.fromkeys(names, ""))
    of = Phrasing(build(settings), settings, form)
    given_labels = tuple(n for n in names if data.draw(st.booleans()))
    assert of.read(TEXT, said(of.written(given_labels, plain=False)), Put(order=1)).value == given_labels


@given(names=label_names, form=formats, data=st.data())
def test_every_class_is_listed_once_in_every_order(
    names: list[str], form: FormatSettings, data: st.DataObject
) -> None:
    settings = TaskSettings(labels=dict.fromkeys(names, ""))
    of = Phrasing(build(settings), settings, form)
    asked = of.asked(Put(order=data.draw(st.integers(0, 9))))
    told = [of.read(TEXT, said(alias)).value for alias in asked.names]
    assert sorted(map(str, told)) == sorted(names)


def test_the_format_that_nobody_changed_puts_the_task_itself() -> None:
    of = phrasing()
    assert of.asked().names == NAMES
    assert of.schema(TEXT) == build(TaskSettings(labels=dict.fromkeys(NAMES, ""))).schema(TEXT)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
@pytest.mark.parametrize("mode", ["choice", "json_schema"])
@pytest.mark.parametrize("guidelines", ["", "Mind the returns."])
def test_the_second_version_of_a_prompt_says_what_the_first_said_where_no_reason_is_asked_for(
    kind: str, mode: Any, guidelines: str
) -> None:
    of = phrasing(kind=kind)
    first, second = (
        Questions(of, Template.find(f"{kind}/{v}"), guidelines=guidelines, sampling=Sampling("m", mode))(TEXT)
        for v in ("v1", "v2")
    )
    assert first.messages == second.messages
    assert first.key == second.key


# codes ------------------------------------------------------------------------------------------------------


def test_a_code_stands_before_name_and_description_and_is_all_that_may_be_answered() -> None:
    of = phrasing(answer="code")
    question = questions(of)(TEXT)
    assert "- A: card_arrival: about card_arrival\n- B: card lost: about card lost" in question.messages[0].content
    assert question.schema.choices == ("A", "B", "C", "D", "E", "F")


def test_the_probability_of_a_code_is_that_of_its_class() -> None:
    reading = phrasing(answer="code").read(TEXT, said("B", ("B", {"B": 0.6, "A": 0.3, "x": 0.1})))
    assert reading.value == "card lost"
    assert reading.belief.probabilities is not None
    assert reading.belief.probabilities["card lost"] == pytest.approx(0.6 / 0.9)
    assert reading.belief.probabilities["card_arrival"] == pytest.approx(0.3 / 0.9)
    assert reading.belief.lost_mass == pytest.approx(0.1)


def test_who_answers_a_name_where_a_code_was_asked_for_is_understood_and_has_no_probability() -> None:
    reading = phrasing(answer="code").read(TEXT, said("Card Lost", ("Card Lost", {"Card Lost": 1.0})))
    assert reading.value == "card lost"
    assert math.isnan(reading.belief.confidence)


def test_a_code_means_the_same_class_in_every_order() -> None:
    of = phrasing(answer="code", orders=3)
    lists = [questions(of)(TEXT, Put(order=i)).messages[0].content for i in range(3)]
    assert len(set(lists)) == 3
    assert all("- B: card lost" in shown for shown in lists)


def test_codes_have_one_length_and_no_two_are_alike() -> None:
    for count in (2, 26, 27, 150, 1000):
        made = codes(count)
        assert len(set(made)) == count
        assert len({len(code) for code in made}) == 1


# orders -----------------------------------------------------------------------------------------------------


@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 5))
def test_orders_in_pairs_put_every_label_in_the_middle_on_average(classes: int, pairs: int, seed: int) -> None:
    found = orders(classes, 2 * pairs, seed)
    places = np.array([[order.index(i) for i in range(classes)] for order in found])
    assert found[0] == list(range(classes))
    assert np.allclose(places.mean(axis=0), (classes - 1) / 2)
    assert orders(classes, 2 * pairs, seed) == found


def test_equal_texts_are_asked_in_the_same_order_and_different_texts_in_all() -> None:
    of = phrasing(orders=3)
    firsts = {of.order_of(Text(TextId(str(i)), f"text {i}")) for i in range(40)}
    assert firsts == {0, 1, 2}
    assert of.order_of(TEXT) == of.order_of(Text(TextId("other"), TEXT.text))


# a reason first ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_reason_comes_before_the_label_in_prompt_schema_and_answer(kind: str) -> None:
    of = phrasing(kind=kind, reason=True)
    example: Value = ("US",) if kind == "multilabel" else "US"
    question = questions(of, examples=[(Text(TextId("s"), "in Ohio"), example)])(TEXT)
    assert next(iter(question.schema.json_schema["properties"])) == "reason"
    assert question.schema.choices is None
    assert '{"reason": ' in question.messages[0].content
    assert list(json.loads(question.messages[2].content)) == ["reason", "label" if kind != "multilabel" else "labels"]


def test_the_probability_after_a_reason_is_that_of_the_label_and_not_of_a_word_in_the_reason() -> None:
    content = '{"reason": "not \\"label\\": us", "label": "card lost"}'
    tokens = (content[: content.rindex("card lost")], "card lost", '"}')
    answer = said(content, *((t, {t: 1.0} if t != "card lost" else {t: 0.7, "US": 0.3}) for t in tokens))
    belief = phrasing(reason=True).read(TEXT, answer).belief
    assert belief.confidence == pytest.approx(0.7)


def test_a_reason_that_a_template_of_ones_own_does_not_ask_for_is_an_error() -> None:
    own = Template("mine", "{% block system %}{{ labels }}{% endblock %}{% block user %}{{ text }}{% endblock %}")
    with pytest.raises(PromptError, match=r"does not use `form`, so it cannot ask for a reason"):
        Questions(phrasing(reason=True), own, sampling=Sampling("m", "choice")).check(TEXT)


def test_half_a_name_is_not_taken_for_another_label() -> None:
    of = phrasing(("card", "card_arrival"))
    with pytest.raises(AnswerInvalid, match="cut off"):
        of.read(TEXT, said("card", finish="length"))
    assert of.read(TEXT, said('{"label": "card"}\n', finish="length")).value == "card"


# a shortlist ------------------------------------------------------------------------------------------------


def test_a_shortlist_lists_the_likely_classes_and_none_of_these() -> None:
    of = phrasing(shortlist=2)
    question = questions(of, examples=[(Text(TextId("s"), "in Ohio"), "US"), (Text(TextId("u"), "we"), "us")])(
        TEXT, Put(names=("us", "exchange", "café"))
    )
    assert question.schema.choices == ("us", "exchange", NONE)
    assert "US" not in question.messages[0].content
    assert [m.content for m in question.messages if m.role == "assistant"] == ["us"]


@pytest.mark.parametrize("answer", ["name", "code"])
def test_none_of_a_shortlist_is_no_label_and_its_probability_is_that_of_the_rest(answer: str) -> None:
    of = phrasing(shortlist=2, answer=answer)
    put = Put(names=("us", "exchange"))
    first, _, none = of.asked(put).names
    reading = of.read(TEXT, said(none, (none, {none: 0.6, first: 0.4})), put)
    assert reading.value is None
    assert reading.belief.probabilities is not None
    assert reading.belief.probabilities["us"] == pytest.approx(0.4)
    assert reading.belief.probabilities["card lost"] == pytest.approx(0.6 / 4)
    assert sum(reading.belief.probabilities.values()) == pytest.approx(1.0)
    assert of.read(TEXT, said(first, (first, {none: 0.1, first: 0.9})), put).value == "us"


def test_a_shortlist_that_would_leave_out_one_class_at_most_lists_all() -> None:
    of = phrasing(shortlist=5)
    assert of.asked(Put(names=NAMES)).names == NAMES


def test_a_class_that_is_called_none_of_these_stays_a_class() -> None:
    of = phrasing((NONE, "a", "b", "c", "d"), shortlist=2)
    put = Put(names=(NONE, "a"))
    assert of.read(TEXT, said(NONE), put).value == NONE
    assert of.read(TEXT, said(of.asked(put).names[-1]), put).value is None


# several readings of one text -------------------------------------------------------------------------------


def reading(value: Value, p: dict[str, float] | None = None) -> Reading:
    sure = math.nan if p is None else p[value] if isinstance(value, str) else 0.5
    return Reading(value, Belief(sure, p))


def test_the_mean_over_orders_decides() -> None:
    found = merged([reading("a", {"a": 0.6, "b": 0.4}), reading("b", {"a": 0.1, "b": 0.9})], ("a", "b"))
    assert found.value == "b"
    assert found.belief.confidence == pytest.approx(0.65)


def test_without_probabilities_agreement_is_the_confidence_and_never_certain() -> None:
    agreed = merged([reading("a")] * 3, ("a", "b"))
    split = merged([reading("a"), reading("b"), reading("a")], ("a", "b"))
    assert (agreed.value, split.value) == ("a", "a")
    assert agreed.belief.confidence == pytest.approx(3.5 / 4)
    assert split.belief.confidence == pytest.approx(2.5 / 4)


def test_of_several_labels_those_stay_that_are_likelier_than_not() -> None:
    found = merged([reading(("a", "b")), reading(("a",)), reading(("a", "c"))], ("a", "b", "c"))
    assert found.value == ("a",)
    assert found.belief.confidence == pytest.approx(1 - 1.5 / 4)


def test_one_reading_stays_as_it_is() -> None:
    only = reading("a")
    assert merged([only], ("a", "b")) is only


# tasks that cannot be put so --------------------------------------------------------------------------------


class Own:
    kind = "spans"
    names: tuple[str, ...] = ()


@pytest.mark.parametrize("form", [{"answer": "code"}, {"orders": 2}, {"reason": True}, {"descriptions": False}])
def test_a_task_of_ones_own_is_put_as_it_is_or_not_at_all(form: dict[str, Any]) -> None:
    own: Task = Own()  # type: ignore[assignment]
    Phrasing(own, TaskSettings(kind="m:Own"))
    with pytest.raises(JobFileError, match=rf"`oracle.format`: `{next(iter(form))}` is for classification"):
        Phrasing(own, TaskSettings(kind="m:Own"), FormatSettings(**form))


def test_a_shortlist_is_for_one_label_a_text() -> None:
    with pytest.raises(JobFileError, match="one label a text"):
        phrasing(kind="multilabel", shortlist=2)
