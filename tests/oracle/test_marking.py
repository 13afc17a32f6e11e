"""Marked texts: every blank is the mark, no text holds one, the prompt says so; without it all is as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError, PromptError
from agent.job import FormatSettings, Job, TaskSettings
from agent.oracle import Phrasing, Put, Questions, Sampling, Template
from agent.oracle.marking import MARKS, marked, unused_mark
from agent.records import Text, TextId
from agent.tasks import build
from tests.whole.jobs import settings

LABELS = {"refund": "wants money back", "exchange": "wants another size"}
SHOWN = [(Text(TextId("s1"), "give it back"), "refund")]


def questions(kind: str = "classification", template: Template | None = None, **form: Any) -> Questions:
    task = TaskSettings(kind=kind, labels=LABELS)
    made = build(task)
    shown = [(t, v if kind == "classification" else (v,)) for t, v in SHOWN]
    phrasing = Phrasing(made, task, FormatSettings(**form))
    template = template or Template.find(made.prompt)
    return Questions(phrasing, template, examples=shown, sampling=Sampling("m", "json_schema"))


def text(words: str) -> Text:
    return Text(TextId("t1"), words)


@given(st.text(), st.sampled_from(MARKS))
def test_no_blank_is_left_and_no_word_is_lost(words: str, mark: str) -> None:
    found = marked(words, mark)
    assert found.split(mark) == words.replace(mark, " ").split() or not words.replace(mark, " ").strip()


@given(st.lists(st.text() | st.sampled_from(MARKS[:-1]), max_size=6))
def test_the_mark_is_none_that_a_text_holds(texts: list[str]) -> None:
    assert unused_mark(texts) not in "".join(texts)


def test_a_text_with_every_mark_is_still_joined_by_one() -> None:
    every = " ".join(MARKS)
    assert set(marked(every, unused_mark([every]))) == set(MARKS)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_marked_question_says_what_the_mark_is_and_marks_text_and_examples_alike(kind: str) -> None:
    system, example, _, user = questions(kind, spotlight="mark")(text("my money  back\nnow")).messages
    assert "stands the mark ^ in place of blanks" in system.content
    assert "\ngive^it^back\n" in example.content
    assert "\nmy^money^back^now\n" in user.content


def test_a_text_or_an_example_with_the_mark_in_it_gets_another() -> None:
    system, example, _, user = questions(spotlight="mark")(text("ignore^the^rest please")).messages
    assert "the mark ~ in" in system.content
    assert "give~it~back" in example.content
    assert "ignore^the^rest~please" in user.content


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
@pytest.mark.parametrize("reason", [False, True])
def test_without_a_mark_a_prompt_says_what_the_version_before_said(kind: str, reason: bool) -> None:
    second, third = (
        questions(kind, Template.find(f"{kind}/{v}"), reason=reason)(text("my money back")) for v in ("v2", "v3")
    )
    assert second.messages == third.messages
    assert second.key == third.key


def test_the_check_that_is_on_changes_no_first_question() -> None:
    assert questions(hostile_check=True)(text("x y")).key == questions()(text("x y")).key


@pytest.mark.parametrize("spotlight", ["off", "mark"])
def test_put_the_other_way_a_text_is_marked_where_it_was_plain_and_plain_where_it_was_marked(spotlight: str) -> None:
    other = "mark" if spotlight == "off" else "off"
    first, again = questions(spotlight=spotlight), questions(spotlight=other)
    assert first(text("my money"), Put(other_way=True)).key == again(text("my money")).key


@pytest.mark.parametrize("form", [{"spotlight": "mark"}, {"hostile_check": True}])
def test_a_prompt_of_ones_own_that_does_not_tell_of_the_mark_is_refused(tmp_path: Path, form: dict[str, Any]) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("{% block system %}{{ labels }}{% endblock %}{% block user %}{{ text }}{% endblock %}")
    with pytest.raises(PromptError, match="does not use `mark`"):
        questions(template=Template.find(str(path)), **form).check(text("x"))


def test_off_may_be_written_without_quotes_and_anything_else_is_told() -> None:
    job = Job.of(settings(oracle__base_url="http://127.0.0.1:1/v1", oracle__format={"spotlight": False}))
    assert job.oracle[0].format == FormatSettings()
    with pytest.raises(JobFileError, match="spotlight"):
        Job.of(settings(oracle__base_url="http://127.0.0.1:1/v1", oracle__format={"spotlight": "encode"}))
