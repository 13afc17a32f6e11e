"""The chat client against real servers that fail in every way a server can."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from agent.errors import Charge, EndpointError, OracleError
from agent.job import OracleSettings
from agent.oracle import ChatOracle, serves
from agent.records import Answer, AnswerSchema, Message, Question, TextId, Usage
from tests.servers.broken import Behaviour, BrokenServer, hangs, replies, resets, says, truncates, unused_port
from tests.servers.scripted import Faults, ScriptedServer

SECRET = "kX9-very-secret-0042"  # no prefix that would give it away as a key
LABELS = ("refund", "exchange")
SCHEMA = AnswerSchema(
    json_schema={"type": "object", "properties": {"label": {"type": "string", "enum": list(LABELS)}}},
    max_tokens=24,
    choices=LABELS,
)
ASK = Question(
    key="k" * 64,
    text_id=TextId("t1"),
    messages=(Message("system", "label it"), Message("user", "<text>\nmy money back\n</text>\nLabel:")),
    schema=SCHEMA,
    prompt_hash="p",
)
GOOD = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "refund"}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}


def oracle_at(url: str, *, timeout_s: float = 20, **options: Any) -> ChatOracle:
    settings = OracleSettings(base_url=url, model="scripted", api_key=SecretStr(SECRET), timeout_s=timeout_s)
    return ChatOracle(settings, **options)


async def asked(url: str, **options: Any) -> Answer:
    oracle = oracle_at(url, **options)
    try:
        return await oracle.ask(ASK)
    finally:
        await oracle.close()


async def failure(behave: Behaviour, **options: Any) -> tuple[OracleError | EndpointError, BrokenServer]:
    with BrokenServer(behave) as server, pytest.raises((OracleError, EndpointError)) as caught:
        await asked(server.url, **options)
    assert isinstance(caught.value, OracleError | EndpointError)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None, "a chained error could quote the request, and with it the key"
    return caught.value, server


# what a failure costs ---------------------------------------------------------------------------------------


async def test_a_refused_connection_costs_nothing_and_may_be_tried_again() -> None:
    with pytest.raises(OracleError, match="before sending") as caught:
        await asked(f"http://127.0.0.1:{unused_port()}/v1")
    assert caught.value.charge is Charge.NONE
    assert caught.value.retryable


async def test_a_server_that_never_answers_times_out_and_may_have_charged() -> None:
    error, server = await failure(hangs, timeout_s=0.3)
    assert isinstance(error, OracleError)
    assert error.charge is Charge.UNKNOWN
    assert "timed out after sending" in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(resets, id="reset after the request was read"),
        pytest.param(says(b""), id="closed without a word"),
        pytest.param(truncates(json.dumps(GOOD).encode()[:40], missing=200), id="body cut off"),
        pytest.param(replies(200, b"<html>busy</html>"), id="not JSON"),
        pytest.param(replies(200, b'{"id": "1", "choices": ['), id="half of some JSON"),
        pytest.param(says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), id="another protocol"),
        pytest.param(replies(500, {"error": {"message": "boom"}}), id="HTTP 500"),
        pytest.param(replies(502, b"<html>bad gateway</html>"), id="HTTP 502 from a proxy"),
        pytest.param(replies(529, {"error": {"message": "overloaded"}}), id="HTTP 529"),
    ],
)
async def test_what_goes_wrong_after_sending_may_have_been_charged(behave: Behaviour) -> None:
    error, server = await failure(behave)
    assert isinstance(error, OracleError)
    assert error.charge is Charge.UNKNOWN
    assert error.retryable
    assert len(server.requests) == 1, "the client retried by itself: that may be charged twice"


@pytest.mark.parametrize("body", [b"[]", b'"refund"', b"null", b"7"])
async def test_json_that_is_no_completion_is_never_a_label(body: bytes) -> None:
    error, _ = await failure(replies(200, body))
    assert isinstance(error, OracleError)
    assert error.charge is Charge.UNKNOWN


async def test_an_error_inside_http_200_is_no_answer_and_may_have_been_charged() -> None:
    error, _ = await failure(replies(200, {"error": {"message": f"upstream said no to {SECRET}", "code": 502}}))
    assert isinstance(error, OracleError)
    assert error.charge is Charge.UNKNOWN
    assert "upstream said no" in str(error)


@pytest.mark.parametrize("choices", [[], None])
async def test_a_completion_without_choices_is_an_empty_answer_that_was_paid(choices: list[Any] | None) -> None:
    with BrokenServer(replies(200, GOOD | {"choices": choices})) as server:
        answer = await asked(server.url)
    assert answer.content == ""
    assert answer.usage == Usage(10, 2)
    assert answer.finish_reason == "empty"


async def test_a_refusal_without_text_is_an_empty_answer_that_was_paid() -> None:
    choice = {"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}}
    with BrokenServer(replies(200, GOOD | {"choices": [choice]})) as server:
        answer = await asked(server.url)
    assert (answer.content, answer.finish_reason, answer.usage) == ("", "content_filter", Usage(10, 2))


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, None),
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}, Usage(9, 1)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 1,
                "total_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            Usage(9, 1, 4),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "prompt_tokens_details": None},
            Usage(9, 1),
        ),
    ],
)
async def test_usage_is_what_the_endpoint_said_and_none_where_it_said_nothing(usage: Any, read: Usage | None) -> None:
    with BrokenServer(replies(200, GOOD | {"usage": usage})) as server:
        assert (await asked(server.url)).usage == read


# refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_stops_the_run_and_says_where_to_put_a_good_one(status: int) -> None:
    quoted = {"error": {"message": f"Incorrect API key provided: {SECRET}.", "code": "invalid_api_key"}}
    error, _ = await failure(replies(status, quoted))
    assert isinstance(error, EndpointError)
    assert "refused the key" in str(error)
    assert "api_key_env" in str(error)


async def test_an_unknown_model_stops_the_run_and_is_named() -> None:
    error, _ = await failure(replies(404, {"error": {"message": "no such model", "code": "model_not_found"}}))
    assert isinstance(error, EndpointError)
    assert "'scripted'" in str(error)


async def test_an_empty_account_stops_the_run_instead_of_waiting_for_a_rate_limit() -> None:
    error, _ = await failure(replies(429, {"error": {"message": "You exceeded it.", "code": "insufficient_quota"}}))
    assert isinstance(error, EndpointError)
    assert "no credit" in str(error)


@pytest.mark.parametrize(("header", "wait"), [("7", 7.0), ("0.25", 0.25), ("-3", 0.0)])
async def test_a_rate_limit_costs_nothing_and_says_how_long_to_wait(header: str, wait: float) -> None:
    error, server = await failure(replies(429, {"error": {"message": "slow down"}}, {"Retry-After": header}))
    assert isinstance(error, OracleError)
    assert (error.charge, error.retryable, error.retry_after_s) == (Charge.NONE, True, wait)
    assert len(server.requests) == 1


@pytest.mark.parametrize("header", ["", "soon", "nan", "inf"])
async def test_a_retry_after_that_is_no_number_of_seconds_is_ignored(header: str) -> None:
    error, _ = await failure(replies(429, {"error": {"message": "slow down"}}, {"Retry-After": header}))
    assert isinstance(error, OracleError)
    assert error.retry_after_s is None


async def test_a_retry_after_may_be_a_date() -> None:
    when = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    error, _ = await failure(replies(503, {"error": {"message": "later"}}, when))
    assert isinstance(error, OracleError)
    assert error.retry_after_s in (None, 0.0), "a date that has passed asks for no wait"


@pytest.mark.parametrize("ahead", ["Tue, 20 Oct 2015", "Wed, 21 Oct 2065"])
async def test_a_date_to_wait_for_is_held_against_the_servers_own_clock(ahead: str) -> None:
    headers = {"Date": f"{ahead} 07:28:00 GMT", "Retry-After": f"{ahead} 07:28:09 GMT"}
    error, _ = await failure(replies(429, {"error": {"message": "later"}}, headers))
    assert isinstance(error, OracleError)
    assert error.retry_after_s == 9


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_request_that_is_refused_as_such_costs_nothing_and_is_not_repeated(status: int) -> None:
    error, _ = await failure(replies(status, {"error": {"message": "too long"}}))
    assert isinstance(error, OracleError)
    assert (error.charge, error.retryable) == (Charge.NONE, False)
    assert "too long" in str(error)


async def test_a_server_that_quotes_the_key_or_talks_without_end_does_not_reach_the_log() -> None:
    message = f"bad header Authorization: Bearer {SECRET} " + "x" * 10_000
    error, _ = await failure(replies(400, {"error": {"message": message}}))
    assert len(str(error)) < 400


async def test_a_password_in_the_url_is_not_in_an_error() -> None:
    with pytest.raises(OracleError) as caught:
        await asked(f"http://someone:hunter2@127.0.0.1:{unused_port()}/v1?token=hunter3")
    assert "hunter" not in str(caught.value)


# what is sent -----------------------------------------------------------------------------------------------


async def test_a_question_is_sent_once_with_its_worst_case_and_its_schema() -> None:
    with BrokenServer(replies(200, GOOD)) as server:
        answer = await asked(server.url, mode="json_schema")
    assert answer.content == "refund"
    assert len(server.requests) == 1
    head, _, raw = server.requests[0].partition(b"\r\n\r\n")
    body = json.loads(raw)
    assert head.startswith(b"POST /v1/chat/completions ")
    assert body["max_completion_tokens"] == SCHEMA.max_tokens
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA.json_schema
    assert body["messages"] == [{"role": m.role, "content": m.content} for m in ASK.messages]
    assert "structured_outputs" not in body


@pytest.mark.parametrize(
    ("mode", "sent", "not_sent"),
    [("choice", "structured_outputs", "response_format"), ("json_schema", "response_format", "structured_outputs")],
)
def test_each_answer_mode_sends_its_own_field(mode: Any, sent: str, not_sent: str) -> None:
    body = oracle_at("http://127.0.0.1:9/v1", mode=mode).body(ASK)
    assert sent in body
    assert not_sent not in body


def test_plain_mode_sends_no_schema_and_no_logprobs_where_there_are_none() -> None:
    body = oracle_at("http://127.0.0.1:9/v1", mode="plain", logprobs=False).body(ASK)
    assert set(body) == {"model", "messages", "max_completion_tokens", "temperature"}


# against the scripted endpoint ------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "content"), [("choice", "refund"), ("json_schema", '{"label": "refund"}')])
async def test_an_answer_carries_its_tokens_with_alternatives(
    mode: Any, content: str, serve_gold: Callable[..., ScriptedServer]
) -> None:
    server = serve_gold({"my money back": "refund"})
    answer = await asked(server.url, mode=mode)
    assert answer.content == content
    assert "".join(t.token for t in answer.tokens) == content
    assert any(len(t.top) > 1 for t in answer.tokens)
    assert all(-30 < p <= 0 for t in answer.tokens for _, p in t.top)
    logged = server.asked[0]
    assert answer.usage == Usage(logged["prompt_tokens"], logged["completion_tokens"])


async def test_an_endpoint_without_logprobs_gives_an_answer_without_tokens(
    serve_gold: Callable[..., ScriptedServer],
) -> None:
    server = serve_gold({"my money back": "refund"}, faults=Faults(no_logprobs=True, no_usage=True))
    answer = await asked(server.url, mode="choice")
    assert (answer.content, answer.tokens, answer.usage) == ("refund", (), None)


async def test_the_models_are_listed(serve_gold: Callable[..., ScriptedServer]) -> None:
    oracle = oracle_at(serve_gold({}).url)
    assert await oracle.models() == ["scripted"]
    await oracle.close()


async def test_many_questions_at_once_are_each_answered_once(serve_gold: Callable[..., ScriptedServer]) -> None:
    server = serve_gold({"my money back": "refund"})
    oracle = oracle_at(server.url, mode="choice")
    answers = await asyncio.gather(*(oracle.ask(ASK) for _ in range(64)))
    await oracle.close()
    assert {a.content for a in answers} == {"refund"}
    assert len(server.asked) == 64


# what no protocol says ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "logprobs",
    [[], {"content": [{}]}, {"content": [{"token": "a", "logprob": None, "top_logprobs": None}]}, {"content": 5}],
)
async def test_token_probabilities_that_make_no_sense_are_none(logprobs: Any) -> None:
    choice = GOOD["choices"][0] | {"logprobs": logprobs}  # type: ignore[index]
    with BrokenServer(replies(200, GOOD | {"choices": [choice]})) as server:
        answer = await asked(server.url)
    assert (answer.content, answer.tokens, answer.usage) == ("refund", (), Usage(10, 2, 0))


@pytest.mark.parametrize("prompt_tokens", ["7", 1e30, 10**23, -5, 0, True, None])
async def test_a_usage_that_cannot_be_counts_as_not_known_and_so_costs_the_worst_case(prompt_tokens: Any) -> None:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 2}
    with BrokenServer(replies(200, GOOD | {"usage": usage})) as server:
        assert (await asked(server.url)).usage is None


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"5", b'{"data":[null]}', b'{"data":["m"]}', b'{"data":[{"id":5}]}']
)
async def test_something_that_is_no_list_of_models_does_not_stop_a_run(body: bytes) -> None:
    with BrokenServer(replies(200, body)) as server:
        oracle = oracle_at(server.url)
        assert await serves(oracle) is None
        await oracle.close()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
async def test_an_odd_body_is_one_failed_attempt_and_never_a_crash(body: bytes) -> None:
    error, _ = await failure(replies(200, body))
    assert isinstance(error, OracleError)
    assert error.charge is Charge.UNKNOWN


async def test_a_log_probability_beyond_any_number_is_none_and_the_answer_stays() -> None:
    raw = (
        json.dumps(GOOD)
        .encode()
        .replace(
            b'"index": 0', b'"index": 0, "logprobs": {"content": [{"token": "a", "logprob": -1' + b"0" * 400 + b"}]}"
        )
    )
    with BrokenServer(replies(200, raw)) as server:
        answer = await asked(server.url)
    assert (answer.content, answer.tokens) == ("refund", ())


@pytest.mark.parametrize("date", ["Wed, 21 Oct 99999999999 07:28:00 GMT", "Wed, 99 Oct 2015 07:28:00 GMT"])
async def test_a_date_that_no_clock_shows_asks_for_nothing(date: str) -> None:
    error, _ = await failure(replies(429, {"error": {"message": "later"}}, {"Retry-After": date, "Date": date}))
    assert isinstance(error, OracleError)
    assert error.retry_after_s is None


async def test_a_few_compressed_bytes_that_stand_for_gigabytes_are_not_read_to_the_end() -> None:
    bomb = gzip.compress(b" " * (100 << 20), compresslevel=9)
    error, _ = await failure(replies(200, bomb, {"Content-Encoding": "gzip"}))
    assert isinstance(error, OracleError)
    assert error.charge is Charge.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code"), [(408, "timeout"), (400, "content_filter")], ids=["given up on", "refused for its content"]
)
async def test_a_refusal_after_work_was_begun_may_have_been_charged(status: int, code: str) -> None:
    error, _ = await failure(replies(status, {"error": {"message": "no", "code": code}}))
    assert isinstance(error, OracleError)
    assert error.charge is Charge.UNKNOWN
    assert error.retryable == (status == 408)


async def test_a_reply_that_names_another_request_is_not_taken_for_this_ones() -> None:
    with BrokenServer(replies(200, GOOD, {"X-Request-Id": "lw-abc-1"})) as server:
        oracle = oracle_at(server.url)
        assert (await oracle.ask(ASK, "lw-abc-1")).content == "refund"
        with pytest.raises(OracleError) as caught:
            await oracle.ask(ASK, "lw-abc-2")
        await oracle.close()
    assert caught.value.charge is Charge.UNKNOWN


@pytest.mark.parametrize("before", range(150, 215, 7))
async def test_no_part_of_a_key_is_left_where_a_message_is_cut(before: int) -> None:
    error, _ = await failure(replies(400, {"error": {"message": "x" * before + SECRET}}))
    assert "very-secret" not in str(error)
    assert SECRET[:6] not in str(error)


async def test_a_password_or_token_of_the_address_that_is_quoted_back_is_not_repeated() -> None:
    said = {"error": {"message": "bad auth hunter2 for token TOPSECRET"}}
    with BrokenServer(replies(400, said)) as server:
        url = server.url.replace("http://", "http://someone:hunter2@") + "?token=TOPSECRET"
        with pytest.raises(OracleError) as caught:
            await asked(url)
    assert "hunter2" not in str(caught.value)
    assert "TOPSECRET" not in str(caught.value)
