"""A setting that a command puts into a person's job file: it is there, and all else is as it was."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.jobfile import with_setting

WHERE = ("oracle", 0, "format")
FORM = {"answer": "code", "orders": 2}

BLOCK = """\
name: mine
oracle:                      # who answers
  name: local                # a name
  price: {input: 1, output: 2}   # dollars
budget: {dollars: 1}         # hard
"""
LIST = """\
oracle:
  # the cheap one
  - name: local
    model: m
  - name: strong
    format: {reason: true}
budget: {dollars: 1}
"""
FLOW = 'oracle: {name: local, model: "m"}  # all on one line\nbudget: {dollars: 1}\n'
THERE = """\
oracle:
  name: local
  format:
    # what was found in May
    answer: name
    orders: 4   # slow
  # who made it
  model: m
budget: {dollars: 1}
"""
THERE_LAST = "budget: {dollars: 1}\noracle:\n  name: local\n  format:\n    answer: name\n"
NOTHING = "oracle:\n  name: local\n  format:\n  model: m\n"


def read(text: str) -> dict[str, object]:
    found = yaml.safe_load(text)
    oracle = found["oracle"]
    return oracle[0] if isinstance(oracle, list) else oracle


@pytest.mark.parametrize("text", [BLOCK, LIST, FLOW, THERE, THERE_LAST, NOTHING])
@pytest.mark.parametrize("value", [FORM, {}, {"examples": "none"}])
def test_the_setting_is_what_was_put_in_and_nothing_else_changed(text: str, value: dict[str, object]) -> None:
    new = with_setting(text, WHERE, value)
    assert read(new)["format"] == value
    before, after = yaml.safe_load(text), yaml.safe_load(new)
    for data in (before, after):
        (data["oracle"][0] if isinstance(data["oracle"], list) else data["oracle"]).pop("format", None)
    assert before == after


@pytest.mark.parametrize("text", [BLOCK, LIST, FLOW, THERE])
def test_comments_and_the_order_of_keys_stay(text: str) -> None:
    new = with_setting(text, WHERE, FORM)
    comments = [line[line.index("#") :] for line in text.splitlines() if "#" in line]
    assert all(comment in new for comment in comments)
    assert list(yaml.safe_load(new)) == list(yaml.safe_load(text))
    assert [k for k in read(new) if k != "format"] == [k for k in read(text) if k != "format"]


@given(st.dictionaries(st.sampled_from("abc"), st.from_regex(r"[a-z_: #]{0,9}", fullmatch=True) | st.integers()))
def test_any_value_is_read_back_as_it_was(value: dict[str, object]) -> None:
    for text in (BLOCK, LIST, FLOW, THERE, NOTHING):
        assert read(with_setting(text, WHERE, value))["format"] == value


def test_a_place_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        with_setting("budget: {dollars: 1}\n", WHERE, FORM)
