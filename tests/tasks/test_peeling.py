"""What models wrap around an answer: it comes off, its probability stays the label's own, and no sentence is one."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.errors import AnswerInvalid
from agent.job import FormatSettings, TaskSettings
from agent.oracle import Phrasing
from agent.records import Answer, Text, TextId, TokenChoice
from agent.tasks import Classification, Multilabel
from agent.tasks.likelihood import place_in_tokens
from agent.tasks.peeling import json_object, layers

TEXT = Text(TextId("t"), "a text")
NAMES = ("refund", "card_arrival", "card", "U.S.", 'the "best"', "Label: none", "é")
Wrap = Callable[[str], tuple[str, str]]
"""What stands before and after a name, as the name needs it."""

BARE: dict[str, Wrap] = {
    "quotes": lambda _: ('"', '"'),
    "curly quotes": lambda _: ("“", "”"),
    "code": lambda _: ("`", "`"),
    "bold": lambda _: ("**", "**"),
    "stop": lambda _: ("", "."),
    "lead": lambda _: ("Label: ", ""),
    "bold lead": lambda _: ("**Final answer:** ", ""),
    "fence": lambda _: ("```\n", "\n```"),
    "named fence": lambda _: ("```text\n", "\n```"),
    "blanks": lambda _: (" \n", "\n\n"),
    "thought": lambda name: (f"<think>\nNot {name}? card, or refund.\n</think>\n\n", ""),
    "thought of the template": lambda _: ("Well, it is a refund.\n</think>\n", ""),
    "Mistral's thought": lambda _: ("[THINK]card?[/THINK]", ""),
}
IN_JSON: dict[str, Wrap] = {
    "bare": lambda _: ("", ""),
    "fence": lambda _: ("```json\n", "\n```"),
    "open fence": lambda _: ("```json\n", ""),
    "fence and explanation": lambda _: ("```json\n", "\n```\nIt says so."),
    "explanation": lambda _: ("", "\n\nExplanation: it is no refund, and no card."),
    "thought": lambda _: ('<think>{"label": "refund"}</think>', ""),
}


def task(names: tuple[str, ...] = NAMES) -> Classification:
    return Classification(TaskSettings(labels=dict.fromkeys(names, "")))


def certain(text: str) -> list[TokenChoice]:
    return [TokenChoice(c, 0.0, ((c, 0.0),)) for c in text]


def half_sure(name: str, other: str) -> list[TokenChoice]:
    """A name token by token, its first one with a half of the chance; the other name has a quarter."""
    top = ((name[0], math.log(0.5)), (other[0], math.log(0.25)))
    return [TokenChoice(name[0], math.log(0.5), top), *certain(name[1:])]


@given(st.sampled_from(NAMES), st.lists(st.sampled_from(sorted(BARE)), max_size=3))
def test_a_wrapped_name_is_the_name_and_as_sure_as_the_bare_one(name: str, wraps: list[str]) -> None:
    before, after = "", ""
    for wrap in wraps:
        left, right = BARE[wrap](name)
        before, after = left + before, after + right
    content = before + name + after
    tokens = (*certain(before), *half_sure(name, "~"), *certain(after))
    try:
        said = task().parse(content, TEXT)
    except AnswerInvalid:
        assume(False)  # such as a fence inside quotes: strict is not wrong
        raise
    bare = task().confidence(Answer(name, "m", None, tuple(half_sure(name, "~"))), name)
    found = task().confidence(Answer(content, "m", None, tokens), name)
    assert said == name
    assert found.probabilities == pytest.approx(bare.probabilities)
    assert found.lost_mass == pytest.approx(bare.lost_mass)


@pytest.mark.parametrize("wrap", sorted(BARE))
@pytest.mark.parametrize("name", NAMES)
def test_each_wrapper_alone_comes_off_every_name(name: str, wrap: str) -> None:
    before, after = BARE[wrap](name)
    assert task().parse(before + name + after, TEXT) == name


@pytest.mark.parametrize("wrap", sorted(IN_JSON))
@pytest.mark.parametrize("name", NAMES)
def test_json_comes_off_too_with_the_probability_of_the_label(name: str, wrap: str) -> None:
    before, after = IN_JSON[wrap](name)
    lead, tail = before + '{"label": ', "}" + after
    quoted = json.dumps(name, ensure_ascii=False)
    content = lead + quoted + tail
    assert task().parse(content, TEXT) == name
    tokens = (*certain(lead + '"'), *half_sure(name, "~"), *certain('"' + tail))
    found = task().confidence(Answer(content, "m", None, tokens), name)
    if quoted == f'"{name}"':
        assert found.confidence == pytest.approx(1.0)
        assert found.lost_mass == pytest.approx(0.5)
    else:
        assert math.isnan(found.confidence), "spelt with escapes: its place in the tokens is not known"


@pytest.mark.parametrize(
    "content",
    [
        "refund or card",
        "refund, card",
        "It is a refund",
        "The label is refund.",
        "not refund",
        "refund?",
        "Label: refund or card",
        '"refund" or "card"',
        "```\nrefund\n```\nNo: card",
        "<think>refund",
        "<think>refund</think>",
        "<think>a</think>refund<think>b</think>card",
        '{"label": "refund"} {"label": "card"}',
        '{"label": "refund"}\nor\n```json\n{"label": "card"}\n```',
        '```json\n{"label": "refund"}\n```\n```json\n{"label": "card"}\n```',
        '{"label": "refund", "label": "card"}',
        'The answer is not {"label": "refund"}',
        '["refund", "card"]',
        '["refund"]',
        "refund\ncard",
        "refund\n\nThe customer wants money.",
        "....refund....",
        "**",
        "```",
        "</think>",
    ],
)
def test_what_mentions_a_label_is_not_one(content: str) -> None:
    with pytest.raises(AnswerInvalid):
        task().parse(content, TEXT)


@given(st.text(max_size=30), st.sampled_from(NAMES), st.text(max_size=30))
def test_words_around_a_label_are_never_read_as_it(before: str, name: str, after: str) -> None:
    """Whatever is read as a label is, letter by letter, all that is said once marks and a lead are gone."""
    try:
        said = task().parse(f"{before} {name} {after}", TEXT)
    except AnswerInvalid:
        return
    kept = [c for c in f"{before}{after}" if c.isalnum()]
    rest = "".join(kept).casefold()
    assert said in NAMES
    assert rest == "" or "think" in rest or any(w in rest for w in ("label", "answer", "class", "output", "result"))


@given(st.text(max_size=80))
def test_layers_lie_inside_each_other_and_end(content: str) -> None:
    found = list(layers(content))
    assert 1 <= len(found) <= 8
    for outer, inner in itertools.pairwise(found):
        assert all(any(a <= c <= d <= b for a, b in outer) for c, d in inner)
    for start, end in (place for layer in found for place in layer):
        assert content[start:end] == content[start:end].strip()


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=8), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_an_object_is_found_as_json_reads_it(value: object) -> None:
    found = json_object(json.dumps(value))
    assert found == (None if not isinstance(value, dict) else (value, (0, len(json.dumps(value)))))


# tokens and text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "<|im_end|>", "</s>", "<｜end▁of▁sentence｜>", "<|eot_id|>\n", "<end_of_turn>"])
def test_a_label_is_found_where_tokens_hold_a_thought_that_the_server_keeps_apart(end: str) -> None:
    """vLLM's `reasoning_content` is not in the content, and its tokens are among the others."""
    tokens = (*certain("<think>card, or refund?</think>\n\n"), *half_sure("card", "refund"), *certain(end))
    found = task(("card", "refund")).confidence(Answer("card", "m", None, tokens), "card")
    assert found.confidence == pytest.approx(2 / 3)


def test_tokens_that_are_not_those_of_the_answer_give_no_probability() -> None:
    found = task(("card", "refund")).confidence(Answer("card", "m", None, tuple(certain("refund"))), "card")
    assert math.isnan(found.confidence)


def test_half_characters_before_a_label_do_not_hide_it() -> None:
    """A token may be half a character, which servers write as a question mark in a box."""
    tokens = certain('{"reason": "��", "label": "card"}')
    content = '{"reason": "é", "label": "card"}'
    assert place_in_tokens(tokens, content, content.index('card"'), 4) == len('{"reason": "��", "label": "')


@given(st.text(max_size=20), st.text(min_size=1, max_size=8), st.text(max_size=8))
def test_a_place_that_is_named_holds_what_was_looked_for(before: str, name: str, after: str) -> None:
    content = before + name + after
    at = place_in_tokens(certain(content), content, len(before), len(name))
    said = content[at : at + len(name.rstrip())] if at >= 0 else name.rstrip()
    assert said == name.rstrip()


# several labels, codes, and what was cut off ----------------------------------------------------------------------


@pytest.mark.parametrize("wrap", sorted(IN_JSON))
def test_lists_of_labels_come_off_too_with_the_same_probabilities(wrap: str) -> None:
    several = Multilabel(TaskSettings(kind="multilabel", labels={"anger": "", "joy": "", "fear": ""}))
    lead, tail = '{"labels": ["', '"]}'
    before, after = IN_JSON[wrap]("joy")
    plain = (*certain(lead), *half_sure("joy", "anger"), *certain(tail))
    dressed = (*certain(before), *plain, *certain(after))
    content = before + lead + "joy" + tail + after
    assert several.parse(content, TEXT) == ("joy",)
    bare = several.confidence(Answer(lead + "joy" + tail, "m", None, plain), ("joy",))
    assert several.confidence(Answer(content, "m", None, dressed), ("joy",)) == bare
    assert bare.confidence == pytest.approx(0.5)


def test_codes_come_off_too() -> None:
    labels = {"refund": "", "card": ""}
    settings = TaskSettings(labels=labels)
    phrased = Phrasing(Classification(settings), settings, FormatSettings(answer="code"))
    for content in ("A.", "**A**", "Answer: A", "```\nA\n```", '```json\n{"label": "A"}\n```'):
        assert phrased.read(TEXT, Answer(content, "m", None)).value == "refund"


def test_an_answer_whose_explanation_alone_is_cut_off_is_whole() -> None:
    settings = TaskSettings(labels={"refund": "", "card": ""})
    phrased = Phrasing(Classification(settings), settings)
    whole = Answer('{"label": "card"}\n\nExplanation: the', "m", None, finish_reason="length")
    assert phrased.read(TEXT, whole).value == "card"
    for content in ("card", '{"label": "card', "Label: card"):
        with pytest.raises(AnswerInvalid, match="cut off"):
            phrased.read(TEXT, Answer(content, "m", None, finish_reason="length"))


@pytest.mark.parametrize("content", ["", "<think>\nOkay, the customer"])
def test_an_answer_of_thoughts_alone_says_what_to_do(content: str) -> None:
    settings = TaskSettings(labels={"refund": "", "card": ""})
    phrased = Phrasing(Classification(settings), settings)
    with pytest.raises(AnswerInvalid, match=r"oracle\.thinking_tokens"):
        phrased.read(TEXT, Answer(content, "m", None, finish_reason="length"))
