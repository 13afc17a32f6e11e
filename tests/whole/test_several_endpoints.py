"""Several servers of one model behind one oracle, against real ones: they are balanced, fail, and come back."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import asking, breaker
from agent.asking import Asking
from agent.checking import check
from agent.endpoints import Seat, connect
from agent.errors import EndpointError, JobFileError
from agent.hearing import hear
from agent.job import Job, OracleSettings
from agent.ledger import Purse
from agent.store import AttemptState, Store
from agent.watch import Silent
from agent.workbench import Workbench
from tests.servers.broken import unused_port
from tests.servers.scripted import Faults, Quirks, ScriptedServer
from tests.whole.jobs import truth, write_job

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"
POOL = 120
PROBE = "What is the capital of France? Answer in one word."
SCHEMALESS = frozenset({"structured_outputs", "response_format"})


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is left out is tried again almost at once, and retries hardly wait."""
    wait = asking._wait
    monkeypatch.setattr(asking, "_wait", lambda state: wait(state) / 20)
    monkeypatch.setattr(breaker, "FIRST_S", 0.01)


@pytest.fixture
def servers() -> Iterator[Servers]:
    with ExitStack() as opened:
        yield Servers(opened)


class Servers:
    """Scripted servers that all know the truth; one may be stopped, and started again where it was."""

    def __init__(self, opened: ExitStack) -> None:
        self._opened, self._stops = opened, dict[ScriptedServer, ExitStack]()

    def start(self, port: int = 0, **options: Any) -> ScriptedServer:
        stop = self._opened.enter_context(ExitStack())
        server = stop.enter_context(ScriptedServer(dict(truth(POOL)), port=port, **options))
        self._stops[server] = stop
        return server

    def stop(self, server: ScriptedServer) -> None:
        self._stops[server].close()

    def restart(self, server: ScriptedServer) -> ScriptedServer:
        return self.start(int(server.url.split(":")[2].split("/")[0]))


class Told(Silent):
    """Whoever watches: what was said; `each` is called whenever answers came in."""

    def __init__(self, each: Callable[[Asking], None] = lambda _: None) -> None:
        self.notes, self._each = list[str](), each

    def note(self, message: str) -> None:
        self.notes.append(message)

    def asking(self, oracle: str, state: Asking, purse: Purse) -> None:
        if state.total > 1:
            self._each(state)


def job(folder: Path, urls: str | Sequence[str], oracle: dict[str, Any] | None = None, **changes: Any) -> Job:
    path = write_job(folder, pool=POOL, distil__enabled=False, **changes)
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["oracle"] |= {"name": "twins", "max_concurrency": 8, "model": "scripted", "timeout_s": 5} | (oracle or {})
    data["oracle"]["base_url"] = urls if isinstance(urls, str) else list(urls)
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return Job.load(path)


async def talk(bench: Workbench, parts: Sequence[slice], between: Callable[[], None]) -> Seat:
    """The pool's texts in parts, every label right."""
    gold, texts = truth(POOL), list(bench.pool.texts())
    seat = await connect(bench, bench.job.oracle[0])
    try:
        for number, part in enumerate(parts):
            if number:
                between()
            heard = await hear(bench, seat, texts[part])
            assert [heard[t.id].value for t in texts[part]] == [gold[t.text] for t in texts[part]]
    finally:
        await seat.asker.close()
    return seat


def ask(
    small: Job,
    *parts: slice,
    told: Told | None = None,
    between: Callable[[], None] = lambda: None,
) -> Seat:
    with Workbench(small, told or Told()) as bench:
        bench.own()
        seat = asyncio.run(talk(bench, parts or [slice(None)], between))
        assert bench.store.job(small.name).reserved == 0
    return seat


def labelled(*asked: ScriptedServer) -> Counter[str]:
    """How often each text was answered, the probes left aside."""
    return Counter(r["text"] for s in asked for r in s.asked if r["status"] == 200 and r["text"] != PROBE)


def attempts(small: Job) -> Counter[AttemptState]:
    with Store.open(small.store_url) as store:
        found = store.attempts(small.name)
        texts = [a.text_id for a in found if a.state is AttemptState.SETTLED and not a.text_id.startswith("probe")]
        assert len(texts) == len(set(texts)), "no text is bought twice"
        return Counter(a.state for a in found)


# Load ---------------------------------------------------------------------------------------------------------------


def test_most_questions_go_to_the_server_that_has_room(tmp_path: Path, servers: Servers) -> None:
    slow = servers.start(faults=Faults(latency_s=0.1, workers=1))
    fast = servers.start(faults=Faults(latency_s=0.002))
    small = job(tmp_path, [slow.url, fast.url])
    told = Told()
    ask(small, told=told)
    assert sum(labelled(fast).values()) > 2 * sum(labelled(slow).values()) > 0
    assert attempts(small) == {AttemptState.SETTLED: POOL + 2}, "a probe each, and every text once"
    assert told.notes == []


# Failures -----------------------------------------------------------------------------------------------------------


def test_one_that_dies_in_the_middle_loses_no_text_and_is_used_again_when_it_is_back(
    tmp_path: Path, servers: Servers
) -> None:
    dies, stays = (servers.start(faults=Faults(latency_s=0.01)) for _ in range(2))
    started: list[ScriptedServer] = []

    def each(state: Asking) -> None:
        if state.done >= 20 and not gone:
            gone.append(True)
            servers.stop(dies)

    gone: list[bool] = []
    told = Told(each)
    small = job(tmp_path, [dies.url, stays.url])
    ask(small, slice(60), slice(60, None), told=told, between=lambda: started.append(servers.restart(dies)))
    unclear = attempts(small)[AttemptState.AMBIGUOUS]
    assert unclear <= 8, "no more than were under way"
    assert len(labelled(dies, stays, *started)) == POOL
    assert sum(labelled(dies, stays, *started).values()) <= POOL + unclear
    assert labelled(*started), "it is used again"
    out, back = told.notes
    assert out.startswith(f"twins: {dies.url} is left out for now, and tried again from time to time: connection")
    assert back == f"twins: {dies.url} answers again"


def test_all_down_stops_with_everything_kept_and_the_same_command_goes_on(tmp_path: Path, servers: Servers) -> None:
    twins = [servers.start(faults=Faults(latency_s=0.01)) for _ in range(2)]
    gone: list[bool] = []

    def each(state: Asking) -> None:
        if state.done >= 40 and not gone:
            gone.append(True)
            for server in twins:
                servers.stop(server)

    small = job(tmp_path, [s.url for s in twins])
    with pytest.raises(EndpointError) as stopped:
        ask(small, told=Told(each))
    assert re.fullmatch(
        rf"oracle twins: none of its 2 endpoints answers \({twins[0].url}: .+; {twins[1].url}: .+\); start the "
        r"server or mend `base_url`, then run again: everything answered so far is kept",
        str(stopped.value),
    )
    kept = attempts(small)[AttemptState.SETTLED]
    assert kept >= 40
    back = [servers.restart(server) for server in twins]
    ask(small)
    assert sum(labelled(*back).values()) == POOL + 2 - kept
    assert attempts(small)[AttemptState.SETTLED] == POOL + 2


def test_one_that_is_down_at_the_start_is_met_when_it_is_up(tmp_path: Path, servers: Servers) -> None:
    up, port = servers.start(faults=Faults(latency_s=0.01)), unused_port()
    later: list[ScriptedServer] = []
    down = f"http://127.0.0.1:{port}/v1"
    told = Told()
    small = job(tmp_path, [down, up.url], {"max_concurrency": 2})
    ask(small, slice(20), slice(20, None), told=told, between=lambda: later.append(servers.start(port)))
    out, back = told.notes
    assert out == (
        f"twins: {down} is left out for now, and tried again from time to time: connection failed before sending"
    )
    assert back == f"twins: {down} answers again"
    assert later[0].asked[0]["text"] == PROBE
    assert labelled(*later)
    assert attempts(small)[AttemptState.SETTLED] == POOL + 2


def test_where_none_listens_the_run_does_not_start(tmp_path: Path) -> None:
    urls = [f"http://127.0.0.1:{unused_port()}/v1" for _ in range(2)]
    with pytest.raises(EndpointError, match=r"none of its 2 endpoints answers .* start a server, or mend `base_url`"):
        ask(job(tmp_path, urls))


def test_one_that_serves_another_model_is_named(tmp_path: Path, servers: Servers) -> None:
    right, wrong = servers.start(), servers.start(name="another")
    small = job(tmp_path, [right.url, wrong.url])
    with pytest.raises(EndpointError, match=f"at {wrong.url} does not serve model 'scripted'; it serves: another"):
        ask(small)
    assert labelled(right) == {}


def test_check_greets_each(tmp_path: Path, servers: Servers) -> None:
    right, wrong = servers.start(), servers.start(name="another")
    down = f"http://127.0.0.1:{unused_port()}/v1"
    with Workbench(job(tmp_path, [right.url, wrong.url, down])) as bench:
        found = {f.what: f for f in check(bench) if f.what.startswith("oracle")}
    assert [found[f"oracle twins at {url}"].fine for url in (right.url, wrong.url, down)] == [True, False, False]
    assert "it serves: another" in found[f"oracle twins at {wrong.url}"].said
    assert right.asked == []


# What each obeys ----------------------------------------------------------------------------------------------------


def test_all_are_asked_in_the_best_way_that_all_obey_and_each_in_its_dialect(
    tmp_path: Path, servers: Servers
) -> None:
    vllm = servers.start()
    gateway = servers.start(
        quirks=Quirks(refuses=frozenset({"structured_outputs", "temperature"}), no_system=400, wording="openai")
    )
    told, small = Told(), job(tmp_path, [vllm.url, gateway.url])
    ask(small, told=told)
    for server, role in ((vllm, "system"), (gateway, "user")):
        row = server.asked[-1]
        assert {"response_format"} == set(row["fields"]) & SCHEMALESS
        assert row["roles"][0] == role
    assert "temperature" in vllm.asked[-1]["fields"]
    assert all(note.startswith(f"twins at {gateway.url}: takes no ") for note in told.notes)
    before = [len(s.asked) for s in (vllm, gateway)]
    ask(job(tmp_path, [gateway.url, vllm.url]))
    assert [len(s.asked) for s in (vllm, gateway)] == before, "what was found is kept, each for itself"


def test_the_words_stay_the_same_where_the_one_that_obeys_least_is_away(tmp_path: Path, servers: Servers) -> None:
    vllm = servers.start()
    gateway = servers.start(faults=Faults(ignored=frozenset({"structured_outputs"})))
    small = job(tmp_path, [vllm.url, gateway.url])
    ask(small, slice(60))
    servers.stop(gateway)
    ask(small)
    assert "response_format" in vllm.asked[-1]["fields"]
    assert sum(labelled(vllm, gateway).values()) == POOL


def test_one_that_obeys_nothing_gets_the_same_words_and_the_others_are_held(tmp_path: Path, servers: Servers) -> None:
    vllm, free = servers.start(), servers.start(faults=Faults(ignored=SCHEMALESS))
    told = Told()
    ask(job(tmp_path, [vllm.url, free.url]), told=told)
    assert "structured_outputs" in vllm.asked[-1]["fields"]
    assert not SCHEMALESS & set(free.asked[-1]["fields"])
    assert len(labelled(vllm, free)) == POOL
    assert f"twins at {free.url} obeys no answer schema: its answers are checked" in told.notes[0]


# Whose an answer is -------------------------------------------------------------------------------------------------


def test_no_answer_is_bought_again_when_the_list_changes(tmp_path: Path, servers: Servers) -> None:
    a, b, c = (servers.start() for _ in range(3))
    ask(job(tmp_path, [a.url, b.url]))
    assert labelled(a), "each has answered some"
    assert labelled(b)
    for urls in ([b.url, a.url], [c.url, a.url, b.url], [b.url], b.url, [c.url, b.url]):
        ask(job(tmp_path, urls))
    assert sum(labelled(a, b, c).values()) == POOL
    assert [r["text"] for r in c.asked] == [PROBE], "what it obeys is its own"


def test_an_answer_from_before_there_was_a_list_counts_too(tmp_path: Path, servers: Servers) -> None:
    a, b = servers.start(), servers.start()
    ask(job(tmp_path, a.url), slice(50))
    ask(job(tmp_path, [b.url, a.url]))
    assert sum(labelled(a, b).values()) == POOL


# The job file -------------------------------------------------------------------------------------------------------


def test_the_recipe_of_the_page_is_what_it_says(tmp_path: Path, servers: Servers) -> None:
    part = PAGE.read_text(encoding="utf-8").split("## Several servers of one model")[1].split("\n## ")[0]
    found = re.search(r"```yaml\n(.*?)```", part, re.DOTALL)
    assert found is not None
    oracle = yaml.safe_load(found[1])["oracle"]
    up = [servers.start() for _ in oracle["base_url"]]
    assert len(up) == 3
    ask(job(tmp_path, [s.url for s in up], oracle | {"name": "twins", "model": "scripted"}))
    assert sum(labelled(*up).values()) == POOL


@pytest.mark.parametrize(
    ("oracle", "changes", "said"),
    [
        ({"base_url": ["http://a/v1", "http://b/v1"], "mode": "batch"}, {}, "and a batch goes to one"),
        ({"base_url": ["http://a/v1", "http://b/v1"]}, {"mode": "batch"}, "and a batch goes to one"),
        ({"base_url": ["http://a/v1", "http://u:pw@a/v1", "http://a/v1/"]}, {}, "http://a/v1 stands there twice"),
        ({"base_url": []}, {}, "an address is needed, or a list of addresses"),
        ({"base_url": ["http://a/v1", 5]}, {}, "an address is needed, or a list of addresses"),
        ({"base_url": ["http://a/v1", "b/v1"]}, {}, "must be an address such as"),
    ],
)
def test_a_list_that_makes_no_sense_is_told_with_its_line(
    tmp_path: Path, oracle: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    path = write_job(tmp_path, **changes)
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["oracle"] |= oracle
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(JobFileError) as caught:
        Job.load(path)
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)


def test_a_list_of_one_is_an_address_and_no_list_shows_a_password(tmp_path: Path) -> None:
    path = write_job(tmp_path, oracle__base_url=["http://u:pw@a/v1"])
    assert Job.load(path).oracle[0].base_url == "http://u:pw@a/v1"
    both = Job.load(write_job(tmp_path, oracle__base_url=["http://u:pw@a/v1", "http://b/v1?key=pw"]))
    assert both.settings()["oracle"][0]["base_url"] == ["http://***@a/v1", "http://b/v1?key=***"]
    assert "pw" not in repr(both.oracle[0])


def test_limits_and_concurrency_are_of_each_address() -> None:
    told = {"model": "m", "max_concurrency": 8}
    assert OracleSettings(base_url=["http://a/v1", "http://b/v1"], **told).most_at_once == 16
    assert OracleSettings(base_url="http://a/v1", **told).most_at_once == 8
    assert OracleSettings(tape="t.gz", **told).most_at_once == 8
