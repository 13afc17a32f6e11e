"""The ledger in use: many callers, one cap, and every reservation ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event

from agent.errors import BudgetExceeded, PriceMissing, StoreError
from agent.job import OracleSettings
from agent.ledger import Ledger
from agent.ledger.ledger import endpoint_of
from agent.records import MicroDollars, Usage
from agent.store import AttemptState, Store
from tests.ledger.making import LOCAL, STRONG, answer, question
from tests.stores import on_sqlite


@contextmanager
def held_back(ledger: Ledger) -> Iterator[None]:
    """The writer is busy in the block, so that what is asked for queues up and is one group."""
    busy, let_go = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        busy.set()
        let_go.wait()

    held = ledger._commits.submit(hold)
    busy.wait()
    try:
        yield
    finally:
        let_go.set()
        held.result()


@contextmanager
def counted_commits(store: Store) -> Iterator[list[int]]:
    """One entry a commit, in the block."""
    commits: list[int] = []

    def note(_: Any) -> None:
        commits.append(1)

    event.listen(store._engine, "commit", note)
    yield commits
    event.remove(store._engine, "commit", note)


def states(store: Store) -> list[AttemptState]:
    return [a.state for a in store.attempts("job")]


async def test_a_reservation_is_on_disk_before_anybody_may_send(store: Store, ledger: Ledger) -> None:
    reservation = await ledger.reserve("local", question())
    (attempt,) = store.attempts("job")
    assert (attempt.id, attempt.state, attempt.worst) == (reservation.attempt_id, "reserved", reservation.worst)
    assert (attempt.oracle, attempt.question_key, attempt.text_id) == ("local", "key", "text of key")
    assert store.job("job").reserved == reservation.worst == ledger.worst("local", question())


async def test_settling_charges_the_usage_and_keeps_the_answer(store: Store, ledger: Ledger) -> None:
    answer_id = await ledger.settle(await ledger.reserve(LOCAL, question()), answer())
    assert store.job("job").spent == 44
    assert store.answer_for("key", *ledger.endpoints("local")) == (answer_id, answer())
    assert store.spending("job").usage == Usage(100, 5, 40)


async def test_an_answer_without_usage_costs_its_worst_case(store: Store, ledger: Ledger) -> None:
    reservation = await ledger.reserve("local", question())
    await ledger.settle(reservation, answer(None))
    assert store.job("job").spent == reservation.worst


async def test_released_costs_nothing_and_ambiguous_its_worst_case(store: Store, ledger: Ledger) -> None:
    await ledger.release(await ledger.reserve("local", question("a")), "connection refused")
    reservation = await ledger.reserve("local", question("b"))
    await ledger.ambiguous(reservation, "timed out")
    assert store.job("job").spent == reservation.worst
    assert store.failures("job") == {"text of a": ["connection refused"], "text of b": ["timed out"]}


async def test_a_reservation_cannot_end_twice(store: Store, ledger: Ledger) -> None:
    reservation = await ledger.reserve("local", question())
    await ledger.settle(reservation, answer())
    with pytest.raises(StoreError, match="is settled already"):
        await ledger.ambiguous(reservation, "timed out")
    assert store.job("job").spent == 44


async def test_many_callers_against_a_small_cap_never_pass_it(store: Store, ledger: Ledger) -> None:
    worst = ledger.worst("local", question())
    store.open_job("job", {}, "print", MicroDollars(7 * worst + worst // 2))
    refused = 0
    most = asyncio.Semaphore(32)

    async def ask(i: int) -> None:
        nonlocal refused
        async with most:
            try:
                reservation = await ledger.reserve("local", question(f"q{i}"))
            except BudgetExceeded:
                refused += 1
                return
            job = store.job("job")
            assert job.spent + job.reserved <= job.cap
            if i % 3 == 0:
                await ledger.release(reservation, "429")
            elif i % 3 == 1:
                await ledger.settle(reservation, answer())
            else:
                await ledger.ambiguous(reservation, "reset")

    await asyncio.gather(*(ask(i) for i in range(150)))
    job, sums = store.job("job"), store.spending("job")
    assert job.spent + job.reserved <= job.cap
    assert job.reserved == 0
    assert refused > 0
    assert sums.settled_count + sums.released_count + sums.ambiguous_count == 150 - refused
    assert sums.spent == 44 * sums.settled_count + worst * sums.ambiguous_count


async def test_one_commit_serves_all_who_wait(store: Store, ledger: Ledger) -> None:
    with held_back(ledger):
        asking = [asyncio.ensure_future(ledger.reserve("local", question(f"q{i}"))) for i in range(200)]
        await asyncio.sleep(0)  # each has asked now
    with counted_commits(store) as commits:
        reservations = await asyncio.gather(*asking)
    assert len(commits) == 1
    assert [r.attempt_id for r in reservations] == [a.id for a in store.attempts("job")]


async def test_nobody_is_answered_before_the_commit(store: Store, ledger: Ledger) -> None:
    on_disk: list[bool] = []
    first = asyncio.ensure_future(ledger.reserve("local", question("a")))

    def note(_: Any) -> None:
        on_disk.append(first.done())

    event.listen(store._engine, "commit", note)
    await first
    event.remove(store._engine, "commit", note)
    assert on_disk[0] is False


async def test_who_does_not_fit_does_not_fail_the_neighbours(store: Store, ledger: Ledger) -> None:
    worst = ledger.worst("local", question("1"))
    store.open_job("job", {}, "print", MicroDollars(3 * worst))
    with held_back(ledger):
        asking = [asyncio.ensure_future(ledger.reserve("local", question(f"{i}"))) for i in range(5)]
        big = asyncio.ensure_future(ledger.reserve("local", question("0", "x" * 1_000_000)))
        await asyncio.sleep(0)  # each has asked now
    results = await asyncio.gather(*asking, big, return_exceptions=True)
    assert [isinstance(r, BudgetExceeded) for r in results] == [False, False, False, True, True, True]
    assert store.job("job").reserved == 3 * worst


async def test_a_bug_in_one_operation_undoes_that_one_alone(store: Store, ledger: Ledger) -> None:
    def half_done(tx: Any) -> None:
        store.finish_round("job", 1, {}, tx=tx)
        raise ZeroDivisionError

    with held_back(ledger):
        before = asyncio.ensure_future(ledger.reserve("local", question("a")))
        broken = ledger._commits.submit(half_done)
        after = asyncio.ensure_future(ledger.reserve("local", question("b")))
        await asyncio.sleep(0)
    await asyncio.gather(before, after)
    assert isinstance(broken.exception(), ZeroDivisionError)
    assert store.rounds("job") == []
    assert len(store.attempts("job")) == 2


@on_sqlite
async def test_a_full_disk_tells_everybody_and_keeps_nothing(store: Store, ledger: Ledger) -> None:
    with store.transaction() as tx:  # the writer gets the same connection, and its limit
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with held_back(ledger):
        asking = [asyncio.ensure_future(ledger.reserve("local", question("x" * 5_000 + str(i)))) for i in range(5)]
        await asyncio.sleep(0)  # each has asked now
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(r, StoreError) and "disk is full" in str(r) for r in results)
    assert store.attempts("job") == []
    assert store.job("job").reserved == 0


async def test_who_is_cancelled_while_reserving_leaves_nothing_reserved(store: Store, ledger: Ledger) -> None:
    with held_back(ledger):
        asking = asyncio.ensure_future(ledger.reserve("local", question()))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    ledger.close()
    (attempt,) = store.attempts("job")
    assert (attempt.state, attempt.reason) == ("released", "cancelled before sending")
    assert store.job("job").reserved == 0


async def test_who_is_cancelled_while_settling_has_paid_all_the_same(store: Store, ledger: Ledger) -> None:
    reservation = await ledger.reserve("local", question())
    with held_back(ledger):
        settling = asyncio.ensure_future(ledger.settle(reservation, answer()))
        await asyncio.sleep(0)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
    ledger.close()
    assert states(store) == [AttemptState.SETTLED]
    assert store.answer_for("key", *ledger.endpoints("local")) is not None


async def test_closing_commits_what_is_queued_and_refuses_more(store: Store) -> None:
    async with Ledger(store, "job", [LOCAL]) as ledger:
        asking = asyncio.ensure_future(ledger.reserve("local", question()))
        await asyncio.sleep(0)
    await asking
    ledger.close()
    assert states(store) == [AttemptState.RESERVED]
    with pytest.raises(RuntimeError, match="the ledger is closed"):
        await ledger.reserve("local", question())


async def test_the_next_run_counts_as_spent_what_the_last_one_left_open(store: Store, ledger: Ledger) -> None:
    reservation = await ledger.reserve("local", question())
    ledger.close()
    async with Ledger(store, "job", [LOCAL]) as next_run:
        assert next_run.owner != ledger.owner
        mine = await next_run.reserve("local", question("mine"))
        assert next_run.recover() == 1
        assert next_run.recover() == 0
        job = store.job("job")
        assert (job.spent, job.reserved) == (reservation.worst, mine.worst)


async def test_a_price_for_time_charges_the_time_between(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = iter([100.0, 101.0, 105.0, 106.0])
    monkeypatch.setattr("agent.ledger.ledger.time", SimpleNamespace(monotonic=lambda: next(at)))
    first = await ledger.reserve(STRONG, question("a"))
    second = await ledger.reserve("strong", question("b"))
    assert first.worst == 60_000
    await ledger.settle(second, answer())
    await ledger.settle(first, answer(None))
    assert sorted(a.charged for a in store.attempts("job")) == [2_000, 4_000]


def test_a_ledger_without_a_price_is_not_opened(store: Store) -> None:
    unpriced = OracleSettings(name="local", base_url="http://here/v1", model="small")
    threads = threading.active_count()
    with pytest.raises(PriceMissing):
        Ledger(store, "job", [LOCAL.model_copy(update={"name": "paid"}), unpriced])
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("oracle", "named"), [(LOCAL, "http://***@127.0.0.1:8000/v1"), (STRONG, "tape:strong.jsonl.gz")]
)
def test_answers_are_kept_under_an_address_without_secrets(oracle: OracleSettings, named: str) -> None:
    assert endpoint_of(oracle) == named


def test_addresses_that_differ_in_path_or_query_are_two_endpoints_and_show_no_secret() -> None:
    def named(url: str) -> str:
        return endpoint_of(OracleSettings(name="o", base_url=url, model="m"))

    one, two = named("https://gw/v1?deployment=one&key=SECRET"), named("https://gw/v1?deployment=two&key=SECRET")
    assert one != two
    assert "SECRET" not in one
    assert named("https://gw-a/bob@corp/v1") != named("https://gw-b/x@corp/v1")
