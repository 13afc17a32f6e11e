"""The start-up probe: what an endpoint obeys is found by asking it, since it would not say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.errors import EndpointError, OracleError
from agent.job import OracleSettings
from agent.oracle import ChatOracle, obeyed, probe_question, serves
from agent.oracle.prompt import AnswerMode
from agent.records import Answer
from tests.servers.broken import BrokenServer, replies, unused_port
from tests.servers.scripted import Faults, ScriptedServer

Serve = Callable[..., ScriptedServer]


def oracle_at(url: str, mode: AnswerMode = "json_schema", model: str = "scripted") -> ChatOracle:
    return ChatOracle(OracleSettings(base_url=url, model=model), mode=mode)


async def probed(url: str, mode: AnswerMode) -> bool:
    oracle = oracle_at(url, mode)
    try:
        return obeyed(await oracle.ask(probe_question("scripted", mode)), mode)
    finally:
        await oracle.close()


@pytest.mark.parametrize(
    ("content", "mode", "obeys"),
    [
        ("quartz", "choice", True),
        ("Paris", "choice", False),
        ("quartz.", "choice", False),
        ('{"label": "quartz"}', "choice", False),
        ('{"label": "zebra"}', "json_schema", True),
        ('{"label": "Paris"}', "json_schema", False),
        ("zebra", "json_schema", False),
        ('["zebra"]', "json_schema", False),
        ("", "json_schema", False),
        ("", "choice", False),
    ],
)
def test_whoever_stays_inside_the_allowed_set_obeys(content: str, mode: AnswerMode, obeys: bool) -> None:
    assert obeyed(Answer(content, "m", None), mode) is obeys


@pytest.mark.parametrize("mode", ["choice", "json_schema"])
async def test_an_endpoint_that_obeys_is_believed(mode: AnswerMode, serve_gold: Serve) -> None:
    assert await probed(serve_gold({}).url, mode)


@pytest.mark.parametrize(("mode", "field"), [("choice", "structured_outputs"), ("json_schema", "response_format")])
async def test_an_endpoint_that_ignores_the_field_with_http_200_is_found_out(
    mode: AnswerMode, field: str, serve_gold: Serve
) -> None:
    server = serve_gold({}, faults=Faults(ignored=frozenset({field})))
    assert not await probed(server.url, mode)
    assert server.asked[0]["status"] == 200


def test_each_mode_has_a_probe_of_its_own_so_that_each_is_paid_and_kept_once() -> None:
    keys = {probe_question(model, mode).key for model in ("m", "n") for mode in ("choice", "json_schema")}
    assert len(keys) == 4


# what is served, and whether anybody is there --------------------------------------------------------------


async def served(url: str, model: str = "scripted") -> str | None:
    oracle = oracle_at(url, model=model)
    try:
        return await serves(oracle)
    finally:
        await oracle.close()


async def test_an_endpoint_that_lists_the_model_is_fine(serve_gold: Serve) -> None:
    assert await served(serve_gold({}).url) is None


async def test_an_endpoint_that_serves_another_model_says_which(serve_gold: Serve) -> None:
    assert await served(serve_gold({}, name="small-model").url, "big-model") == "small-model"


@pytest.mark.parametrize("status", [500, 400])
async def test_an_endpoint_without_a_model_list_is_given_the_benefit_of_the_doubt(status: int) -> None:
    with BrokenServer(replies(status, {"error": {"message": "no such path"}})) as server:
        assert await served(server.url) is None


async def test_an_endpoint_that_is_down_or_refuses_the_key_is_not(serve_gold: Serve) -> None:
    with pytest.raises(OracleError, match="connection failed before sending"):
        await served(f"http://127.0.0.1:{unused_port()}/v1")
    with pytest.raises(EndpointError, match="refused the key"):
        await served(serve_gold({}, faults=Faults(refuses_key=True)).url)


async def test_a_model_list_that_is_not_found_is_given_the_benefit_of_the_doubt_too() -> None:
    """Many gateways answer questions and have no list of models."""
    with BrokenServer(replies(404, b"404 page not found")) as server:
        assert await served(server.url) is None


async def test_a_model_list_that_is_no_list_is_not_a_crash() -> None:
    with BrokenServer(replies(200, b"<html>hello</html>")) as server:
        assert await served(server.url) is None
