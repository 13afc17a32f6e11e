"""Files for an engine that is loaded once: orders in a folder, and what becomes of them when somebody dies."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.bulk import BulkAsker
from agent.errors import EndpointError
from agent.job import OracleSettings, Price
from agent.oracle import Spool
from agent.oracle.offline import DONE, LOST, ORDER, TAKEN, Order, Pace, work
from agent.oracle.spool import MOST_OPEN, lose
from agent.records import MicroDollars
from agent.store import AttemptState, Store
from tests.bulk.answering import answered
from tests.bulk.making import PRICE, Told, ask, attempts, batches, labels, questions, texts

BY_TIME = Price(gpu_hour=Decimal(36))  # a cent a second


class Here:
    """An engine in this process: it answers when a test lets it, and dies when a test says so."""

    def __init__(self, folder: Path) -> None:
        self.spool, self.log = folder / "spool", folder / "log"
        self.spool.mkdir()
        self.log.write_text("loaded\n")
        self.runs, self.loads, self.why = False, 0, None
        self.asked: list[str] = []

    async def up(self) -> None:
        if not self.runs:
            lose(self, self.why or "")
            self.loads += 1
        self.runs, self.why = True, None

    def ended(self) -> str | None:
        return self.why

    async def finish(self) -> None:
        """It is at nothing."""

    def end(self) -> None:
        self.runs = False

    def die(self, why: str | None) -> None:
        """Of itself while the run watches, or with the run (None)."""
        self.runs, self.why = False, why

    def answers(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.asked += [line["custom_id"] for line in lines]
        return [answered(line, "small", None, {}) for line in lines]

    def take(self) -> Order:
        found = Order.take(self.spool)
        assert found is not None
        return found

    def work(self, *_: object) -> None:
        """All orders that there are."""
        while self.runs and (order := Order.take(self.spool)) is not None:
            work(self, order, self.spool / "stop", Pace())  # type: ignore[arg-type]

    def orders(self, state: str) -> list[str]:
        return sorted(path.stem[:12] for path in self.spool.glob(f"*{state}"))


@pytest.fixture
def engine(tmp_path: Path) -> Here:
    return Here(tmp_path)


def settings(price: Price = PRICE, **run_batch: Any) -> OracleSettings:
    llm = {"model": "folder"}
    own = {"llm": llm, "shard": 10} | run_batch
    return OracleSettings(name="local", model="small", price=price, batch={"poll_s": 0.01}, run_batch=own)


async def asked(
    store: Store, engine: Here, n: int, each: Callable[[BulkAsker], None] | None = None, **changes: Any
) -> dict[str, str | None]:
    told, of = changes.pop("told", Told()), settings(**changes)
    folder = engine.spool.parent

    def carrier(_: Any) -> Spool:
        return Spool(of, folder / "batches", engine)

    return labels(
        await ask(store, of, questions(n), folder=folder, each=each or engine.work, wrap=carrier, told=told)
    )


# The usual course ---------------------------------------------------------------------------------------------------


async def test_a_few_files_are_ordered_ahead_and_all_are_answered(store: Store, engine: Here) -> None:
    waiting: list[int] = []

    def each(_: BulkAsker) -> None:
        waiting.append(len(engine.orders(ORDER)))
        if waiting[-1]:
            work(engine, engine.take(), engine.spool / "stop", Pace())  # type: ignore[arg-type]

    assert await asked(store, engine, 45, each) == texts(45)
    assert max(waiting) == MOST_OPEN
    assert engine.loads == 1
    assert attempts(store) == {AttemptState.SETTLED: 45}
    assert list(engine.spool.iterdir()) == [], "what is done with is cleared away"
    assert len(list((engine.spool.parent / "batches").glob("*.output.jsonl"))) == 5


async def test_time_is_paid_for_as_the_engine_measured_it(store: Store, engine: Here) -> None:
    def each(_: BulkAsker) -> None:
        while engine.orders(ORDER):
            order = engine.take()
            order.seconds = 1.5
            work(engine, order, engine.spool / "stop", Pace())  # type: ignore[arg-type]

    await asked(store, engine, 20, each, price=BY_TIME, timeout_s=100)
    assert 30_000 <= store.job("job").spent <= 40_000, "two files of 1.5 s, and what a test takes"


async def test_a_small_budget_is_used_up_to_less_than_a_questions_worst_case(store: Store, engine: Here) -> None:
    store.open_job("job", {}, "print", MicroDollars(700_000))  # 70 s, and a file may take 100
    assert await asked(store, engine, 20, price=BY_TIME, timeout_s=100) == texts(20)
    store.open_job("job", {}, "print", MicroDollars(store.job("job").spent + 500_000))
    assert await asked(store, engine, 30, price=BY_TIME, timeout_s=100) == texts(20), "one question may take 60 s"
    assert store.job("job").reserved == 0


# Somebody dies ------------------------------------------------------------------------------------------------------


async def test_an_engine_that_dies_with_the_run_is_no_failure_and_what_it_wrote_is_kept(
    store: Store, engine: Here
) -> None:
    def dies(asker: BulkAsker) -> None:
        if engine.orders(ORDER):
            order = engine.take()
            order.part.write_bytes(_first_lines(engine, order, 4))
            engine.die(None)
            asker.halt()

    assert await asked(store, engine, 10, dies) == {}
    assert attempts(store) == {AttemptState.RESERVED: 10}
    assert await asked(store, engine, 10) == texts(10)
    assert attempts(store) == {AttemptState.SETTLED: 10, AttemptState.AMBIGUOUS: 6}
    assert engine.loads == 2
    assert engine.orders(LOST) == []


async def test_an_engine_that_dies_of_itself_without_an_answer_stops_the_run_and_says_why(
    store: Store, engine: Here
) -> None:
    def dies(_: BulkAsker) -> None:
        if engine.runs and engine.orders(ORDER):
            engine.take()
            engine.die("vLLM ended, with code 1. The end of its log, serve.log:\n  out of memory")

    with pytest.raises(EndpointError, match=r"(?s)look at the job file.*code 1.*out of memory"):
        await asked(store, engine, 25, dies)
    assert engine.loads == 1, "it is not loaded once more for nothing"
    assert await asked(store, engine, 25) == texts(25)
    ended = attempts(store)
    assert ended == {AttemptState.SETTLED: 25, AttemptState.AMBIGUOUS: 10}, "what waited was never begun"


async def test_a_file_that_takes_too_long_ends_the_engine_and_costs_its_time(store: Store, engine: Here) -> None:
    def hangs(_: BulkAsker) -> None:
        if engine.orders(ORDER):
            engine.take()

    with pytest.raises(EndpointError, match=r"it was ended after \d s; it may take 1 s"):
        await asked(store, engine, 10, hangs, price=BY_TIME, timeout_s=1)
    assert not engine.runs
    purse = store.job("job")
    assert (10_000 <= purse.spent <= 20_000, purse.reserved) == (True, 0)


async def test_a_clock_that_was_set_back_makes_nothing_cheaper(store: Store, engine: Here) -> None:
    def dies(asker: BulkAsker) -> None:
        if engine.orders(ORDER):
            order = engine.take()
            os.utime(order.path, (2**32, 2**32))
            engine.die(None)
            asker.halt()

    await asked(store, engine, 10, dies, price=BY_TIME, timeout_s=100)
    await asked(store, engine, 10, price=BY_TIME, timeout_s=100)
    assert store.job("job").spent >= 1_000_000, "nobody knows how long it took: its worst case"


async def test_an_order_that_somebody_took_away_counts_as_spent(store: Store, engine: Here) -> None:
    def removes(_: BulkAsker) -> None:
        for path in engine.spool.glob(f"*{ORDER}"):
            path.unlink()

    with pytest.raises(EndpointError, match="holds nothing of it any more"):
        await asked(store, engine, 5, removes)
    assert attempts(store) == {AttemptState.AMBIGUOUS: 5}


async def test_an_order_that_was_answered_when_its_engine_died_is_done(store: Store, engine: Here) -> None:
    def dies(_: BulkAsker) -> None:
        if engine.orders(ORDER):
            order = engine.take()
            order.output.write_bytes(_first_lines(engine, order, 10))
            engine.die("it is said to have died")

    assert await asked(store, engine, 10, dies) == texts(10)
    assert attempts(store) == {AttemptState.SETTLED: 10}


def _first_lines(engine: Here, order: Order, n: int) -> bytes:
    """What an engine writes of the first questions of an order."""
    lines = order.input.read_bytes().splitlines(keepends=True)[:n]
    aside = Order(order.path.with_name("aside"), order.input.with_name("aside"), order.input.with_name("out"), 3600)
    aside.input.write_bytes(b"".join(lines))
    aside.path = aside.path.with_suffix(TAKEN)
    aside.write()
    work(engine, aside, engine.spool / "stop", Pace())  # type: ignore[arg-type]
    aside.path.unlink()
    return aside.output.read_bytes()


# Crashes of the run -------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As if the process had been killed there."""


@pytest.mark.parametrize("placed", [True, False])
async def test_a_run_that_is_killed_while_it_orders_orders_once(store: Store, engine: Here, placed: bool) -> None:
    of = settings()

    class Dies(Spool):
        async def start(self, batch: Any) -> str:
            if placed:
                await super().start(batch)
            raise Killed

    with pytest.raises(Killed):
        await ask(store, of, questions(5), folder=engine.spool.parent,
                  wrap=lambda _: Dies(of, engine.spool.parent / "batches", engine))  # fmt: skip
    assert len(engine.orders(ORDER)) == placed
    assert await asked(store, engine, 5) == texts(5)
    assert len(engine.asked) == len(set(engine.asked)) == 5
    assert len(batches(store)) == (1 if placed else 2)


async def test_an_order_that_cannot_be_written_costs_nothing(
    store: Store, engine: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Order) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Order, "write", full)
    with pytest.raises(EndpointError, match=r"cannot write .*No space left on device; make room"):
        await asked(store, engine, 5)
    assert (store.job("job").spent, store.job("job").reserved) == (0, 0)


async def test_ctrl_c_at_the_moment_an_engine_is_up_orders_nothing(store: Store, engine: Here) -> None:
    class Stopped(Here):
        """Waiting for it ends because the run is stopped, and not because it is loaded."""

        async def up(self) -> None:
            await super().up()
            for asker in known:
                asker.halt()

    known: list[BulkAsker] = []
    stopped = Stopped(_made(engine.spool.parent / "other"))

    def each(asker: BulkAsker) -> None:
        stopped.work()
        if stopped.asked:
            known.append(asker)

    assert await asked(store, stopped, 45, each) == texts(30)
    assert attempts(store) == {AttemptState.SETTLED: 30, AttemptState.RELEASED: 10}
    assert store.job("job").reserved == 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def test_an_order_can_be_withdrawn_while_it_waits(store: Store, engine: Here) -> None:
    def halts(asker: BulkAsker) -> None:
        if engine.orders(ORDER):
            asker.halt()

    await asked(store, engine, 5, halts)
    (batch,) = batches(store)
    carrier = Spool(settings(), engine.spool.parent / "batches", engine)
    assert await carrier.find(batch) == batch.remote_id
    await carrier.cancel(batch)
    assert await carrier.find(batch) is None
    assert not await carrier.is_gone(batch)
    assert DONE not in {path.suffix for path in engine.spool.iterdir()}
