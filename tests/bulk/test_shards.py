"""A model that nobody serves: files for a command, answers from files, and a command that outlives the run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from agent.bulk import BulkAsker
from agent.errors import EndpointError
from agent.job import OracleSettings, Price
from agent.records import MicroDollars
from agent.store import AttemptState, BatchState, Store
from agent.store import tables as t
from tests.bulk.making import PRICE, Told, ask, attempts, batches, labels, opened, questions, texts

ANSWERING = Path(__file__).with_name("answering.py")
CHECKOUT = Path(__file__).resolve().parents[2]
LINE = 20 + 2 * 2  # micro-dollars that the stand-in's usage comes to


def settings(*more: str, price: Price = PRICE, **run_batch: Any) -> OracleSettings:
    command = [sys.executable, str(ANSWERING), "-i", "{input}", "-o", "{output}", "--model", "{model}", *more]
    return OracleSettings(
        name="local",
        model="small",
        price=price,
        batch={"poll_s": 0.01},
        run_batch={"command": command, "shard": 10} | run_batch,
    )


def runs(folder: Path) -> list[dict[str, Any]]:
    path = folder / "batches" / "runs"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_files_are_answered_one_after_the_other(store: Store, tmp_path: Path) -> None:
    found = await ask(store, settings(), questions(25), folder=tmp_path)
    assert labels(found) == texts(25)
    assert [len(run["lines"]) for run in runs(tmp_path)] == [10, 10, 5]
    assert attempts(store) == {AttemptState.SETTLED: 25}
    assert store.job("job").spent == 25 * LINE, "one's own command costs what its tokens cost, not half"
    first = next((tmp_path / "batches").glob("local-000001-*.input.jsonl")).read_text().splitlines()[0]
    assert json.loads(first)["url"] == "/v1/chat/completions"
    assert json.loads(first)["body"]["structured_outputs"] == {"choice": ["fruit", "tool", "animal"]}


async def test_what_a_killed_command_left_is_kept_and_the_rest_asked_once_more(store: Store, tmp_path: Path) -> None:
    found = await ask(store, settings("--stop-after", "6"), questions(10), folder=tmp_path)
    assert len([v for v in labels(found).values() if v is not None]) == 10
    assert [len(run["lines"]) for run in runs(tmp_path)] == [10, 4]
    assert attempts(store) == {AttemptState.SETTLED: 10, AttemptState.AMBIGUOUS: 4}
    assert "could not be read" in batches(store)[0].reason
    assert "out of memory" in batches(store)[0].reason


async def test_a_text_that_the_model_refuses_fails_alone_and_costs_nothing(store: Store, tmp_path: Path) -> None:
    found = await ask(store, settings("--refuse", "Note 3 "), questions(10), folder=tmp_path)
    assert [t for t, v in labels(found).items() if v is None] == ["Note 3 is about a fruit."]
    assert attempts(store) == {AttemptState.SETTLED: 9, AttemptState.RELEASED: 1}
    assert len(runs(tmp_path)) == 1


async def test_a_command_that_does_not_exist_is_named_and_costs_nothing(store: Store, tmp_path: Path) -> None:
    broken = settings(command=["/no/such/vllm", "{input}", "{output}"])
    with pytest.raises(EndpointError, match=r"cannot run '/no/such/vllm'.*run_batch\.command"):
        await ask(store, broken, questions(5), folder=tmp_path)
    assert store.job("job").spent == store.job("job").reserved == 0


async def test_a_command_that_refuses_its_arguments_costs_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"without a single answer.*ended with code 2"):
        await ask(store, settings("--no-such-flag"), questions(5), folder=tmp_path)
    assert store.job("job").spent == store.job("job").reserved == 0


async def test_a_command_that_dies_without_a_word_stops_the_job_before_the_next_file(
    store: Store, tmp_path: Path
) -> None:
    dying = settings(command=[sys.executable, "-c", "import sys; print('no memory'); sys.exit(1)"])
    with pytest.raises(EndpointError, match="no memory"):
        await ask(store, dying, questions(30), folder=tmp_path)
    assert attempts(store) == {AttemptState.AMBIGUOUS: 10}, "who knows what it did"


async def test_files_that_are_answered_elsewhere_are_named_and_read_when_they_come_back(
    store: Store, tmp_path: Path
) -> None:
    elsewhere = settings(command=None)
    with pytest.raises(
        EndpointError, match=r"local-000001-\w+\.input\.jsonl is to be answered as .*run the same command"
    ):
        await ask(store, elsewhere, questions(15), folder=tmp_path)
    assert attempts(store) == {AttemptState.RESERVED: 15}
    folder = tmp_path / "batches"
    for place in (2, 1):
        given = next(folder.glob(f"local-{place:06d}-*.input.jsonl"))
        back = given.with_name(given.name.replace("input", "output"))
        command = [sys.executable, str(ANSWERING), "-i", str(given), "-o", str(back), "--model", "m"]
        await asyncio.to_thread(subprocess.run, command, check=True)
        if place == 2:
            with pytest.raises(EndpointError, match="local-000001"):
                await ask(store, elsewhere, questions(15), folder=tmp_path)
    assert labels(await ask(store, elsewhere, questions(15), folder=tmp_path)) == texts(15)
    assert attempts(store) == {AttemptState.SETTLED: 15}


async def test_answers_that_another_store_left_in_the_folder_are_not_taken_for_ours(tmp_path: Path) -> None:
    for number, asked in enumerate((questions(5), questions(10)[5:])):
        store_folder = tmp_path / f"store {number}"
        store_folder.mkdir()
        with opened(store_folder) as store:
            found = await ask(store, settings(), asked, folder=tmp_path)
            assert all(texts(10)[text] == said for text, said in labels(found).items())
    assert len(runs(tmp_path)) == 2


async def test_time_on_the_machine_is_shared_by_the_lines_that_it_took(store: Store, tmp_path: Path) -> None:
    began = time.monotonic()
    by_time = settings(price=Price(gpu_hour=Decimal(36)), timeout_s=100)  # a cent a second
    await ask(store, by_time, questions(10), folder=tmp_path)
    took_s = time.monotonic() - began
    spent = store.job("job").spent
    assert 0 < spent <= took_s * 10_000
    assert spent == sum(a.charged for a in store.attempts("job"))
    assert max(a.charged for a in store.attempts("job")) <= spent / 10 + 1


async def test_a_command_runs_no_longer_than_the_money_that_was_set_aside_for_it(
    store: Store, tmp_path: Path
) -> None:
    store.open_job("job", {}, "print", MicroDollars(5_000))  # half a second
    by_time = settings("--wait-for", str(tmp_path / "never"), price=Price(gpu_hour=Decimal(36)), timeout_s=1)
    with pytest.raises(EndpointError, match="without a single answer"):
        await ask(store, by_time, questions(10), folder=tmp_path)
    purse = store.job("job")
    assert 0 < purse.spent <= purse.cap == 5_000
    assert purse.reserved == 0


BY_TIME = Price(gpu_hour=Decimal(36))  # a cent a second


async def test_a_command_that_outlived_its_run_costs_all_the_time_that_it_took(store: Store, tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow = settings("--wait-for", str(go), price=BY_TIME, timeout_s=0.5)
    await ask(store, slow, questions(5), folder=tmp_path, each=_when_it_works(store))
    with store._write(None) as sql:  # as if the command had been started three seconds ago
        details = {**batches(store)[0].details, "started_at": time.time() - 3}
        sql.execute(update(t.batches).values(details=details))
    go.touch()
    deadline = time.monotonic() + 20
    while not [p for p in (tmp_path / "batches").glob("*.output.jsonl") if p.read_bytes().count(b"\n") == 5]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await ask(store, slow, questions(5), folder=tmp_path)
    assert attempts(store) == {AttemptState.SETTLED: 5}
    assert store.job("job").spent >= 30_000
    assert store.spending("job").overcharged >= 25_000


async def test_a_clock_that_is_set_back_makes_no_command_cheaper(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    go = tmp_path / "go"

    def set_back(asker: BulkAsker) -> None:
        if any(b.state is BatchState.SUBMITTED for b in batches(store)):
            monkeypatch.setattr(time, "time", lambda: real() - 3600)
            asyncio.get_running_loop().call_later(0.5, go.touch)

    slow = settings("--wait-for", str(go), price=BY_TIME, timeout_s=100)
    await ask(store, slow, questions(5), folder=tmp_path, each=set_back)
    assert store.job("job").spent >= 5_000


async def test_a_command_whose_time_nobody_can_tell_costs_its_worst_case(store: Store, tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow = settings("--wait-for", str(go), price=BY_TIME, timeout_s=100)
    await ask(store, slow, questions(5), folder=tmp_path, each=_when_it_works(store))
    with store._write(None) as sql:  # the clock was set back since
        details = {**batches(store)[0].details, "started_at": time.time() + 3600}
        sql.execute(update(t.batches).values(details=details))
    go.touch()
    await ask(store, slow, questions(5), folder=tmp_path)
    assert attempts(store) == {AttemptState.SETTLED: 5}
    assert store.job("job").spent == 1_000_000


async def test_what_a_command_puts_into_the_background_is_waited_for(store: Store, tmp_path: Path) -> None:
    words = [sys.executable, str(ANSWERING), "-i", "{input}", "-o", "{output}", "--model", "m", "--wait-for"]
    shell = " ".join([*words, str(tmp_path / "go"), "&"])
    timers: list[asyncio.TimerHandle] = []

    def let_go_later(_: BulkAsker) -> None:
        if runs(tmp_path) and not timers:
            timers.append(asyncio.get_running_loop().call_later(0.5, (tmp_path / "go").touch))

    behind = settings(command=["sh", "-c", shell], price=BY_TIME, timeout_s=100)
    found = await ask(store, behind, questions(5), folder=tmp_path, each=let_go_later)
    assert labels(found) == texts(5)
    assert len(runs(tmp_path)) == 1
    assert store.job("job").spent >= 4_000


def _when_it_works(store: Store) -> Callable[[BulkAsker], None]:
    return lambda asker: asker.halt() if any(b.state is BatchState.SUBMITTED for b in batches(store)) else None


async def test_a_command_outlives_ctrl_c_and_the_next_run_reads_what_it_wrote(store: Store, tmp_path: Path) -> None:
    told, go = Told(), tmp_path / "go"
    slow = settings("--wait-for", str(go))
    assert await ask(store, slow, questions(5), folder=tmp_path, told=told, each=_when_it_works(store)) == {}
    assert "as process" in told.notes[-1]
    go.touch()
    assert labels(await ask(store, slow, questions(5), folder=tmp_path)) == texts(5)
    assert len(runs(tmp_path)) == 1


ASK = """
import asyncio, sys
from pathlib import Path
from tests.bulk.making import ask, opened, questions
from tests.bulk.test_shards import settings
folder = Path(sys.argv[1])
with opened(folder) as store:
    asyncio.run(ask(store, settings("--wait-for", str(folder / "go")), questions(12), folder=folder))
"""


@pytest.fixture
def killed_while_it_works(tmp_path: Path) -> Iterator[Path]:
    """A run that was killed while its command worked on the first file."""
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", ASK, str(tmp_path)], cwd=CHECKOUT, stdout=log, stderr=log)
    with opened(tmp_path) as store:
        deadline = time.monotonic() + 60
        while not (runs(tmp_path) and batches(store)[0].state is BatchState.SUBMITTED):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    process.kill()
    process.wait()
    yield tmp_path
    (tmp_path / "go").touch()


async def test_a_command_outlives_a_killed_run_and_is_waited_for(killed_while_it_works: Path) -> None:
    folder = killed_while_it_works
    again = settings("--wait-for", str(folder / "go"))
    with opened(folder) as store:
        seen = []

        def let_go_later(asker: BulkAsker) -> None:
            seen.append(asker.state.done)
            if len(seen) == 5:
                (folder / "go").touch()

        found = await ask(store, again, questions(12), folder=folder, each=let_go_later)
        assert labels(found) == texts(12)
        assert attempts(store) == {AttemptState.SETTLED: 12}
    assert [len(run["lines"]) for run in runs(folder)] == [10, 2]


async def test_a_command_that_died_with_its_run_is_run_again_and_counts_as_spent(killed_while_it_works: Path) -> None:
    folder = killed_while_it_works
    os.kill(runs(folder)[0]["pid"], signal.SIGKILL)
    (folder / "go").touch()
    with opened(folder) as store:
        with pytest.raises(EndpointError, match="ended while nobody watched"):
            await ask(store, settings(), questions(12), folder=folder)
        assert labels(await ask(store, settings(), questions(12), folder=folder)) == texts(12)
        assert attempts(store) == {AttemptState.SETTLED: 12, AttemptState.AMBIGUOUS: 10}
