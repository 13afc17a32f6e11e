"""The script that answers files with `vllm.LLM.chat`, with a stand-in for vLLM that has its signatures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Charge, OracleError
from agent.oracle.lines import Returned, read_line
from agent.oracle.offline import DONE, FIRST, GROWTH, ORDER, SLICE_S, TAKEN, Chat, Order, Pace, work

STAND_IN = Path(__file__).parents[1] / "servers" / "own"
CHOICE = {"structured_outputs": {"choice": ["fruit", "tool", "animal"]}}
TEXTS = ["I ate a pear.", "The saw is blunt.", "A fox ran by."]
GOLD = dict(zip(TEXTS, ["fruit", "tool", "animal"], strict=True))
Load = Callable[..., Chat]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads the stand-in: `load(max_model_len=50, defaults={...})`, faults by name."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(STAND_IN))
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps({"text": t, "label": v}) + "\n" for t, v in GOLD.items()), encoding="utf-8")

    def one(max_model_len: int = 4096, **told: Any) -> Chat:
        told |= {"gold": str(gold), "log": str(tmp_path / "log")}
        monkeypatch.setenv("STAND_IN", json.dumps(told))
        from vllm import LLM

        return Chat(LLM("model", max_model_len=max_model_len))

    yield one
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "vllm":
            del sys.modules[name]


def line(number: int, text: str, **body: Any) -> dict[str, Any]:
    asked = {
        "model": "qwen",
        "messages": [{"role": "system", "content": "Say which."}, {"role": "user", "content": text}],
        "max_completion_tokens": 8,
        "temperature": 0.0,
    }
    return {"custom_id": f"lw-{number}", "method": "POST", "url": "/v1/chat/completions", "body": asked | body}


def lines(texts: list[str] = TEXTS, **body: Any) -> list[dict[str, Any]]:
    return [line(i, text, **(CHOICE | body)) for i, text in enumerate(texts)]


def returned(row: dict[str, Any]) -> Returned:
    """As a run reads it."""
    found = read_line(json.dumps(row, allow_nan=False).encode())
    assert found is not None
    return found


def said(rows: list[dict[str, Any]]) -> list[str]:
    """What was answered, or why nothing was: then it cost nothing, and another try would be in vain."""
    return [_said(returned(row)) for row in rows]


def _said(row: Returned) -> str:
    if row.status == 200:
        return row.answer("?").content
    with pytest.raises(OracleError) as refused:
        row.answer("?")
    assert (refused.value.charge, refused.value.retryable) == (Charge.NONE, False)
    return str(refused.value)


def asked(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(raw) for raw in (folder / "log").read_text().splitlines()]
    return [row for row in rows if "text" in row]


# Questions and answers ----------------------------------------------------------------------------------------------


def test_an_answer_has_its_probabilities_and_its_tokens_counted(load: Load) -> None:
    rows = load().answers(lines(logprobs=True, top_logprobs=20))
    answers = [returned(row).answer("?") for row in rows]
    assert [a.content for a in answers] == list(GOLD.values())
    assert {a.model for a in answers} == {"qwen"}
    assert answers[0].usage is not None
    assert (answers[0].usage.prompt_tokens, answers[0].usage.completion_tokens) == (9, 2)
    assert answers[0].usage.cached_tokens == 3
    first, end = answers[0].tokens
    assert dict(first.top).keys() == {"fruit", "tool", "animal"}
    assert sum(math.exp(p) for p in dict(first.top).values()) == pytest.approx(1)
    assert first.logprob == dict(first.top)["fruit"]
    assert end.token == "</s>", "a token that came without its word is looked up"


def test_probabilities_are_written_as_the_server_writes_them(load: Load) -> None:
    (row,) = load().answers(lines(TEXTS[:1], logprobs=True, top_logprobs=2))
    token = row["response"]["body"]["choices"][0]["logprobs"]["content"][0]
    assert set(token) == {"token", "logprob", "bytes", "top_logprobs"}
    assert bytes(token["bytes"]).decode() == token["token"] == "fruit"
    assert [set(one) for one in token["top_logprobs"]] == [{"token", "logprob", "bytes"}] * 2
    assert load().answers(lines(TEXTS[:1]))[0]["response"]["body"]["choices"][0]["logprobs"] is None


def test_what_the_models_own_file_says_of_sampling_holds_where_the_request_says_nothing(
    load: Load, tmp_path: Path
) -> None:
    chat = load(defaults={"repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8})
    chat.answers([*lines(TEXTS[:1]), *lines(TEXTS[1:2], top_p=0.5)])
    first, second = (row["params"] for row in asked(tmp_path))
    assert first == {"temperature": 0.0, "repetition_penalty": 1.1, "max_tokens": 8, "top_p": 0.8}
    assert second["top_p"] == 0.5


def test_an_answer_may_be_held_to_a_schema_or_to_nothing(load: Load) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}}}
    held, free, neither = [
        line(1, TEXTS[0], response_format=schema),
        line(2, TEXTS[0]),
        line(3, TEXTS[0], response_format={"type": "grammar"}),
    ]
    assert said(load().answers([held, free, neither])) == [
        '{"label": "fruit"}', "fruit",
        "HTTP 400: an offline vLLM knows no `response_format` of type grammar",
    ]  # fmt: skip


def test_questions_go_together_by_what_the_template_is_told(load: Load, tmp_path: Path) -> None:
    thinks = {"chat_template_kwargs": {"enable_thinking": True}}
    mixed = [
        line(1, TEXTS[0]),
        line(2, TEXTS[1], **thinks),
        line(3, TEXTS[2]),
        line(4, TEXTS[0], reasoning_effort="none"),
    ]
    assert said(load().answers(mixed)) == ["fruit", "tool", "animal", "fruit"], "in the order of the questions"
    assert [(row["together"], row["template"]) for row in asked(tmp_path)] == [
        (2, None), (2, None), (1, {"enable_thinking": True}),
        (1, {"reasoning_effort": "none", "enable_thinking": False}),
    ]  # fmt: skip


# What is refused ----------------------------------------------------------------------------------------------------


def test_prompts_that_are_too_long_fail_alone_and_the_others_stay_together(load: Load, tmp_path: Path) -> None:
    long = "word " * 60
    rows = load(max_model_len=50).answers(lines([TEXTS[0], long, TEXTS[1], long, TEXTS[2]]))
    told = "HTTP 400: the prompt is too long: it has 65 tokens, and `max_model_len` is 50"
    assert said(rows) == ["fruit", told, "tool", told, "animal"]
    assert [row["together"] for row in asked(tmp_path)] == [3, 3, 3]


def test_a_question_that_vllm_refuses_for_another_reason_fails_alone(load: Load, tmp_path: Path) -> None:
    rows = load().answers(lines([*TEXTS, "<forbidden>", *TEXTS]))
    assert said(rows) == [*GOLD.values(), "HTTP 400: roles must alternate", *GOLD.values()]
    assert sorted(row["text"] for row in asked(tmp_path)) == sorted(TEXTS * 2), "each was asked once"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"frobnicate": 1}, "can make nothing of `frobnicate`"),
        ({"top_p": 7}, "top_p must be in"),
        ({"thinking_token_budget": 1, "structured_outputs": {"choice": ["a"], "regex": "b"}}, "only use one|use one"),
        ({"structured_outputs": {"chioce": ["a"]}}, "unexpected keyword argument 'chioce'"),
        ({"max_completion_tokens": None}, "without a limit"),
        ({"logprobs": True, "top_logprobs": 99}, "99"),
    ],
)
def test_a_request_that_cannot_be_made_is_refused_and_the_others_are_not(
    load: Load, body: dict[str, Any], why: str
) -> None:
    rows = load().answers([*lines(TEXTS[:1]), line(8, TEXTS[1], **body), *lines(TEXTS[2:])])
    answered = said(rows)
    assert [answered[0], answered[2]] == ["fruit", "animal"]
    assert any(one in answered[1] for one in why.split("|"))


def test_an_engine_that_dies_is_no_refusal_of_a_question(load: Load) -> None:
    with pytest.raises(Exception, match="EngineCore encountered an issue"):
        load(dies_at="saw").answers(lines())


def test_answers_of_which_nobody_knows_whose_they_are_are_no_answers(load: Load) -> None:
    with pytest.raises(RuntimeError, match="4 answers to 3 questions"):
        load(extra=1).answers(lines())


# Orders -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def order(tmp_path: Path) -> Order:
    spool = tmp_path / "spool"
    spool.mkdir()
    file = tmp_path / "one.input.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines([f"{TEXTS[0]} {i}" for i in range(150)])))
    made = Order(spool / f"one{ORDER}", file, tmp_path / "one.output.jsonl", limit_s=3600)
    made.write()
    return made


def taken(order: Order) -> Order:
    found = Order.take(order.path.parent)
    assert found is not None
    assert found.path.suffix == TAKEN
    return found


def ids(path: Path) -> list[str]:
    return [json.loads(raw)["custom_id"] for raw in path.read_text().splitlines()]


def test_an_order_is_worked_off_some_questions_at_a_time(load: Load, tmp_path: Path, order: Order) -> None:
    mine = taken(order)
    assert Order.take(tmp_path / "spool") is None
    work(load(), mine, tmp_path / "stop", Pace())
    assert ids(mine.output) == [f"lw-{i}" for i in range(150)]
    assert [row["together"] for row in asked(tmp_path)] == [FIRST] * FIRST + [150 - FIRST] * (150 - FIRST)
    assert Order.read(order.path.with_suffix(DONE)).seconds > 0
    assert not mine.part.exists()


def test_an_order_that_is_stopped_goes_on_where_it_was(load: Load, tmp_path: Path, order: Order) -> None:
    stop = tmp_path / "stop"

    class StopsInTheMiddle(Chat):
        def answers(self, lines: Any) -> list[dict[str, Any]]:
            stop.touch()
            return super().answers(lines)

    chat = load()
    work(StopsInTheMiddle(chat._llm), taken(order), stop, Pace())
    assert not order.output.exists()
    assert len(ids(order.part)) == FIRST
    stop.unlink()
    work(chat, taken(order), stop, Pace())
    assert ids(order.output) == [f"lw-{i}" for i in range(150)]
    assert len(asked(tmp_path)) == 150, "nothing was asked twice"


def test_what_is_not_begun_when_the_time_is_used_up_was_never_run(load: Load, tmp_path: Path, order: Order) -> None:
    order.limit_s = 1e-9
    order.write()
    work(load(), taken(order), tmp_path / "stop", Pace())
    rows = [returned(json.loads(raw)) for raw in order.output.read_text().splitlines()]
    assert [row.never_ran for row in rows] == [False] * FIRST + [True] * (150 - FIRST)
    assert len(asked(tmp_path)) == FIRST


@given(st.integers(1, 10**5), st.floats(0, 1e4), st.floats(-10, 1e5))
def test_so_many_go_together_as_take_a_while(before: int, took: float, left_s: float) -> None:
    size = Pace(before, took).together(left_s)
    rate = before / max(took, 1e-6)
    assert 0 <= size <= before * GROWTH
    assert size <= 1 or size / rate <= SLICE_S + 1e-6
    assert size == 0 or size / rate <= left_s + 1e-6, "none is begun that could not end in time"
