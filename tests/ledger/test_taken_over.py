"""A run that lost its lock without knowing (its server was restarted, its lock file removed) spends nothing more."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.errors import JobLocked, StoreError
from agent.ledger import JobLock, Ledger
from agent.records import MicroDollars, TextId
from agent.store import AttemptState, Store
from tests.ledger.making import LOCAL, answer, question
from tests.postgres import PostgresServer
from tests.stores import on_postgresql

FENCED = r"another run .*took job 'job' over"


@pytest.fixture
def later(url: str) -> Iterator[Ledger]:
    """The ledger of a second run, through connections of its own."""
    with Store.open(url) as store:
        ledger = Ledger(store, "job", [LOCAL])
        yield ledger
        ledger.close()


async def test_who_was_taken_over_reserves_nothing_more(store: Store, ledger: Ledger, later: Ledger) -> None:
    ledger.recover()
    sent = await ledger.reserve("local", question("sent"))
    assert later.recover() == 1
    with pytest.raises(StoreError, match=FENCED) as caught:
        await ledger.reserve("local", question("late"))
    assert socket.gethostname() in str(caught.value)
    assert store.job("job").spent == sent.worst
    assert len(store.attempts("job")) == 1
    await later.reserve("local", question("mine"))


async def test_what_was_under_way_is_charged_once(store: Store, ledger: Ledger, later: Ledger) -> None:
    ledger.recover()
    sent = await ledger.reserve("local", question("sent"))
    later.recover()
    with pytest.raises(StoreError, match="is ambiguous already"):
        await ledger.settle(sent, answer())
    assert store.job("job").spent == sent.worst


async def test_a_job_that_nobody_took_over_is_anybodys(store: Store, ledger: Ledger) -> None:
    await ledger.reserve("local", question())
    assert [a.state for a in store.attempts("job")] == [AttemptState.RESERVED]


async def test_one_that_is_writing_all_the_time_is_taken_over_without_a_fight(
    store: Store, ledger: Ledger, later: Ledger
) -> None:
    """Both sides take their locks in the same order, so neither is thrown out by the database."""
    said: list[str] = []
    warm = threading.Event()

    async def ask(number: int) -> None:
        for i in range(400):
            try:
                await ledger.settle(await ledger.reserve("local", question(f"{number}-{i}")), answer())
            except StoreError as error:
                said.append(str(error))
                return
            warm.set()

    ledger.recover()
    old = asyncio.gather(*(ask(n) for n in range(24)))
    await asyncio.to_thread(warm.wait)
    left = await asyncio.to_thread(later.recover)
    await old
    assert said
    assert all("took job 'job' over" in s or "is ambiguous already" in s for s in said), said
    job, attempts = store.job("job"), store.attempts("job")
    assert job.reserved == 0
    assert job.spent == sum(a.charged for a in attempts)
    assert left == sum(a.state is AttemptState.AMBIGUOUS for a in attempts)


@on_postgresql
def test_an_attempt_that_ends_while_the_job_is_taken_over_is_no_deadlock(
    postgres: PostgresServer, store: Store, url: str
) -> None:
    sent = store.reserve("job", "local", "key", TextId("text"), MicroDollars(5), owner="old")
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{url.rsplit('/', 1)[1]}' AND wait_event_type = 'Lock'"
    with Store.open(url) as other, ThreadPoolExecutor(1) as threads:
        with other.transaction() as tx:
            other.take_over("job", "new", tx=tx)
            ending = threads.submit(store.release, sent, "refused")
            until = time.monotonic() + 10
            while not postgres.run(waiting):
                assert time.monotonic() < until
            assert other.abandon_reservations("job", "new", tx=tx) == 1
        with pytest.raises(StoreError, match="is ambiguous already"):
            ending.result()
    assert (store.job("job").spent, store.job("job").reserved) == (5, 0)


@on_postgresql
async def test_a_run_whose_server_was_restarted_goes_on_until_another_takes_the_job(
    postgres: PostgresServer, store: Store, url: str, ledger: Ledger, later: Ledger
) -> None:
    first = JobLock(store, "job")
    ledger.recover()
    postgres.cut_connections(url)
    await ledger.reserve("local", question("mine still"))
    with JobLock(store, "job"):
        later.recover()
        with pytest.raises(JobLocked):
            JobLock(store, "job")
        with pytest.raises(StoreError, match=FENCED):
            await ledger.reserve("local", question("late"))
    first.close()
