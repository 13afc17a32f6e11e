"""Law 1 as a property of the whole ledger: two jobs in one store, runs that die, runs that are taken over, batches.

The model beside it is a few dictionaries. To look ten times as long:

    pytest tests/ledger/test_state_machine.py --hypothesis-profile=storm
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent.errors import BudgetExceeded, StoreError
from agent.ledger import Ledger, Reservation
from agent.records import Answer, MicroDollars, Question, Usage
from agent.store import AttemptState, Store, Wanted
from tests.ledger.making import LOCAL, question

T = TypeVar("T")
JOBS = st.sampled_from([0, 1])
CAPS = st.integers(0, 900)
LENGTHS = st.integers(0, 300)
WHICH = st.integers(0, 1000)


@dataclass
class Under:
    """An attempt that is under way, and whether it is in a batch."""

    reservation: Reservation
    batch: bool


@dataclass
class Purse:
    """One job as it should be. `allowed` is the most that may be spent or open: the cap, but for two excuses."""

    name: str
    ledger: Ledger
    cap: int
    allowed: int
    spent: int = 0
    open: dict[int, Under] = field(default_factory=dict)
    ended: dict[int, tuple[str, int]] = field(default_factory=dict)
    finished: list[Reservation] = field(default_factory=list)
    old: list[Ledger] = field(default_factory=list)

    @property
    def committed(self) -> int:
        return self.spent + sum(u.reservation.worst for u in self.open.values())

    def begin(self, reservation: Reservation, *, batch: bool = False) -> None:
        self.open[reservation.attempt_id] = Under(reservation, batch)
        assert self.committed <= self.cap
        self.allowed = self.cap

    def end(self, reservation: Reservation, state: str, charged: int) -> None:
        del self.open[reservation.attempt_id]
        self.ended[reservation.attempt_id] = (state, charged)
        self.finished.append(reservation)
        self.spent += charged
        if charged > reservation.worst:  # a provider that overcharges
            self.allowed = max(self.allowed, self.committed)


async def settled(ledger: Ledger, reservation: Reservation, answer: Answer) -> int:
    return await ledger.settle(reservation, answer)


class Money(RuleBasedStateMachine):
    """Every operation of the ledger, in any order, on a store that many examples share under names of their own."""

    store: Store
    url: str
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.number = itertools.count()
        self.jobs: list[Purse] = []

    @initialize(caps=st.tuples(CAPS, CAPS))
    def begin(self, caps: tuple[int, int]) -> None:
        for cap in caps:
            name = f"job {next(self.numbers)}"
            self.store.open_job(name, {}, "print", MicroDollars(cap))
            self.jobs.append(Purse(name, self.opened(name), cap, cap))

    def teardown(self) -> None:
        for job in self.jobs:
            for ledger in (job.ledger, *job.old):
                ledger.close()
        self.runner.close()

    def opened(self, name: str) -> Ledger:
        ledger = Ledger(self.store, name, [LOCAL])
        ledger.recover()
        return ledger

    def wait(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    def ask(self, length: int) -> Question:
        return question(f"q{next(self.number)}", "x" * length)

    def any_open(self) -> bool:
        return any(job.open for job in self.jobs)

    def chosen(self, which: int) -> tuple[Purse, Reservation]:
        under = [(job, u.reservation) for job in self.jobs for u in job.open.values()]
        return under[which % len(under)]

    # Reserving

    @rule(job=JOBS, length=LENGTHS)
    def reserve(self, job: int, length: int) -> None:
        purse, asked = self.jobs[job], self.ask(length)
        fits = purse.committed + purse.ledger.worst("local", asked) <= purse.cap
        try:
            purse.begin(self.wait(purse.ledger.reserve("local", asked)))
        except BudgetExceeded:
            assert not fits
        else:
            assert fits

    @rule(job=JOBS, lengths=st.lists(LENGTHS, min_size=2, max_size=12))
    def reserve_at_once(self, job: int, lengths: list[int]) -> None:
        purse = self.jobs[job]
        asked = [self.ask(length) for length in lengths]

        async def reserved() -> list[Any]:
            return await asyncio.gather(*(purse.ledger.reserve("local", q) for q in asked), return_exceptions=True)

        for q, result in zip(asked, self.wait(reserved()), strict=True):  # the cap takes what fits, in order
            fits = purse.committed + purse.ledger.worst("local", q) <= purse.cap
            assert isinstance(result, Reservation) == fits, result
            if fits:
                purse.begin(result)

    @rule(job=JOBS, lengths=st.lists(LENGTHS, min_size=1, max_size=6))
    def reserve_a_batch(self, job: int, lengths: list[int]) -> None:
        purse = self.jobs[job]
        asked = [self.ask(length) for length in lengths]
        batch = self.store.add_batch(purse.name, "local", {})
        worst = [purse.ledger.worst("local", q) for q in asked]
        wanted = [Wanted("local", q.key, q.text_id, w) for q, w in zip(asked, worst, strict=True)]
        made = self.store.reserve_many(purse.name, wanted, owner=purse.ledger.owner, batch_id=batch)
        for q, w, attempt_id in zip(asked, worst, made, strict=True):
            fits = purse.committed + w <= purse.cap
            assert (attempt_id is not None) == fits
            if attempt_id is not None:
                purse.begin(Reservation(attempt_id, "local", q, w), batch=True)

    @rule(job=JOBS, length=LENGTHS)
    def stop_waiting_for_a_reservation(self, job: int, length: int) -> None:
        purse = self.jobs[job]
        fits = purse.committed + purse.ledger.worst("local", self.ask(length)) <= purse.cap

        async def impatient() -> None:
            asking = asyncio.ensure_future(purse.ledger.reserve("local", self.ask(length)))
            await asyncio.sleep(0)
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking

        self.wait(impatient())
        purse.ledger.close()  # and what it wrote last is written
        if fits:
            (given_back,) = set(self.ids(purse)) - purse.open.keys() - purse.ended.keys()
            purse.ended[given_back] = ("released", 0)
        self.begin_again(purse)

    # Ending

    @precondition(any_open)
    @rule(which=WHICH, share=st.floats(0, 1), usage=st.booleans())
    def settle(self, which: int, share: float, usage: bool) -> None:
        purse, reservation = self.chosen(which)
        tokens = int(share * reservation.worst * 2)  # half a micro-dollar each
        self.wait(settled(purse.ledger, reservation, Answer("x", "small", Usage(tokens, 0) if usage else None)))
        purse.end(reservation, "settled", math.ceil(tokens / 2) if usage else reservation.worst)

    @precondition(any_open)
    @rule(which=WHICH, more=st.integers(1, 400))
    def settle_for_more_than_the_worst_case(self, which: int, more: int) -> None:
        purse, reservation = self.chosen(which)
        answer = Answer("x", "small", Usage(2 * (reservation.worst + more), 0))
        self.wait(settled(purse.ledger, reservation, answer))
        purse.end(reservation, "settled", reservation.worst + more)

    @precondition(any_open)
    @rule(which=WHICH)
    def release(self, which: int) -> None:
        purse, reservation = self.chosen(which)
        self.wait(purse.ledger.release(reservation, "refused"))
        purse.end(reservation, "released", 0)

    @precondition(any_open)
    @rule(which=WHICH)
    def ambiguous(self, which: int) -> None:
        purse, reservation = self.chosen(which)
        self.wait(purse.ledger.ambiguous(reservation, "reset"))
        purse.end(reservation, "ambiguous", reservation.worst)

    @precondition(lambda self: any(job.finished for job in self.jobs))
    @rule(which=WHICH, how=st.sampled_from(["settle", "release", "ambiguous"]))
    def end_again(self, which: int, how: str) -> None:
        done = [(job, reservation) for job in self.jobs for reservation in job.finished]
        purse, reservation = done[which % len(done)]
        late = Answer("x", "small", Usage(1, 0))
        settling = how == "settle"
        end = getattr(purse.ledger, how)
        ending = settled(purse.ledger, reservation, late) if settling else end(reservation, "again")
        with pytest.raises(StoreError, match="already"):
            self.wait(ending)

    @precondition(any_open)
    @rule(which=WHICH)
    def end_twice_at_once(self, which: int) -> None:
        purse, reservation = self.chosen(which)

        async def both() -> list[Any]:
            twice = (purse.ledger.release(reservation, "refused"), purse.ledger.release(reservation, "refused"))
            return await asyncio.gather(*twice, return_exceptions=True)

        assert sorted(isinstance(r, StoreError) for r in self.wait(both())) == [False, True]
        purse.end(reservation, "released", 0)

    # What happens around it

    @rule(job=JOBS, cap=CAPS)
    def change_the_cap(self, job: int, cap: int) -> None:
        purse = self.jobs[job]
        self.store.open_job(purse.name, {}, "print", MicroDollars(cap))
        purse.cap, purse.allowed = cap, max(cap, purse.committed)  # lowered below what was committed

    @rule(job=JOBS)
    def die_and_begin_again(self, job: int) -> None:
        self.jobs[job].ledger.close()
        self.begin_again(self.jobs[job])

    def begin_again(self, purse: Purse) -> None:
        left = [u.reservation for u in purse.open.values() if not u.batch]
        ledger = Ledger(self.store, purse.name, [LOCAL])
        assert ledger.recover() == len(left)
        assert ledger.recover() == 0
        for reservation in left:
            purse.end(reservation, "ambiguous", reservation.worst)
        purse.ledger = ledger

    @rule(job=JOBS, length=LENGTHS)
    def be_taken_over_without_knowing(self, job: int, length: int) -> None:
        purse = self.jobs[job]
        old = purse.ledger
        left = [u.reservation for u in purse.open.values() if not u.batch]
        self.begin_again(purse)
        purse.old.append(old)
        with pytest.raises((StoreError, BudgetExceeded)):
            self.wait(old.reserve("local", self.ask(length)))
        for reservation in left:
            with pytest.raises(StoreError, match="is ambiguous already"):
                self.wait(settled(old, reservation, Answer("late", "small", Usage(1, 0))))

    # What holds after every step

    def ids(self, purse: Purse) -> list[int]:
        return [a.id for a in self.store.attempts(purse.name)]

    @invariant()
    def the_cap_holds(self) -> None:
        for purse in self.jobs:
            job = self.store.job(purse.name)
            assert job.spent + job.reserved <= purse.allowed
            assert (job.cap, job.spent, job.spent + job.reserved) == (purse.cap, purse.spent, purse.committed)

    @invariant()
    def every_attempt_is_there_and_ended_at_most_once(self) -> None:
        for purse in self.jobs:
            attempts = {a.id: a for a in self.store.attempts(purse.name)}
            running = {i for i, a in attempts.items() if a.state is AttemptState.RESERVED}
            assert running == purse.open.keys()
            assert {i: (a.state.value, a.charged) for i, a in attempts.items() if i not in running} == purse.ended
            assert all((a.answer_id is not None) == (a.state is AttemptState.SETTLED) for a in attempts.values())

    @invariant()
    def the_sums_are_those_of_the_attempts(self) -> None:
        for purse in self.jobs:
            attempts, sums = self.store.attempts(purse.name), self.store.spending(purse.name)
            assert sums.spent == purse.spent == sum(a.charged for a in attempts)
            assert sums.reserved == sum(a.worst for a in attempts if a.state is AttemptState.RESERVED)
            assert sums.overcharged == sum(max(0, a.charged - a.worst) for a in attempts)


def test_the_money_is_right_after_every_step(url: str) -> None:
    with Store.open(url) as store:
        machine = type("MoneyHere", (Money,), {"store": store})
        examples = max(1, settings.default.max_examples // 5)  # 20 in CI; `storm` asks for many more
        health = [HealthCheck.too_slow, HealthCheck.data_too_large]
        how = settings(max_examples=examples, stateful_step_count=25, suppress_health_check=health)
        run_state_machine_as_test(machine, settings=how)
