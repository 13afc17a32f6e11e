"""Endpoints with quirks, in whole jobs: labels come out right, and nobody had to know.

Each recipe of docs/endpoints.md is read from the page and asked against a server that does what that endpoint does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.endpoints import connect
from agent.errors import EndpointError, JobFileError
from agent.hearing import Heard, hear
from agent.job import Job
from agent.oracle import probe_question
from agent.records import Text, TextId
from agent.store import Store
from agent.watch import Silent
from agent.workbench import Workbench
from tests.servers.scripted import Faults, Quirks, ScriptedServer
from tests.whole.jobs import truth, write_job

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"
Serve = Callable[..., ScriptedServer]
IGNORES_FIELDS = frozenset({"structured_outputs", "max_completion_tokens"})
DRESSED = frozenset({"structured_outputs", "response_format", "max_completion_tokens"})


class Told(Silent):
    """Whoever watches: what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def job(folder: Path, server: ScriptedServer, oracle: dict[str, Any] | None = None, **changes: Any) -> Job:
    path = write_job(folder, pool=48, distil__enabled=False, stop__max_rounds=1, **changes)
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["oracle"] |= {"name": "gateway", **(oracle or {}), "base_url": server.url, "model": "scripted"}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return Job.load(path)


async def heard_of(bench: Workbench, texts: list[Text]) -> dict[TextId, Heard]:
    seat = await connect(bench, bench.job.oracle[0])
    try:
        return await hear(bench, seat, texts)
    finally:
        await seat.asker.close()


def ask(small: Job, most: int = 8) -> tuple[list[Heard], list[str]]:
    """What the job's oracle says of some texts, all of them right; and what a person was told."""
    gold, told = truth(), Told()
    with Workbench(small, told) as bench:
        bench.own()
        texts = list(bench.pool.texts())[:most]
        heard = asyncio.run(heard_of(bench, texts))
        assert bench.store.job(small.name).reserved == 0
    assert [heard[t.id].value for t in texts] == [gold[t.text] for t in texts]
    return list(heard.values()), told.notes


def is_honest(small: Job, server: ScriptedServer) -> None:
    """The books agree with the server's log, to the micro-dollar."""
    with Store.open(small.store_url) as store:
        assert store.job(small.name).spent == sum(row["charged"] for row in server.asked)


# The recipes --------------------------------------------------------------------------------------------------------


def recipes() -> dict[str, list[dict[str, Any]]]:
    """Name of a recipe to the oracles of its job files, as the page has them."""
    page = PAGE.read_text(encoding="utf-8").split("## Recipes")[1].split("\n## ")[0]
    parts = re.split(r"^### (.+)$", page, flags=re.MULTILINE)[1:]
    found = zip(parts[::2], parts[1::2], strict=True)
    return {
        name: [yaml.safe_load(y)["oracle"] for y in re.findall(r"```yaml\n(.*?)```", said, re.DOTALL)]
        for name, said in found
    }


@dataclass(frozen=True)
class Case:
    """A recipe, which of its job files, the server, what is sent in the end of `HELD`, and what a person is told."""

    name: str
    place: int
    server: dict[str, Any]
    sent: set[str]
    told: str = ""


HELD = {"structured_outputs", "response_format", "max_completion_tokens", "max_tokens"}
OPENAI = frozenset({"structured_outputs", "both"})
CASES = [
    Case("vLLM", 0, {}, {"structured_outputs", "max_completion_tokens"}),
    Case(
        "vLLM",
        0,
        {"quirks": Quirks(no_system=400, wording="vllm", most_logprobs=5)},
        {"structured_outputs", "max_completion_tokens"},
        "gateway: no system role (it goes before the first turn), 5 token probabilities",
    ),
    Case(
        "OpenAI",
        0,
        {"quirks": Quirks(refuses=OPENAI)},
        {"response_format", "max_completion_tokens"},
        "gateway: takes no `structured_outputs`",
    ),
    Case(
        "OpenAI",
        1,
        {"quirks": Quirks(refuses=OPENAI | {"max_tokens", "temperature", "logprobs"}, thinks=300)},
        {"response_format", "max_completion_tokens"},
        "gateway: takes no `temperature` (its own default holds), takes no `structured_outputs`",
    ),
    Case(
        "llama.cpp server",
        0,
        {"faults": Faults(ignored=IGNORES_FIELDS), "quirks": Quirks(no_system=500, wording="llamacpp")},
        {"response_format", "max_completion_tokens", "max_tokens"},
        "gateway: ignores fields that it does not know, so `max_tokens` goes beside `max_completion_tokens`",
    ),
    Case(
        "Ollama",
        0,
        {"faults": Faults(ignored=IGNORES_FIELDS, no_logprobs=True)},
        {"response_format", "max_completion_tokens", "max_tokens"},
        "gateway gives no token probabilities: its answers have no confidence",
    ),
    Case(
        "LiteLLM gateway",
        0,
        {"quirks": Quirks(refuses=frozenset({"logprobs", "structured_outputs"}), wording="litellm")},
        {"response_format", "max_completion_tokens"},
        "gateway gives no token probabilities: its answers have no confidence",
    ),
    Case(  # with drop_params, and a provider that dresses its answers
        "LiteLLM gateway",
        0,
        {"faults": Faults(ignored=DRESSED, no_logprobs=True), "quirks": Quirks(wraps="fence", explains=40)},
        {"max_completion_tokens", "max_tokens"},
        "gateway obeys no answer schema: its answers are checked, and wrong ones are not labels",
    ),
]


def test_every_recipe_of_the_page_is_asked() -> None:
    asked = {(case.name, case.place) for case in CASES}
    assert asked == {(name, place) for name, oracles in recipes().items() for place in range(len(oracles))}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.told}")
def test_a_recipe_gives_right_labels_and_says_what_it_found(
    tmp_path: Path, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    oracle = recipes()[case.name][case.place]
    monkeypatch.setenv(oracle.get("api_key_env", "NO_KEY"), "a-key")
    server = serve_gold(dict(truth()), **case.server)
    _, notes = ask(job(tmp_path, server, oracle | {"mode": "live", "name": "gateway"}, budget__dollars=100))
    fields = set(server.asked[-1]["fields"])
    assert fields & HELD == case.sent
    assert fields >= oracle.get("extra", {}).keys()
    assert not fields & case.server.get("quirks", Quirks()).refuses
    assert not case.told or any(case.told in note for note in notes), notes


# The usual endpoint -------------------------------------------------------------------------------------------------


def test_an_endpoint_without_quirks_is_asked_once_and_nothing_is_said(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server)
    _, notes = ask(small)
    assert len(server.asked) == 1 + 8, "one probe, and the texts"
    assert notes == []
    is_honest(small, server)


# Refusals -----------------------------------------------------------------------------------------------------------


def test_everything_at_once_is_found_in_refusals_that_cost_nothing(tmp_path: Path, serve_gold: Serve) -> None:
    refused = frozenset({"structured_outputs", "max_completion_tokens", "temperature", "logprobs"})
    server = serve_gold(dict(truth()), quirks=Quirks(refuses=refused, wording="mistral", no_system=400))
    small = job(tmp_path, server, {"max_concurrency": 1})
    _, notes = ask(small)
    assert "gateway: takes `max_tokens`, takes no `temperature` (its own default holds), takes no" in notes[1]
    assert "no system role" in notes[-1]
    refusals = [row for row in server.asked if row["fault"] == "refused"]
    assert len(refusals) == 5, "one a quirk"
    assert all(row["charged"] == 0 for row in refusals)
    is_honest(small, server)
    _, again = ask(small, most=10)
    assert len(server.asked) == len(refusals) + 1 + 10, "the next run learns nothing by refusals"
    assert again[-1] == notes[-1]


def test_many_in_flight_that_are_refused_for_the_same_thing_are_all_asked_again(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()), quirks=Quirks(no_system=400, wording="vllm"), faults=Faults(latency_s=0.02))
    heard, notes = ask(job(tmp_path, server, {"max_concurrency": 32}), most=40)
    assert len(heard) == 40
    assert [n for n in notes if "system" in n] == ["gateway: no system role (it goes before the first turn)"]


def test_an_endpoint_that_takes_no_schema_is_asked_plainly(tmp_path: Path, serve_gold: Serve) -> None:
    quirks = Quirks(refuses=frozenset({"structured_outputs", "response_format"}), wraps="thought")
    server = serve_gold(dict(truth()), quirks=quirks)
    heard, notes = ask(job(tmp_path, server, {"thinking_tokens": 60}))
    assert any("obeys no answer schema" in note for note in notes)
    assert all(h.belief.probabilities is not None for h in heard), "of the label's own tokens, after the thought"
    assert all(0.4 < h.belief.confidence <= 1 for h in heard)


def test_a_key_that_is_refused_is_still_said_to_be(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), faults=Faults(refuses_key=True))
    with pytest.raises(EndpointError, match="refused the key"):
        ask(job(tmp_path, server))


# The limit of an answer ---------------------------------------------------------------------------------------------


def test_a_limit_that_is_ignored_shows_in_the_first_answer(tmp_path: Path, serve_gold: Serve) -> None:
    """Plain answers are asked for: no field tells before that what is not known is ignored."""
    server = serve_gold(dict(truth()), faults=Faults(ignored=DRESSED), quirks=Quirks(wraps="explained", explains=200))
    small = job(tmp_path, server, {"answers": "plain", "max_concurrency": 1})
    _, notes = ask(small)
    assert any("tokens where" in n and "sent as `max_tokens` as well from now on" in n for n in notes), notes
    limits = [row["completion_tokens"] for row in server.asked]
    assert limits[0] > 100
    assert all(took <= 40 for took in limits[1:]), "from the second on the limit holds"
    is_honest(small, server)


def test_a_limit_that_no_name_sets_is_said_once(tmp_path: Path, serve_gold: Serve) -> None:
    ignored = DRESSED | {"max_tokens"}
    server = serve_gold(dict(truth()), faults=Faults(ignored=ignored), quirks=Quirks(wraps="explained", explains=80))
    small = job(tmp_path, server, {"max_concurrency": 1})
    _, notes = ask(small)
    assert len([n for n in notes if "no worst case holds" in n]) == 1
    is_honest(small, server)


# Thoughts -----------------------------------------------------------------------------------------------------------


def test_a_model_that_only_thinks_stops_the_job_at_its_first_answer(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), quirks=Quirks(thinks=300))
    small = job(tmp_path, server)
    with pytest.raises(EndpointError, match=r"set `oracle\.thinking_tokens`"):
        ask(small)
    assert len(server.asked) == 1
    is_honest(small, server)


def test_tokens_to_think_with_are_set_aside_and_paid_as_far_as_they_are_used(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()), quirks=Quirks(thinks=300))
    small = job(tmp_path, server, {"thinking_tokens": 1000})
    heard, _ = ask(small)
    assert {row["max_completion_tokens"] for row in server.asked} > {1024}
    assert all(h.belief.probabilities is not None for h in heard), "the label's tokens are told from the thought's"
    with Store.open(small.store_url) as store:
        attempts = store.attempts(small.name)
    assert all(a.worst > 2000 > a.charged > 600 for a in attempts), "two dollars a million tokens"
    is_honest(small, server)


# Batches ------------------------------------------------------------------------------------------------------------


def test_a_batch_whose_lines_are_refused_is_written_again_in_the_other_way(tmp_path: Path, serve_gold: Serve) -> None:
    """The probe has no system message: that one is refused shows in the lines of the first batch."""
    quirks = Quirks(no_system=400, wording="vllm", refuses=frozenset({"temperature"}))
    server = serve_gold(dict(truth()), quirks=quirks, log=tmp_path / "log")
    small = job(tmp_path / "job", server, {"mode": "batch", "batch": {"poll_s": 0.01}})
    _, notes = ask(small, most=30)
    assert any("no system role" in n for n in notes)
    lines = [row for row in server.asked if row["kind"] == "batch"]
    assert [row["status"] for row in lines] == [400] * 30 + [200] * 30
    is_honest(small, server)


# Further fields -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"max_tokens": 9}, "`max_tokens` cannot be given here: an answer's limit is its label's length"),
        ({"temperature": 1}, "`temperature` cannot be given here: it is `oracle.temperature`"),
        ({"n": 3}, "`n` cannot be given here"),
        ({"stream": True}, "`stream` cannot be given here"),
        ({"response_format": {}}, "`oracle.answers`"),
        ({"metadata": {"api_key": "sk"}}, "`api_key` looks like a key: give it as `api_key_env`"),
        ({"when": float("nan")}, "must be plain JSON"),
    ],
)
def test_further_fields_are_none_that_money_reading_or_secrets_depend_on(
    tmp_path: Path, field: dict[str, Any], said: str
) -> None:
    path = write_job(tmp_path, oracle__base_url="http://127.0.0.1:9/v1", oracle__extra=field)
    with pytest.raises(JobFileError) as caught:
        Job.load(path)
    assert said in str(caught.value)
    assert re.search(r"job\.yaml:\d+: ", str(caught.value))


def test_further_fields_and_thoughts_are_part_of_a_question_where_there_are_any() -> None:
    def key(**more: Any) -> str:
        return probe_question("m", "plain", **more).key

    assert key() == key(thinking_tokens=0, extra={})
    assert len({key(), key(thinking_tokens=9), key(extra={"a": 1}), key(extra={"a": 2})}) == 4
