"""What endpoints refuse, in the words that they use, and how they are asked after it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.job import OracleSettings
from agent.oracle.chat import request_body
from agent.oracle.dialect import SYSTEM, Dialect
from agent.records import Answer, AnswerSchema, Message, Question, TextId, Usage

SCHEMA = AnswerSchema({"type": "object"}, 24, ("a", "b"))
TURNS = (Message("system", "label it"), Message("user", "one"), Message("assistant", "a"), Message("user", "two"))
ASK = Question("k", TextId("t"), TURNS, SCHEMA, "p")
SETTINGS = OracleSettings(base_url="http://127.0.0.1:9/v1", model="m", temperature=0.5)


def openai(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def forbidden(field: str) -> dict[str, Any]:
    wrong = {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted", "input": 24}
    return {"object": "error", "message": {"detail": [wrong]}, "type": "invalid_request_error", "param": None}


LITELLM = (
    "litellm.UnsupportedParamsError: ollama_chat does not support parameters: ['logprobs', 'top_logprobs'], for "
    "model=llama3.1:70b. To drop these, set `litellm.drop_params=True` or for proxy:\n\n`litellm_settings:\n "
    "drop_params: true`\n. \n If you want to use these params dynamically send allowed_openai_params=['logprobs', "
    "'top_logprobs'] in your request."
)
PYTHON_LIST = (
    "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), 'msg': 'Extra inputs are not permitted', "
    "'input': 800}]"
)
BOTH = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
JINJA = (
    "\n------------\nWhile executing CallExpression at line 1, column 71 in source:\n...\n ^\nError: Jinja "
    "Exception: System role not supported"
)


@pytest.mark.parametrize(
    ("status", "body", "without"),
    [
        # OpenAI and Azure
        (400, openai("Unrecognized request argument supplied: structured_outputs"), {"structured_outputs"}),
        (400, openai("Unknown parameter: 'structured_outputs'.", "structured_outputs"), {"structured_outputs"}),
        (
            400,
            openai(
                "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
                "supported.",
                "temperature",
                "unsupported_value",
            ),
            {"temperature"},
        ),
        (
            400,
            openai("'logprobs' is not supported for this model. 'logprobs' can only be set to 'true' for 'gpt-4o'."),
            {"logprobs"},
        ),
        (403, openai("You are not allowed to request logprobs from this model"), {"logprobs"}),
        (
            400,
            openai("Unsupported value: 'messages[0].role' does not support 'system' with this model."),
            {SYSTEM},
        ),
        (
            400,
            openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
            {"response_format"},
        ),
        (400, openai("logprobs is not supported when using response_format parameter"), {"logprobs"}),
        # Mistral, older vLLM, TensorRT-LLM
        (422, forbidden("max_completion_tokens"), {"max_completion_tokens"}),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "logprobs"]}]}, {"logprobs"}),
        (400, {"object": "error", "message": PYTHON_LIST, "code": 400}, {"max_completion_tokens"}),
        # vLLM and llama.cpp with a template of Gemma or Mistral
        (400, {"object": "error", "message": "System role not supported", "code": 400}, {SYSTEM}),
        (
            400,
            {"object": "error", "message": "Conversation roles must alternate user/assistant/user/assistant/..."},
            {SYSTEM},
        ),
        (500, {"error": {"code": 500, "message": JINJA, "type": "server_error"}}, {SYSTEM}),
        (400, {"error": {"message": "Only user and assistant roles are supported!"}}, {SYSTEM}),
        # gateways, and Google
        (400, {"error": {"message": LITELLM, "type": "None", "param": None, "code": "400"}}, {"logprobs"}),
        (
            400,
            {
                "error": {
                    "message": "litellm.UnsupportedParamsError: gpt-5-nano doesn't support temperature=0.1 while "
                    "reasoning is active. Only temperature=1 is supported"
                }
            },
            {"temperature"},
        ),
        (
            400,
            [{"error": {"code": 400, "message": "Logprobs is not enabled for models/gemini-2.5-pro"}}],
            {"logprobs"},
        ),
        (400, [{"error": {"message": "Developer instruction is not enabled for models/gemma-3-27b-it"}}], {SYSTEM}),
        (
            400,
            {"error": {"message": 'Invalid JSON payload. Unknown name "structured_outputs": Cannot find field.'}},
            {"structured_outputs"},
        ),
        (400, {"error": {"message": "This response_format type is unavailable now"}}, {"response_format"}),
        (400, {"error": {"message": '{"error": {"message": "System role not supported"}}'}}, {SYSTEM}),
    ],
)
def test_a_refusal_says_what_is_left_out_from_then_on(status: int, body: Any, without: set[str]) -> None:
    assert Dialect().refused(status, body) == Dialect(frozenset(without))


@pytest.mark.parametrize(
    ("message", "most"),
    [
        ("Invalid value for 'top_logprobs': must be less than or equal to 5.", 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", 5),
        ("20 is greater than the maximum of 1 - 'logprobs'", 1),
        ("top_logprobs must be between 0 and 8", 8),
        ("Invalid top_logprobs and logprobs value", 5),
    ],
)
def test_a_limit_of_token_probabilities_is_kept(message: str, most: int) -> None:
    found = Dialect().refused(400, openai(message))
    assert found == Dialect(top_logprobs=most)
    assert found.logprobs() == {"logprobs": True, "top_logprobs": most}


def test_a_server_that_gives_no_alternatives_gives_no_probabilities() -> None:
    found = Dialect().refused(400, openai("Requested sample logprobs of 20, which is greater than max allowed: 0"))
    assert found.logprobs() == {}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.")),
        (
            400,
            openai(
                "'max_tokens' or 'max_completion_tokens' is too large: 24. This model's maximum context length is "
                "4096 tokens and your request has 4090 input tokens."
            ),
        ),
        (400, openai("Could not finish the message because max_tokens or model output limit was reached.")),
        (400, openai("max_tokens is too large: 24. This model supports at most 16 completion tokens.")),
        (400, openai("Unrecognized request argument supplied: reasoning_effort")),
        (401, openai("temperature is not supported")),
        (403, openai("You are not allowed to use this model")),
        (429, openai("logprobs is not supported")),
        (500, openai("temperature is not supported")),
        (400, None),
        (400, "temperature"),
        (400, {"error": 7, "message": None, "detail": [[["deep"]]]}),
        (400, {"detail": [{"msg": "String is not supported", "input": "temperature"}]}),
        (
            400,
            {"message": "[{'type': 'string_type', 'msg': 'is not supported', 'input': 'System role not supported'}]"},
        ),
    ],
)
def test_what_has_nothing_to_do_with_the_way_of_asking_teaches_nothing(status: int, body: Any) -> None:
    assert Dialect().refused(status, body) == Dialect()


# the limit of an answer: money is set aside by it ----------------------------------------------------------------


def test_a_refused_limit_goes_out_by_its_other_name() -> None:
    old = Dialect().refused(422, forbidden("max_completion_tokens"))
    assert old.limits(24) == {"max_tokens": 24}
    assert old.refused(422, forbidden("max_tokens")) == old, "who takes neither is asked with one all the same"


def test_whoever_ignores_what_it_does_not_know_is_sent_both_names() -> None:
    both = Dialect().ignoring()
    assert both.limits(24) == {"max_completion_tokens": 24, "max_tokens": 24}
    for refusal in (openai(BOTH, "max_tokens", "invalid_parameter_combination"), openai(BOTH)):
        assert both.refused(400, refusal).limits(24) == {"max_completion_tokens": 24}
    newer = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    assert both.refused(400, openai(newer)).limits(24) == {"max_completion_tokens": 24}
    assert both.refused(422, forbidden("max_completion_tokens")).limits(24) == {"max_tokens": 24}


def test_an_answer_beyond_its_limit_shows_that_the_limit_was_ignored() -> None:
    assert Dialect().answered(ASK, Answer("a", "m", Usage(10, 25))).both_limits
    assert not Dialect().answered(ASK, Answer("a", "m", Usage(10, 24))).both_limits
    assert not Dialect().answered(ASK, Answer("a", "m", None)).both_limits


NAMES = ("max_tokens", "max_completion_tokens", "temperature", "logprobs", "structured_outputs", "response_format")
complaints = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(
    lambda names: openai(f"Unsupported parameters: {', '.join(names)}")
)
anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=30) | st.sampled_from(NAMES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "detail", "param", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.lists(complaints | anything | st.sampled_from([openai(BOTH), "ignored"]), max_size=12),
    st.sampled_from([400, 403, 422, 500]),
)
def test_whatever_is_said_one_limit_goes_out_and_learning_comes_to_an_end(said: list[Any], status: int) -> None:
    dialect, changes = Dialect(), 0
    for body in itertools.chain(said, said):
        found = dialect.ignoring() if body == "ignored" else dialect.refused(status, body)
        assert found.without >= dialect.without
        assert found.top_logprobs <= dialect.top_logprobs
        changes += found != dialect
        dialect = found
        limits = dialect.limits(24)
        assert limits
        assert set(limits.values()) == {24}
    assert changes <= len(NAMES) + 4
    assert Dialect.of(dialect.kept()) == dialect


# what is sent --------------------------------------------------------------------------------------------------


def test_the_usual_request_is_what_it_always_was() -> None:
    assert request_body(ASK, SETTINGS, "plain", Dialect(), logprobs=True) == {
        "model": "m",
        "messages": [{"role": m.role, "content": m.content} for m in TURNS],
        "max_completion_tokens": 24,
        "temperature": 0.5,
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_what_is_refused_is_left_out() -> None:
    dialect = Dialect(frozenset({"max_completion_tokens", "temperature", "logprobs", SYSTEM}))
    body = request_body(ASK, SETTINGS, "plain", dialect, logprobs=True)
    assert body.keys() == {"model", "messages", "max_tokens"}
    assert body["messages"] == [
        {"role": "user", "content": "label it\n\none"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "two"},
    ]


def test_further_fields_go_along_as_they_are() -> None:
    settings = SETTINGS.model_copy(update={"extra": {"chat_template_kwargs": {"enable_thinking": False}}})
    body = request_body(ASK, settings, "choice", Dialect(), logprobs=False)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["structured_outputs"] == {"choice": ["a", "b"]}


def test_a_person_is_told_in_what_an_endpoint_differs() -> None:
    dialect = Dialect(frozenset({"max_completion_tokens", SYSTEM}), top_logprobs=5)
    assert dialect.described().startswith("takes `max_tokens`, no system role")
    assert dialect.described().endswith("5 token probabilities")
    assert Dialect().described() == ""
