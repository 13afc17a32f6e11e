"""The ledger: nobody sends a request without a reservation on disk, and every reservation ends once."""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from sqlalchemy import Connection

from agent.errors import BudgetExceeded
from agent.job import OracleSettings, without_secrets
from agent.ledger.commits import GroupCommits, Lane
from agent.ledger.gpu import GpuClock
from agent.ledger.prices import Bound, Tariff, charge, gpu_time, prompt_bound
from agent.records import Answer, MicroDollars, Question
from agent.store import AttemptState, End, Store, StoredAnswer, Wanted


class Named(Protocol):
    """Anything with a name; an oracle has one."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """Leave to send one question once, under the name `request_id`, to one endpoint. `worst` micro-dollars are set
    aside for it."""

    attempt_id: int
    oracle: str
    question: Question
    worst: MicroDollars
    request_id: str = ""
    endpoint: str = ""


@dataclass
class Purse:
    """A job's money as this run knows it at this moment, for whoever watches. Micro-dollars; the store's word counts.

    `spent` includes what is ambiguous.
    """

    cap: MicroDollars
    spent: int
    reserved: int
    ambiguous_count: int


@dataclass(frozen=True)
class _Account:
    """One oracle of the job: what model, at what price, and the clock of each endpoint that answers: two servers that
    work at the same time are two GPUs."""

    model: str
    tariff: Tariff
    clocks: dict[str, GpuClock]


class Ledger:
    """The purse of one job. Used from one event loop; everything returned is on disk by then.

    Args:
        store: where the job was opened already.
        job: its name.
        oracles: those of the job file. Raises PriceMissing for one without a price.
        owner: who reserves, different for every run; made up where not given.
        bounds: most tokens that a prompt can be, by oracle; where there is none, a bound from its bytes.
    """

    def __init__(
        self,
        store: Store,
        job: str,
        oracles: Sequence[OracleSettings],
        *,
        owner: str | None = None,
        bounds: Mapping[str, Bound] | None = None,
    ) -> None:
        bounds = bounds or {}
        tariffs = {o.name: Tariff.of(o, bounds.get(o.name, prompt_bound)) for o in oracles}
        self._accounts = {
            o.name: _Account(o.model, tariffs[o.name], {e: GpuClock() for e in endpoints_of(o)}) for o in oracles
        }
        self._store, self.job = store, job
        self.owner = owner or f"{os.getpid()}@{socket.gethostname()}/{uuid.uuid4().hex[:8]}"
        self._ends: Lane[End, int | None] = Lane(lambda tx, ends: store.end_many(ends, tx=tx))
        self._reserves: Lane[Wanted, int] = Lane(self._reserved, self._give_back)
        # ends first: what they give back may be what a reservation of the same group needs
        self._commits = GroupCommits(store, [self._ends, self._reserves])
        self._purse: Purse | None = None
        self.overcharged = 0  # micro-dollars that this run's answers cost beyond their worst cases

    def endpoints(self, oracle: Named | str) -> tuple[str, ...]:
        """Under what names an oracle's answers are kept: one an endpoint, in the order of the job file."""
        return tuple(self._account(oracle).clocks)

    def known_at(self, oracle: Named | str) -> tuple[str, ...]:
        """Under what names answers may be that are as good as the oracle's own, for `Store.answers_for`: its
        endpoints', and those of every other that ever stood in one list with one of them."""
        return self._store.together(self._account(oracle).model, self.endpoints(oracle))

    def worst(self, oracle: Named | str, question: Question) -> MicroDollars:
        """What `reserve` would set aside."""
        return self._account(oracle).tariff.worst(question)

    @property
    def purse(self) -> Purse:
        """The money, kept up to date by what goes through here: reading it costs no query."""
        if self._purse is None:
            sums = self._store.spending(self.job)
            self._purse = Purse(sums.cap, sums.spent, sums.reserved, sums.ambiguous_count)
        return self._purse

    def look_again(self) -> None:
        """Have `purse` read the store anew: a batch moved money past this ledger's own attempts."""
        self._purse = None

    def recover(self) -> int:
        """Take the job over, and call ambiguous what earlier runs left open, as they may have sent it; how many.

        Call it once, at the start, while holding the job's RunLock: only then is every other owner dead.
        """
        with self._store.transaction() as tx:
            self._store.take_over(self.job, self.owner, tx=tx)
            return self._store.abandon_reservations(self.job, self.owner, tx=tx)

    async def reserve(self, oracle: Named | str, question: Question, endpoint: str = "") -> Reservation:
        """Set the worst case aside. Raises BudgetExceeded where the cap has no room for it, StoreError.

        `endpoint` is one of the oracle's `endpoints`, where it has several; "" is its only one. Cancelled while
        waiting, it gives back what it may have reserved: nothing was sent.
        """
        name = _name(oracle)
        account = self._account(name)
        worst = account.tariff.worst(question)
        attempt_id = await self._commits.join(self._reserves, Wanted(name, question.key, question.text_id, worst))
        endpoint = endpoint or next(iter(account.clocks))
        account.clocks[endpoint].begin(attempt_id, time.monotonic())
        self._paid(reserved=worst)
        return Reservation(attempt_id, name, question, worst, self._request_id(attempt_id), endpoint)

    def settle(self, reservation: Reservation, answer: Answer) -> Awaitable[int]:
        """Pay for an answer and keep it, in one commit; wait for the answer's id before parsing it.

        What it costs beyond its worst case is in `overcharged` at once. An answer without usage costs what was
        reserved. Raises StoreError, to who waits, where the attempt ended before.
        """
        account = self._accounts[reservation.oracle]
        seconds = self._clock(reservation).end(reservation.attempt_id, time.monotonic())
        price = account.tariff.price
        if price.gpu_hour is not None:
            # no request keeps the server busy beyond its time-out; what is more is our own time
            cost = min(gpu_time(price, seconds), reservation.worst)
        else:
            cost = reservation.worst if answer.usage is None else charge(price, answer.usage)
        question = reservation.question
        stored = StoredAnswer(question.key, reservation.endpoint, answer, question.prompt_hash)
        end = End(reservation.attempt_id, AttemptState.SETTLED, "", cost, answer.usage, stored)
        self.overcharged += max(0, cost - reservation.worst)
        return self._settled(self._commits.join(self._ends, end), reservation.worst, cost)

    async def _settled(self, end: Awaitable[int | None], worst: MicroDollars, cost: MicroDollars) -> int:
        answer_id = await end
        self._paid(reserved=-worst, spent=cost)
        assert answer_id is not None  # it came with an answer
        return answer_id

    async def release(self, reservation: Reservation, reason: str) -> None:
        """Give the reservation back: the attempt certainly cost nothing. StoreError where it ended before."""
        self._clock(reservation).forget(reservation.attempt_id)
        await self._commits.join(self._ends, End(reservation.attempt_id, AttemptState.RELEASED, reason))
        self._paid(reserved=-reservation.worst)

    async def ambiguous(self, reservation: Reservation, reason: str) -> None:
        """Count the reservation as spent: the attempt may have cost money. StoreError where it ended before."""
        self._clock(reservation).end(reservation.attempt_id, time.monotonic())
        await self._commits.join(self._ends, End(reservation.attempt_id, AttemptState.AMBIGUOUS, reason))
        self._paid(reserved=-reservation.worst, spent=reservation.worst, ambiguous=1)

    def abandon(self, reservation: Reservation, reason: str) -> None:
        """The same for who cannot wait, as he is being cancelled: it is on disk at the latest when this is closed."""
        self._clock(reservation).end(reservation.attempt_id, time.monotonic())
        attempt_id = reservation.attempt_id
        with suppress(RuntimeError):  # closed meanwhile: the next run will call it ambiguous
            self._commits.submit(lambda tx: self._store.mark_ambiguous(attempt_id, reason, tx=tx))
        self._paid(reserved=-reservation.worst, spent=reservation.worst, ambiguous=1)

    def close(self) -> None:
        """Wait for the last commit. What is still reserved stays so, and is ambiguous for the next run."""
        self._commits.close()

    async def __aenter__(self) -> Ledger:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def _paid(self, *, reserved: int, spent: int = 0, ambiguous: int = 0) -> None:
        if self._purse is not None:
            self._purse.reserved += reserved
            self._purse.spent += spent
            self._purse.ambiguous_count += ambiguous

    def _reserved(self, tx: Connection, wanted: Sequence[Wanted]) -> list[int | Exception]:
        ids = self._store.reserve_many(self.job, wanted, owner=self.owner, tx=tx)
        if None not in ids:
            return [i for i in ids if i is not None]
        full = self._store.no_room(self.job, 0, tx=tx)
        return [
            BudgetExceeded(spent=full.spent, reserved=full.reserved, wanted=w.worst, cap=full.cap) if i is None else i
            for w, i in zip(wanted, ids, strict=True)
        ]

    def _give_back(self, attempt_id: int) -> None:
        """What was reserved for somebody who stopped waiting."""
        with suppress(RuntimeError):  # closed meanwhile: the next run will call it ambiguous
            self._commits.submit(lambda tx: self._store.release(attempt_id, "cancelled before sending", tx=tx))

    def _request_id(self, attempt_id: int) -> str:
        """A name for one attempt that no other run has: servers refuse two requests under one name."""
        return f"lw-{self.owner[-8:]}-{attempt_id}"

    def _account(self, oracle: Named | str) -> _Account:
        return self._accounts[_name(oracle)]

    def _clock(self, reservation: Reservation) -> GpuClock:
        clocks = self._accounts[reservation.oracle].clocks
        return clocks[reservation.endpoint or next(iter(clocks))]


def endpoints_of(oracle: OracleSettings) -> tuple[str, ...]:
    """The name of each endpoint of an oracle, in the order of the job file; see `endpoint_of`."""
    return tuple(endpoint_of(one) for one in oracle.each())


def endpoint_of(oracle: OracleSettings) -> str:
    """Who answers, as it is kept beside answers: the address without secrets, the tape's file name, a command, or the
    model that a vLLM of one's own is started with, whether it serves it or answers files.

    The model is part of each question's key already. Of an oracle with one address.
    """
    if oracle.own is not None:
        return f"serve:{oracle.own.model}"  # its port is another one in every run
    if oracle.run_batch is not None:
        return "run-batch"
    if oracle.tape is not None:
        return f"tape:{Path(oracle.tape).name}"
    shown, query = without_secrets(oracle.address) or "", urlsplit(oracle.address).query
    # two deployments that differ in the query alone are two endpoints; its values may be secrets
    return shown if not query else f"{shown}#{hashlib.sha256(query.encode()).hexdigest()[:12]}"


def _name(oracle: Named | str) -> str:
    return oracle if isinstance(oracle, str) else oracle.name
